"""The experiment on the sign and the bias of the reverse KL divergence."""

import json
import math
from statistics import fmean

import numpy as np
import pytest
import torch
from scipy.stats import entropy, pearsonr

from cgm.evaluation.metrics.paper import neg_reverse_kl
from cgm.utils.plain import NUMERICS
from experiments.paper import divergence, published
from experiments.paper.divergence import of_sizes


@pytest.fixture(scope="module")
def measured() -> dict:
    return divergence.measure("credit_ratings", "unequal", seed=0, size=3000)


def test_measure(measured: dict) -> None:
    """Uniform draws are nearer to T than rewards are; the estimates from T and from other points differ."""

    sizes, values = measured["sizes"], measured["values"]
    assert set(values) == set(measured["correlations"]) == {"T", "other", "uniform", "apart"}
    assert len(sizes) == 4  # β
    assert max(map(max, sizes)) <= 3000
    for table in values.values():
        assert [len(row) for row in table] == [5] * 4
        assert all(x != 0 for row in table for x in row)
    assert values["T"] != values["other"]
    mean = {name: sum(map(sum, table)) / 20 for name, table in values.items()}
    assert mean["T"] < mean["uniform"]
    assert abs(mean["uniform"]) < 0.2
    assert all(-1 <= x <= 1 for x in measured["correlations"].values())


def test_apart(measured: dict) -> None:
    """Far from the parties' points, the same rewards are no closer to T, and no closer than their sizes are."""

    pairs = zip(*(np.ravel(measured["values"][name]) for name in ("T", "apart")), strict=True)
    assert all(apart < t + 0.05 for t, apart in pairs)  # an upper bound, but for the error of the estimates
    alone = [[of_sizes(1000, n, 5000, 8000) for n in row] for row in measured["sizes"]]
    assert fmean(np.ravel(measured["values"]["apart"])) < fmean(np.ravel(alone))
    assert 0.6 < measured["nearest_is_real"] < 0.7  # the pool has the distribution of the points: by chance 4999 / 7999


@pytest.mark.parametrize("seed", range(5))
def test_identity_of_discrete_distributions(seed: int) -> None:
    """The divergence by its definition is the sum of four terms if D and G are apart, and otherwise not larger."""

    random = np.random.default_rng(seed)
    own, drawn, real, t = 30, 12 + 100 * seed, 150, 1000
    p, s = own / (own + drawn), real / t
    f_i, f, g_i, g = random.dirichlet(np.ones(8), size=4)
    sizes = of_sizes(own, drawn, real, t)
    terms = -sizes + p * entropy(f_i, f) + (1 - p) * entropy(g_i, g)

    apart = entropy(np.append(p * f_i, (1 - p) * g_i), np.append(s * f, (1 - s) * g))
    together = entropy(p * f_i + (1 - p) * g_i, s * f + (1 - s) * g)
    assert apart == pytest.approx(terms, rel=1e-12)
    assert together < terms
    assert sizes == pytest.approx(-entropy([p, 1 - p], [s, 1 - s]), rel=1e-12)
    assert of_sizes(own, 0, real, t) == pytest.approx(math.log(s))  # no reward: p = 1


def test_the_estimate_approaches_the_identity() -> None:
    r"""Parties in unit squares of their own, and G in another one, of which rewards have a part of width q.

    KL(D_i | D) = log n, and KL(G_i | G) = -log q.
    """

    random = torch.Generator().manual_seed(0)
    n, size, errors = 4, 20_000, []
    real = [torch.rand(500, 2, generator=random) + torch.tensor([10.0 * i, 0.0]) for i in range(n)]
    pool = torch.rand(size, 2, generator=random) + torch.tensor([0.0, 10.0])
    t = torch.cat([*real, pool])
    for drawn, q in ((300, 1.0), (1000, 0.5), (1000, 0.2), (5000, 0.5)):
        reward = pool[pool[:, 0] < q][:drawn]
        assert len(reward) <= drawn
        p = 500 / (500 + len(reward))
        exact = of_sizes(500, len(reward), 500 * n, len(t)) - p * math.log(n) + (1 - p) * math.log(q)
        errors.append(abs(neg_reverse_kl(torch.cat([real[1], reward]), t) - exact))
    assert max(errors) < 0.05


def test_published_sizes() -> None:
    """Correlations of the published |G_i|, by plain sums."""

    alpha, counts = published.CONTRIBUTIONS["mnist", "unequal"], published.REWARD_SIZES["mnist", "unequal"][1]
    p = np.array([5000 / (5000 + n) for n in counts])
    kl = p * np.log(p / 0.2) + (1 - p) * np.log((1 - p) / 0.8)
    mean, sem = divergence._published_sizes(("mnist", "unequal"))
    assert mean == pytest.approx(pearsonr(alpha, -kl).statistic)
    assert sem is None  # one β
    assert divergence._published_sizes(("cifar10", "unequal")) is None


def test_section_of_the_report(measured: dict, tmp_path) -> None:
    assert divergence.divergences(tmp_path, {}) == []
    (tmp_path / divergence.FILE).write_text(json.dumps([measured, measured | {"seed": 1}]))
    text = "\n".join(divergence.divergences(tmp_path, {}))
    assert "|G| = 3,000" in text
    row = next(line for line in text.splitlines() if line.startswith("| credit ratings"))
    cells = [cell.strip().replace("−", "-") for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["unequal", "2"]
    assert cells[3] == f"{measured['nearest_is_real']:.0%} ({4999 / 7999:.0%})"
    for k, name in ((0, "T"), (1, "other"), (2, "uniform"), (4, "apart")):
        assert cells[4 + 2 * k] == f"{fmean(np.ravel(measured['values'][name])):.3f}"
        assert cells[5 + 2 * k] == f"{measured['correlations'][name]:.2f}"
    less = np.subtract(measured["values"]["T"], measured["values"]["uniform"])
    assert cells[10] == f"{less.mean():.3f}"
    assert cells[11] == f"{fmean(pearsonr(measured['alpha'], row).statistic for row in less):.2f}"
    alone = [[of_sizes(1000, n, 5000, 8000) for n in row] for row in measured["sizes"]]
    with_alpha = fmean(pearsonr(measured["alpha"], row).statistic for row in alone)
    assert cells[14:] == [f"{fmean(np.ravel(alone)):.3f}", f"{with_alpha:.2f}"]


def test_the_program_measures_what_the_file_lacks(measured: dict, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(divergence, "measure", lambda *setting: {**measured, "seed": setting[2], "again": True})
    monkeypatch.setattr(divergence, "OF_THE_PAPER", ["credit_ratings"])
    monkeypatch.setattr(divergence, "SPLITS", ["unequal"])
    path = tmp_path / divergence.FILE
    path.write_text(json.dumps([measured, measured | {"seed": 1, "numerics": NUMERICS - 1}]))  # the second is old
    divergence.main(["--folder", str(tmp_path)])

    entries = json.loads(path.read_text())
    assert [(entry["seed"], "again" in entry) for entry in entries] == [(0, False), (1, True), (2, True)]
    with pytest.raises(SystemExit):
        divergence.main(["folder=elsewhere"])
