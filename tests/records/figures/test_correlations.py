"""Tests of the figure of correlations."""

import numpy as np
import pytest

from cgm.records.figures.correlations import correlations
from tests.figures import legend, whole
from tests.records.results import INF, RUNS, alpha_correlation, make_result


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
