"""Tests whole runs: what the record says is computed anew, plainly, from the points that the run has saved."""

import csv
import dataclasses
import itertools
import json
import logging
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from scipy.spatial.distance import cdist
from scipy.stats import rankdata, sem
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import cgm.mediator
from cgm import Experiment, Mediator, Record
from cgm.data import MNIST, CreditCard, CreditRatings, Dataset, Digits, EqualDisjoint, Shares, Unequal
from cgm.data.attacks import Attack, Attacked, Clone, Duplicate, FreeRide, Noise, Poison, SplitParty
from cgm.data.features.base import Identity
from cgm.data.features.linear import PCA
from cgm.data.holdout import match_parties
from cgm.evaluation.labellers import KNN, AutoLabeller, NoLabeller
from cgm.evaluation.privacy.base import NoAudit
from cgm.evaluation.privacy.membership import Membership
from cgm.evaluation.tasks import NoTask
from cgm.generators import KDE, MMDGAN, Generator
from cgm.networks.classifier import Classifier
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.utils.random import Stream, stream_seed
from cgm.valuation import LengthscaleSearch
from cgm.valuation.kernels import Laplacian, RationalQuadratic, SquaredExponential
from cgm.valuation.references import LeaveOneOutReference, PoolReference

INF = float("inf")
BETAS = (0.0, 1.0, 4.0, INF)
METRICS = [
    "size",
    "value",
    "increasing",
    "neg_mmd2_unbiased",
    "neg_reverse_kl",
    "neg_wasserstein2",
    "neg_class_imbalance",
    "accuracy",
    "accuracy_before",
]
CORRELATED = [name for name in METRICS if name not in ("value", "increasing", "accuracy_before")]
FIGURES = ["correlations", "reward_sizes", "reward_values", "rewards_of_party_2", "value_curves"]
FILES = ["SHA256SUMS", "configuration.json", "metrics.csv", "result.json", "rewards.npz"]


def make(parties: int = 3, betas: tuple = (1, INF), **settings) -> Experiment:
    """Makes an experiment that takes half a second."""

    tiny = {
        "split": EqualDisjoint(n_parties=parties, points_per_party=60),
        "sampling": WeightedSampling(betas),
        "kernel": SquaredExponential(0.5),
        "synthetic_size": 300,
        "figures": False,
    }
    return Experiment(**tiny | settings)


def content(record: Record) -> dict:
    """What `result.json` holds."""

    return record.result.to_json()


def lasting(record: Record) -> dict:
    """What must not change from one run to the next."""

    return {key: value for key, value in content(record).items() if key not in ("seconds", "memory", "versions")}


def entry(record: Record, party: int, beta: float) -> dict:
    return next(c for c in content(record)["sampling"] if c["party"] == party and float(c["beta"]) == beta)


class Plain:
    """Computes everything anew, with the whole kernel matrix at once."""

    def __init__(
        self, experiment: Experiment, record: Record, k=lambda x, y, ell: np.exp(-(cdist(x, y) ** 2) / 2 / ell**2)
    ):
        self.record = record
        data = experiment.dataset.load(experiment.data_dir, experiment.seed)
        rows = experiment.split.assign(data.y, len(data.classes), experiment.seed, data.ordered)
        self.x, self.y = [data.x[r].numpy() for r in rows], [data.y[r].numpy() for r in rows]
        self.test, self.pool = (data.x_test.numpy(), data.y_test.numpy()), record.pool.numpy()
        self.t = np.concatenate([*self.x, self.pool])
        self.n, self.m = len(rows), len(data.classes)
        labeller = KNeighborsClassifier(5).fit(np.concatenate(self.x), np.concatenate(self.y))
        self.labels = labeller.predict(self.pool)
        self.k = lambda x, y: k(x, y, content(record)["kernel"]["lengthscale"])

    def v(self, s):
        return 2 * self.k(s, self.t).mean() - self.k(s, s).mean()

    def prefix_values(self, s):
        """Computes v of the first 1, 2, ... points."""

        size = np.arange(1, len(s) + 1)
        within = np.diag(self.k(s, s).cumsum(0).cumsum(1))
        return 2 * self.k(s, self.t).mean(1).cumsum() / size - within / size**2

    def coalition(self, members):
        return self.v(np.concatenate([self.x[i] for i in members])) if members else 0.0

    def rewarded(self, party, beta):
        """Gives D_i ∪ G_i and its classes."""

        rows = self.record.rewards[party, beta].numpy()
        x = np.concatenate([self.x[party], self.pool[rows]])
        return x, np.concatenate([self.y[party], self.labels[rows]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("experiment") / "new" / "run"


@pytest.fixture(scope="module")
def experiment():
    return make(
        betas=BETAS, synthetic_size=400, kernel=SquaredExponential("fit"), figures=True, embedding_party=2, seed=5
    )


@pytest.fixture(scope="module")
def record(experiment, folder):
    return experiment.run(str(folder))


@pytest.fixture(scope="module")
def plain(experiment, record):
    return Plain(experiment, record)


def test_files_of_a_run(record, folder):
    expected = [*FILES, *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf"))]
    assert sorted(os.listdir(folder)) == sorted(expected)
    for name in FIGURES:
        image = imread(folder / f"{name}.png")
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.01  # there is something to see
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_record_holds_all_that_the_design_names(record):
    r = content(record)
    assert set(r) == {
        "schema",
        "approximation",
        "dataset",
        "split",
        "generator",
        "features",
        "reference",
        "labeller",
        "seed",
        "n_parties",
        "classes",
        "points_per_party",
        "dimensions",
        "t",
        "synthetic_size",
        "kernel",
        "values",
        "contributions",
        "scheme",
        "incentives",
        "sampling",
        "correlations",
        "beta_correlations",
        "distances",
        "downstream",
        "audit",
        "missing",
        "warnings",
        "settings",
        "seconds",
        "memory",
        "versions",
        "attack",
        "privacy",
    }
    assert set(r["kernel"]) == {"name", "lengthscale", "min", "max", "nonnegative", "monotone"}
    assert set(r["values"]) == {"party", "grand", "lower", "upper", "increments"}
    assert set(r["contributions"]) >= {"name", "phi", "alpha", "stderr", "method", "details"}
    assert set(r["scheme"]) == {"name", "v_star", "rho", "epsilon", "stable", "rewards", "spread", "left_out"}
    assert set(r["incentives"]) == {*(f"R{k}" for k in range(1, 7)), *(f"F{k}" for k in range(1, 5))}
    assert all(set(i) == {"holds", "slack", "note"} for i in r["incentives"].values())
    for chain in r["sampling"]:
        assert set(chain) == {"party", "beta", "size", "target", "start", "value", "reached", "increasing"} | {
            "checked",
            "checked_error",
        }
    assert set(r["correlations"]) == set(CORRELATED)
    assert all(set(c) == {"mean", "sem", "n", "by_beta", "reasons", "spearman"} for c in r["correlations"].values())
    assert set(r["beta_correlations"]) == set(r["correlations"])
    assert all({"mean", "sem", "by_party"} <= set(c) for c in r["beta_correlations"].values())
    for accuracy in r["downstream"]:
        assert {"party", "beta", "accuracy", "accuracy_before"} <= set(accuracy)
    keys = [(i, beta) for i in range(3) for beta in BETAS]
    for name in ("sampling", "downstream"):
        assert [(c["party"], float(c["beta"])) for c in r[name]] == keys

    names = ("dataset", "split", "generator", "features", "seed", "n_parties")
    assert [r[name] for name in names] == ["credit_ratings", "equal_disjoint", "kde", "identity", 5, 3]
    assert (r["points_per_party"], r["dimensions"], r["t"], r["synthetic_size"]) == ([60] * 3, 2, 580, 400)
    assert (r["kernel"]["name"], r["contributions"]["method"], r["scheme"]["stable"]) == (
        "squared_exponential",
        "exact",
        True,
    )
    assert r["settings"]["sampling"] == {
        "class": "WeightedSampling",
        "betas": [0.0, 1.0, 4.0, "inf"],
        "patience": 0.1,
        "tolerance": 0.0,
    }
    assert r["settings"]["kernel"]["lengthscale"] == "fit"
    stations = (
        "data features generator pool lengthscale valuation contributions scheme sampling labels metrics downstream"
    )
    assert set(r["seconds"]) == {*stations.split(), "audit", "figures"}
    assert all(seconds >= 0 for seconds in r["seconds"].values())
    assert r["memory"]["peak_mib"] > 100  # PyTorch alone takes as much


def test_result_is_strict_json(record, folder):
    def refuse(constant):
        raise AssertionError(f"result.json holds {constant}")

    text = (folder / "result.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == content(record)
    assert {c["beta"] for c in content(record)["sampling"]} == {*BETAS[:3], "inf"}


def test_metrics_are_tidy_and_complete(record, folder):
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["party", "beta", "metric", "value"]
    found = [(row["party"], row["beta"], row["metric"]) for row in rows]
    assert sorted(found) == sorted(itertools.product("012", ("0", "1", "4", "inf"), METRICS))
    missing = {(str(m["party"]), m["beta"], m["metric"]) for m in content(record)["missing"]}
    for row in rows:
        key = row["party"], "inf" if row["beta"] == "inf" else float(row["beta"]), row["metric"]
        assert np.isfinite(float(row["value"] or "nan")) != (key in missing)


def test_loading_gives_what_was_saved(record, folder):
    loaded = Record.load(folder)
    assert content(loaded) == content(record)
    assert loaded.metrics == record.metrics
    assert torch.equal(loaded.pool, record.pool)
    assert loaded.rewards.keys() == record.rewards.keys()
    assert all(torch.equal(loaded.rewards[key], rows) for key, rows in record.rewards.items())
    assert loaded.table() == record.table()


def test_values(record, plain):
    values = content(record)["values"]
    assert values["party"] == pytest.approx([plain.v(x) for x in plain.x], abs=1e-12)
    assert values["grand"] == pytest.approx(plain.v(np.concatenate(plain.x)), abs=1e-12)
    assert values["upper"] == pytest.approx([plain.v(np.concatenate([x, plain.pool])) for x in plain.x], abs=1e-12)
    changes = [
        plain.coalition([*others, i]) - (plain.coalition(others) if others else 0.0)
        for i in range(3)
        for size in range(3)
        for others in itertools.combinations([j for j in range(3) if j != i], size)
    ]
    assert values["increments"]["negative"] == sum(change < 0 for change in changes) / 12
    assert values["increments"]["smallest"] == pytest.approx(min(changes), abs=1e-12)
    assert min(values["party"]) >= 0  # the length-scale was looked for
    shorter = 0.99 * content(record)["kernel"]["lengthscale"]
    k = lambda x, y: np.exp(-(cdist(x, y) ** 2) / 2 / shorter**2)  # noqa: E731
    assert min(2 * k(x, plain.t).mean() - k(x, x).mean() for x in plain.x) < 0  # and is the least


def test_shapley_values_and_scheme(record, plain):
    phi = np.zeros(3)
    for order in itertools.permutations(range(3)):
        for place, i in enumerate(order):
            phi[i] += (plain.coalition(order[: place + 1]) - plain.coalition(order[:place])) / 6
    shapley, scheme, values = (content(record)[name] for name in ("contributions", "scheme", "values"))
    assert shapley["phi"] == pytest.approx(phi, abs=1e-12)
    assert shapley["alpha"] == pytest.approx(phi / phi.max())

    lower = [max(plain.v(plain.x[i]), plain.coalition([j for j in range(3) if phi[j] <= phi[i]])) for i in range(3)]
    assert values["lower"] == pytest.approx(lower, abs=1e-12)
    rewards = np.maximum(values["party"], scheme["v_star"] * (phi / phi.max()) ** scheme["rho"])
    assert scheme["rewards"] == pytest.approx(rewards, abs=1e-9)
    assert (rewards <= np.array(values["upper"]) + 1e-9).all()
    assert (rewards >= np.array(lower) - 1e-9).all()
    assert scheme["spread"] == pytest.approx(np.ptp(rewards))
    assert all(content(record)["incentives"][f"R{k}"]["holds"] for k in range(1, 7))


def test_chains(record, plain):
    for chain in content(record)["sampling"]:
        party, beta = chain["party"], float(chain["beta"])
        rows = record.rewards[party, beta].tolist()
        assert len(set(rows)) == len(rows) == chain["size"]
        steps = plain.prefix_values(plain.rewarded(party, beta)[0])[59:]  # D_i has 60 points
        assert chain["start"] == pytest.approx(steps[0], abs=1e-12)
        assert chain["value"] == pytest.approx(steps[-1], abs=1e-10)
        assert chain["target"] == content(record)["scheme"]["rewards"][party]
        assert chain["reached"] == (steps[-1] >= chain["target"] - 1e-10)
        assert max(steps[:-1]) < chain["target"]  # it stops as soon as it can
        rises = [after > before for before, after in itertools.pairwise(steps)]
        assert chain["increasing"] == pytest.approx(np.mean(rises), abs=1.5 / len(rows))  # rounding may turn one


def test_chains_that_gave_up_are_told(record, caplog):
    stopped = [c for c in content(record)["sampling"] if not c["reached"]]
    assert stopped, "the case is there no more: choose another seed"
    for chain in stopped:
        start = f"party {chain['party'] + 1}, β={float(chain['beta']):g}: stopped at v = {chain['value']:.6g}"
        assert sum(w.startswith(start) for w in content(record)["warnings"]) == 1
    assert len(content(record)["warnings"]) == len(stopped)


def test_distances(record, plain):
    table = {(party, beta, metric): value for party, beta, metric, value in record.metrics}
    t, mean, cov = len(plain.t), plain.t.mean(0), np.cov(plain.t.T)
    ktt = plain.k(plain.t, plain.t).sum()
    for party, beta in itertools.product(range(3), BETAS):
        s, y = plain.rewarded(party, beta)
        n = len(s)
        assert table[party, beta, "size"] == n - 60
        assert table[party, beta, "value"] == entry(record, party, beta)["value"]
        within = (plain.k(s, s).sum() - n) / n / (n - 1) + (ktt - t) / t / (t - 1)
        assert table[party, beta, "neg_mmd2_unbiased"] == pytest.approx(
            2 * plain.k(s, plain.t).mean() - within, abs=1e-10
        )

        rho, nu = (np.sort(cdist(s, other), 1)[:, 2:7] for other in (s, plain.t))  # column 0 is the point itself
        kl = 2 * np.log(nu / rho).mean() + np.log((t - 1) / (n - 1))
        assert table[party, beta, "neg_reverse_kl"] == pytest.approx(-kl, abs=1e-9)

        roots = np.sqrt(np.linalg.eigvals(np.cov(s.T) @ cov).real).sum()
        frechet = ((s.mean(0) - mean) ** 2).sum() + np.trace(np.cov(s.T)) + np.trace(cov) - 2 * roots
        assert table[party, beta, "neg_wasserstein2"] == pytest.approx(-frechet, abs=1e-10)

        shares = [np.mean(y == c) for c in range(5)]
        assert table[party, beta, "neg_class_imbalance"] == pytest.approx(-sum(p * p for p in shares) / 5)


def test_accuracies(record, plain):
    table = {(party, beta, metric): value for party, beta, metric, value in record.metrics}
    for entry in content(record)["downstream"]:
        assert entry["accuracy"] == table[entry["party"], float(entry["beta"]), "accuracy"]
        assert entry["accuracy_before"] == table[entry["party"], float(entry["beta"]), "accuracy_before"]
        assert entry["reason"] is None
    for party, beta in ((0, 1.0), (2, INF)):
        after = SVC().fit(*plain.rewarded(party, beta)).score(*plain.test)
        before = SVC().fit(plain.x[party], plain.y[party]).score(*plain.test)
        assert table[party, beta, "accuracy"] == pytest.approx(after)
        assert table[party, beta, "accuracy_before"] == pytest.approx(before)
        assert after > before


def test_correlations(record):
    table = {(party, beta, metric): value for party, beta, metric, value in record.metrics}
    alpha = content(record)["contributions"]["alpha"]
    for name, found in content(record)["correlations"].items():
        columns = [[table[i, beta, name] for i in range(3)] for beta in BETAS]
        for got, transform in ((found, np.array), (found["spearman"], rankdata)):
            expected = [np.corrcoef(transform(alpha), transform(column))[0, 1] for column in columns]
            assert got["by_beta"] == pytest.approx(expected, abs=1e-9)
            assert got["mean"] == pytest.approx(np.mean(expected), abs=1e-9)
            assert got["sem"] == pytest.approx(sem(expected), abs=1e-9)
    for name, found in content(record)["beta_correlations"].items():
        rows = [[table[i, beta, name] for beta in BETAS] for i in range(3)]
        pearson = [np.corrcoef(BETAS[:3], row[:3])[0, 1] for row in rows]  # infinity has no place on a line
        spearman = [np.corrcoef(range(4), rankdata(row))[0, 1] for row in rows]
        for got, expected in ((found, pearson), (found["spearman"], spearman)):
            assert got["by_party"] == pytest.approx(expected, abs=1e-9)
            assert got["mean"] == pytest.approx(np.mean(expected), abs=1e-9)
            assert got["sem"] == pytest.approx(sem(expected), abs=1e-9)
        assert any("inf" in reason for reason in found["reasons"])


def test_the_same_seed_gives_the_same_result_and_another_seed_another(tmp_path):
    experiment = make(split=Unequal(n_parties=3, points_per_party=60))
    first = experiment.run(tmp_path / "a")
    again = experiment.run(tmp_path / "b")  # the same object, whose generator is fitted already
    anew = make(split=Unequal(n_parties=3, points_per_party=60)).run(tmp_path / "a")
    for other in (again, anew):
        assert lasting(other) == lasting(first)
        assert torch.equal(other.pool, first.pool)
        assert all(torch.equal(other.rewards[key], rows) for key, rows in first.rewards.items())
    for name in ("metrics.csv", "rewards.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    different = make(split=Unequal(n_parties=3, points_per_party=60), seed=1).run(tmp_path / "c")
    assert not torch.equal(different.pool, first.pool)
    assert content(different)["values"]["party"] != content(first)["values"]["party"]


def test_chains_do_not_depend_on_which_betas_are_asked_for(tmp_path):
    many = make(betas=(8, 1, 2, INF)).run(tmp_path / "many")
    few = make(betas=(2, 8)).run(tmp_path / "few")
    assert set(few.rewards) == {(i, beta) for i in range(3) for beta in (2.0, 8.0)}
    for (party, beta), rows in few.rewards.items():
        assert torch.equal(rows, many.rewards[party, beta])
        assert entry(few, party, beta) == entry(many, party, beta)
    before = {row[:3]: row[3] for row in many.metrics}
    assert all(before[row[:3]] == row[3] for row in few.metrics)


@pytest.mark.parametrize("parties", [1, 2])
def test_few_parties_have_no_correlations(tmp_path, parties):
    record = make(parties).run(tmp_path)
    assert content(Record.load(tmp_path)) == content(record)
    assert content(record)["n_parties"] == parties == len(content(record)["scheme"]["rewards"])
    for found in content(record)["correlations"].values():
        for kind in (found, found["spearman"]):
            assert (kind["mean"], kind["sem"], kind["by_beta"]) == (None, None, [None, None])
            assert f"at least 3 pairs are needed, not {parties}" in kind["reasons"][0]
    for found in content(record)["beta_correlations"].values():
        assert (found["mean"], found["by_party"]) == (None, [None] * parties)
        assert found["reasons"]
    assert len(record.table().splitlines()) >= parties + 3
    if parties == 1:
        assert content(record)["contributions"]["alpha"] == [1.0]
        assert content(record)["scheme"]["rewards"] == pytest.approx(content(record)["values"]["upper"])


def test_without_a_task_accuracies_are_null_with_a_reason(tmp_path):
    record = make(downstream=NoTask()).run(tmp_path)
    rows = [row for row in record.metrics if row[2].startswith("accuracy")]
    assert len(rows) == 3 * 2 * 2
    assert all(row[3] is None for row in rows)
    reasons = {(m["party"], float(m["beta"]), m["metric"]): m["reason"] for m in content(record)["missing"]}
    assert reasons == {row[:3]: "downstream=none" for row in rows}
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert sum(row["value"] == "" for row in csv.DictReader(file)) == len(rows)
    found = content(record)["correlations"]["accuracy"]
    assert (found["mean"], found["by_beta"]) == (None, [None, None])
    assert all(content(record)["correlations"][name]["mean"] is not None for name in CORRELATED[:5])


def test_without_labels_what_needs_them_is_null_with_a_reason(tmp_path):
    record = make(labeller=NoLabeller(), figures=True).run(tmp_path)
    assert content(record)["labeller"] == "none"
    reasons = {m["metric"]: m["reason"] for m in content(record)["missing"]}
    assert set(reasons) == {"neg_class_imbalance", "accuracy", "accuracy_before"}
    assert all("labeller=none" in reason for reason in reasons.values())
    assert all((row[3] is None) == (row[2] in reasons) for row in record.metrics)
    assert (tmp_path / "rewards_of_party_1.png").is_file()


def test_one_class_only_is_null_with_a_reason(tmp_path):
    shares = Shares([[1.0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 0, 0.5, 0.5]], points_per_party=60)
    record = make(split=shares).run(tmp_path)
    before = {e["party"]: e["accuracy_before"] for e in content(record)["downstream"]}
    assert before[0] is None
    assert before[1] is not None
    missing = [m for m in content(record)["missing"] if (m["party"], m["metric"]) == (0, "accuracy_before")]
    assert [m["beta"] for m in missing] == [1.0, "inf"]
    assert all("all 60 training points are of class 0" in m["reason"] for m in missing)


def test_an_audit_of_the_rewards(tmp_path):
    """The audit is computed anew from the files of the run; its members and held-out points are all that there are."""

    experiment = make(audit=Membership(max_rows=10_000), downstream=NoTask(), generator=KDE(1e-9))
    record = experiment.run(tmp_path)
    assert content(Record.load(tmp_path)) == content(record)
    data = experiment.dataset.load(None, 0)
    parties = experiment.split.assign(data.y, len(data.classes), 0, data.ordered, data.classes)
    entries = record.result.audit
    assert [(entry.party, entry.beta) for entry in entries] == list(record.rewards)
    table = {(party, beta, metric): value for party, beta, metric, value in record.metrics}
    held_out = match_parties(data.y_test, [data.y[rows] for rows in parties], 0)
    for entry in entries:
        others = [j for j in range(3) if j != entry.party]
        x, y = (torch.cat([rows[j] for j in others]) for rows in (parties, held_out))
        g = record.pool[record.rewards[entry.party, entry.beta]]
        assert (entry.members, entry.non_members) == (len(x), len(y))
        inside, outside = cdist(g, data.x[x]).min(1), cdist(g, data.x_test[y]).min(1)
        assert entry.copies == sum(inside < 1e-6)
        assert entry.copies_held_out == sum(outside < 1e-6)
        assert entry.nearest_share == np.mean(inside < outside)
        scores = -cdist(torch.cat([data.x[x], data.x_test[y]]), g).min(1)
        nearest = next(attack for attack in entry.attacks if attack.name == "nearest")
        area = roc_auc_score(np.repeat([1, 0], [len(x), len(y)]), scores)
        assert nearest.auc == pytest.approx(area, abs=1e-3)  # rounding changes the order of copies
        for name in ("auc", "tpr"):
            assert table[entry.party, entry.beta, f"{name}_nearest"] == getattr(nearest, name)
        assert table[entry.party, entry.beta, "copies"] == entry.copies > 0
    assert not any(warning.startswith("audit") for warning in content(record)["warnings"])
    lines = record.table().splitlines()
    shown = [line for line in lines if " nearest " in line and "(chance)" not in line]
    assert len(shown) == sum(entry.strongest == "nearest" for entry in entries) > 0

    plain_run = dataclasses.replace(experiment, audit=NoAudit()).run(tmp_path / "without")
    same = {"audit": ..., "settings": ...}
    assert lasting(plain_run) | same == lasting(record) | same  # an audit changes nothing else
    assert plain_run.result.audit == []
    assert [row for row in record.metrics if row[2] in METRICS] == plain_run.metrics


def test_an_audit_of_features_that_were_fitted_to_all_warns(tmp_path):
    class Joint(Identity):
        joint = True

    record = make(2, audit=Membership(), features=Joint(), downstream=NoTask()).run(tmp_path)
    assert sum(warning.startswith("audit: the features were fitted") for warning in content(record)["warnings"]) == 1
    with pytest.raises(ValueError, match="audit: expected an Audit"):
        make(audit=5)


def test_g_grows_until_the_rewards_fit(tmp_path, caplog):
    record = make(synthetic_size=8, growth=4, max_growth=1000).run(tmp_path)
    growths = [w for w in content(record)["warnings"] if "G grows from" in w]
    sizes = [int(w.split("G grows from ")[1].split()[0]) for w in growths]
    assert len(sizes) >= 2
    assert sizes == [8 * 4**k for k in range(len(sizes))]
    grown = 4 * sizes[-1]
    assert content(record)["synthetic_size"] == grown == len(record.pool)
    assert content(record)["t"] == 180 + grown
    assert content(record)["settings"]["synthetic_size"] == 8
    assert all(warning in caplog.messages for warning in growths)
    assert "lower bound v_min = " in growths[0]  # the reason is said once
    assert "upper bound v(D_i ∪ G) = " in growths[0]
    assert all(content(record)["incentives"][name]["holds"] for name in ("R2", "R4", "R6"))

    direct = make(synthetic_size=grown).run(tmp_path / "direct")
    small = [w for w in content(record)["warnings"] if w.startswith("synthetic_size=8: G has 8 points")]
    assert len(small) == 1
    assert content(direct)["warnings"] == [w for w in content(record)["warnings"] if w not in (*growths, *small)]
    assert content(direct)["values"] == content(record)["values"]
    assert torch.equal(direct.pool, record.pool)


@pytest.mark.parametrize(("reference", "name"), [(PoolReference(), "pool"), (LeaveOneOutReference(), "leave_one_out")])
def test_the_reference_is_recorded(reference, name, tmp_path):
    """And the metrics compare with T, whatever the reference of the values."""

    experiment = make(betas=(4.0,), synthetic_size=300, scheme=ShapleyFair(stable=False), reference=reference)
    record = experiment.run(tmp_path)
    assert record.result.reference == name
    assert record.result.settings["reference"] == {"class": type(reference).__name__}
    assert record.result.t == sum(record.result.points_per_party) + 300
    plain = Plain(experiment, record)
    found = {(row.party, row.beta): row.value for row in record.metrics if row.metric == "neg_mmd2_unbiased"}
    assert len(found) == 3
    for (party, beta), value in found.items():
        s, _ = plain.rewarded(party, beta)
        k_ss, k_tt, k_st = plain.k(s, s), plain.k(plain.t, plain.t), plain.k(s, plain.t)
        expected = (k_ss.sum() / len(s) - 1) / (len(s) - 1) + (k_tt.sum() / len(k_tt) - 1) / (len(k_tt) - 1)
        assert value == pytest.approx(2 * k_st.mean() - expected, abs=1e-9)


def test_beyond_the_limit_the_error_names_parties_and_bounds(tmp_path):
    with pytest.raises(InfeasibleScheme) as caught:
        make(synthetic_size=2, growth=3, max_growth=10).run(tmp_path)
    for text in ("party", "lower bound v_min = 0.", "upper bound v(D_i ∪ G) = 0.", "cross at", "scheme.stable=false"):
        assert text in str(caught.value)
    assert "tried up to synthetic_size=18, max_growth=10" in str(caught.value)
    assert os.listdir(tmp_path) == []


class Outlier:
    """Loads a dataset of which one class lies far away from all else, all in one place."""

    def load(self, data_dir, seed):
        random = torch.Generator().manual_seed(seed)
        x, y = 0.5 * torch.randn(180, 2, generator=random, dtype=torch.float64), torch.arange(180) % 3
        x[y == 2] = x[y == 2] / 50 + 40
        return Dataset("outlier", x, y, x[:30] + 0.01, y[:30], ("a", "b", "far"))


@pytest.mark.parametrize("stable", [True, False])
def test_a_party_whose_shapley_value_is_negative(tmp_path, caplog, stable):
    split = EqualDisjoint(n_parties=3, points_per_party=60, majority=1.0)
    settings = {"kernel": SquaredExponential(0.3), "scheme": ShapleyFair(stable=stable)}
    record = make(dataset=Outlier(), split=split, **settings).run(tmp_path)
    r = content(record)
    assert r["contributions"]["phi"][2] < 0 < min(r["contributions"]["phi"][:2])
    assert r["scheme"]["left_out"] == [2]
    assert r["scheme"]["rewards"][2] == r["values"]["party"][2] < 0
    assert min(r["scheme"]["rewards"][:2]) > 0
    warning = next(w for w in r["warnings"] if w.startswith("party 3 has the contribution -0."))
    assert "left out" in warning
    assert warning in caplog.messages
    incentives = r["incentives"]
    assert incentives["R1"]["holds"] is False
    assert incentives["R1"]["slack"] == r["scheme"]["rewards"][2]
    assert incentives["R4"]["holds"] is True
    assert "condition (ρ > 0 and v_min <= v* α_i^ρ for all i) is not met" in incentives["F4"]["note"]
    assert "R1 NOT held" in record.table()

    for beta in (1.0, INF):
        chain = entry(record, 2, beta)
        assert (chain["size"], chain["reached"], chain["increasing"]) == (0, True, None)
        assert record.rewards[2, beta].shape == (0,)
    reasons = {m["reason"] for m in r["missing"] if m["metric"] == "increasing"}
    assert reasons == {"no point was accepted"}
    assert content(Record.load(tmp_path)) == r


@pytest.mark.parametrize(
    "kernel", [RationalQuadratic("median", alpha=0.5), Laplacian("fit"), SquaredExponential("median")]
)
def test_other_kernels(tmp_path, kernel):
    experiment = make(kernel=kernel, scheme=ShapleyFair(stable=False))
    record = experiment.run(tmp_path)
    profiles = {
        "RationalQuadratic": lambda x, y, ell: (1 + cdist(x, y) ** 2 / ell**2) ** -0.5,
        "Laplacian": lambda x, y, ell: np.exp(-cdist(x, y) / ell),
        "SquaredExponential": lambda x, y, ell: np.exp(-(cdist(x, y) ** 2) / 2 / ell**2),
    }
    plain = Plain(experiment, record, profiles[type(kernel).__name__])
    assert content(record)["values"]["party"] == pytest.approx([plain.v(x) for x in plain.x], abs=1e-12)
    if kernel.lengthscale == "median":
        distances = cdist(plain.t, plain.t)[np.triu_indices(len(plain.t), 1)]
        assert content(record)["kernel"]["lengthscale"] == pytest.approx(np.median(distances), rel=1e-3)


class Spy(Generator):
    """Notes what it is fitted to."""

    def __init__(self, change=lambda sample: sample, space="features"):
        self.change, self.space, self.inner = change, space, KDE()
        self.seen = []  # a list, which the mediator's copy of the generator shares

    @property
    def x(self):
        return self.seen[-1]

    def fit(self, x, seed):
        self.seen.append(x.clone())
        self.shape = x.shape[1:]
        self.inner.fit(x.flatten(1), seed)
        return self

    def sample(self, n, seed):
        return self.change(self.inner.sample(n, seed).reshape(n, *self.shape))


def test_the_generator_sees_the_parties_points_and_no_others(tmp_path):
    spy = Spy()
    experiment = make(generator=spy)
    record = experiment.run(tmp_path)
    data = experiment.dataset.load(None, 0)
    rows = torch.cat(experiment.split.assign(data.y, 5, 0))
    assert torch.equal(spy.x, data.x[rows])
    assert not (spy.x[:, None] == data.x_test).all(2).any()
    assert content(record)["generator"] == "spy"
    assert torch.equal(record.pool, make().run().pool)  # a wrapped KDE is a KDE


class Images:
    """Loads images of 3 x 3 pixels in two classes."""

    def load(self, data_dir, seed):
        random = torch.Generator().manual_seed(seed)
        y = torch.arange(400) % 2
        x = y[:, None, None, None] + torch.randn(400, 1, 3, 3, generator=random)
        return Dataset("images", x[:300], y[:300], x[300:], y[300:], ("a", "b"))


@pytest.mark.parametrize(("features", "width"), [(Identity(), 9), (PCA(components=2), 2)])
def test_a_generator_of_images_makes_images_and_features_reduce_them(tmp_path, features, width):
    spy = Spy(space="data")
    experiment = make(2, dataset=Images(), features=features, generator=spy, kernel=SquaredExponential("median"))
    record = experiment.run(tmp_path)
    assert spy.x.shape == (120, 1, 3, 3)
    assert record.pool.shape == (content(record)["synthetic_size"], width)
    assert record.pool.dtype == torch.float64
    assert content(record)["dimensions"] == width

    seen = Spy()
    make(2, dataset=Images(), features=features, generator=seen, kernel=SquaredExponential("median")).run()
    assert seen.x.shape == (120, width)  # a generator in the space of features is fitted to features


def no_numbers(sample):
    sample[3, 0] = float("nan")
    return sample


@pytest.mark.parametrize(
    ("change", "space", "message"),
    [
        (no_numbers, "features", "generator: Spy.sample returned NaN or infinity in row 3 of 300; see check_generator"),
        (lambda x: x / 0, "features", "generator: Spy.sample returned NaN or infinity in row 0 of 300"),
        (lambda x: x[:, :1], "features", "generator: synthetic pool: has 1 columns where 2 are expected"),
        (lambda x: x[:, :1], "data", "has 1 columns where 2 are expected"),
        (lambda x: x[:299], "features", "generator: synthetic pool: has 299 points, at least 300"),
        (lambda x: x.numpy(), "features", "generator: sample returned a ndarray, expected a tensor"),
        (lambda x: x.flatten(), "features", r"generator: synthetic pool: expected shape \(N, d\)"),
    ],
)
def test_bad_samples_are_refused_before_any_long_work(tmp_path, monkeypatch, change, space, message):
    for name in ("resolve_lengthscale", "Valuation"):
        monkeypatch.setattr(cgm.mediator, name, lambda *args, **kwargs: pytest.fail("long work has begun"))
    with pytest.raises(ValueError, match=message):
        make(generator=Spy(change, space)).run(tmp_path)
    assert os.listdir(tmp_path) == []


class Spoilt:
    """Loads credit ratings of which something is wrong."""

    def __init__(self, change):
        self.change = change

    def load(self, data_dir, seed):
        data = CreditRatings().load(data_dir, seed)
        x = data.x.clone()
        self.change(x, data.y)
        return Dataset("spoilt", x, data.y, data.x_test, data.y_test, data.classes)


def with_nan(x, y):
    x[7, 1] = float("nan")


def all_equal(x, y):
    x[y < 2] = 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_nan, "dataset spoilt: row 7 holds NaN or infinity"),
        (all_equal, "party 1: all its 60 points are equal"),
    ],
)
def test_bad_data_is_refused_before_the_generator_is_fitted(tmp_path, change, message):
    spy = Spy()
    split = EqualDisjoint(n_parties=3, points_per_party=60, majority=1.0)
    with pytest.raises(ValueError, match=message):
        make(dataset=Spoilt(change), split=split, generator=spy).run(tmp_path)
    assert spy.seen == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"synthetic_size": 0}, "synthetic_size=0"),
        ({"synthetic_size": 2.5}, "synthetic_size=2.5"),
        ({"synthetic_size": "many"}, "synthetic_size=many"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=null"),
        ({"precision": "half"}, "precision="),
        ({"embedding_party": 0}, "embedding_party=0"),
        ({"cache": True}, "cache=true: expected a path, or false"),
        ({"device": "no_such_device"}, "device=no_such_device: expected cpu, cuda, "),
        ({"growth": 1}, r"growth=1: expected a number in \(1, inf\)"),
        ({"max_growth": 0.5}, r"max_growth=0.5: expected a number in \[1, inf\)"),
    ],
)
def test_bad_settings_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ValueError, match=r"device=cuda: not available on this machine .*; use 'cpu'"):
        make(device="cuda").run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"device=cuda: not available on this machine .*; use 'cpu'"):
        Mediator(device="cuda").settle([torch.randn(20, 2)] * 2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding_party": 4}, "embedding_party=4: there are 3 parties"),
        ({"split": EqualDisjoint(points_per_party=5000)}, "split.points_per_party=5000: class 0 .* has 1000 points"),
        (
            {"kernel_search": LengthscaleSearch(high=0.02), "kernel": SquaredExponential("fit")},
            "kernel.lengthscale=fit: party",
        ),
        ({"dataset": CreditCard(), "data_dir": "/nowhere"}, "dataset=credit_card: no file at /nowhere"),
    ],
)
def test_bad_settings_that_need_the_data_leave_nothing(tmp_path, settings, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(**settings).run(tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_kernel_search_follows_its_settings(tmp_path):
    record = make(kernel=SquaredExponential("fit"), kernel_search=LengthscaleSearch(iterations=4)).run(tmp_path)
    step = (1000 - 0.01) / 2**4
    assert (content(record)["kernel"]["lengthscale"] - 0.01) / step == pytest.approx(1)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The folder of a complete run."""

    folder = tmp_path_factory.mktemp("complete")
    make().run(folder)
    return folder


@pytest.mark.parametrize(
    ("station", "error"),
    [
        ("generators.kde.KDE.fit", KeyboardInterrupt),
        ("generators.kde.KDE.fit", RuntimeError),
        ("mediator.Valuation", KeyboardInterrupt),
        ("experiment.evaluate", KeyboardInterrupt),
        ("records.figures.run.draw_run", KeyboardInterrupt),
        ("evaluation.tasks.SVM.evaluate", KeyboardInterrupt),
        ("records.record.Record.save", KeyboardInterrupt),
    ],
)
def test_a_run_that_breaks_off_leaves_no_result(tmp_path, monkeypatch, complete, station, error):
    """Not even an earlier run's: its other files may be replaced in part already."""

    for folder in (tmp_path / "new", shutil.copytree(complete, tmp_path / "old")):

        def fail(*args, **kwargs):
            raise error("in the middle")

        with monkeypatch.context() as patch:
            patch.setattr(f"cgm.{station}", fail)
            with pytest.raises(error, match="in the middle"):
                make(figures=station.endswith("draw_run"), synthetic_size=200).run(folder, force=True)
        assert not (folder / "result.json").exists()
        with pytest.raises(FileNotFoundError, match=r"no result\.json: (the run is not finished|there is no run)"):
            Record.load(folder)


def test_nothing_is_printed_but_by_the_log(tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO, logger="cgm"):
        make().run(tmp_path)
    assert capfd.readouterr().out == ""
    assert any(message.startswith("dataset credit_ratings: 5000 points, 1000 held out") for message in caplog.messages)
    assert any(message.startswith("length-scale 0.5, v(N) = ") for message in caplog.messages)


def test_more_parties_than_can_be_listed(tmp_path):
    record = make(22, split=EqualDisjoint(n_parties=22, points_per_party=10), scheme=ShapleyFair(stable=False)).run(
        tmp_path
    )
    assert content(record)["contributions"]["method"] == "equal_sizes"
    assert content(record)["incentives"]["R5"]["holds"] is None
    assert "R5 unknown" in record.table()
    assert content(Record.load(tmp_path)) == content(record)


def test_credit_card(tmp_path, data_dir):
    experiment = make(
        dataset=CreditCard(),
        split=Unequal(points_per_party=100),
        kernel=SquaredExponential("fit"),
        data_dir=str(data_dir),
        synthetic_size=1500,
    )
    record = experiment.run(tmp_path)
    r = content(record)
    assert (r["dataset"], r["split"], r["dimensions"], r["n_parties"]) == ("credit_card", "unequal", 4, 5)
    assert (r["points_per_party"], r["t"]) == ([100] * 5, 500 + r["synthetic_size"])
    assert min(r["values"]["party"]) >= 0
    assert max(r["contributions"]["alpha"]) == 1
    assert all(r["incentives"][name]["holds"] for name in ("R1", "R2", "R3", "R4", "R6"))
    assert all(m["metric"] == "increasing" for m in r["missing"])
    assert np.mean([e["accuracy"] for e in r["downstream"]]) > 0.22  # a guess among five classes: 0.2
    assert content(Record.load(tmp_path)) == r


def test_an_mmd_gan_is_trained_on_real_images_and_the_whole_way_is_gone(tmp_path):
    experiment = make(
        2,
        dataset=Digits(),
        features=PCA(2),  # the figure then needs no UMAP
        generator=MMDGAN(pretrained=False, channels=4, latent=8, steps=20, batch_size=16),
        kernel=SquaredExponential("fit"),
        scheme=ShapleyFair(stable=False),
        figures=True,
        cache=str(tmp_path / "cache"),
    )
    record = experiment.run(tmp_path / "run")
    names = ("dataset", "generator", "features", "labeller", "dimensions")
    assert [content(record)[name] for name in names] == ["digits", "mmd_gan", "pca", "knn", 2]
    assert any(len(rows) for rows in record.rewards.values())

    assert (tmp_path / "run" / "rewards_of_party_1.png").is_file()
    experiment = dataclasses.replace(experiment, figures=False)
    again = experiment.run(tmp_path / "again")  # from the cache
    assert torch.equal(again.pool, record.pool)
    assert {path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()} == {"features", "pool"}
    assert lasting(again) | {"settings": ...} == lasting(record) | {"settings": ...}
    fresh = dataclasses.replace(experiment, cache=False).run(tmp_path / "fresh")
    assert lasting(fresh) | {"settings": ...} == lasting(record) | {"settings": ...}


@pytest.mark.parametrize("labeller", ["auto", "knn"])
def test_synthetic_images_are_labelled_by_a_classifier(tmp_path, data_dir, labeller):
    experiment = make(
        2,
        dataset=MNIST(),
        features=PCA(4),
        generator=MMDGAN(),  # the weights that come with cgm
        kernel=SquaredExponential("fit"),
        downstream=NoTask(),
        labeller=AutoLabeller() if labeller == "auto" else KNN(),
        scheme=ShapleyFair(stable=False),
        data_dir=str(data_dir),
    )
    record = experiment.run(tmp_path)
    assert (content(record)["labeller"], content(record)["generator"]) == (
        "cnn" if labeller == "auto" else "knn",
        "mmd_gan",
    )

    data = MNIST().load(str(data_dir), 0)
    pooled = torch.cat(list(experiment.split.assign(data.y, 10, 0, data.ordered)))
    images = (
        MMDGAN()
        .fit(data.x[pooled], 0)
        .sample(content(record)["synthetic_size"], stream_seed(experiment.seed, Stream.SAMPLE_POOL))
    )
    features = PCA(4).fit(data.x[pooled], stream_seed(experiment.seed, Stream.FIT_FEATURES))
    torch.testing.assert_close(features.transform(images), record.pool)
    if labeller == "auto":
        labels = Classifier.shipped(dataset="mnist").predict(images)
    else:
        labels = KNN().label(features.transform(data.x[pooled]), data.y[pooled], record.pool)
    shares = {(i, beta): value for i, beta, name, value in record.metrics if name == "neg_class_imbalance"}
    for (i, beta), rows in record.rewards.items():
        y = torch.cat([data.y[experiment.split.assign(data.y, 10, 0, data.ordered)[i]], labels[rows]])
        p = torch.bincount(y, minlength=10) / len(y)
        assert shares[i, beta] == pytest.approx(-float((p**2).mean()), abs=1e-6)


ATTACKS = [
    Duplicate(party=2),
    SplitParty(party=2, identities=3),
    Clone(party=2, source=1),
    Noise(party=2),
    FreeRide(party=2),
    FreeRide(party=2, kind="public"),
    Poison(party=2),
]


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """An experiment without an attack, its record, and its plain computation."""

    experiment = make(seed=3)
    record = experiment.run(tmp_path_factory.mktemp("honest"))
    return experiment, record, Plain(experiment, record)


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_an_attack_is_compared_with_the_honest_run(tmp_path, honest, attack):
    experiment, record, plain = honest
    attacked = dataclasses.replace(experiment, attack=attack).run(tmp_path)
    gains, before, after = attacked.result.attack, record.result, attacked.result
    assert Record.load(tmp_path).result == after
    assert (gains.party, gains.identities[0]) == (1, 1)
    assert after.n_parties == 3 + len(gains.identities) - 1
    assert {"honest", "gains"} <= set(after.seconds)
    assert "attack" in attacked.table().splitlines()[-4]

    for change, old, new in (
        (gains.alpha, before.contributions.alpha, after.contributions.alpha),
        (gains.reward, before.scheme.values, after.scheme.values),
    ):
        numbers = new[gains.identities].tolist()
        assert change.honest == pytest.approx(float(old[1]), abs=1e-12)
        assert (change.total, change.max) == pytest.approx((sum(numbers), max(numbers)), abs=1e-12)

    pool = attacked.pool.numpy()
    labels = KNeighborsClassifier(5).fit(np.concatenate(plain.x), np.concatenate(plain.y)).predict(pool)
    for entry in gains.by_beta:
        rows = np.unique(np.concatenate([attacked.rewards[a, entry.beta] for a in gains.identities]))
        assert (entry.size_honest, entry.size) == (len(record.rewards[1, entry.beta]), len(rows))
        assert entry.value_honest == pytest.approx(plain.v(plain.rewarded(1, entry.beta)[0]), abs=1e-9)
        x, y = np.concatenate([plain.x[1], pool[rows]]), np.concatenate([plain.y[1], labels[rows]])
        assert entry.value == pytest.approx(plain.v(x), abs=1e-9)
        for (points, classes), accuracy in (
            (plain.rewarded(1, entry.beta), entry.accuracy_honest),
            ((x, y), entry.accuracy),
        ):
            assert accuracy == pytest.approx(SVC().fit(points, classes).score(*plain.test), abs=1e-3)
        for j, found in zip((0, 2), entry.others, strict=True):
            reward = pool[attacked.rewards[j, entry.beta].numpy()]
            change = plain.v(np.concatenate([plain.x[j], reward])) - plain.v(plain.rewarded(j, entry.beta)[0])
            assert found == pytest.approx(change, abs=1e-9)


def test_the_generator_sees_what_the_parties_hand_in(tmp_path):
    spy = Spy()
    experiment = make(generator=spy, attack=Poison(party=3, share=1.0))
    experiment.run(tmp_path)
    data = experiment.dataset.load(None, 0)
    rows = experiment.split.assign(data.y, 5, 0)
    x, y = [data.x[r] for r in rows], [data.y[r] for r in rows]
    assert torch.equal(spy.x, torch.cat(experiment.attack.apply(x, y, 0).parties))
    assert not torch.equal(spy.x, torch.cat(x))


def test_an_attack_on_images_is_valued_in_the_features_of_the_honest_data(tmp_path):
    settings = {"dataset": Digits(), "features": PCA(2), "kernel": SquaredExponential("fit"), "synthetic_size": 600}
    settings |= {"scheme": ShapleyFair(stable=False), "figures": True}
    honest = make(**settings).run(tmp_path / "honest")
    attacked = make(**settings, attack=Noise(share=1.0)).run(tmp_path / "attacked")
    gains = attacked.result.attack
    assert gains.alpha.honest == pytest.approx(float(honest.result.contributions.alpha[0]), abs=1e-12)
    assert (tmp_path / "attacked" / "rewards_of_party_1.png").is_file()
    # other parties hand in the same data, in the same features: their kernel sums among each other follow
    data = settings["dataset"].load(None, 0)
    rows = make(**settings).split.assign(data.y, 10, 0)
    features = PCA(2).fit(torch.cat([data.x[r] for r in rows]), stream_seed(0, Stream.FIT_FEATURES))
    t = torch.cat([features.transform(torch.cat([data.x[r] for r in rows])), honest.pool]).numpy()
    for entry in gains.by_beta:
        reward = attacked.pool[attacked.rewards[0, entry.beta]].numpy()
        s = np.concatenate([features.transform(data.x[rows[0]]).numpy(), reward])
        ell = honest.result.kernel.lengthscale

        def k(x, y, ell=ell):
            return np.exp(-(cdist(x, y) ** 2) / 2 / ell**2)

        assert entry.value == pytest.approx(2 * k(s, t).mean() - k(s, s).mean(), abs=1e-9)


def test_an_attack_without_labels_has_no_accuracies(tmp_path):
    result = make(attack=Noise(), labeller=NoLabeller()).run(tmp_path).result
    for entry in result.attack.by_beta:
        assert (entry.accuracy, entry.accuracy_honest) == (None, None)
        assert entry.reason == "the synthetic points have no labels (labeller=none)"


@dataclasses.dataclass(frozen=True)
class Nobody(Attack):
    """An attack of a user's own, by no party."""

    def apply(self, parties, labels, seed, public=None):
        return Attacked(list(parties), list(labels), ())


def test_an_attack_by_no_party_is_none(tmp_path):
    record = make(attack=Nobody()).run(tmp_path)
    assert record.result.attack is None
    assert lasting(record) | {"settings": ...} == lasting(make().run()) | {"settings": ...}


def test_warnings_of_the_honest_settlement_are_kept(tmp_path):
    split = EqualDisjoint(n_parties=3, points_per_party=60, majority=1.0)
    settings = {"dataset": Outlier(), "split": split, "kernel": SquaredExponential(0.3)}
    result = make(**settings, attack=Duplicate()).run(tmp_path).result
    assert any(w.startswith("without the attack: party 3 has the contribution -0.") for w in result.warnings)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (Noise(party=4), "attack.party=4: there are 3 parties"),
        (SplitParty(identities=40), "attack.identities=40: party 1 has 60 points"),
        (Clone(source=5), "attack.source=5: there are 3 parties"),
    ],
)
def test_an_impossible_attack_leaves_nothing(tmp_path, attack, message):
    with pytest.raises(ValueError, match=message):
        make(attack=attack).run(tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_attack_is_an_attack():
    with pytest.raises(ValueError, match="attack: expected an Attack, got int"):
        make(attack=5)


def tree(folder):
    """The files of a folder, by their contents and times."""

    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_run_that_is_complete_is_not_repeated(tmp_path, monkeypatch):
    record = make().run(tmp_path / "run")
    before = tree(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "run_anew", lambda *args: pytest.fail("it ran again"))
        for folder in (tmp_path / "run", str(tmp_path / "run")):
            again = make().run(folder)
            assert lasting(again) == lasting(record)
            assert again.metrics == record.metrics
            assert torch.equal(again.pool, record.pool)
            assert again.rewards.keys() == record.rewards.keys()
    assert tree(tmp_path / "run") == before


def test_the_folder_of_another_experiment_is_refused(tmp_path):
    make().run(tmp_path)
    before = tree(tmp_path)
    for settings, names in (
        ({"seed": 1}, "seed"),
        ({"kernel": "laplacian"}, r"kernel.*"),
        ({"figures": True, "synthetic_size": 299}, "synthetic_size, figures"),
    ):
        message = (
            rf"{tmp_path}: has a run with other settings \(.*{names.replace(', ', '.*')}.*\); give another folder, "
        )
        with pytest.raises(ValueError, match=message):
            make(**settings).run(tmp_path)
    assert {name: content for name, (content, _) in tree(tmp_path).items()} == {
        name: content for name, (content, _) in before.items()
    }
    replaced = make(seed=1).run(tmp_path, force=True)
    assert replaced.result.seed == 1
    assert Record.load(tmp_path).result.seed == 1


def test_a_run_that_was_interrupted_or_is_damaged_runs_again(tmp_path, caplog):
    first = make().run(tmp_path)
    for damage, message in (
        (lambda: (tmp_path / "result.json").unlink(), None),
        (lambda: (tmp_path / "metrics.csv").unlink(), "damaged, runs again: no metrics.csv"),
        (lambda: (tmp_path / "configuration.json").unlink(), "damaged, runs again: no configuration.json"),
    ):
        damage()
        caplog.clear()
        again = make().run(tmp_path)
        assert lasting(again) == lasting(first)
        assert any(message in each for each in caplog.messages) if message else True
        assert sorted(os.listdir(tmp_path)) == FILES
    with pytest.raises(ValueError, match="embedding_party"):
        make(embedding_party=2).run(tmp_path)


class Shifted:
    """A dataset that is no dataclass: its record does not have its settings."""

    def __init__(self, shift):
        self.shift = shift

    def load(self, data_dir, seed):
        data = CreditRatings().load(data_dir, seed)
        return dataclasses.replace(data, x=data.x + self.shift)


def test_settings_of_classes_that_are_no_dataclasses_count(tmp_path):
    make(dataset=Shifted(0.0)).run(tmp_path)
    make(dataset=Shifted(0.0)).run(tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(dataset\.shift\)"):
        make(dataset=Shifted(1.0)).run(tmp_path)


class Held:
    """A dataset that holds what it needs in a private attribute."""

    def __init__(self, held):
        self._held = held

    def load(self, data_dir, seed):
        return CreditRatings().load(data_dir, seed)


def test_content_that_a_dataset_holds_counts(tmp_path, caplog):
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    make(dataset=Held(frame)).run(tmp_path)
    make(dataset=Held(frame.copy())).run(tmp_path)
    assert f"{tmp_path}: complete already, this record is loaded; force=True runs it again" in caplog.messages
    with pytest.raises(ValueError, match=r"other settings \(dataset\._held\.sha256\)"):
        make(dataset=Held(frame + 1)).run(tmp_path)


def test_a_run_whose_settings_cannot_be_compared_runs_again(tmp_path, caplog):
    for _ in range(2):
        make(dataset=Held(lambda x: x)).run(tmp_path)
    told = [message for message in caplog.messages if "cannot be told" in message]
    assert told == [
        f"{tmp_path}: whether the settings are the same cannot be told, runs again: dataset._held is a function"
    ]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = make(figures=True).run()
    assert os.listdir(tmp_path) == []
    written = make(figures=False).run(tmp_path / "run")
    assert lasting(record) | {"settings": ...} == lasting(written) | {"settings": ...}
    assert record.metrics == written.metrics
    assert torch.equal(record.pool, written.pool)
    record.save(tmp_path / "saved")
    assert lasting(Record.load(tmp_path / "saved")) == lasting(record)


def test_files_of_others_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected a new or empty folder, or that of a run; found other files in it"):
        make().run(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    make().run(tmp_path, force=True)
    make().run(tmp_path)  # now there is a run
    assert (tmp_path / "notes.txt").read_text() == "mine"

    def interrupt(*_: object) -> None:
        (tmp_path / "second" / "figure.pdf").write_text("")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cgm.records.figures.run.draw_run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(figures=True).run(tmp_path / "second")
    make(figures=False).run(tmp_path / "second")
