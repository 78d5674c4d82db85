"""Tests of the checks before a run and before a sweep: what is refused, when, and what is left behind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cgm.cli.check import SweepJobs, check_sweep
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.initialize import initialize_config_dir
from hydra.types import RunMode

from cgm.cli import check
from cgm.cli.conf import CONF

ROOT = Path(__file__).resolve().parents[2]
SLOW = {"torch", "torchvision", "numba", "pandas", "sklearn", "matplotlib", "umap"}
SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]

# Prints each setting with each wrong value: the message, and the slow packages that have been imported
EVERY_SETTING = """
import copy, json, sys
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from cgm.cli.check import check_built_in, check_job
from cgm.cli.conf import CONF, Configuration
from cgm.cli.errors import REFUSALS, explain
from cgm.cli.settle import OF_THE_COMMAND

REQUIRED = {"shares": "split.matrix=[[0.5,0.5,0,0,0],[0,0,0.5,0.5,0]]", "npz": "dataset.path=x.npz"}


def tried(config, name, value, group):
    try:
        if group:  # alone, which is quicker
            check_built_in({**config[group], name.partition(".")[2]: value}, group)
            return None
        config = copy.deepcopy(config)
        OmegaConf.update(config, name, value, merge=False)
        if "files" in config:
            settings = OmegaConf.to_container(config, resolve=True)
            check_built_in({key: settings[key] for key in settings.keys() - {*OF_THE_COMMAND}})
        else:
            check_job(config, [], {})
    except REFUSALS as error:
        return explain(error)


with initialize_config_dir(str(CONF), version_base="1.3"):
    for primary in ("config", "settle"):
        files = Configuration([CONF], primary)
        pages = [("", [], files.primary)]
        for group in files.primary.choices:
            if primary == "config" and group not in ("hydra/job_logging", "experiment", "hparams_search"):
                for choice in files.choices(group):
                    required = [REQUIRED[choice]] if choice in REQUIRED else []
                    pages.append((group, [f"{group}={choice}", *required], files.read(group, choice)))
        for group, overrides, file in pages:
            config = compose(primary, overrides)
            config = OmegaConf.to_container(config, resolve=True) if group else config
            names = {setting.name for setting in file.settings}
            for name in sorted(names):
                sections = name.startswith("hydra.") or any(other.startswith(f"{name}.") for other in names)
                if not sections and not (primary == "settle" and name in OF_THE_COMMAND):
                    for value in ({"x": 1}, -1, float("nan")):
                        imported = sorted(SLOW & set(sys.modules))
                        print(json.dumps([overrides, name, str(value), tried(config, name, value, group), imported]))
"""


def python(code: str, folder: Path, *args: str) -> subprocess.CompletedProcess:
    """Run code in a new process, in a folder."""

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", code, *args], cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )


@pytest.mark.slow
def test_every_setting_of_every_group_refuses_wrong_values_without_slow_packages(tmp_path):
    done = python(f"SLOW = {SLOW}\n{EVERY_SETTING}", tmp_path)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({(*overrides, name) for overrides, name, *_ in results}) > 150
    for overrides, name, value, message, imported in results:
        assert message is not None, (overrides, name, value)
        assert imported == [], (overrides, name, value)
        given = rf"{re.escape(name)}(=.+)?: "  # a value that was converted may be written in another way
        assert re.match(given, message), (overrides, name, value, message)
        assert re.search("expected|must|at most|needs", message), message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("seed=-1", "seed=-1: expected an integer >= 0"),
        ("generator=mmd_gan generator.steps=0", "generator.steps=0: expected an integer >= 1 or null"),
        ("generator=kd", "generator=kd: expected one of copula, .*; did you mean kde or kde_adaptive?"),
        ("generator.bandwith=1", "generator.bandwith: unknown setting; did you mean generator.bandwidth?"),
        ("-m seed=0,1 scheme.rho=2", "scheme.rho=2: expected a number in [0, 1] or null"),
        ("-m seed=0,1 scheme.rho=0.5,2", "scheme.rho=2: expected a number in [0, 1] or null"),
        ("settle a.csv b.csv out=out scheme.rho=2", "scheme.rho=2: expected a number in [0, 1] or null"),
        ("settle a.csv b.csv out=out rare=2", "rare=2: expected a number in [0, 0.5]"),
    ],
)
def test_the_program_refuses_without_slow_packages_and_leaves_nothing(tmp_path, arguments, message):
    code = f"""
import sys
from cgm.cli.main import main
try:
    main()
finally:
    print(sorted({SLOW} & set(sys.modules)))
"""
    done = python(code, tmp_path, *arguments.split())
    assert done.returncode == 1
    assert re.fullmatch(f"cgm: error: {re.escape(message).replace(re.escape('.*'), '.*')}\n", done.stderr), done.stderr
    assert done.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("seed=0,1,-1", "seed=-1: expected an integer >= 0"),
        ("seed=0,1 sampling.betas=[1],[2,-1]", "sampling.betas=[2.0, -1.0]: expected a list of non-negative numbers"),
        ("seed=0,1 sampling.betas=[2,-1]", "sampling.betas=[2.0, -1.0]: expected a list of non-negative numbers"),
        ("kernel=laplacian,sun", "kernel=sun: expected one of laplacian, rational_quadratic, squared_exponential, sum"),
        ("kernel=laplacian,sum kernel.lengthscale=-1", "kernel.lengthscale=-1: expected a number in (0, inf)"),
        ("split=unequal,equal_disjoint split.n_parties=0,3", "split.n_parties=0: expected an integer >= "),
        ("scheme=fair,spread scheme.slack=0.1", "scheme.slack: unknown setting; scheme has stable, epsilon, rho"),
        ("+attack.party=1,2", "attack.party: NoAttack has no such setting; --help lists all settings"),
        ("experiment=debug,debug_mnist synthetic_size=0", "synthetic_size=0: expected an integer >= 1"),
        ("seed=0,1 device=gpu", "device=gpu: expected cpu, cuda, "),
        ("seed=0,1 threads=0", "threads=0: expected an integer >= 1 or null"),
        ("seed=0,1 force=often", "force=often: expected true or false"),
        ("seed=0,1 objective=no_such", "objective=no_such: expected a column of runs.csv"),
        ("seed=0,1 logger=mlflow logger.experiment=3", "logger.experiment=3: expected text"),
        ("seed=0,1 split=shares", "Missing mandatory value: split.matrix"),
        ("generator._target_=os.system seed=0,1", "generator._target_=os.system: os is of Python's standard library"),
        ("generator._target_=no.such.Class seed=0,1", "generator._target_=no.such.Class: no module no was found"),
    ],
)
def test_a_sweep_is_refused_before_its_first_job_and_leaves_nothing(cgm, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cgm("-m", *arguments.split())
    if "mlflow" in arguments and "is not installed" in caught.value.code:
        pytest.skip("mlflow is not installed")
    assert caught.value.code.startswith(f"cgm: error: {message}")
    assert "\n" not in caught.value.code
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("scheme.epsilon=interval(-1,1)", "scheme.epsilon=-1: expected a number in [0, inf)"),
        ("split.majority=interval(0.5,1.5)", "split.majority=1.5: expected "),
        ("scheme.epsilon=interval(0,1) kernel=choice(laplacian,sun)", "kernel=sun: expected one of laplacian, "),
        ("scheme.epsilon=interval(0,1) seed=-1", "seed=-1: expected an integer >= 0"),
        ("seed=1", "hydra/sweeper=optuna: empty search space"),
        ("seed=1,2 hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: expected an integer >= 1"),
    ],
)
def test_a_search_is_refused_before_its_first_job_and_leaves_nothing(cgm, tmp_path, arguments, message):
    pytest.importorskip("optuna")
    with pytest.raises(SystemExit) as caught:
        cgm("-m", "hydra/sweeper=optuna", *arguments.split())
    assert re.sub(r"(\d)\.0:", r"\1:", caught.value.code).startswith(f"cgm: error: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def checked():
    """A function that checks a sweep, and returns what was composed and which jobs were checked."""

    def run(*overrides: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list, list]:
        composed, jobs = [], []
        with initialize_config_dir(str(CONF), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            loader = hydra.config_loader
            config = hydra.compose_config("config", list(overrides), RunMode.MULTIRUN, with_log_configuration=False)
            load, check_one = loader.load_sweep_config, check.check_job
            monkeypatch.setattr(loader, "load_sweep_config", lambda *args: composed.append(args) or load(*args))
            monkeypatch.setattr(check, "check_job", lambda *args: jobs.append(args[1]) or check_one(*args))
            parser = OverridesParser.create(config_loader=loader)
            check_sweep(config, parser.parse_overrides(list(overrides)), loader)
        return composed, jobs

    return run


@pytest.mark.parametrize(
    ("overrides", "composed", "jobs"),
    [
        ([], 0, 1),
        (["seed=1"], 1, 1),
        (["seed=range(20)"], 1, 20),
        (["seed=range(5)", "scheme.epsilon=0.1,0.2,0.3"], 1, 3 + 4),
        (["seed=1,2", "kernel=laplacian,sum", "kernel.lengthscale=1,median"], 2, 4),
        (["attack=clone", "attack.party=1,2,3", "attack.source=2,3"], 1, 5),  # (2, 2) and (3, 3) are invalid
    ],
)
def test_each_value_is_checked_once(checked, monkeypatch, overrides, composed, jobs):
    found = checked(*overrides, monkeypatch=monkeypatch)
    assert len(found[0]) == composed
    assert len(found[1]) == jobs
    values = {value for job in found[1] for value in job}
    assert len(values) == sum(len(SweepJobs(None, [o], None).values[o.get_key_element()]) for o in _parsed(overrides))


def _parsed(overrides):
    return OverridesParser.create().parse_overrides(overrides)


def test_a_value_that_is_invalid_with_all_others_is_refused(checked, monkeypatch):
    with pytest.raises(InstantiationException, match=r"attack\.source=3"):
        checked("attack=clone", "attack.party=3", "attack.source=2,3", monkeypatch=monkeypatch)


def test_settings_that_are_invalid_together_fail_in_their_job(cgm, capsys):
    with pytest.raises(SystemExit) as caught:
        cgm("-m", *SMALL, "attack=clone", "attack.party=1,2", "attack.source=2,1", "hydra.sweep.dir=sweep")
    assert caught.value.code == 1
    assert "4 of 4 jobs done (0 skipped, 2 failed)" in capsys.readouterr().out


OWN = """
import sys
from pathlib import Path
from cgm.generators import KDE

with Path("log").open("a") as file:
    file.write("imported ")


class Mine(KDE):
    def __init__(self, shift=0.0):
        super().__init__()
        with Path("log").open("a") as file:
            file.write(f"{shift} ")
        if shift < 0:
            raise ValueError(f"generator.shift={shift}: expected a number >= 0")
"""


@pytest.fixture
def own(tmp_path):
    """The name of a generator in a module in the working directory, which logs when it is imported and constructed."""

    name = f"check_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    yield f"{name}.Mine"
    sys.modules.pop(name, None)


def test_own_classes_come_last_and_once(cgm, own):
    target = f"generator._target_={own}"
    for arguments in ([target, "seed=-1"], ["-m", target, "seed=1,-1"], ["-m", target, "seed=1,2", "scheme.rho=3"]):
        with pytest.raises(SystemExit, match=r"(seed=-1|scheme\.rho=3): expected"):
            cgm(*arguments)
    assert not Path("log").exists()

    for arguments, message, log in (
        (["+generator.shift=1,-1", "seed=1,2"], r"generator\.shift=-1: expected a number >= 0", "imported 1 -1 -1 "),
        (["+generator.scale=1", "seed=1,2"], r"generator\.scale: \w+ has no such setting", "imported "),
    ):
        with pytest.raises(SystemExit, match=message):
            cgm("-m", target, *arguments)
        assert Path("log").read_text() == log
        Path("log").unlink()
        sys.modules.pop(own.partition(".")[0])
    assert not Path("outputs").exists()
