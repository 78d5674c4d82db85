"""Sweeps that are killed, that run twice at the same time, and that fill the disk."""

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgm.cli import jobs
from cgm.cli.jobs import LogFile
from cgm.records.record import read_run
from cgm.utils.files import locked
from tests.crash import SMALL, SWEEP, crash, start, tables, whole

ONE = [*SMALL, "downstream=none", "cache=false"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""

    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system cannot be mounted here: only root can")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left: int) -> None:
    """Fill a file system, except for some bytes."""

    size = os.statvfs(folder)
    (folder / "filler").write_bytes(b"x" * (size.f_bavail * size.f_bsize - left))


@pytest.mark.slow
def test_a_sweep_that_is_killed_at_random(tmp_path):
    """`python -m tests.crash` kills it a hundred times."""

    found = crash(tmp_path, kills=2, jobs=2, margin=0.95)
    assert (found.kills, found.sweeps >= 1) == (2, True)


@pytest.mark.slow
def test_two_identical_sweeps_at_the_same_time(tmp_path):
    processes = [start(tmp_path / "sweep", jobs=2) for _ in range(2)]
    outs = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1], outs
    assert outs[codes.index(1)].splitlines()[-1].startswith("cgm: error: ")
    assert "sweep: in use by process" in outs[codes.index(1)]
    assert "hydra.sweep.dir=FOLDER" in outs[codes.index(1)]
    assert len(whole(tmp_path / "sweep")) == 2
    assert len(tables(tmp_path / "sweep")) == 3


def test_a_sweep_in_a_folder_that_is_in_use_is_refused(cgm):
    with locked(Path("sweep/.sweep.lock")), pytest.raises(SystemExit, match=r"sweep: in use by process .*; wait for"):
        cgm(*SWEEP, "seed=0", "hydra.sweep.dir=sweep")
    assert not list(Path("sweep").glob("*/result.json"))


def test_a_run_waits_for_another_process_that_runs_it(cgm, monkeypatch):
    cgm(*ONE, "hydra.run.dir=run")
    entered, leave, messages = threading.Event(), threading.Event(), []
    monkeypatch.setattr(jobs.log, "warning", lambda *args: (messages.append(args[0] % args[1:]), leave.set()))

    def other() -> None:
        with locked(Path("run/.lock")):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(60)
    assert "skipped, already complete" in cgm(*ONE, "hydra.run.dir=run")
    thread.join()
    assert messages == [f"waiting for another process that runs {Path('run').absolute()}"]


def test_a_damaged_run_is_run_again(cgm):
    assert "runs again" not in cgm(*ONE, "hydra.run.dir=run")
    path = Path("run/rewards.npz")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    Path("run/.metrics.csv." + "0a" * 16).touch()
    out = cgm(*ONE, "hydra.run.dir=run")
    assert "skipped" not in out
    assert "damaged, runs again: rewards.npz is damaged or was changed: its SHA-256 is not that in SHA256SUMS\n" in out
    assert path.read_bytes() == content
    assert not list(Path("run").glob(".metrics*"))
    assert "skipped" in cgm(*ONE, "hydra.run.dir=run")


@pytest.mark.parametrize("left", [0, 20_000, 32_000, 45_000])
def test_a_full_disk_is_an_error_in_one_line(cgm, small_disk, left, capsys):
    """Before the run starts, while it writes its log, and when it writes its files."""

    fill(small_disk, left)
    with pytest.raises(SystemExit, match=r"^cgm: error: (\S+: |\[Errno 28\] )No space left on device$"):
        cgm(*ONE, f"hydra.run.dir={small_disk / 'run'}")
    assert "Traceback" not in "".join(capsys.readouterr())
    left_over = {path.name for path in (small_disk / "run").glob("*") if path.suffix != ".log"}
    assert left_over <= {
        ".hydra",
        ".lock",
        "configuration.json",
        "error.json",
        "metrics.csv",
        "rewards.npz",
        "SHA256SUMS",
    }

    (small_disk / "filler").unlink()
    cgm(*ONE, f"hydra.run.dir={small_disk / 'run'}")
    read_run(small_disk / "run")


def test_a_sweep_on_a_full_disk(cgm, small_disk):
    fill(small_disk, 0)
    with pytest.raises(SystemExit, match=r"^cgm: error: (\S+: |\[Errno 28\] )No space left on device$"):
        cgm(*SWEEP, "cache=false", "seed=0,1", f"hydra.sweep.dir={small_disk / 'sweep'}")
    (small_disk / "filler").unlink()
    assert "2 done" in cgm(*SWEEP, "cache=false", "seed=0,1", f"hydra.sweep.dir={small_disk / 'sweep'}")


def test_only_errors_of_the_disk_are_ignored_in_the_log(tmp_path, capsys):
    handler = LogFile(tmp_path / "cgm.log")
    handler.emit(logging.LogRecord("cgm", logging.INFO, "", 0, "%d", ("x",), None))
    handler.close()
    assert "--- Logging error ---" in capsys.readouterr().err
