"""The check of the reproduction: intervals, causes, R6, and the exit status."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.paper import causes, check, published
from experiments.paper.causes import ANY, CAUSES, Cause, find_cause
from experiments.paper.check import AGREES, DIFFERS, MISSING, ONE_SEED, UNEXPLAINED, interval
from experiments.paper.records import read_records

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "outputs" / "paper"
RUN = "credit_ratings-equal_disjoint-seed{}"

with_records = pytest.mark.skipif(not PAPER.is_dir(), reason="records come with the repository only")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five runs of credit ratings, equal disjoint, of the repository."""

    for seed in range(5):
        shutil.copytree(PAPER / "runs" / RUN.format(seed), tmp_path / "runs" / RUN.format(seed))
    return tmp_path


def edit(folder: Path, seed: int, change) -> None:
    """Change a record."""

    path = folder / "runs" / RUN.format(seed) / "result.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    (path.parent / "SHA256SUMS").unlink(missing_ok=True)


def find(lines: list[check.Line], *words: str) -> check.Line:
    """Return the one line with these words."""

    (line,) = (line for line in lines if all(word in line.text for word in words))
    return line


@pytest.mark.parametrize("n", [3, 5])
def test_a_further_run_lies_in_the_interval(n: int) -> None:
    """In 95 % of all cases, for normal numbers; rounding adds half a unit of the last decimal."""

    random = np.random.default_rng(0)
    draws = random.normal(5, 2, (4000, n + 1))
    inside = [abs(row[-1] - middle) <= half for row in draws for middle, half in [interval(list(row[:-1]), 9)]]
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * (0.05 * 0.95 / 4000) ** 0.5)
    assert interval([2.0] * n, 3) == (2.0, 0.0005)


@with_records
def test_numbers_of_the_records(folder: Path) -> None:
    """The numbers and intervals that a line states, by plain sums from result.json."""

    lines = check.check(folder)
    records = [json.loads((folder / "runs" / RUN.format(seed) / "result.json").read_text()) for seed in range(5)]
    own = [record["correlations"]["neg_reverse_kl"]["mean"] for record in records]
    half = 2.7764451 * np.std(own, ddof=1) * 1.2**0.5 + 0.0005
    line = find(lines, "correlation of −reverse KL with α: published")
    assert line == (
        AGREES,
        "credit ratings, equal disjoint: correlation of −reverse KL with α: published 0.837; "
        f"here {np.mean(own):.3f} ± {half:.3f}",
    )
    assert find(lines, "length-scale").state == find(lines, "ρ: published 0.0943").state == AGREES
    assert find(lines, "runs: R6 holds in 5 of 5 records of scheme=stable").state == AGREES
    assert find(lines, "credit ratings, equal disjoint: claim: correlation of α with −MMD_u² ≥ 0.9").state == AGREES
    assert find(lines, "credit ratings, unequal: no complete run").state == MISSING
    states = [line.state for line in lines if ": |G_i| of party" in line.text]
    assert (states.count(AGREES), states.count(DIFFERS)) == (19, 1)


@with_records
def test_differences_need_a_cause(folder: Path, monkeypatch) -> None:
    about = ("alpha", "credit_ratings", "equal_disjoint", "neg_wasserstein2")
    for seed in range(5):
        edit(folder, seed, lambda content: content["correlations"]["neg_wasserstein2"].update(mean=0.3))
        edit(folder, seed, lambda content: content["scheme"]["rewards"].__setitem__(2, 0.6))
    lines = check.check(folder)
    assert find(lines, "−Wasserstein-2 with α: published", str(about)).state == UNEXPLAINED
    assert find(lines, "claim", "−Wasserstein-2", str(about)).state == UNEXPLAINED
    assert find(lines, "r of party 3").state == UNEXPLAINED

    monkeypatch.setitem(CAUSES, (ANY, "credit_ratings", "equal_disjoint", ANY), Cause("because", "a report"))
    lines = check.check(folder)
    assert not [line for line in lines if line.state == UNEXPLAINED]
    line = find(lines, "−Wasserstein-2 with α: published")
    assert line.state == DIFFERS
    assert line.text.endswith("here 0.300 ± 0.001; because [a report]")


@with_records
def test_stability_has_no_cause(folder: Path, monkeypatch) -> None:
    """A record of scheme=stable without R6 is never in order; other schemes need not have it."""

    monkeypatch.setitem(CAUSES, (ANY, "credit_ratings", ANY, ANY), Cause("because", "a report"))
    for seed in (1, 2):
        edit(folder, seed, lambda content: content["incentives"]["R6"].update(holds=False, slack=-0.1))
    edit(folder, 2, lambda content: content["settings"]["scheme"].update(stable=False))
    line = find(check.check(folder), "runs: R6 holds")
    assert line == (
        UNEXPLAINED,
        f"runs: R6 holds in 3 of 4 records of scheme=stable; not in runs/{RUN.format(1)}",
    )


@with_records
def test_one_seed_has_no_interval(folder: Path) -> None:
    for seed in range(1, 5):
        shutil.rmtree(folder / "runs" / RUN.format(seed))
    lines = check.check(folder)
    assert find(lines, "length-scale").state == ONE_SEED


@with_records
def test_the_most_particular_cause(folder: Path, monkeypatch) -> None:
    results = read_records(folder / "runs").groups["credit_ratings", "equal_disjoint"]
    about = ("alpha", "credit_ratings", "equal_disjoint", "size")
    monkeypatch.setattr(causes, "CAUSES", {})
    assert find_cause(about, results) is None
    for entry in ((ANY, about[1], ANY, ANY), ("alpha", about[1], ANY, ANY), (*about[:3], ANY), about):
        causes.CAUSES[entry] = Cause(str(entry), "")
        assert find_cause(about, results).text == str(entry)
    assert find_cause(("beta", *about[1:]), results).text == str((ANY, about[1], ANY, ANY))
    monkeypatch.setitem(published.SIZES, "credit_ratings", (1000, 200_000))
    assert find_cause(about, results).text.startswith("not at the size of the paper, |G| = 200,000")


@with_records
def test_the_repository() -> None:
    """Every difference of the records of the repository has a cause, and what shows it is there."""

    lines = check.check(PAPER)
    assert not [line for line in lines if line.state in (UNEXPLAINED, MISSING)]
    headings = {line.lstrip("# ") for line in (PAPER / "README.md").read_text().splitlines() if line.startswith("## ")}
    for cause in CAUSES.values():
        path, _, heading = cause.shown_by.partition(", ")
        assert (ROOT / path).exists(), cause
        assert not heading or heading in headings, cause


@pytest.mark.slow
@with_records
def test_the_program(folder: Path) -> None:
    call = [sys.executable, "-m", "experiments.paper", "check", f"folder={folder}"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1  # runs are missing
    assert "MISSING:     credit ratings, unequal: no complete run\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "7 MISSING, 50 agrees, 1 differs"
    help = subprocess.run([*call[:-1], "--help"], cwd=ROOT, capture_output=True, text=True)
    assert help.returncode == 0
    assert "folder" in help.stdout


def test_a_folder_that_is_not_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["check", f"folder={tmp_path / 'no'}"])
    with pytest.raises(SystemExit, match=rf"check: error: folder={tmp_path / 'no'}: there is no such folder"):
        check.main()
