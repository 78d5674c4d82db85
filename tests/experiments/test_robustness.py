import csv
import json
import shutil
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.jobs import run_jobs
from experiments.robustness import features, findings, plan, program, records, report, tables
from experiments.robustness.plan import BASE, Study
from experiments.robustness.sharing import Experiment, Memory
from experiments.settings import compose_run

ROOT = Path(__file__).resolve().parents[2]
MORE = ["kernel.lengthscale=0.3", "cache=false"]
SMALL = {"splits": ["unequal"], "size": "small", "synthetic_size": 200, "more": MORE}
STUDY = Study(what=["scheme"], attacks=["split", "noise"], datasets=["credit_ratings"], seeds=2, **SMALL)
SETTING = ("credit_ratings", "unequal")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a tiny study after its runs: 12 honest ones, and 32 with an attack."""

    folder = tmp_path_factory.mktemp("study")
    assert program.run_study(STUDY, folder) == []
    return folder


@pytest.fixture
def folder(study, tmp_path):
    return Path(shutil.copytree(study, tmp_path / "copy"))


def results(folder: Path, kind: str) -> dict[tuple[str, ...], dict]:
    """Read result.json of runs, by variant and seed, or by variant, attacker, attack and seed."""

    found = {}
    for path in (folder / kind).rglob("result.json"):
        *names, run = path.parent.relative_to(folder / kind).parts
        found[(*names, run[-1])] = json.loads(path.read_text())
    return found


def table(text: str, first: str) -> list[list[str]]:
    """Read the table whose head begins with a cell."""

    lines = text[text.index(f"\n| {first} |") + 1 :].splitlines()
    last = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[:last]]
    return rows[2:]


@pytest.mark.slow
def test_the_attackers_are_the_weakest_and_the_strongest_honest_party(study):
    honest, attacked = results(study, "honest"), results(study, "attacks")
    schemes = {f"scheme={name}" for name in ("gain", "max_welfare", "proportional", "spread", "stable")}
    assert {key[0] for key in honest} == {BASE, *schemes}
    assert {key[0] for key in attacked} == {BASE, *schemes} - {*plan.HONEST_ONLY}
    assert len(attacked) == 2 * (3 * 2 * 2 + 2 * 2)
    for (variant, attacker, attack, seed), result in attacked.items():
        alpha = honest[BASE, seed]["contributions"]["alpha"]
        chosen = {"weakest": min, "strongest": max}[attacker](range(5), key=alpha.__getitem__)
        assert result["attack"]["party"] == chosen
        assert result["attack"]["name"] == {"split": "split_party"}.get(attack, attack)
        assert variant in plan.COMPARED or attacker == "weakest"


@pytest.mark.slow
def test_complete_runs_are_skipped(folder, capsys):
    cut = folder / "attacks" / BASE / "weakest" / "noise" / "credit_ratings-unequal-seed1"
    (cut / "result.json").unlink()  # as if the run had been interrupted
    before = {path: path.read_bytes() for path in folder.rglob("result.json")}
    assert program.run_study(STUDY, folder) == []
    assert "16 of 16 jobs done (15 skipped, 0 failed)" in capsys.readouterr().out
    assert all(path.read_bytes() == content for path, content in before.items())
    assert (cut / "result.json").is_file()


@pytest.mark.slow
def test_runs_that_share_have_the_numbers_of_single_runs(study, tmp_path):
    own = [place for place in STUDY.places() if place[2] == 1]
    jobs = STUDY.attacked(own[0], records.read_honest(study))[-2:]
    assert run_jobs(jobs, tmp_path) == []
    for job in jobs:
        one, other = (json.loads((root / job.folder / "result.json").read_text()) for root in (study, tmp_path))
        for name in ("attack", "contributions", "scheme", "values", "sampling"):
            assert one[name] == other[name]


@pytest.mark.slow
def test_features_of_images(tmp_path):
    study = Study(
        what=["features"], attacks=["noise"], datasets=["digits"], seeds=1, **SMALL | {"more": ["cache=false"]}
    )
    (place,) = study.feature_places()
    shared = partial(Experiment.of, memory=Memory())
    assert run_jobs(study.with_features(place), tmp_path, None, shared) == []
    found = records.read_features(tmp_path)
    assert run_jobs(study.with_features(place, found), tmp_path, None, shared) == []
    own = records.read_records(tmp_path)
    assert [(run.choice, run.kind) for run in own.features] == [
        (choice, kind) for choice in ("default", "ard", "deep") for kind in ("honest", "noise")
    ]
    assert [run.result.features for run in own.features[::2]] == ["pca", "ard", "deep"]
    weakest = min(range(5), key=own.features[0].result.contributions.alpha.__getitem__)
    assert {run.result.attack.party for run in own.features[1::2]} == {weakest}
    rows = table("\n" + "\n\n".join(features.feature_table(own)), "dataset")
    assert [row[2] for row in rows] == ["pca (default)", "ard", "deep"]
    alpha = own.features[4].result.contributions.alpha
    assert rows[2][4] == " ".join(f"{a:.2f}" for a in alpha).replace("-", "−")
    gain = own.features[5].result.attack.alpha
    assert rows[2][6] == f"{gain.total - gain.honest:.2f}".replace("-", "−")
    assert study.feature_places() == [("digits", "unequal", 0)]
    assert study.with_features(place, {}) == []


@pytest.mark.slow
def test_gains_from_the_records(folder):
    """Recompute the gains of the report, in per cent of v_c(N), from result.json."""

    text = report.write_report(folder).read_text()
    honest, attacked = results(folder, "honest"), results(folder, "attacks")
    rows = {(row[0], row[1]): row[2:] for row in table(text, "attack | by the")}
    lines = {
        name: {row[0]: row[1:] for row in table(text, f"gain in {name}")} for name in ("α", "true value, % of v_c(N)")
    }
    with (folder / "gains.csv").open(newline="") as file:
        found = {(r["variant"], r["attacker"], r["attack"], r["seed"]): r for r in csv.DictReader(file)}

    def cell(xs, digits):
        mean = f"{fmean(xs):+.{digits}f}".replace("-", "−")
        mean = mean if float(mean.replace("−", "-")) else mean.lstrip("+−")
        return f"{mean} ± {stdev(xs) / 2**0.5:.{digits}f}"

    for variant in {key[0] for key in attacked}:
        for attacker in plan.ATTACKERS if variant == BASE else ("weakest",):
            for k, attack in enumerate(STUDY.attacks):
                alpha, reward, value = [], [], []
                for seed in "01":
                    gains = attacked[variant, attacker, attack, seed]["attack"]
                    whole = honest[variant, seed]["values"]["grand"]
                    alpha.append(gains["alpha"]["total"] - gains["alpha"]["honest"])
                    reward.append(100 * (gains["reward"]["total"] - gains["reward"]["honest"]) / whole)
                    value.append(100 * fmean(e["value"] - e["value_honest"] for e in gains["by_beta"]) / whole)
                    row = found[variant, attacker, attack, seed]
                    numbers = [float(row[name]) for name in ("alpha", "reward", "value")]
                    assert numbers == pytest.approx([alpha[-1], reward[-1], value[-1]], rel=1e-4)
                expected = [cell(alpha, 3), cell(reward, 1), cell(value, 1)]
                if variant == BASE:
                    assert rows[attack, attacker][:3] == expected
                    assert rows[attack, attacker][3] == f"{int(fmean(value) > 0)} of 1"
                if attacker == "weakest":
                    own = [lines[name][variant][k] for name in lines if name != "α" or variant == BASE]
                    assert own == (expected[::2] if variant == BASE else expected[2:])  # schemes do not change α
                    assert variant == BASE or variant not in lines["α"]


@pytest.mark.slow
def test_schemes_are_compared_in_the_same_runs(folder):
    """Recompute the gains in true value with each scheme; a run that one scheme lacks counts for none."""

    cut = folder / "attacks" / "scheme=gain" / "strongest" / "noise" / "credit_ratings-unequal-seed1"
    (cut / "result.json").unlink()
    text = report.write_report(folder).read_text()
    honest, attacked = results(folder, "honest"), results(folder, "attacks")
    rows = {(row[0], row[1]): row[2:] for row in table(text, "attack | by the | fair: true value")}
    assert set(rows) == {(attack, attacker) for attack in STUDY.attacks for attacker in plan.ATTACKERS}
    for (attack, attacker), cells in rows.items():
        seeds = "0" if (attack, attacker) == ("noise", "strongest") else "01"
        for k, variant in enumerate(plan.COMPARED):
            gains = []
            for seed in seeds:
                betas = attacked[variant, attacker, attack, seed]["attack"]["by_beta"]
                gain = fmean(entry["value"] - entry["value_honest"] for entry in betas)
                gains.append(100 * gain / honest[variant, seed]["values"]["grand"])
            assert float(cells[k].split(" ± ")[0].replace("−", "-")) == pytest.approx(fmean(gains), abs=0.0501)
            assert cells[k + 3] == f"{int(fmean(gains) > 0)} of 1"
    assert (folder / "gains_schemes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_findings_and_prices_from_the_records(folder):
    text = report.write_report(folder).read_text()
    honest, attacked = results(folder, "honest"), results(folder, "attacks")
    rows = table(text, "finding")
    gains = [attacked[BASE, "weakest", "noise", s]["attack"]["alpha"] for s in "01"]
    mean = fmean(g["total"] - g["honest"] for g in gains)
    assert rows[0][2:4] == [f"{mean:+.3f}".replace("-", "−"), "held" if mean > 0 else "not held"]
    rho = fmean(honest["scheme=stable", s]["scheme"]["rho"] for s in "01")
    assert rows[1][2:4] == [f"{rho:.3f}", "held" if rho <= 0.01 else "not held"]
    assert not [row for row in rows if row[0].startswith("(d)")]  # there are no runs with leave-one-out

    rows = {row[0]: row[1:] for row in table(text, " | α with −MMD_u²")}
    spreads = [
        (max(r) - min(r)) / max(r) for s in "01" for r in [honest["scheme=proportional", s]["scheme"]["rewards"]]
    ]
    assert rows["scheme=proportional"][2] == f"{fmean(spreads):.3f} ± {stdev(spreads) / 2**0.5:.3f}"
    missed = sum(not honest[BASE, s]["incentives"]["R6"]["holds"] for s in "01")
    assert (f"R6 ({missed} of 2)" in rows[BASE][-1]) == bool(missed)


@pytest.mark.slow
def test_the_report_is_the_same_bytes_and_names_what_is_missing(folder):
    (folder / "honest" / "scheme=stable" / "credit_ratings-unequal-seed0" / "result.json").unlink()
    first = report.write_report(folder)
    contents = [path.read_bytes() for path in (first, *(folder / f"{name}.png" for name in report.FIGURES))]
    again = report.write_report(folder)
    assert contents == [path.read_bytes() for path in (again, *(folder / f"{name}.png" for name in report.FIGURES))]
    text = contents[0].decode()
    assert "- `honest/scheme=stable/credit_ratings-unequal-seed0`: no result.json" in text
    lost = "attacks/scheme=stable/weakest/noise/credit_ratings-unequal-seed0"
    assert f"- `{lost}`: no complete honest run to compare with" in text
    assert "## Without rewards" not in text
    assert str(ROOT) not in text


def test_runs_without_rewards_are_no_interrupted_ones():
    broken = {
        "attacks/a": "scheme: no reward values satisfy their bounds: party 1; more",
        "attacks/b": "no result.json",
    }
    text = "\n".join(report._missing(records.Records([], [], broken, [])))
    without, missing = text.split("## What is missing")
    assert "- `attacks/a`" in without
    assert "- `attacks/b`: no result.json" in missing
    assert "attacks/a" not in missing


def test_a_report_of_nothing(tmp_path):
    text = report.write_report(tmp_path).read_text()
    assert "What this does not show" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "gains.csv"]


def gain(variant, attack, value, alpha=0.1, seed=0, setting=SETTING):
    return records.Gain(variant, "weakest", attack, setting, seed, 0, alpha, 0.0, value, 0.0)


def test_the_best_remedy_is_the_smallest_gain_of_those_that_reward_contributions():
    gains = [
        gain(BASE, "noise", 5.0),
        gain("contribution=equal", "noise", -9.0, alpha=-1.0),
        gain("reference=real", "noise", 2.0, alpha=0.3),
        gain("scheme=stable", "noise", 1.0, alpha=0.0),
        gain(BASE, "split", -1.0),
        gain("reference=real", "split", -2.0),
        gain(BASE, "clone", 1.0),
        gain("scheme=stable", "clone", 3.0),
    ]
    text = "\n\n".join(tables.remedies(records.Records([], gains, {}, [])))
    rows = {(row[0], row[1]): row[2:] for row in table(text, "gain in | attack")}
    assert rows["true value", "noise"][:3] == ["+5.0", "scheme=stable", "+1.0"]
    assert rows["true value", "split"][:2] == ["−1.0", "none needed"]
    assert rows["true value", "clone"][:2] == ["+1.0", "none helps"]
    assert rows["α", "noise"][:2] == ["+0.100", "none helps"]  # schemes do not change α
    assert "With" not in text  # no variant has all attacks

    gains += [gain(BASE, "noise", 5.0, seed=1), gain("scheme=stable", "split", 4.0)]
    text = "\n\n".join(tables.remedies(records.Records([], gains, {}, [])))
    rows = {(row[0], row[1]): row[2:] for row in table(text, "gain in | attack")}
    assert ("true value", "noise") not in rows  # no variant has both seeds
    gains += [gain("scheme=stable", "noise", 3.0, seed=1)]
    text = "\n\n".join(tables.remedies(records.Records([], gains, {}, [])))
    assert "`noise` (+5.0%). With `scheme=stable`, the most successful attack, `split`, gains least: +4.0%." in text


def test_errors_are_those_of_seeds():
    other = ("digits", "unequal")
    gains = [gain(BASE, "noise", x, seed=s, setting=w) for x, s, w in ((1, 0, SETTING), (9, 0, other), (3, 1, SETTING))]
    both, one = records.over_seeds(gains, "value"), records.over_seeds(gains[:2], "value")
    assert (both.mean, both.sem) == (2.0, 1.0)  # of 1 and 3, since seed 1 lacks the other setting
    assert (one.mean, one.sem) == (5.0, None)


def test_verdicts():
    alphas = {SETTING: 0.2, ("digits", "unequal"): -0.1}
    gains = [gain(BASE, "noise", 1.0, alpha=a, seed=s, setting=where) for s in (0, 1) for where, a in alphas.items()]
    rows = findings.findings(records.Records([], gains, {}, []))[-1]
    assert "| −0.100 to +0.200 | held in 1 of 2 | digits, unequal: −0.100 |" in rows


@pytest.mark.slow
def test_the_settings_of_the_program():
    with initialize_config_dir(str(ROOT / "experiments" / "robustness"), version_base="1.3"):
        settings = OmegaConf.to_container(compose("robustness"), resolve=True)
    assert settings.pop("folder") is None
    assert {name: tuple(x) if isinstance(x, list) else x for name, x in settings.items()} == vars(Study())
    full = Study(**settings)
    jobs = [job for place in full.places() for job in full.honest(place)]
    counts = full.count()
    assert len({job.folder for job in jobs}) == len(jobs) == sum(count[0] for count in counts.values()) == 336
    assert sum(count[1] for count in counts.values()) == 4 * 3 * (2 * 2 * (6 + 2 * 5) + 9 * 5)
    text = "336 honest runs and 1308 with an attack, and 72 with other features, about "
    assert program.describe(full).startswith(text)
    for job in jobs:
        if job.folder.endswith("unequal-seed0") and (job.dataset == "cifar10" or f"/{BASE}/" in job.folder):
            config = compose_run(job.overrides)  # every setting exists
            assert config.synthetic_size == 20 * config.split.points_per_party == 10_000
    for place in full.feature_places()[:3]:
        overrides = full.with_features(place)[1].overrides
        assert len([each for each in overrides if each.startswith("features=")]) == 1
        assert compose_run(overrides).features._target_.endswith("ARD")


@pytest.mark.slow
def test_the_settings_of_attacks_exist(study):
    full = Study(datasets=["credit_ratings"], seeds=1, splits=["unequal"])
    (place,) = full.places()
    attacked = full.attacked(place, records.read_honest(study))
    assert len(attacked) == 2 * (6 + 2 * 5) + 9 * 5
    for job in attacked[::12]:
        attack = compose_run(job.overrides).attack
        assert attack.get("source") != attack.party
    assert full.attacked(place, {}) == []


def test_nothing_is_run_without_attacks():
    study = Study(attacks=[])
    assert (study.places(), study.feature_places()) == ([], [])
    assert program.describe(study) == "0 honest runs and 0 with an attack"


def test_wrong_settings_are_refused():
    cases = [
        (
            {"what": ["schemes"]},
            r"^what=\['schemes'\]: expected a list of entries, each one of contribution, reference, sche",
        ),
        ({"attacks": "noise"}, r"^attacks=noise: expected a list"),
        ({"datasets": ["iris"]}, r"^datasets=\['iris'\]"),
        ({"splits": ["shares"]}, r"^splits="),
        ({"seeds": 0}, r"^seeds=0"),
        ({"size": "large"}, r"^size=large: expected one of full, small"),
        ({"synthetic_size": 100}, r"^synthetic_size=100"),
    ]
    for settings, message in cases:
        with pytest.raises(ValueError, match=message):
            Study(**settings)
