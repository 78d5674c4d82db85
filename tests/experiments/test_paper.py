import csv
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cgm.utils.memory import MARK, peak_memory, reset_peak

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "experiments"))

import published  # noqa: E402
import report  # noqa: E402
import reproduce as script  # noqa: E402

TINY = ["split.points_per_party=20", "synthetic_size=300", "kernel.lengthscale=0.3", "scheme=fair", "figures=false"]
TINY += ["sampling.betas=[1,8]", "cache=false"]
BAD = "runs/digits-unequal-seed7"


@pytest.fixture(autouse=True, scope="module")
def _hydra_is_at_work():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A tiny grid: one dataset of two, for the other has no files, and a job that will fail."""

    more = [*TINY, f"data_dir={tmp_path_factory.mktemp('empty')}"]
    jobs = script.plan(["paper", "test"], ["credit_ratings", "mnist"], seeds=2, size="small", more=more)
    bad = dataclasses.replace(
        jobs[0], dataset="digits", folder=BAD, overrides=("dataset=digits", "kernel.lengthscale=-1")
    )
    return [jobs[0], bad, *jobs[1:]]


@pytest.fixture(scope="module")
def grid(jobs, tmp_path_factory):
    """The grid, run into a folder, and what it failed in."""

    folder = tmp_path_factory.mktemp("grid")
    return folder, script.run(jobs, folder)


@pytest.fixture
def folder(grid, tmp_path):
    """A copy of the grid's folder."""

    return Path(shutil.copytree(grid[0], tmp_path / "copy"))


@pytest.fixture(scope="module")
def text(grid, tmp_path_factory):
    """The report of the whole grid."""

    folder = shutil.copytree(grid[0], tmp_path_factory.mktemp("text") / "copy")
    return report.write_report(folder).read_text()


def results(folder: Path) -> dict[str, dict]:
    paths = sorted(folder.rglob("result.json"))
    return {path.parent.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in paths}


def edit(folder: Path, run: str, **changes: object) -> None:
    path = folder / run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def table(text: str, title: str) -> list[list[str]]:
    """Reads the first table under a title of the report."""

    lines = text.split(f"\n## {title}", 1)[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    rows = [line.replace(r"\|", "¦").strip("| ").split(" | ") for line in lines[first:last]]
    return [[cell.strip() for cell in row] for row in rows if set(row[0]) != {"-"}]


def test_the_grid_runs_but_for_what_fails_and_what_has_no_data(grid):
    folder, failed = grid
    splits, places = ("equal_disjoint", "unequal"), ("runs", "choices/base", "choices/test-others")
    names = {f"{place}/credit_ratings-{split}-seed{seed}" for place in places for split in splits for seed in (0, 1)}
    assert failed == [BAD]
    assert set(results(folder)) == names
    assert "kernel.lengthscale=-1" in json.loads((folder / BAD / "error.json").read_text())["message"]
    for name, result in results(folder).items():
        assert f"{result['dataset']}-{result['split']}-seed{result['seed']}" == name.split("/")[-1]
        assert result["settings"]["downstream"]["test"] == ("others" if "others" in name else "held_out")
    assert not list(folder.rglob("*mnist*"))
    assert not (folder / ".progress").exists()


def test_what_is_complete_is_skipped(jobs, folder, capsys):
    cut = "runs/credit_ratings-unequal-seed1"
    (folder / cut / "result.json").unlink()  # as if the run had been stopped
    before = {path: path.read_bytes() for path in folder.rglob("result.json")}
    assert script.run(jobs, folder) == [BAD]
    said = capsys.readouterr().out
    assert "left out, for its data is missing: dataset=mnist" in said
    assert "13 of 13 jobs done (11 skipped, 1 failed)" in said
    assert len(results(folder)) == 12
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_report_is_the_same_bytes_from_the_same_records(folder):
    (folder / "runs" / "credit_ratings-equal_disjoint-seed0" / "rewards_of_party_1.png").write_bytes(b"a picture")
    contents = []
    for _ in range(2):
        report.write_report(folder)
        contents.append([(folder / name).read_bytes() for name in ("README.md", "fig1.png", "fig2.png")])
    assert contents[0] == contents[1]
    assert contents[0][1] == b"a picture"
    assert contents[0][2].startswith(b"\x89PNG")
    text = contents[0][0].decode()
    assert "There are no records of MNIST" in text
    assert "[rewards of party 1](runs/credit_ratings-equal_disjoint-seed0/rewards_of_party_1.png)" in text
    assert str(ROOT) not in text


def test_the_report_names_what_is_missing(folder):
    cut, old, damaged = (
        f"runs/credit_ratings-{name}" for name in ("equal_disjoint-seed1", "unequal-seed0", "unequal-seed1")
    )
    (folder / cut / "result.json").unlink()
    result = json.loads((folder / old / "result.json").read_text())
    del result["memory"]
    (folder / old / "result.json").write_text(json.dumps(result))
    (folder / damaged / "result.json").write_text("{")
    text = report.write_report(folder).read_text()
    for line in (
        f"- `{BAD}`: failed: kernel.lengthscale=-1",
        f"- `{cut}`: no result.json",
        f"- `{old}`: is of another version of cgm: its result.json lacks memory",
        f"- `{damaged}`: result.json is damaged",
        "- credit ratings, unequal: no complete run",
        "- CIFAR-10, equal disjoint: no complete run",
    ):
        assert f"\n{line}" in text


def test_a_report_of_nothing(tmp_path):
    text = report.write_report(tmp_path).read_text()
    assert "credit ratings, unequal: no complete run" in text
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_correlations_are_means_beside_published_numbers(folder, monkeypatch):
    monkeypatch.setitem(published.REMARKS, ("alpha", "credit_ratings", "unequal", "size"), "because.")
    sizes = {r["synthetic_size"] for name, r in results(folder).items() if name.startswith("runs/")}
    monkeypatch.setitem(published.SIZES, "credit_ratings", (20, min(sizes)))
    for seed, mean, sem in ((0, 0.5, 0.1), (1, 0.7, 0.3)):
        run = f"runs/credit_ratings-unequal-seed{seed}"
        entries = json.loads((folder / run / "result.json").read_text())["correlations"]
        entries["size"] |= {"mean": mean, "sem": sem}
        entries["neg_reverse_kl"] |= {"mean": None, "sem": None}
        edit(folder, run, correlations=entries)
    text = report.write_report(folder).read_text()
    rows = {row[1]: row[-3:] for row in table(text, "Fig. 2")}
    assert rows["¦G_i¦"] == ["+0.600 ± 0.200 ± 0.100", "+0.719 ± 0.019", "**−0.119**"]  # 0.7 - 0.6 = 0.2 / 2
    assert rows["−reverse KL"] == ["–", "+0.512 ± 0.213", "–"]
    assert "- credit ratings, unequal, |G_i|: because." in text


def test_tables_from_the_records(folder, text):
    """Recomputes each table's numbers from metrics.csv and result.json, by plain sums."""

    runs = {name: r for name, r in results(folder).items() if name.startswith("runs/")}
    for split, title in (("equal_disjoint", "equal disjoint"), ("unequal", "unequal")):
        own = {name: r for name, r in runs.items() if r["split"] == split}
        row = next(row for row in table(text, "Assessing") if row[:2] == ["credit ratings", title])
        alphas = [r["shapley"]["alpha"] for r in own.values()]  # the same points: no error over seeds
        assert row[2:-1] == [f"{fmean(column):.3f}" for column in zip(*alphas, strict=True)]
        assert row[-1] == f"{max(alphas[0]) - min(alphas[0]):.3f}"

        chains = [s for r in own.values() for s in r["sampling"] if s["size"]]
        row = next(row for row in table(text, "Accepted") if row[:2] == ["credit ratings", title])
        for cell, mine in zip(
            row[2:], [*([s for s in chains if s["beta"] == b] for b in (1, 8)), chains], strict=False
        ):
            points = sum(s["size"] for s in mine)
            assert cell == f"{100 * sum(s['increasing'] * s['size'] for s in mine) / points:.1f}%"
        assert row[-1] == f"{100 * fmean(s['increasing'] for s in chains):.1f}%"

        by_seed = []
        for name, r in own.items():
            with (folder / name / "metrics.csv").open(newline="") as file:
                sizes = {
                    (int(e["party"]), e["beta"]): float(e["value"])
                    for e in csv.DictReader(file)
                    if e["metric"] == "size"
                }
            alpha = r["shapley"]["alpha"]
            by_seed.append([np.corrcoef(alpha, [sizes[i, b] for i in range(5)])[0, 1] for b in ("1", "8")])
        mean, over_seeds = fmean(map(fmean, by_seed)), stdev(map(fmean, by_seed)) / 2**0.5
        over_betas = fmean(stdev(pair) / 2**0.5 for pair in by_seed)
        row = next(row for row in table(text, "Fig. 2") if row[1] == "¦G_i¦")
        told = f"{mean:+.3f} ± {over_betas:.3f} ± {over_seeds:.3f}".replace("-", "−")
        assert row[2 if split == "equal_disjoint" else 5] == told

    row = next(row for row in table(text, "Time") if row[0] == "credit ratings")
    peak = max(r["memory"]["peak_mib"] for r in runs.values() if r["split"] == "equal_disjoint")
    assert row[-1] == f"{peak / 1024:.1f}"


def test_choices_are_beside_what_cgm_has(folder, text):
    base, other = (
        [
            r["correlations"]["accuracy"]["mean"]
            for name, r in results(folder).items()
            if name.startswith(f"choices/{choice}/")
        ]
        for choice in ("base", "test-others")
    )
    bars = text.split("\nThen Fig. 2's bars")[1]
    row = next(line for line in bars.splitlines() if line.startswith("| test-others")).split(" | ")
    assert row[1] == "credit ratings"
    assert row[-1] == f"{fmean(other):+.3f} ({fmean(base):+.3f}) |".replace("-", "−")
    assert row[-2].split()[0] == row[-2].split()[1].strip("()")  # who tests does not change |G_i|


def test_the_settings_of_the_program():
    settings = OmegaConf.to_container(compose("reproduce"), resolve=True)
    assert settings.pop("folder") is None
    jobs = script.plan(**settings)
    assert len({job.folder for job in jobs}) == len({job.overrides for job in jobs}) == len(jobs)
    assert sum(job.folder.startswith("runs/") for job in jobs) == 2 * (5 + 5 + 3 + 3)
    assert settings["what"] == ["paper", *script.CHOICES]
    for job in jobs:
        if job.folder.endswith("unequal-seed0"):
            config = compose("config", list(job.overrides))  # every setting is there
            assert config.figures == job.folder.startswith("runs/")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"what": ["papers"]}, r"^what=\['papers'\]: expected a list of some of paper, features, "),
        ({"what": "paper"}, r"^what=paper: expected a list"),
        ({"datasets": ["iris"]}, r"^datasets=\['iris'\]: .* credit_ratings, credit_card, mnist, cifar10, digits"),
        ({"splits": ["shares"]}, r"^splits="),
        ({"seeds": 0}, r"^seeds=0"),
        ({"size": "large"}, r"^size=large: expected one of full, small"),
    ],
)
def test_settings_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        script.plan(**{"what": ["paper"]} | settings)


@pytest.mark.skipif(not MARK.exists(), reason="only Linux can let the greatest memory begin anew")
def test_the_peak_of_memory_begins_anew():
    reset_peak()
    before = peak_memory()
    block = np.ones(150 << 17)  # 150 MiB
    assert peak_memory() - before > 140
    del block
    reset_peak()
    assert peak_memory() - before < 75
