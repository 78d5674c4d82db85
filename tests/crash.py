"""Kill a sweep at random moments, start it again, and check that nothing is lost.

python -m tests.crash            # 100 kills of a sweep of 16 jobs
python -m tests.crash 10 2       # 10 kills, seed 2
"""

import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgm import Record
from cgm.records.record import find_runs, read_run

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]
SWEEP = ["-m", *SMALL, "downstream=none", "sampling.betas=[1,8]"]
TABLES = ("metrics.csv", "summary.md")
PART = re.compile(r"\..+\.[0-9a-f]{32}")


@dataclass
class Crashes:
    """What happened.

    Attributes:
        kills: How many processes were killed before they ended.
        sweeps: How many sweeps were completed, and had the tables of the undisturbed one.
        finished: The number of finished jobs that were there at a kill, over all kills.
        parts: How many files were being written at a kill; they are hidden, and deleted by the next start.
        early: How many kills came before the first job was finished.
    """

    kills: int = 0
    sweeps: int = 0
    finished: int = 0
    parts: int = 0
    early: int = 0


def start(folder: Path, jobs: int) -> subprocess.Popen:
    """Start a sweep in a folder, in a session of its own."""

    return subprocess.Popen(
        [sys.executable, "-m", "cgm", *SWEEP, f"seed=range({jobs})", f"hydra.sweep.dir={folder}"],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def whole(folder: Path) -> dict[Path, bytes]:
    """Check that every file in a folder can be read, and return the `result.json` of each complete run."""

    for path in folder.rglob("*"):
        if not path.is_file() or PART.fullmatch(path.name):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
        elif path.suffix == ".npz":
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                assert all(len(arrays[name].shape) for name in arrays.files)
        elif path.suffix == ".csv":
            rows = list(csv.reader(io.StringIO(content.decode())))
            assert len({len(row) for row in rows}) == 1
    results = {}
    for run in find_runs(folder) if folder.is_dir() else ():
        if (run / "result.json").exists():
            read_run(run)  # with checksums
            _ = Record.load(run).pool
            results[run / "result.json"] = (run / "result.json").read_bytes()
    return results


def tables(folder: Path) -> list[bytes]:
    """Return the tables of a sweep, without the column of seconds."""

    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    return [json.dumps(rows).encode(), *((folder / name).read_bytes() for name in TABLES)]


def crash(base: Path, kills: int, jobs: int, seed: int = 0, margin: float = 1.1) -> Crashes:
    """Kill a sweep at random moments; whenever it is complete, compare it with an undisturbed one and start over.

    Arguments:
        base: A folder for the sweeps.
        kills: The number of kills.
        jobs: The number of jobs in the sweep.
        seed: The seed of the moments.
        margin: The latest moment, in units of the time of the undisturbed sweep.
    """

    moments, found = random.Random(seed), Crashes()
    begin = time.time()
    undisturbed = start(base / "undisturbed", jobs)
    out, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, out
    seconds = time.time() - begin
    expected, folder = tables(base / "undisturbed"), base / "killed"
    while found.kills < kills:
        before = whole(folder)
        process = start(folder, jobs)
        moment = moments.uniform(0, margin * seconds)
        try:
            out, _ = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            found.kills += 1
            after = whole(folder)
            assert before.items() <= after.items(), "a finished job was lost or changed"
            found.finished += len(after)
            found.early += not after
            found.parts += sum(PART.fullmatch(path.name) is not None for path in folder.rglob(".*"))
            continue
        _complete(process.returncode, out, folder, before, expected, found)
    if folder.exists():
        before = whole(folder)
        process = start(folder, jobs)
        out, _ = process.communicate()
        _complete(process.returncode, out, folder, before, expected, found)
    return found


def _complete(
    code: int, out: str, folder: Path, before: dict[Path, bytes], expected: list[bytes], found: Crashes
) -> None:
    """Check a sweep that has ended by itself, and delete it."""

    assert code == 0, out
    assert out.count("skipped, already complete") == len(before)
    assert before.items() <= whole(folder).items()
    assert tables(folder) == expected
    left = [path for path in folder.rglob(".*") if PART.fullmatch(path.name)]
    assert not left, left
    shutil.rmtree(folder)
    found.sweeps += 1


def main() -> None:
    """Run the program."""

    kills, seed = (int(x) for x in (*sys.argv[1:], *("100", "0")[len(sys.argv) - 1 :]))
    begin = time.time()
    with tempfile.TemporaryDirectory() as base:
        found = crash(Path(base), kills, jobs=16, seed=seed)
    print(f"{found}, {(time.time() - begin) / 60:.0f} min")


if __name__ == "__main__":
    main()
