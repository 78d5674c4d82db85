"""Tests of the command line, in this process where possible: a new one takes seconds to import torch."""

import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException, InstantiationException
from omegaconf import OmegaConf

import cgm.cli.jobs as jobs
from cgm import Experiment, Record, __version__
from cgm.cli.settings import drop_other_options
from cgm.utils.choices import CONF
from cgm.utils.plain import NUMERICS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KERNELS = "laplacian, multiscale, rational_quadratic, squared_exponential, sum"


ROOT = Path(__file__).resolve().parents[2]
SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]
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


def refused(cgm, *args: str, flags: tuple = ()) -> str:
    """Run the command line, which must refuse its arguments in one line, and return that line."""

    shutil.rmtree("run", ignore_errors=True)
    with pytest.raises(SystemExit) as caught:
        cgm(*flags, *SMALL[:3], "hydra.run.dir=run", *args)
    line = caught.value.code  # a string: Python prints it to stderr and exits with status 1
    assert isinstance(line, str)
    assert line.startswith("cgm: error: ")
    assert "\n" not in line
    assert not Path("run", "result.json").exists()
    return line


def test_a_run_ends_with_the_table_and_the_folder(cgm, tmp_path):
    out = cgm(*SMALL, "hydra.run.dir=run", "seed=4", "sampling.betas=[2,inf]")
    record = Record.load("run")
    assert (record.result.seed, record.result.settings["synthetic_size"]) == (4, 300)
    assert {beta for _, beta in record.rewards} == {2.0, float("inf")}
    assert out.rstrip().endswith(f"{record.table()}\n{tmp_path / 'run'}")
    names = [name for name in os.listdir("run") if not name.endswith(".log")]
    files = ["configuration.json", "metrics.csv", "result.json", "rewards.npz"]
    assert sorted(names) == [".hydra", ".lock", "SHA256SUMS", *files]
    kept = OmegaConf.load("run/.hydra/config.yaml")
    assert (kept.seed, kept.split.points_per_party) == (4, 60)
    assert sorted(os.listdir(tmp_path)) == ["run"]


def test_runs_of_one_second_do_not_share_a_folder(cgm):
    for _ in range(2):
        cgm(*SMALL, "sampling.betas=[8]")
    folders = [path.parent.name for path in Path("outputs").glob("*/*/result.json")]
    assert len(folders) == 2
    assert len({re.fullmatch(r"\d\d-\d\d-\d\d-\d{6}-([0-9a-f]{10})", name)[1] for name in folders}) == 1


def sweep(cgm, *args: str) -> str:
    """Run a sweep of runs of a fraction of a second."""

    return cgm("-m", *SMALL, "scheme=fair", "sampling.betas=[1,8]", *args)


def job(seed: int, folder: str = "sweep") -> Path:
    """The folder of the one job with a seed."""

    (found,) = Path(folder).glob(f"*-seed{seed}-*")
    return found


def rows(folder: str | Path = "sweep") -> list[dict[str, str]]:
    """The rows of a sweep's table, without their times."""

    with Path(folder, "runs.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@contextmanager
def no_runs(monkeypatch):
    """Let every experiment fail."""

    def run(self, folder):
        raise ValueError("it ran")

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "run_anew", run)
        yield


@pytest.mark.slow
def test_every_combination_of_a_sweep_is_run_and_ends_in_one_table(cgm):
    out = sweep(cgm, "seed=1,2", "split.points_per_party=50,60")
    (folder,) = Path("outputs/multirun").iterdir()
    assert re.fullmatch(r"seed_1_2-points_per_party_50_60-[0-9a-f]{10}", folder.name)
    jobs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert len(jobs) == 4
    assert all(re.fullmatch(r"credit_ratings-equal_disjoint-kde-seed[12]-[0-9a-f]{10}", name) for name in jobs)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        ".sweep.lock",
        "metrics.csv",
        "multirun.yaml",
        "runs.csv",
        "summary.md",
    ]

    records = {name: Record.load(folder / name) for name in jobs}
    settings = [(r.result.settings["split"]["points_per_party"], r.result.seed) for r in records.values()]
    assert sorted(settings) == [(50, 1), (50, 2), (60, 1), (60, 2)]
    assert all(record.table() in out for record in records.values())
    table = rows(folder)
    assert [(int(row["split.points_per_party"]), int(row["seed"])) for row in table] == sorted(settings)
    for row in table:
        result = records[row["run"]].result
        assert float(row["v_star"]) == result.scheme.number("v_star")
        assert float(row["correlation_size"]) == result.correlations["size"].mean
    assert re.search(r"^1 of 4 jobs done \(0 skipped, 0 failed\), about \d+ (s|min) left$", out, re.M)
    assert re.search(r"^4 of 4 jobs done \(0 skipped, 0 failed\)$", out, re.M)
    assert re.search(r"^4 done$", out, re.M)
    assert out.endswith(f"{folder.resolve()}: runs.csv, metrics.csv, summary.md\n")


@pytest.mark.slow
def test_the_same_sweep_again_skips_what_is_complete(cgm, monkeypatch):
    sweep(cgm, "seed=1,2", "scheme.epsilon=0.002")
    (folder,) = Path("outputs/multirun").iterdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".md", ".npz")}
    assert len(before) == 3 + 2 * 4

    again = ["scheme.epsilon=2e-3", "seed=range(1,3)"]
    with no_runs(monkeypatch):
        out = sweep(cgm, *again)
    assert out.count("skipped, already complete (force=true runs it again): ") == 2
    assert re.search(r"^2 of 2 jobs done \(2 skipped, 0 failed\)$", out, re.M)
    assert list(Path("outputs/multirun").iterdir()) == [folder]
    assert {path: path.read_bytes() for path in before} == before

    with no_runs(monkeypatch), pytest.raises(SystemExit) as caught:  # they are run again
        sweep(cgm, *again, "force=true")
    assert caught.value.code == 1
    assert list(Path("outputs/multirun").iterdir()) == [folder]
    assert [json.loads((job(k, folder) / "error.json").read_text())["message"] for k in (1, 2)] == ["it ran"] * 2

    table = before[folder / "metrics.csv"]
    assert (folder / "metrics.csv").read_bytes() != table
    sweep(cgm, *again)
    assert (folder / "metrics.csv").read_bytes() == table
    assert not any(folder.rglob("error.json"))


def test_a_sweep_over_attacks_has_their_gains_in_its_table(cgm):
    out = sweep(cgm, "hydra.sweep.dir=sweep", "attack=noise,split", "++attack.party=2", "seed=1,2")
    table = rows()
    assert [(row["attack"], int(row["seed"])) for row in table] == [
        (attack, seed) for attack in ("noise", "split") for seed in (1, 2)
    ]
    for row in table:
        gains = Record.load(Path("sweep") / row["run"]).result.attack
        assert gains.party == 1
        expected = statistics.fmean(entry.value - entry.value_honest for entry in gains.by_beta)
        assert float(row["attack_gain_value"]) == expected
        assert float(row["attack_gain_alpha"]) == gains.alpha.total - gains.alpha.honest
    assert "attack_gain_value" in out.splitlines()[-6]  # the head of the summary


def test_a_folder_with_another_run_is_run_again(cgm, monkeypatch, tmp_path):
    arguments = [*SMALL, "scheme=fair", "sampling.betas=[8]", "hydra.run.dir=run"]
    cgm(*arguments)
    shutil.copytree("run", "whole")
    text, configuration = (Path("run", name).read_text() for name in ("result.json", "configuration.json"))
    result = json.loads(text)

    def altered(**sections: dict) -> str:
        return json.dumps(result | {name: result[name] | entries for name, entries in sections.items()})

    changes = {
        "result.json": [
            None,
            text[:-100],
            altered(versions={"numerics": "0"}),
            altered(settings={"seed": 1}),
        ],
        "metrics.csv": [None],
        "configuration.json": [
            None,
            "{}",
            configuration.replace('"seed": 0', '"seed": 1'),
        ],
    }
    messages: list[str] = []
    monkeypatch.setattr(jobs.log, "warning", lambda *args: messages.append(args[0] % args[1:]))
    again = "has a result of other settings, runs again: "
    reasons = [
        ("SHA256SUMS", None, "damaged, runs again: no SHA256SUMS, although there is a rewards.npz"),
        ("metrics.csv", None, "damaged, runs again: no metrics.csv, although there is a result.json"),
        ("configuration.json", None, "damaged, runs again: no configuration.json, although there is a result.json"),
        ("configuration.json", configuration.replace('"seed": 0', '"seed": 1'), f"{again}seed"),
        ("configuration.json", configuration.replace("cgm.generators.", "my."), f"{again}other classes"),
        ("result.json", altered(settings={"seed": 1}), f"{again}seed"),
        (
            "result.json",
            altered(versions={"numerics": "4"}),
            f"has a result of another version of cgm (numerics 4, now {NUMERICS}), runs again",
        ),
    ]
    with no_runs(monkeypatch):
        calls, read = [], jobs.Job.read
        monkeypatch.setattr(jobs.Job, "read", lambda *args: calls.append(args) or read(*args))
        assert "skipped" in cgm(*arguments)
        for name, contents in changes.items():
            for content in contents:
                shutil.rmtree("run")
                shutil.copytree("whole", "run")
                assert read(*calls[0]).to_json() == result
                Path("run", name).unlink()
                if content is not None:
                    Path("run", name).write_text(content)
                messages.clear()
                assert read(*calls[0]) is None
                # a line with the reason, unless there was no result
                assert [name in message for message in messages] == [True] * Path("run/result.json").is_file()
        for name, content, message in reasons:
            shutil.rmtree("run")
            shutil.copytree("whole", "run")
            for changed in {name, "SHA256SUMS"}:
                Path("run", changed).unlink()
            if content is not None:
                Path("run", name).write_text(content)
            if name != "SHA256SUMS":
                Path("run", "rewards.npz").unlink()  # with it, a run has SHA256SUMS
            messages.clear()
            assert read(*calls[0]) is None
            assert messages == [message]
        with pytest.raises(SystemExit, match="it ran"):
            cgm(*arguments)
        assert not Path("run/result.json").exists()
        shutil.rmtree("run")
        shutil.copytree("whole", "run")
        with pytest.raises(SystemExit, match="it ran"):
            cgm(*arguments, "seed=1")
        assert not Path("run/result.json").exists()


def test_a_failed_job_does_not_stop_the_others(cgm, capsys):
    choices, reason = "split.points_per_party=60,1000000", "split.points_per_party=1000000: class "
    with pytest.raises(SystemExit) as caught:
        sweep(cgm, "hydra.sweep.dir=sweep", choices)
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert f"failed: {reason}" in out
    assert re.search(r"^2 of 2 jobs done \(0 skipped, 1 failed\)$", out, re.M)
    assert re.search(r"^1 done, 1 failed$", out, re.M)

    (good,) = (path.parent for path in Path("sweep").glob("*/result.json"))
    (bad,) = (path.parent for path in Path("sweep").glob("*/error.json"))
    assert {good, bad} == {path for path in Path("sweep").iterdir() if path.is_dir()}
    assert [row["run"] for row in rows()] == [good.name]
    error = json.loads((bad / "error.json").read_text(encoding="utf-8"))
    assert error["message"].startswith(reason)
    assert set(choices.split("=")[1].split(",")) & {o.split("=")[1] for o in error["overrides"]}
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    name, _, values = choices.partition("=")
    (value,) = (value for value in values.split(",") if f"{name}={value}" in error["overrides"])
    line = f"- `{bad.name}` (`{name}={value}`): {error['message']}\n"
    assert line in Path("sweep/summary.md").read_text(encoding="utf-8")
    assert line.removeprefix("- ").replace("`", "") in out


def test_an_unforeseen_error_does_not_stop_a_sweep(cgm, monkeypatch, capsys):
    whole = Experiment.run_anew

    def run(self, folder):
        return {1: 1}[2] if self.seed == 1 else whole(self, folder)

    monkeypatch.setattr(Experiment, "run_anew", run)
    with pytest.raises(SystemExit) as caught:
        sweep(cgm, "hydra.sweep.dir=sweep", "seed=1,2")
    assert caught.value.code == 1
    assert "failed: KeyError: 2" in capsys.readouterr().out
    assert [row["run"] for row in rows()] == [job(2).name]


def test_an_unknown_option_is_refused_before_any_job(cgm):
    with pytest.raises(SystemExit) as caught:
        sweep(cgm, "hydra.sweep.dir=sweep", "kernel=squared_exponential,no_such")
    assert caught.value.code.startswith("cgm: error: kernel=no_such: expected one of laplacian, ")
    assert not list(Path("sweep").glob("*seed*"))


def test_a_failed_run_keeps_the_reason(cgm):
    refused(cgm, "split.points_per_party=1000000")
    message = json.loads(Path("run/error.json").read_text())["message"]
    assert message.startswith("split.points_per_party=1000000: class ")
    cgm(*SMALL, "scheme=fair", "sampling.betas=[8]", "hydra.run.dir=run")
    assert not Path("run/error.json").exists()


def test_a_run_returns_its_objective(cgm, monkeypatch):
    returned, run = [], jobs.run_alone
    monkeypatch.setattr(jobs, "run_alone", lambda *args: returned.append(run(*args)[1]) or ("done", None))
    arguments = [*SMALL, "scheme=fair", "sampling.betas=[8]", "hydra.run.dir=run"]
    for objective in ([], ["objective=scheme.v_star"], ["objective=accuracy_gain"], ["objective=null"]):
        cgm(*arguments, *objective)  # all but the first are skipped
    result = Record.load("run").result
    gains = [entry.accuracy - entry.accuracy_before for entry in result.downstream]
    assert returned[:2] == [result.correlations["neg_mmd2_unbiased"].mean, result.scheme.number("v_star")]
    assert returned[2] == pytest.approx(sum(gains) / 3, abs=1e-12)
    assert returned[3] is None

    with pytest.raises(SystemExit, match=r"objective=correlations.no_such.mean: no_such is not measured; there are"):
        cgm(*arguments, "objective=correlations.no_such.mean")
    assert Record.load("run").result == result


@pytest.mark.slow
def test_a_sweep_that_is_killed_resumes_to_the_same_table(cgm, tmp_path):
    arguments = ["-m", *SMALL, "scheme=fair", "sampling.betas=[1,8]", "seed=1,2,3"]
    killed = begin("-m", "cgm", *arguments, "hydra.sweep.dir=killed", folder=tmp_path)
    try:
        while not (done := list(Path("killed").glob("*/result.json"))):
            assert killed.poll() is None
            time.sleep(0.01)
    finally:
        killed.kill()
        killed.communicate()
    assert len(done) < 3
    before = {path: path.read_bytes() for path in Path("killed").glob("*/result.json")}
    assert all(json.loads(text) for text in before.values())
    assert not Path("killed/runs.csv").exists()

    out = cgm(*arguments, "hydra.sweep.dir=killed")
    assert out.count("skipped, already complete") == len(before)
    assert {path: path.read_bytes() for path in before} == before
    cgm(*arguments, "hydra.sweep.dir=whole")
    assert rows("killed") == rows("whole")
    assert len(rows("whole")) == 3
    for name in ("metrics.csv", "summary.md"):
        assert Path("killed", name).read_bytes() == Path("whole", name).read_bytes()


def test_an_invalid_setting_is_refused_in_one_line(cgm):
    for arguments, message in (
        ("sampling.betas=[-1]", r"sampling\.betas=\[-1\.0\]: expected a list of non-negative numbers"),
        ("sampling.betas=[]", r"sampling\.betas=\[\]: "),
        ("sampling.betas=[some]", r"sampling.betas=\['some'\]: expected a list of numbers"),
        ("synthetic_size=0", r"synthetic_size=0: expected an integer >= 1"),
        ("seed=-1", r"seed=-1: expected an integer >= 0"),
        ("dataset=credit_card data_dir=nowhere", r"dataset=credit_card: no file at .*nowhere.*dataset\.download"),
        ("dataset=credit_card dataset.path=x.csv", r"no file at .*x\.csv"),
        ("split=unequal split.n_parties=2", r"split\.n_parties=2: "),
        ("kernel.lengthscale=best", r"kernel\.lengthscale=best: expected a number in .* or one of fit, fit_monotone"),
        ("+kernel_search.most=2", r"kernel_search\.most: LengthscaleSearch has no such setting"),
        ("device=no_such_device", r"device=no_such_device: expected cpu, cuda, cuda:0 .* or auto"),
        ("embedding_party=9", r"embedding_party=9: there are 5 parties"),
        ("+kernel.no_such=1", r"kernel\.no_such: SquaredExponential has no such setting"),
        ("+no_such=1", r"no_such: Experiment has no such setting"),
        ("attack=noise attack.party=6", r"attack\.party=6: there are 5 parties"),
        ("attack=clone attack.source=6", r"attack\.source=6: there are 5 parties"),
        ("generator=mmd_gan generator.loss=papr", r"generator\.loss=papr: expected one of .*; did you mean paper\?"),
        ("downstream.gamma=big", r"downstream\.gamma=big: expected a number in \(0, inf\), or one of scale, auto$"),
        ("colect", r"colect: expected name=value; did you mean cgm collect\?"),
        ("hydra.job.nam=x", r"hydra\.job\.nam: unknown setting; did you mean hydra\.job\.name\?"),
        ("force=often", r"force=often: expected true or false"),
        ("objective=no_such", r"objective=no_such: expected a column of runs\.csv \(v_star, .*path in result\.json"),
        ("objective=corelations.size.mean", r"objective=corelations\.size\.mean: expected .*scheme, kernel, corr"),
        ("split=shares", r"Missing mandatory value: split\.matrix$"),
        ("generator._target_=no_such_module.MyGenerator", r"generator\._target_=\S+: no module no_such_module"),
        ("generator._target_=cgm.generators.NoSuch", r"generator\._target_=\S+: no class NoSuch was found in cgm\.g"),
        ("generator=true_mixture dataset=digits features=pca", r"generator=true_mixture is .* dataset=credit_ratings"),
    ):  # fmt: skip
        line = refused(cgm, *arguments.split())
        assert re.search(message, line), line


def test_an_unknown_objective_is_refused_before_the_first_job(cgm, tmp_path):
    sweep = tmp_path / "sweep"
    line = refused(cgm, "seed=0,1", "objective=no_such", f"hydra.sweep.dir={sweep}", flags=("-m",))
    assert "objective=no_such: expected a column of runs.csv" in line
    assert not list(sweep.glob("*/error.json"))


def test_too_many_points_per_party(cgm):
    line = refused(cgm, "split.majority=0.5", "split.points_per_party=100000")
    assert re.search(r"split\.points_per_party=100000: class \d \(cluster \d\) has 1000 points, but", line), line
    assert re.search(r"at most split\.points_per_party=\d+ would fit$", line), line


def test_an_unknown_experiment_is_refused(cgm):
    message = r"^cgm: error: experiment=no_such: expected one of debug, debug_mnist, paper_"
    for arguments in (
        ["experiment=no_such"],
        ["-m", "experiment=debug,no_such"],
        ["--cfg", "job", "experiment=no_such"],
    ):
        with pytest.raises(SystemExit, match=message):
            cgm(*arguments, "hydra.run.dir=run", "hydra.sweep.dir=sweep")
    assert not list(Path().rglob("result.json"))


def test_a_class_that_is_not_in_its_module_is_refused(cgm, own):
    target = own.replace("MyGenerator", "Nope")
    line = refused(cgm, f"generator._target_={target}")
    assert line.endswith(f"generator._target_={target}: no class Nope was found in {target.partition('.')[0]}")


def test_the_version_is_that_of_cgm(cgm):
    assert cgm("--version") == f"cgm {__version__}\n"


def test_hydra_refuses_in_one_line_as_well(cgm):
    for argument, message in (
        ("no_such=1", "no_such: unknown setting; --help lists all settings"),
        ("kernel.no_such=1", "kernel.no_such: unknown setting; kernel has lengthscale"),
        ("generator.bandwith=1", "generator.bandwith: unknown setting; did you mean generator.bandwidth?"),
        ("points_per_party=9", "points_per_party: unknown setting; did you mean split.points_per_party?"),
        ("generatr=kde", "generatr: unknown setting; did you mean generator?"),
        ("kernel={scale:1}", "kernel.scale: unknown setting; did you mean kernel.lengthscale?"),
        ("no_such.setting=1", "no_such.setting: unknown setting; --help lists all settings"),
        (
            "kernel=no_such",
            f"kernel=no_such: expected one of {KERNELS}",
        ),
        ("hparams_search=no_such", "hparams_search=no_such: expected one of kernel_and_split"),
        (
            "kernel=summ",
            f"kernel=summ: expected one of {KERNELS}; did you mean sum?",
        ),
        ("kernel=", f"kernel=: expected one of {KERNELS}"),
        ("seed=1,2", "seed=1,2: several values; seed=[1,2] is a list, and with --multirun they are a sweep"),
        ("+kernel=sum", "Multiple values for kernel. To override a value use 'override kernel: sum'"),
        ("+seed=1", "seed: given already; without the +, it is changed"),
        ("seed", "seed: expected name=value"),
        ("sampling.betas=[1", "sampling.betas=[1: invalid syntax (no viable alternative at input '[1')"),
    ):
        assert refused(cgm, argument) == f"cgm: error: {message}"
        assert not Path("run").exists()


def test_an_own_file_with_an_unknown_option_is_refused(cgm):
    Path("mine/generator").mkdir(parents=True)
    Path("mine/generator/wide.yaml").write_text("_target_: cgm.generators.KDE\nbandwith: 2.0\n")
    line = refused(cgm, "generator=wide", flags=("--config-dir", "mine"))
    assert "generator.bandwith: KDE has no such setting" in line
    Path("mine/generator/wide.yaml").write_text("_target_: cgm.generators.KDE\nbandwidth: 2.0\n")
    cgm("--config-dir", "mine", "generator=wide", *SMALL, "hydra.run.dir=run", "sampling.betas=[8]")
    assert Record.load("run").result.settings["generator"] == {
        "class": "KDE",
        "bandwidth": 2.0,
        "neighbours": 5,
        "share": 0.5,
        "pretrained": None,
    }


def test_errors_have_a_traceback_on_request(cgm, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InstantiationException, match=r"scheme\.epsilon=-1"):
        cgm(*SMALL, "hydra.run.dir=run", "scheme.epsilon=-1")
    with pytest.raises(ConfigCompositionException, match="Could not override 'no_such'"):
        cgm("no_such=1")
    assert os.environ["HYDRA_FULL_ERROR"] == "1"
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    refused(cgm, "no_such=1")
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_an_unforeseen_error_has_a_traceback(cgm, monkeypatch):
    monkeypatch.setattr(Experiment, "run_anew", lambda self, folder: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        cgm(*SMALL, "hydra.run.dir=run")
    assert json.loads(Path("run/error.json").read_text())["message"] == "KeyError: 'missing'"


@pytest.fixture
def own(tmp_path):
    """The name of a generator in a module in the working directory."""

    name = f"my_package_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    yield f"{name}.MyGenerator"
    sys.modules.pop(name, None)


def test_an_own_generator(cgm, own):
    betas, pools = "sampling.betas=[8]", []
    for options in ([], ["+generator.shift=0.01"], ["generator.bandwidth=1.0"]):
        arguments = [*SMALL, betas, "hydra.run.dir=run", f"generator._target_={own}", *options]
        if "generator.bandwidth=1.0" in options:  # an option of the default generator, but not of this one
            assert "generator.bandwidth: MyGenerator has no such setting" in refused(cgm, *arguments)
            continue
        cgm(*arguments)
        record = Record.load("run")
        assert record.result.generator == "my_generator"
        pools.append(record.pool)
    assert (pools[1][:300] - pools[0][:300] - 0.01).abs().max() < 1e-12


def test_a_list_of_choices_where_one_is_taken(cgm):
    for name, names in (("kernel", "squared_exponential,laplacian"), ("reference", "all,pool"), ("split", "unequal,b")):
        line = refused(cgm, f"{name}=[{names}]")
        assert line.endswith(f"{name}=[{names}]: {name} takes one choice; a sweep over several is -m {name}={names}")
    assert refused(cgm, "kernel=[laplacian]").endswith("kernel takes one choice; write kernel=laplacian")
    line = refused(cgm, "kernel=[laplacian,sum],multiscale", flags=("-m",))
    assert "kernel takes one choice; a sweep over several is -m kernel=laplacian,sum" in line
    cgm(*SMALL, "metric=[paper,energy_distance]", "sampling.betas=[8]", "hydra.run.dir=run")
    assert "energy_distance" in Path("run/metrics.csv").read_text()


def test_a_bad_own_generator_is_refused(cgm, own):
    line = refused(cgm, f"generator._target_={own}", "+generator.bad=true")
    assert re.search("generator: MyGenerator.sample returned NaN or infinity in row 0 of", line)


def test_a_new_target_is_not_called_with_the_options_of_the_old_one():
    for overrides, left in (
        (["generator._target_=my.Own"], {"_target_": "my.Own"}),
        (["+generator.option=3", "seed=1", "generator._target_=my.Own"], {"_target_": "my.Own", "option": 3}),
        (["++generator.option=3", "++generator._target_=my.Own"], {"_target_": "my.Own", "option": 3}),
        (["generator.bandwidth=0.3", "generator._target_=my.Own"], {"_target_": "my.Own", "bandwidth": 0.3}),
        (["generator.bandwidth=0.3"], {"_target_": "my.Own", "bandwidth": 0.3, "option": 3}),
        (["no_such._target_=x", "_target_=y"], {"_target_": "my.Own", "bandwidth": 0.3, "option": 3}),
    ):
        config = {"_target_": "cgm.Experiment", "seed": 1, "kernel": {"_target_": "a.B", "lengthscale": 1}}
        generator = {"_target_": "my.Own", "bandwidth": 0.3, "option": 3}
        config = OmegaConf.create(config | {"generator": generator})
        OmegaConf.set_struct(config, True)
        drop_other_options(config, overrides)
        assert config.pop("generator") == left if not OmegaConf.is_struct(config) else dict(config.generator) == left
        assert dict(config.kernel) == {"_target_": "a.B", "lengthscale": 1}
        assert config.seed == 1
        assert OmegaConf.is_struct(config)


def begin(*args: str, folder: Path, **environment: str) -> subprocess.Popen:
    """Start Python in a new process, in a folder."""

    paths = os.pathsep.join(filter(None, (environment.pop("PYTHONPATH", str(ROOT)), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def start(*args: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run Python in a new process, in a folder."""

    process = begin(*args, folder=folder, **environment)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.slow
def test_from_another_folder(tmp_path, own):
    arguments = [*SMALL, "sampling.betas=[8]", f"generator._target_={own}", "+generator.shift=0.01"]
    done = start("-m", "cgm", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = next((tmp_path / "outputs").glob("*/*/result.json")).parent
    assert done.stdout.rstrip().endswith(f"{Record.load(run).table()}\n{run}")
    assert "Traceback" not in done.stderr
    assert Record.load(run).result.versions["cgm"] == __version__


def test_a_refusal_is_one_line_on_stderr_and_a_status(tmp_path):
    done = start("-m", "cgm", *SMALL, "hydra.run.dir=run", "seed=-1", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "cgm: error: seed=-1: expected an integer >= 0\n"
    assert done.stdout == ""


def test_a_settlement_refuses_in_one_line_as_well(cgm):
    for arguments, message in (
        ("generator.quantile=1", "generator.quantile: unknown setting; did you mean generator.quantiles?"),
        (
            "kernel=summ",
            f"kernel=summ: expected one of {KERNELS}; did you mean sum?",
        ),
        ("generator=", "generator=: expected one of copula, "),
        ("numbers=[1", "numbers=[1: invalid syntax"),
        ("partycolumn=x", "partycolumn: unknown setting; did you mean party_column?"),
        ("-m", "--multirun: this program has no sweeps"),
    ):
        with pytest.raises(SystemExit) as caught:
            cgm("settle", "a.csv", "b.csv", "out=out", arguments)
        assert caught.value.code.startswith(f"cgm: error: {message}")
        assert "\n" not in caught.value.code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "bandwidth: 1.0\nbandwidth: 2.0\n",
            r"mine.generator.own\.yaml, line 2: not valid YAML: found duplicate key band",
        ),
        ("bandwidth: [1\n", r"mine.generator.own\.yaml, line 2: not valid YAML: expected ',' or ']'"),
    ],
)
def test_an_own_file_that_is_not_valid_is_refused_in_one_line(cgm, text, message):
    Path("mine/generator").mkdir(parents=True)
    Path("mine/generator/own.yaml").write_text(text)
    assert re.search(message, refused(cgm, "generator=own", flags=("--config-dir", "mine")))


def test_a_shell_completes_groups_choices_and_settings(cgm, monkeypatch):
    for line, choices in (
        ("cgm gen", {"generator=", "generator."}),
        ("cgm --multirun generator=kd", {"generator=kde", "generator=kde_adaptive"}),
        ("cgm generator=kde_adaptive generator.n", {"generator.neighbours="}),
        ("cgm split=unequal sche", {"scheme=", "scheme."}),
        ("cgm settle party_c", {"party_column="}),
        ("cgm settle generator=kd", {"generator=kde", "generator=kde_adaptive"}),
        ("cgm settle a.csv b.csv party_c", {"party_column="}),
        ("cgm settle --config-dir mine a.csv party_c", {"party_column="}),
        ("cgm col", {"collect"}),
        ("cgm se", {"seed=", "settle"}),
        ("cgm collect out", set()),  # the shell completes files
        ("cgm verify ", set()),
        ("cgm party_c", set()),
    ):
        monkeypatch.setenv("COMP_LINE", line)
        out = cgm("--shell-completion", "query=bash")
        assert set(out.split()) == choices


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_after_its_installation(tmp_path):
    entry = tmp_path / "cgm"
    entry.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from cgm.cli.main import main\nsys.argv[0] = 'cgm'\nmain()\n"
    )
    entry.chmod(0o755)
    script = (
        'eval "$(cgm --shell-completion install=bash)"; complete -p cgm; COMP_WORDS=(cgm gener); COMP_CWORD=1; '
        'COMP_LINE="cgm gener"; COMP_POINT=9; hydra_bash_completion; echo "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    complete, found = done.stdout.splitlines()
    assert "-F hydra_bash_completion cgm" in complete
    assert set(found.split()) == {"generator=", "generator."}


def test_an_installed_cgm_has_its_help(tmp_path):
    """Copies the package to the layout of the wheel, see below."""

    site = tmp_path / "site"
    shutil.copytree(ROOT / "cgm", site / "cgm", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copytree(CONF, site / "cgm" / "conf")
    code = "import sys; from cgm.cli.main import CONF, main; sys.argv = ['cgm', '--help']; print(CONF); main()"
    done = start("-c", code, folder=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(site / "cgm" / "conf")
    for group in (path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"):
        assert group in lines
        for path in (CONF / group).glob("*.yaml"):
            assert any(re.match(rf"  [* ] {path.stem}\b", line) for line in lines)
    assert any(line.startswith("  synthetic_size = 10000 ") for line in lines)


def test_the_wheel_holds_the_configuration():
    """`conf` is found in the package or beside it; the wheel has it in the package."""

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["only-include"] == ["cgm", "conf"]
    assert wheel["sources"] == {"conf": "cgm/conf", "cgm/cli/plugins": ""}
    assert set(project["tool"]["hatch"]["build"]["dev-mode-dirs"]) == {".", "cgm/cli/plugins"}
    assert {"cgm", "conf"} <= set(project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert project["project"]["scripts"] == {"cgm": "cgm.cli.main:main"}
    assert project["project"]["version"] == __version__
    name = project["project"]["name"]  # another than `cgm`, which is somebody else's in the package index
    assert name == "cgm-rewards"
    extras = [each for group in project["project"]["optional-dependencies"].values() for each in group]
    own = [extra for extra in extras if extra.startswith("cgm")]
    assert own == [f"{name}[excel,flow,imagenet,sign,sweep,tensorboard]"]
    assert not (ROOT / "cgm" / "conf").exists()  # it would take precedence over the one that is edited
    assert CONF == ROOT / "conf"


def test_an_interrupted_program_says_so_in_one_line(cgm, capsys, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for name, arguments in (("launch.launch", []), ("commands.verify", ["verify"])):  # imports, and commands
        with monkeypatch.context() as patch:
            patch.setattr(f"cgm.cli.{name}", interrupt)
            with pytest.raises(SystemExit) as caught:
                cgm(*arguments)
        assert caught.value.code == 130
        assert capsys.readouterr() == ("", "cgm: interrupted\n")
    monkeypatch.setattr("cgm.settlements.tables.TableMediator.settle_tables", interrupt)
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("x\n" + "\n".join(str(k % 7) for k in range(50)))
    with pytest.raises(SystemExit) as caught:
        cgm("settle", "a.csv", "b.csv", "out=out")
    assert (caught.value.code, capsys.readouterr().err) == (130, "cgm: interrupted\n")
    assert not (tmp_path / "out").exists()
