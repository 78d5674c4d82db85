"""Tests of the check before a run and before a sweep: what is refused, when, and what is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KERNELS = "laplacian, multiscale, rational_quadratic, squared_exponential, sum"


ROOT = Path(__file__).resolve().parents[2]
SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]


def start(*arguments: str, folder: Path) -> subprocess.Popen:
    """Start the program in a folder."""

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command, pipe = [sys.executable, "-m", "cgm", *arguments], subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, encoding="utf-8")


def test_the_program_refuses_in_one_line_and_leaves_nothing(tmp_path):
    for arguments, message in (
        ("generator=kd", r"generator=kd: expected one of copula, .*; did you mean kde or kde_adaptive\?"),
        ("-m seed=0,1 scheme.rho=0.5,2", r"scheme\.rho=2: expected a number in \[0, 1\] or null"),
        ("settle a.csv b.csv out=out rare=2", r"rare=2: expected a number in \[0, 0\.5\]"),
    ):
        process = start(*arguments.split(), folder=tmp_path)
        out, err = process.communicate()
        assert (process.returncode, out) == (1, "")
        assert re.fullmatch(f"cgm: error: {message}\n", err), err
        assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_refused_before_its_first_job_and_leaves_nothing(cgm, tmp_path, capsys):
    for arguments, message in (
        ("seed=0,1,-1", "seed=-1: expected an integer >= 0"),
        ("seed=0,1 sampling.betas=[1],[2,-1]", "sampling.betas=[2.0, -1.0]: expected a list of non-negative numbers"),
        ("seed=0,1 sampling.betas=[2,-1]", "sampling.betas=[2.0, -1.0]: expected a list of non-negative numbers"),
        (
            "kernel=laplacian,sun",
            f"kernel=sun: expected one of {KERNELS}",
        ),
        ("kernel=laplacian,sum kernel.lengthscale=-1", "kernel.lengthscale=-1: expected a number in (0, inf)"),
        ("split=unequal,equal_disjoint split.n_parties=0,3", "split.n_parties=0: expected an integer >= "),
        ("scheme=fair,spread scheme.slack=0.1", "scheme.slack: unknown setting; scheme has stable, epsilon, rho"),
        ("+attack.party=1,2", "attack.party: NoAttack has no such setting; "),
        ("experiment=debug,debug_mnist synthetic_size=0", "synthetic_size=0: expected an integer >= 1"),
        ("seed=0,1 device=gpu", "device=gpu: expected cpu, cuda, "),
        ("seed=0,1 threads=0", "threads=0: expected an integer >= 1 or null"),
        ("seed=0,1 force=often", "force=often: expected true or false"),
        ("seed=0,1 objective=no_such", "objective=no_such: expected a column of runs.csv"),
        ("seed=0,1 logger=mlflow logger.experiment=3", "logger.experiment=3: expected text"),
        ("seed=0,1 split=shares", "Missing mandatory value: split.matrix"),
        ("generator._target_=os.system seed=0,1", "generator._target_=os.system: os is of Python's standard library"),
        ("generator._target_=no.such.Class seed=0,1", "generator._target_=no.such.Class: no module no was found"),
        ("seed=0,1 hydra.sweep.subdir=same", "hydra.sweep.subdir=same: jobs of different settings would have the same"),
        (
            "seed=0,1 split=unequal,equal_disjoint hydra.sweep.subdir=${seed}",
            "hydra.sweep.subdir=0: jobs of different settings would have the same",
        ),
    ):
        with pytest.raises(SystemExit) as caught:
            cgm("-m", *arguments.split())
        if not ("mlflow" in arguments and "is not installed" in caught.value.code):
            assert caught.value.code.startswith(f"cgm: error: {message}"), arguments
        assert "\n" not in caught.value.code
        assert capsys.readouterr() == ("", "")
        assert list(tmp_path.iterdir()) == []


def test_a_search_is_refused_before_its_first_job_and_leaves_nothing(cgm, tmp_path):
    pytest.importorskip("optuna")
    for arguments, message in (
        ("scheme.epsilon=interval(-1,1)", "scheme.epsilon=-1: expected a number in [0, inf)"),
        ("split.majority=interval(0.5,1.5)", "split.majority=1.5: expected "),
        ("scheme.epsilon=interval(0,1) kernel=choice(laplacian,sun)", "kernel=sun: expected one of laplacian, "),
        ("scheme.epsilon=interval(0,1) seed=-1", "seed=-1: expected an integer >= 0"),
        ("seed=1", "hydra/sweeper=optuna: empty search space"),
        ("seed=1,2 hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: expected an integer >= 1"),
    ):
        with pytest.raises(SystemExit) as caught:
            cgm("-m", "hydra/sweeper=optuna", *arguments.split())
        assert re.sub(r"(\d)\.0:", r"\1:", caught.value.code).startswith(f"cgm: error: {message}")
        assert list(tmp_path.iterdir()) == []


def test_settings_that_are_invalid_together_fail_in_their_job(cgm, capsys):
    with pytest.raises(SystemExit) as caught:
        cgm("-m", *SMALL, "attack=clone", "attack.party=1,2", "attack.source=2,1", "hydra.sweep.dir=sweep")
    assert caught.value.code == 1
    assert "4 of 4 jobs done (0 skipped, 2 failed)" in capsys.readouterr().out


def test_a_value_of_a_class_of_the_user_is_refused_before_the_first_job(cgm, tmp_path):
    name = f"check_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from cgm.generators import KDE\n\n\nclass Mine(KDE):\n    def __init__(self, shift=0.0):\n"
        "        super().__init__()\n        if shift < 0:\n"
        "            raise ValueError(f'generator.shift={shift}: expected a number >= 0')\n"
    )
    for argument, message in (
        ("+generator.shift=1,-1", r"generator\.shift=-1: expected a number >= 0"),
        ("+generator.scale=1", r"generator\.scale: Mine has no such setting"),
    ):
        with pytest.raises(SystemExit, match=message):
            cgm("-m", f"generator._target_={name}.Mine", argument, "seed=1,2")
    sys.modules.pop(name, None)
    assert not Path("outputs").exists()


def test_failed_jobs_are_counted_in_another_working_directory(cgm, capsys):
    sweep = ["-m", *SMALL, "split.points_per_party=1000000", "seed=0,1", "hydra.sweep.dir=sweep"]
    with pytest.raises(SystemExit) as caught:
        cgm(*sweep, "hydra.job.chdir=true")
    assert caught.value.code == 1
    assert "\n0 done, 2 failed\n" in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_sweep_says_how_far_it_came(tmp_path):
    sweep = ["-m", *SMALL, "scheme=fair", "downstream=none", "sampling.betas=[8]", "seed=range(60)"]
    process = start(*sweep, "hydra.sweep.dir=sweep", folder=tmp_path)
    while not list(tmp_path.glob("sweep/*/result.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert re.search(r"^interrupted: \d+ of 60 done; the same command goes on$", err, re.M)
    assert "Traceback" not in err
    assert not (tmp_path / "sweep" / ".progress").exists()
