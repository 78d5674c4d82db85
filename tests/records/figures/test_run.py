"""Tests of all figures of a run, among them that of correlations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cgm.generators.pool import Pool
from cgm.mediator import Mediator, Settlement
from cgm.records.figures import run
from cgm.records.figures.run import correlations, draw_run
from cgm.rewards.sampling import WeightedSampling
from cgm.valuation.kernels import SquaredExponential
from tests.drawn import legend, whole
from tests.records.results import INF, RUNS, alpha_correlation, make_result

BETAS = (1.0, 8.0)
NAMES = ["correlations", "reward_sizes", "reward_values", "rewards_of_party_2", "value_curves"]


@pytest.fixture(scope="module")
def settlement() -> Settlement:
    generator = torch.Generator().manual_seed(0)
    parties = [torch.randn(20, 2, generator=generator, dtype=torch.float64) + shift for shift in (0.0, 1.0, 2.0)]
    sampling = WeightedSampling(BETAS)
    return Mediator(kernel=SquaredExponential(1.0), sampling=sampling, synthetic_size=200).settle(parties, seed=0)


@pytest.mark.parametrize("labels", [torch.arange(200) % 2, None], ids=["labels", "no labels"])
def test_figures_of_a_run(settlement, tmp_path, monkeypatch, labels):
    saved = {}
    monkeypatch.setattr(run, "save", lambda figure, folder, name: saved.update({(folder, name): figure}))
    draw_run(tmp_path, make_result(3, BETAS), settlement, [torch.arange(20) % 2] * 3, labels, party=1, seed=0)
    assert sorted(saved) == [(tmp_path, name) for name in NAMES]
    assert all(whole(figure) for figure in saved.values())


def test_the_images_of_rewards_that_are_kept_are_drawn(settlement, tmp_path, monkeypatch):
    images, drawn = torch.rand(50, 1, 4, 4), {}
    monkeypatch.setattr(run, "reward_embedding", lambda *args, **kwargs: drawn.update(kwargs))
    monkeypatch.setattr(run, "save", lambda *args: None)
    pool = Pool(settlement.pool.points, images)
    with_images = replace(settlement, pool=pool)
    draw_run(tmp_path, make_result(3, BETAS), with_images, [torch.arange(20) % 2] * 3, None, party=1, seed=0)
    for chain in settlement.drawn.values():
        if chain.party == 1:
            rows, pixels = drawn["images"][chain.beta]
            kept = [k for k, row in enumerate(chain.indices.tolist()) if row < 50]
            assert rows.tolist() == kept
            assert torch.equal(pixels, images[chain.indices[kept]])


@pytest.mark.parametrize("betas", [[1.0], [8.0, 1.0], RUNS[3][1]])
def test_correlations(betas):
    result = make_result(5, betas)
    by_beta = [-0.7 + 0.01 * k for k in range(len(betas))]
    result.correlations["size"] = alpha_correlation(-0.7, 0.05, by_beta)
    figure = correlations(result)
    (axes,) = figure.axes

    assert [t.get_text() for t in axes.get_yticklabels()] == [r"$-\mathrm{MMD}_u^2$", r"$|G_i|$", "my metric"]
    assert [bar.get_width() for bar in axes.patches] == [0.99, -0.7, 0.2]
    bars = [c for c in axes.containers if hasattr(c, "has_xerr") and c.has_xerr]
    for bar, mean, sem in zip(bars, (0.99, -0.7, 0.2), (0.01, 0.05, 0.3), strict=True):
        np.testing.assert_allclose(bar.lines[2][0].get_segments()[0][:, 0], [mean - sem, mean + sem])
    dots = {a.get_xdata()[0]: a for a in axes.lines if 0.5 < a.get_ydata()[0] < 1.5 and len(a.get_xdata()) == 1}
    colors = dict(zip(legend(figure), [h.get_color() for h in figure.legends[0].legend_handles], strict=True))
    for beta, value in zip(betas, by_beta, strict=True):
        label = rf"$\beta$ = {'∞' if beta == INF else f'{beta:g}'}"
        assert dots[value].get_color() == colors[label]
    assert {"+0.990 ± 0.010", "−0.700 ± 0.050", "+0.200 ± 0.300"} <= {t.get_text() for t in axes.texts}
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first metric on top
    assert whole(figure)


def test_correlations_that_could_not_be_computed():
    reasons = [
        "beta=1: all 5 entries of y are 0.9",
        "beta=2: all 5 entries of y are 0.9",
        "2 of 2 values are missing",
    ]
    entries = {
        "accuracy": alpha_correlation(None, None, [None, None], reasons),
        "size": alpha_correlation(0.5, None, [0.5, None], ["beta=2: all 5 entries of y are 3"]),
    }
    figure = correlations(make_result(5, [1.0, 2.0], correlations=entries))
    (axes,) = figure.axes
    accuracy, size = (t.get_text() for t in axes.texts)

    assert "".join(accuracy.split()) == "".join(f"n/a: {'; '.join(reasons)}".split())
    assert size == "+0.500 ± n/a\n(1 of 2 β n/a)"
    assert [bar.get_width() for bar in axes.patches] == [0.5]
    assert whole(figure)


def test_no_correlations_at_all():
    assert whole(correlations(make_result(5, [1.0, 2.0], correlations={})))


def test_other_betas_are_refused():
    entries = {"size": alpha_correlation(0.5, None, [0.5])}
    with pytest.raises(ValueError, match=r"correlations\.size\.by_beta=\[0\.5\]: expected a value for each beta of"):
        correlations(make_result(5, [1.0, 2.0], correlations=entries))
