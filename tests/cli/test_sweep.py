"""Tests of the names of folders, the check and the progress of sweeps. Whole sweeps: test_main.py."""

import copy
import json
import time

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from cgm.cli.settings import drop_other_options, resolve, task_overrides
from cgm.cli.sweep import Progress, check_jobs, count_jobs, job_name, settings_digest, sweep_name
from cgm.utils.choices import CONF


@pytest.fixture(autouse=True)
def _hydra_is_initialised():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    """Compose a configuration as Hydra passes it to a job, with its own section."""

    return compose("config", list(overrides), return_hydra_config=True)


def of_sweep(*overrides: str, sweeper: str = "x.BasicSweeper", **params: str) -> DictConfig:
    """The part of a configuration that has the overrides of a sweep."""

    section = {"overrides": {"task": list(overrides)}, "sweeper": {"_target_": sweeper, "params": params or None}}
    return OmegaConf.create({"hydra": section})


def test_a_job_is_named_after_its_settings():
    name = job_name(composed("dataset=mnist", "split=unequal", "generator=mmd_gan", "seed=3"))
    assert name.startswith("mnist-unequal-mmd_gan-seed3-")
    assert len(name.rsplit("-", 1)[1]) == 10


def test_the_same_settings_are_the_same_folder():
    for one, other in (
        (["seed=1", "scheme.epsilon=1e-3"], ["scheme.epsilon=0.001", "seed=1"]),
        (["sampling.betas=[1,2.0]"], ["sampling.betas=[1.0, 2]"]),
        ([], ["seed=0", "split=equal_disjoint", "device='cpu'"]),
        (["seed=1"], ["seed=1", "force=true", "objective=null", "hydra.job.name=x"]),
    ):
        assert job_name(composed(*one)) == job_name(composed(*other))


def test_other_settings_are_another_folder():
    jobs = [
        [],
        ["seed=1"],
        ["scheme=fair"],
        ["scheme.epsilon=0.002"],
        ["sampling.betas=[1,2,4]"],
        ["sampling.betas=[1,2,4,inf]"],
        ["data_dir=a"],
        ["data_dir=b"],
        ["device=cuda"],
        ["+kernel.option=1"],
        ["generator._target_=my.Own"],
        ["generator._target_=my.Own", "generator.bandwidth=scott"],  # the default, but passed to another class
        ["split=shares"],
    ]
    assert len({job_name(composed(*job)) for job in jobs}) == len(jobs)


def test_folders_are_named_after_the_class_that_takes_the_place_of_a_choice():
    for overrides, name in (
        (["generator._target_=my.OwnGenerator"], "credit_ratings-equal_disjoint-own_generator-seed0"),
        (["dataset._target_=my.Blobs", "generator=copula"], "blobs-equal_disjoint-copula-seed0"),
        (["++dataset._target_=cgm.data.Digits"], "digits-equal_disjoint-kde-seed0"),
        (["split._target_=my.pkg.Halves", "seed=2"], "credit_ratings-halves-kde-seed2"),
        (["generator._target_=cgm.generators.KDE"], "credit_ratings-equal_disjoint-kde-seed0"),  # its own class
        (["generator=kde_adaptive"], "credit_ratings-equal_disjoint-kde_adaptive-seed0"),
    ):
        assert job_name(composed(*overrides)).rpartition("-")[0] == name
    for overrides, name in (
        (["generator._target_=my.Own,cgm.generators.MMDGAN"], "generator_mmd_gan_own"),
        (["contribution._target_=my.Half", "seed=0,1"], "seed_0_1"),
        (["+metric.gap._target_=my.Gap"], "gap_gap"),
    ):
        assert sweep_name(of_sweep(*overrides)).rpartition("-")[0] == name


def test_settings_are_resolved_once():
    both = [composed("seed=5", "+kernel.option=${seed}"), composed("seed=5", "+kernel.option=5")]
    assert settings_digest(both[0]) == settings_digest(both[1])
    settings = resolve(both[0], task_overrides(both[0].hydra))
    assert settings["kernel"]["option"] == 5
    assert "hydra" not in settings
    copied = copy.deepcopy(both[0])  # as Hydra does for a job, without its own section
    assert resolve(copied, task_overrides(both[0].hydra))["kernel"] == settings["kernel"]
    assert OmegaConf.get_cache(copied)["cgm.settings"].keys() == {("seed=5", "+kernel.option=${seed}")}
    broken = composed("+kernel.option=${no.such}")
    assert settings_digest(broken) == settings_digest(composed("+kernel.option=${no.such}"))
    with pytest.raises(InterpolationKeyError, match=r"no\.such"):
        resolve(broken, [])


def test_the_same_sweep_is_the_same_folder():
    for one, other in (
        (["seed=0,1,2", "split=unequal,equal_disjoint"], ["split=equal_disjoint,unequal", "seed=range(3)"]),
        (["seed=0,1", "scheme.epsilon=1e-3"], ["scheme.epsilon=0.001", "seed=choice(1,0)"]),
        (["seed=0,1"], ["force=true", "seed=0,1", "objective=null"]),
    ):
        assert sweep_name(of_sweep(*one)) == sweep_name(of_sweep(*other))


def test_another_sweep_is_another_folder():
    sweeps = [
        of_sweep("seed=0,1"),
        of_sweep("seed=0,1,2"),
        of_sweep("seed=0,1", "scheme=fair"),
        of_sweep("seed=1"),
        of_sweep(seed="0,1", dataset="digits"),
        of_sweep("seed=interval(0,1)", sweeper="x.Optuna"),
        of_sweep(),
    ]
    names = [sweep_name(sweep) for sweep in sweeps]
    assert len(set(names)) == len(sweeps)
    assert [name.rsplit("-", 1)[0] for name in names] == [
        "seed_0_1",
        "seed_0_1_2",
        "seed_0_1",
        "seed_1",
        "seed_0_1",
        "seed_interval_0_1",
        "sweep",
    ]
    long = sweep_name(of_sweep("seed=range(1000)", "dataset.path='a b/c&d','é'"))
    assert len(long) <= 71
    assert set(long) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")


def test_a_name_is_kept_for_the_jobs_of_a_sweep():
    master = of_sweep("seed=0,1")
    name = sweep_name(master)
    jobs = of_sweep("seed=1")
    OmegaConf.copy_cache(from_config=master, to_config=jobs)
    assert sweep_name(jobs) == name


def test_jobs_are_counted_before_they_run():
    assert count_jobs(of_sweep("seed=0,1,2", "split=a,b", "scheme=fair")) == 6
    assert count_jobs(of_sweep("seed=range(10)", "seed=0,1")) == 2  # the last one wins
    assert count_jobs(of_sweep("split=a,b", seed="0,1,2")) == 6
    assert count_jobs(of_sweep("seed=1")) == 1
    assert count_jobs(of_sweep("experiment=glob(paper_*)", "seed=0,1")) == 10
    assert count_jobs(of_sweep("seed=0,1", sweeper="x.OptunaSweeper")) is None


def test_progress(tmp_path, monkeypatch):
    progress = Progress(tmp_path)
    progress.mark(0, "running")  # states are not recorded
    assert progress.line() == ""
    assert not list(tmp_path.iterdir())

    now = time.time()
    progress.start(jobs=12)
    progress.mark(0, "skipped")
    progress.mark(1, "running")
    assert progress.line() == "1 of 12 jobs done (1 skipped, 0 failed), 1 running"
    monkeypatch.setattr(time, "time", lambda: now + 60)
    for number, state in ((1, "done"), (2, "failed"), (3, "running"), (4, "running")):
        Progress(tmp_path).mark(number, state)  # as another process does
    # two took a minute, nine remain: 4.5 minutes
    assert progress.line() == "3 of 12 jobs done (1 skipped, 1 failed), 2 running, about 4 min left"
    assert progress.counts() == {"running": 2, "done": 1, "skipped": 1, "failed": 1}
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert progress.line().endswith("about 4 h left")
    monkeypatch.setattr(time, "time", lambda: now + 10)
    assert progress.line().endswith("about 45 s left")
    assert json.loads((tmp_path / ".progress" / "sweep.json").read_text())["jobs"] == 12

    progress.start(jobs=None)
    progress.mark(0, "done")
    assert progress.line() == "1 jobs done (0 skipped, 0 failed)"
    progress.end()
    assert not list(tmp_path.iterdir())


def test_options_are_dropped_from_a_copy():
    config = composed("generator._target_=my.Own")
    assert resolve(config, ["generator._target_=my.Own"])["generator"] == {"_target_": "my.Own"}
    assert "bandwidth" in config.generator
    drop_other_options(config, ["generator._target_=my.Own"])
    assert "bandwidth" not in config.generator


def test_each_value_of_a_sweep_is_checked_in_few_jobs(monkeypatch):
    loader = GlobalHydra.instance().config_loader()
    load, jobs = loader.load_sweep_config, []
    monkeypatch.setattr(loader, "load_sweep_config", lambda config, job: jobs.append(job) or load(config, job))

    def check(*overrides: str) -> int:
        config = loader.load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)
        jobs.clear()
        check_jobs(config, HydraContext(loader, None))
        return len(jobs)

    assert check() == 1
    assert check("seed=1") == 1
    assert check("seed=range(3)", "scheme.epsilon=0.1,0.2", "kernel=laplacian,sum") == 3
    assert {value for job in jobs for value in job} == {
        *(f"seed={k}" for k in range(3)),
        *(f"scheme.epsilon={x}" for x in (0.1, 0.2)),
        *(f"kernel={x}" for x in ("laplacian", "sum")),
    }
    assert check("seed=range(1000)") == 12
    assert {jobs[0][0], jobs[-1][0]} == {"seed=0", "seed=999"}
    assert check("attack=clone", "attack.party=1,2", "attack.source=1,2") == 4  # (1, 1) and (2, 2) are invalid
    with pytest.raises(InstantiationException, match=r"attack\.source=3"):
        check("attack=clone", "attack.party=3", "attack.source=2,3")
