import csv
import dataclasses
import json
import shutil
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments import jobs as runner
from experiments.paper import causes, plan, published, report
from experiments.paper.comparison import distances
from experiments.paper.records import read_records
from experiments.settings import compose_run
from experiments.text import minus
from tests.records.results import make_result

ROOT = Path(__file__).resolve().parents[2]
TINY = ["split.points_per_party=20", "synthetic_size=300", "kernel.lengthscale=0.3", "scheme=fair", "figures=false"]
TINY += ["sampling.betas=[1,8]", "cache=false"]
BAD = "runs/digits-unequal-seed7"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A tiny grid: one dataset of two, since the other has no files, and a job that fails."""

    more = [*TINY, f"data_dir={tmp_path_factory.mktemp('empty')}"]
    jobs = plan.plan_jobs(["paper", "test"], ["credit_ratings", "mnist"], seeds=2, size="small", more=more)
    bad = dataclasses.replace(
        jobs[0], dataset="digits", folder=BAD, overrides=("dataset=digits", "kernel.lengthscale=-1")
    )
    return [jobs[0], bad, *jobs[1:]]


@pytest.fixture(scope="module")
def grid(jobs, tmp_path_factory):
    """The folder of the grid after a run, and the jobs that failed."""

    folder = tmp_path_factory.mktemp("grid")
    return folder, runner.run_jobs(jobs, folder)


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


def edit(folder: Path, name: str, **changes: object) -> None:
    path = folder / name / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (path.parent / "SHA256SUMS").unlink(missing_ok=True)  # of the file as it was


def table(text: str, title: str) -> list[list[str]]:
    """Read the first table under a title of the report."""

    lines = text.split(f"\n## {title}", 1)[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    last = next((i for i in range(first, len(lines)) if not lines[i].startswith("|")), len(lines))
    rows = [line.replace(r"\|", "¦").strip("| ").split(" | ") for line in lines[first:last]]
    return [[cell.strip() for cell in row] for row in rows if set(row[0]) != {"-"}]


@pytest.mark.slow
def test_the_grid_runs_except_what_fails_or_has_no_data(grid):
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


@pytest.mark.slow
def test_complete_runs_are_skipped(jobs, folder, capsys):
    cut = "runs/credit_ratings-unequal-seed1"
    (folder / cut / "result.json").unlink()  # as if the run had been interrupted
    before = {path: path.read_bytes() for path in folder.rglob("result.json")}
    assert runner.run_jobs(jobs, folder) == [BAD]
    printed = capsys.readouterr().out
    assert "left out because data is missing: dataset=mnist" in printed
    assert "13 of 13 jobs done (11 skipped, 1 failed)" in printed
    assert len(results(folder)) == 12
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.slow
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


@pytest.mark.slow
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
        f"- `{old}`: result.json is damaged or not that of a run: Object missing required field `memory`",
        f"- `{damaged}`: result.json is damaged",
        "- credit ratings, unequal: no complete run",
        "- CIFAR-10, equal disjoint: no complete run",
    ):
        assert f"\n{line}" in text


@pytest.mark.skipif(not (ROOT / "outputs" / "paper").is_dir(), reason="records come with the repository only")
def test_the_records_of_the_repository_can_be_read():
    folders = [ROOT / "outputs" / "paper" / "runs", *(ROOT / "outputs" / "paper" / "choices").iterdir()]
    for records in map(read_records, folders):
        assert records.groups
        assert not records.broken


@pytest.mark.skipif(not (ROOT / "outputs" / "paper").is_dir(), reason="records come with the repository only")
def test_schemes_are_compared(tmp_path):
    """Recompute the rows of credit ratings from result.json, by plain sums; a scheme without runs has no rows."""

    names = {"stable": "base", "fair": "scheme-fair", "gain": "scheme-gain"}
    for folder in names.values():
        for path in (ROOT / "outputs" / "paper" / "choices" / folder).glob("credit_ratings-unequal-*"):
            shutil.copytree(path, tmp_path / "choices" / folder / path.name)
    text = report.write_report(tmp_path).read_text()
    values, points = table(text, "Schemes")[1:], table(text.replace("\nRewards G_i: ", "\n## Points: "), "Points")[1:]
    for k, folder in enumerate(names.values()):
        runs = list(results(tmp_path / "choices" / folder).values())
        shares, ratios = [], []
        for run in runs:
            upper, own, rewards = run["values"]["upper"], run["values"]["party"], run["scheme"]["rewards"]
            shares.append([(rewards[i] - own[i]) / (upper[i] - own[i]) for i in range(5)])
            sizes = [fmean(s["size"] for s in run["sampling"] if s["party"] == i) for i in range(5)]
            ratios.append(max(sizes) / min(sizes))
        row = values[k]
        assert row[:4] == ["credit ratings", "unequal", list(names)[k], f"{runs[0]['synthetic_size']:,}"]
        assert row[6].split(" ± ")[0] == f"{fmean(map(min, shares)):.3f}"
        assert row[7].split(" ± ")[0] == f"{fmean(map(fmean, shares)):.3f}"
        held = sum(run["incentives"]["R6"]["holds"] for run in runs)
        assert row[8] == values[k + 3][8] == f"{held} of 3"
        assert points[k][4].split(" ± ")[0] == f"{fmean(ratios):.1f}"
        accuracies = [fmean(entry["accuracy"] for entry in run["downstream"]) for run in runs]
        assert points[k][6].split(" ± ")[0] == points[k + 3][6] == f"{fmean(accuracies):.3f}"
    assert (tmp_path / "schemes.png").read_bytes().startswith(b"\x89PNG")

    shutil.rmtree(tmp_path / "choices" / "scheme-gain")
    assert "| gain |" not in report.write_report(tmp_path).read_text()
    shutil.rmtree(tmp_path / "choices" / "scheme-fair")
    assert "## Schemes" not in report.write_report(tmp_path).read_text()
    assert not (tmp_path / "schemes.png").exists()


@pytest.mark.skipif(not (ROOT / "outputs" / "paper").is_dir(), reason="records come with the repository only")
def test_bandwidths_and_sizes(tmp_path):
    """Recompute rows of credit card, unequal, from result.json, by plain sums."""

    for folder in ("runs", "choices/base", "choices/bandwidth-cv"):
        for path in (ROOT / "outputs" / "paper" / folder).glob("credit_card-unequal-seed[01]"):
            shutil.copytree(path, tmp_path / folder / path.name)
    text = report.write_report(tmp_path).read_text()

    rows = table(text.replace("\nFeatures and generator decide", "\n## Values: "), "Values")[1:]
    assert [row[2] for row in rows] == ["cgm's default", "bandwidth-cv"]
    for row, folder in zip(rows, ("base", "bandwidth-cv"), strict=True):
        runs = list(results(tmp_path / "choices" / folder).values())
        assert row[3] == minus(" ".join(f"{fmean(r['contributions']['alpha'][i] for r in runs):.2f}" for i in range(5)))
        assert row[4] == f"{fmean(r['kernel']['lengthscale'] for r in runs):.3f}"
        assert row[5] == minus(f"{fmean(r['correlations']['neg_mmd2_unbiased']['mean'] for r in runs):+.2f}")
        assert row[10] == minus(f"{fmean(r['beta_correlations']['neg_mmd2_unbiased']['mean'] for r in runs):+.2f}")
        points = [s for r in runs for s in r["sampling"] if s["size"]]
        share = sum(s["increasing"] * s["size"] for s in points) / sum(s["size"] for s in points)
        assert row[11] == f"{share:.1%}"

    by_seed = []
    for run in results(tmp_path / "runs").values():
        by_beta = []
        for beta in (1, 2, 4, 8):
            drawn = {s["party"]: s["size"] for s in run["sampling"] if s["beta"] == beta}
            p = np.array([5000 / (5000 + drawn[i]) for i in range(5)])
            kl = p * np.log(p / 0.2) + (1 - p) * np.log((1 - p) / 0.8)  # 25,000 of 125,000 points
            by_beta.append(np.corrcoef(run["contributions"]["alpha"], -kl)[0, 1])
        by_seed.append(by_beta)
    row = table(text, "Sign and bias")[1]
    within = fmean(stdev(by_beta) / 2 for by_beta in by_seed)
    between = stdev(map(fmean, by_seed)) / 2**0.5
    assert row[3] == minus(f"{fmean(map(fmean, by_seed)):+.3f} ± {within:.3f} ± {between:.3f}")
    assert row[4:] == ["–", "–"]


def test_a_report_of_nothing(tmp_path):
    text = report.write_report(tmp_path).read_text()
    assert "credit ratings, unequal: no complete run" in text
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.slow
def test_correlations_are_means_beside_published_numbers(folder, monkeypatch):
    about = ("alpha", "credit_ratings", "unequal", "size")
    monkeypatch.setitem(causes.CAUSES, about, causes.Cause("because", "a report"))
    sizes = {r["synthetic_size"] for name, r in results(folder).items() if name.startswith("runs/")}
    monkeypatch.setitem(published.SIZES, "credit_ratings", (20, min(sizes)))
    for seed, mean, sem in ((0, 0.5, 0.1), (1, 0.7, 0.3)):
        name = f"runs/credit_ratings-unequal-seed{seed}"
        entries = json.loads((folder / name / "result.json").read_text())["correlations"]
        entries["size"] |= {"mean": mean, "sem": sem}
        entries["neg_reverse_kl"] |= {"mean": None, "sem": None}
        edit(folder, name, correlations=entries)
    text = report.write_report(folder).read_text()
    rows = {row[1]: row[-3:] for row in table(text, "Fig. 2")}
    assert rows["¦G_i¦"] == ["+0.600 ± 0.200 ± 0.100", "+0.719 ± 0.019", "**−0.119**"]  # 0.7 - 0.6 = 0.2 / 2
    assert rows["−reverse KL"] == ["–", "+0.512 ± 0.213", "–"]
    assert "- credit ratings, unequal, |G_i|: because" in text


@pytest.mark.slow
def test_tables_from_the_records(folder, text):
    """Recompute the numbers of each table from metrics.csv and result.json, by plain sums."""

    runs = {name: r for name, r in results(folder).items() if name.startswith("runs/")}
    for split, title in (("equal_disjoint", "equal disjoint"), ("unequal", "unequal")):
        own = {name: r for name, r in runs.items() if r["split"] == split}
        row = next(row for row in table(text, "Assessing") if row[:2] == ["credit ratings", title])
        alphas = [r["contributions"]["alpha"] for r in own.values()]  # the same points: no error over seeds
        assert row[2:-2] == [f"{fmean(column):.3f}" for column in zip(*alphas, strict=True)]
        assert row[-2:] == [f"{max(alphas[0]) - min(alphas[0]):.3f}", "0.300"]  # the length-scale is fixed

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
            alpha = r["contributions"]["alpha"]
            by_seed.append([np.corrcoef(alpha, [sizes[i, b] for i in range(5)])[0, 1] for b in ("1", "8")])
        mean, over_seeds = fmean(map(fmean, by_seed)), stdev(map(fmean, by_seed)) / 2**0.5
        over_betas = fmean(stdev(pair) / 2**0.5 for pair in by_seed)
        row = next(row for row in table(text, "Fig. 2") if row[1] == "¦G_i¦")
        expected = f"{mean:+.3f} ± {over_betas:.3f} ± {over_seeds:.3f}".replace("-", "−")
        assert row[2 if split == "equal_disjoint" else 5] == expected

    row = next(row for row in table(text, "Time") if row[0] == "credit ratings")
    peak = max(r["memory"]["peak_mib"] for r in runs.values() if r["split"] == "equal_disjoint")
    assert row[-1] == f"{peak / 1024:.1f}"


@pytest.mark.slow
def test_claims_of_the_paper_are_tested(folder, text):
    """Recompute the verdicts from result.json."""

    runs = [r for name, r in results(folder).items() if name.startswith("runs/")]
    rows = {row[0]: row[2:] for row in table(text, "What the paper claims")}

    unequal = [r["contributions"]["alpha"] for r in runs if r["split"] == "unequal"]
    right = sum(min(alpha[:2]) > max(alpha[2:]) for alpha in unequal)
    row = rows["Very large α are observed for parties of the unequal split with full class distribution."]
    assert row[0] == f"credit ratings: {right} of 2 seeds"
    assert row[1] == ("held" if right == 2 else "not held")

    means = []
    for split in ("equal_disjoint", "unequal"):
        known = [r["correlations"]["neg_mmd2_unbiased"]["mean"] for r in runs if r["split"] == split]
        means += [fmean(mean for mean in known if mean is not None)]
    row = rows["Across all splits, datasets, and metrics, the negative of the metrics"]
    assert row[0] == " to ".join(f"{mean:+.3f}".replace("-", "−") for mean in sorted(means))
    held = sum(mean >= 0.9 for mean in means)
    assert row[1] == {2: "held", 1: "held in 1 of 2", 0: "not held"}[held]

    missed = [r for r in runs if not all(r["incentives"][f"R{k}"]["holds"] for k in range(1, 7))]
    row = rows["The reward scheme guarantees incentives R1 to R6 (Sec. 4)."]
    assert (row[1] == "held") == (not missed)
    assert "The accuracies of SVMs correlate positively with α." not in rows  # the paper has none of credit ratings


def test_generators_and_bandwidths(tmp_path):
    def measured(frechet, likelihood=None, copies=0.8):
        return {
            "frechet": frechet,
            "precision": 0.9,
            "recall": 0.8,
            "kid": {"mean": 2e-4, "stderr": 1e-5},
            "classes": {"min": 0.18},
            "nearer_to_training": copies,
            "log_likelihood": None if likelihood is None else {"mean": likelihood, "trimmed": likelihood + 1},
        }

    sets = {"generator": measured(0.1, -1.5), "training": measured(0.01, copies=None), "test": {}}
    sets |= {"KDE, h = adaptive": measured(0.1, -1.5), "KDE, h = scott": measured(0.2, -3.5)}
    result = {"generator": {"class": "KDE"}, "kind": "points", "training_points": 90, "test_points": 10, "sets": sets}
    path = tmp_path / "generators" / "credit_card" / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result))

    text = report.write_report(tmp_path).read_text()

    rows = table(text, "Generators")[1:]
    assert [row[1] for row in rows] == ["KDE", "real points", "KDE, h = adaptive", "KDE, h = scott"]
    assert rows[0][2:] == ["0.1", "90.0%", "80.0%", "18.0%", "80.0%"]
    assert rows[1][-1] == "90.0% by chance"
    rows = table(text, "Bandwidth")[1:]
    assert rows == [
        ["scott", "−3.50", "−2.50", "2.0 ± 0.1", "90.0%", *["–"] * 8],
        ["adaptive", "−1.50", "−0.50", "2.0 ± 0.1", "90.0%", *["–"] * 8],
    ]


@pytest.mark.slow
def test_choices_are_compared_with_the_default(folder, text):
    base, other = (
        [
            r["correlations"]["accuracy"]["mean"]
            for name, r in results(folder).items()
            if name.startswith(f"choices/{choice}/")
        ]
        for choice in ("base", "test-others")
    )
    bars = text.split("\nThe second table compares the bars of Fig. 2")[1]
    row = next(line for line in bars.splitlines() if line.startswith("| test-others")).split(" | ")
    assert row[1] == "credit ratings"
    assert row[-1] == f"{fmean(other):+.3f} ({fmean(base):+.3f}) |".replace("-", "−")
    assert row[-2].split()[0] == row[-2].split()[1].strip("()")  # the test points do not change |G_i|


def cifar10(lengthscale: float = 2.884, **changes: object):
    own = {"mmd2_unbiased": [0.379, 0.139, 0.267, 0.180, 0.503], "wasserstein2": [12.6, 4.0, 7.4, 6.5, 15.2]}
    made = make_result(5, dataset="cifar10", split="equal_disjoint", distances=own)
    kernel = dataclasses.replace(made.kernel, lengthscale=lengthscale)
    return dataclasses.replace(made, kernel=kernel, **changes)


def test_distances_to_published_numbers_by_hand():
    assert distances(cifar10()) == (0, 0, 0, None)  # α is not published
    e = 2.718281828459045
    own = {
        "mmd2_unbiased": [0.379 * e, 0.139 / e, 0.267, 0.180, 0.503],
        "wasserstein2": [12.6 * e**5, 4.0, 7.4, 6.5, -1.0],
    }
    assert distances(cifar10(2.884 / e**2, distances=own))[:3] == pytest.approx((2, 2 / 5, 5 / 4), rel=1e-12)
    assert distances(cifar10(distances={})) == (0, None, None, None)
    mnist = cifar10(3.358, dataset="mnist")
    alpha = torch.tensor([0.63, 0.569, 0.746, 0.853, 1.0], dtype=torch.float64)
    mnist = dataclasses.replace(mnist, contributions=dataclasses.replace(mnist.contributions, alpha=alpha))
    assert distances(mnist).alpha == pytest.approx((0.1 + 0.2) / 5, rel=1e-12)
    assert distances(mnist).lengthscale == 0
    assert distances(make_result(3)) == (None, None, None, None)  # digits


def test_features_are_compared_by_their_distances(tmp_path):
    for name, length in {"base": 2.884, "features-umap_of_encoder": 2.884 * 2.718281828459045}.items():
        for seed in (0, 1):
            folder = tmp_path / "choices" / name / f"cifar10-equal_disjoint-seed{seed}"
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(cifar10(length, seed=seed).dumps())
            (folder / "metrics.csv").write_text("party,beta,metric,value\n0,1,size,3\n")
    text = report.write_report(tmp_path).read_text()
    rows = {row[0]: row for row in table(text, "Features of images")}
    assert rows["published"][2:6] == ["2.88", "0.379 0.139 0.267 0.18 0.503", "12.6 4 7.4 6.5 15.2", "+1.00"]
    assert rows["cgm's default"][-1] == "0.00, 0.00, 0.00, –"
    assert rows["features-umap_of_encoder"][-1] == "1.00, 0.00, 0.00, –"
    assert rows["cgm's default"][5] == "+0.99"
    shutil.rmtree(tmp_path / "choices" / "features-umap_of_encoder")
    assert "## Features of images" not in report.write_report(tmp_path).read_text()


@pytest.mark.slow
def test_the_settings_of_the_program():
    with initialize_config_dir(str(ROOT / "experiments" / "paper"), version_base="1.3"):
        settings = OmegaConf.to_container(compose("paper"), resolve=True)
    assert settings.pop("folder") is None
    jobs = plan.plan_jobs(**settings)
    assert len({job.folder for job in jobs}) == len({job.overrides for job in jobs}) == len(jobs)
    assert sum(job.folder.startswith("runs/") for job in jobs) == 2 * (5 + 5 + 3 + 3)
    assert settings["what"] == ["paper", *plan.CHOICES]
    for job in jobs:
        if job.folder.endswith("unequal-seed0"):
            config = compose_run(job.overrides)  # every setting exists
            assert config.figures == job.folder.startswith("runs/")
    without = plan.plan_jobs(["paper"], seeds=1, figures=False)
    assert [compose_run(job.overrides).figures for job in without] == [False] * 8


def test_wrong_settings_are_refused():
    cases = [
        ({"what": ["papers"]}, r"^what=\['papers'\]: expected a list of some of paper, .*; did you mean paper\?"),
        ({"what": "paper"}, r"^what=paper: expected a list"),
        ({"datasets": ["iris"]}, r"^datasets=\['iris'\]: .* credit_ratings, credit_card, mnist, cifar10, digits"),
        ({"splits": ["shares"]}, r"^splits="),
        ({"seeds": 0}, r"^seeds=0"),
        ({"figures": "no"}, r"^figures=no"),
        ({"size": "large"}, r"^size=large: expected one of full, small"),
    ]
    for settings, message in cases:
        with pytest.raises(ValueError, match=message):
            plan.plan_jobs(**{"what": ["paper"]} | settings)
