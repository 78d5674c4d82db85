"""Tests the command line: in this process where that will do, for a new one takes seconds to import torch."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

import cgm.__main__ as program
from cgm import Record, __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^<!-- test -->\n```python\n(.*?)^```$", README, re.M | re.S)
OWN = """
from cgm.generators import KDE


class MyGenerator(KDE):
    def __init__(self, shift=0.0, bad=False):
        super().__init__()
        self.shift, self.bad = shift, bad

    def sample(self, n, seed):
        sample = super().sample(n, seed) + self.shift
        return sample / 0 if self.bad else sample
"""


@pytest.fixture
def cgm(monkeypatch, tmp_path, capsys):
    """Runs the command line with some arguments, in an empty folder, and gives what it prints."""

    root, logger = logging.getLogger(), logging.getLogger("cgm")
    before = root.handlers[:], root.level, logger.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def run(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["cgm", *args])
        program.main()
        return capsys.readouterr().out

    yield run
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers, root.level, logger.level = before


def refused(cgm, *args: str, flags: tuple = ()) -> str:
    """Runs the command line, which must refuse its arguments in one line, and gives that line."""

    shutil.rmtree("run", ignore_errors=True)
    with pytest.raises(SystemExit) as caught:
        cgm(*flags, *SMALL[:3], "hydra.run.dir=run", *args)
    line = caught.value.code  # a text: Python prints it to stderr, and exits with status 1
    assert isinstance(line, str)
    assert line.startswith("cgm: error: ")
    assert "\n" not in line
    assert not Path("run", "result.json").exists()
    return line


def test_a_run_ends_with_the_table_and_the_folder(cgm, tmp_path):
    out = cgm(*SMALL, "hydra.run.dir=run", "seed=4", "sampling.betas=[2,inf]")
    record = Record.load("run")
    assert (record.result["seed"], record.result["settings"]["synthetic_size"]) == (4, 300)
    assert {beta for _, beta in record.rewards} == {2.0, float("inf")}
    assert out.rstrip().endswith(f"{record.table()}\n{tmp_path / 'run'}")
    names = [name for name in os.listdir("run") if not name.endswith(".log")]
    assert sorted(names) == [".hydra", "metrics.csv", "result.json", "rewards.npz"]
    kept = OmegaConf.load("run/.hydra/config.yaml")
    assert (kept.seed, kept.split.points_per_party) == (4, 60)
    assert sorted(os.listdir(tmp_path)) == ["run"]


def test_every_combination_of_a_sweep_is_run(cgm):
    out = cgm("-m", *SMALL, "hydra.sweep.dir=sweep", "seed=1,2", "scheme=fair", "sampling.betas=[8]")
    records = [Record.load(f"sweep/{k}") for k in range(2)]
    assert [record.result["seed"] for record in records] == [1, 2]
    assert all(record.table() in out for record in records)


def test_runs_of_one_second_do_not_share_a_folder(cgm):
    for _ in range(2):
        cgm(*SMALL, "sampling.betas=[8]")
    assert len(list(Path("outputs").glob("*/*/result.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sampling.betas=[-1]", r"sampling\.betas=\[-1\.0\]: must be a list of numbers that are not negative"),
        ("sampling.betas=[]", r"sampling\.betas=\[\]: "),
        ("sampling.betas=[some]", r"sampling.betas=\['some'\]: must be a list of numbers"),
        ("sampling.patience=0", r"sampling\.patience=0: "),
        ("scheme.epsilon=-1", r"scheme\.epsilon=-1: must be finite and not negative"),
        ("scheme.rho=2", r"scheme\.rho=2: must lie between 0 and 1"),
        ("synthetic_size=0", r"synthetic_size=0: expected a whole number from 1"),
        ("synthetic_size=many", r"synthetic_size=many: "),
        ("seed=-1", r"seed=-1: expected a whole number from 0"),
        ("dataset=credit_card data_dir=nowhere", r"dataset=credit_card: no file at .*nowhere.*dataset\.download"),
        ("dataset=credit_card dataset.path=x.csv", r"no file at .*x\.csv"),
        ("split=unequal split.n_parties=2", r"split\.n_parties=2: "),
        ("kernel.lengthscale=0", r"kernel\.lengthscale=0: expected a positive number"),
        ("kernel.lengthscale=best", r"kernel\.lengthscale='best': expected a positive number, 'fit' or 'median'"),
        ("kernel_search.low=wide", r"kernel_search: low=wide"),
        ("+kernel_search.most=2", r"kernel_search: unknown options \['most'\]; there are low, high, iterations"),
        ("device=no_such_device", r"device=no_such_device: not to be had on this machine .*; use 'cpu'"),
        ("embedding_party=9", r"embedding_party=9: there are 5 parties"),
        ("+kernel.no_such=1", r"unexpected keyword argument 'no_such' \(in kernel\)"),
        ("+no_such=1", r"unexpected keyword argument 'no_such'"),
        ("split=shares", r"Missing mandatory value: split\.matrix$"),
        ("generator._target_=no_such_module.MyGenerator", r"no_such_module.* \(in generator\)"),
        ("generator._target_=cgm.generators.NoSuch", r"NoSuch"),
        ("generator=true_mixture dataset=digits", r"generator=true_mixture is .* of dataset=credit_ratings"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(cgm, arguments, message):
    line = refused(cgm, *arguments.split())
    assert re.search(message, line), line


def test_too_many_points_per_party(cgm):
    line = refused(cgm, "split.majority=0.5", "split.points_per_party=100000")
    assert re.search(r"split\.points_per_party=100000: class \d \(cluster \d\) has 1000 points, but", line), line
    assert re.search(r"at most split\.points_per_party=\d+ would fit$", line), line


@pytest.mark.parametrize(
    ("argument", "message"),
    [("kernel.no_such=1", "kernel.no_such"), ("kernel=no_such", "squared_exponential"), ("no_such=1", "no_such")],
)
def test_what_hydra_refuses_it_names(cgm, capsys, argument, message):
    with pytest.raises(SystemExit) as caught:
        cgm(*SMALL, "hydra.run.dir=run", argument)
    assert caught.value.code == 1
    assert message in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_file_of_ones_own_with_an_unknown_option_is_refused(cgm):
    Path("mine/generator").mkdir(parents=True)
    Path("mine/generator/wide.yaml").write_text("_target_: cgm.generators.KDE\nbandwith: 2.0\n")
    line = refused(cgm, "generator=wide", flags=("--config-dir", "mine"))
    assert re.search(r"unexpected keyword argument 'bandwith' \(in generator\)", line)
    Path("mine/generator/wide.yaml").write_text("_target_: cgm.generators.KDE\nbandwidth: 2.0\n")
    cgm("--config-dir", "mine", "generator=wide", *SMALL, "hydra.run.dir=run", "sampling.betas=[8]")
    assert Record.load("run").result["settings"]["generator"] == {"class": "KDE", "bandwidth": 2.0}


def test_an_error_shows_where_it_was_raised_if_asked(cgm, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InstantiationException, match=r"scheme\.epsilon=-1"):
        cgm(*SMALL, "hydra.run.dir=run", "scheme.epsilon=-1")


@pytest.fixture
def own(tmp_path):
    """The name of a generator in a module in the working directory."""

    name = f"my_package_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    yield f"{name}.MyGenerator"
    sys.modules.pop(name, None)


def test_a_generator_of_ones_own(cgm, own):
    betas, pools = "sampling.betas=[8]", []
    for options in ([], ["+generator.shift=0.01"], ["generator.bandwidth=1.0"]):
        arguments = [*SMALL, betas, "hydra.run.dir=run", f"generator._target_={own}", *options]
        if "generator.bandwidth=1.0" in options:  # an option of the default generator, but not of this one
            assert "unexpected keyword argument 'bandwidth' (in generator)" in refused(cgm, *arguments)
            continue
        cgm(*arguments)
        record = Record.load("run")
        assert record.result["generator"] == "my_generator"
        pools.append(record.pool)
    assert (pools[1][:300] - pools[0][:300] - 0.01).abs().max() < 1e-12


def test_a_bad_generator_of_ones_own_is_refused(cgm, own):
    line = refused(cgm, f"generator._target_={own}", "+generator.bad=true")
    assert re.search("generator: synthetic pool: row 0 holds NaN or infinity", line)


@pytest.mark.parametrize(
    ("overrides", "left"),
    [
        (["generator._target_=my.Own"], {"_target_": "my.Own"}),
        (["+generator.option=3", "seed=1", "generator._target_=my.Own"], {"_target_": "my.Own", "option": 3}),
        (["++generator.option=3", "++generator._target_=my.Own"], {"_target_": "my.Own", "option": 3}),
        (["generator.bandwidth=0.3", "generator._target_=my.Own"], {"_target_": "my.Own", "bandwidth": 0.3}),
        (["generator.bandwidth=0.3"], {"_target_": "my.Own", "bandwidth": 0.3, "option": 3}),
        (["no_such._target_=x", "_target_=y"], {"_target_": "my.Own", "bandwidth": 0.3, "option": 3}),
    ],
)
def test_a_new_target_is_not_given_the_options_of_the_old_one(overrides, left):
    config = {"_target_": "cgm.Experiment", "seed": 1, "kernel": {"_target_": "a.B", "lengthscale": 1}}
    generator = {"_target_": "my.Own", "bandwidth": 0.3, "option": 3}
    config = OmegaConf.create(config | {"generator": generator})
    OmegaConf.set_struct(config, True)
    program.keep_own_options(config, overrides)
    assert config.pop("generator") == left if not OmegaConf.is_struct(config) else dict(config.generator) == left
    assert dict(config.kernel) == {"_target_": "a.B", "lengthscale": 1}
    assert config.seed == 1
    assert OmegaConf.is_struct(config)


def test_readme_has_examples_to_run():
    assert EXAMPLES
    assert len(EXAMPLES) == README.count("<!-- test -->")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"README.md, example {number + 1}", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def start(*args: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Starts Python anew, in a folder."""

    paths = os.pathsep.join(filter(None, (environment.pop("PYTHONPATH", str(ROOT)), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def test_from_another_folder(tmp_path, own):
    arguments = [*SMALL, "sampling.betas=[8]", f"generator._target_={own}", "+generator.shift=0.01"]
    done = start("-m", "cgm", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = next((tmp_path / "outputs").glob("*/*/result.json")).parent
    assert done.stdout.rstrip().endswith(f"{Record.load(run).table()}\n{run}")
    assert "Traceback" not in done.stderr
    assert Record.load(run).result["versions"]["cgm"] == __version__


def test_a_refusal_is_one_line_on_stderr_and_a_status(tmp_path):
    done = start("-m", "cgm", *SMALL, "hydra.run.dir=run", "seed=-1", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "cgm: error: seed=-1: expected a whole number from 0\n"
    assert done.stdout == ""


def test_help_of_an_installed_cgm_is_quick(tmp_path):
    """Lays the package out as the wheel does, see below."""

    site = tmp_path / "site"
    shutil.copytree(ROOT / "cgm", site / "cgm", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copytree(ROOT / "conf", site / "cgm" / "conf")
    code = (
        "import sys; from cgm.__main__ import CONF, main; sys.argv = ['cgm', '--help']; print(CONF); "
        "import atexit; atexit.register(lambda: print('SLOW', sorted({'torch', 'sklearn', 'scipy', 'pandas', "
        "'matplotlib'} & set(sys.modules)))); main()"
    )
    done = start("-c", code, folder=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(site / "cgm" / "conf")
    assert lines[-1] == "SLOW []"
    for group in (path.name for path in (ROOT / "conf").iterdir() if path.is_dir()):
        options = ", ".join(sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml")))
        assert f"{group}: {options}" in lines
    assert "synthetic_size: 10000" in lines


def test_the_wheel_holds_the_configuration():
    """`python -m cgm` finds `conf` in the package or beside it; the wheel has it in the package."""

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["cgm"]
    assert wheel["force-include"] == {"conf": "cgm/conf"}
    assert {"cgm", "conf"} <= set(project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert project["project"]["scripts"] == {"cgm": "cgm.__main__:main"}
    assert project["project"]["version"] == __version__
    assert not (ROOT / "cgm" / "conf").exists()  # it would hide the one that is edited
    assert program.CONF == ROOT / "conf"
