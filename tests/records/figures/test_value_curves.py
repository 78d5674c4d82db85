"""Tests of the figure of values while rewards are drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cgm.records.figures.value_curves import MAX_POINTS, value_curves
from tests.figures import legend, whole
from tests.records.results import INF, RUNS, make_chains, make_result


@pytest.mark.parametrize(("n", "betas"), [*RUNS[:3], (26, [1.0, 8.0])])
def test_value_curves(n, betas):
    result = make_result(n, betas)
    chains = make_chains(result)
    figure = value_curves(chains[::-1], result)

    assert len(figure.axes) == n
    for i, axes in enumerate(figure.axes):
        mine = sorted((chain for chain in chains if chain.party == i), key=lambda chain: chain.beta)
        curves = [a for a in axes.lines if len(a.get_xdata()) > 2]
        assert len(curves) == len(betas)
        for chain, curve in zip(mine, curves, strict=True):
            np.testing.assert_array_equal(curve.get_xdata(), np.arange(len(chain.values) + 1))
            np.testing.assert_array_equal(curve.get_ydata(), [chain.start, *chain.values.tolist()])
        (target,) = [a for a in axes.lines if a.get_linestyle() == "--"]
        assert set(target.get_ydata()) == {mine[0].target}
        assert axes.get_title().startswith(f"party {i + 1} ")
        assert f"{result.contributions.alpha[i]:.3g}" in axes.get_title()
        assert axes.get_xlim()[1] > max(len(chain.values) for chain in mine)
    assert len(legend(figure)) == len(betas) + 1
    assert whole(figure)


def test_value_curves_of_long_empty_and_missing_chains():
    result = make_result(3, [1.0])
    result.contributions.alpha[2] = float("nan")
    values = np.random.default_rng(0).random(100_000)
    chain = make_chains(result)[0]
    chains = [
        replace(chain, party=0, beta=INF, values=torch.from_numpy(values), target=0.9, start=0.25),
        replace(chain, party=1, beta=1.0, values=torch.empty(0), target=float("nan"), start=0.125),
    ]
    figure = value_curves(chains, result)

    curve = max(figure.axes[0].lines, key=lambda a: len(a.get_xdata()))
    x, y = curve.get_xdata(), curve.get_ydata()
    assert len(x) == MAX_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0.25, 100_000, values[-1])
    np.testing.assert_array_equal(y[1:], values[x[1:] - 1])
    assert np.ptp(np.diff(x)) <= 1
    assert [list(a.get_ydata()) for a in figure.axes[1].lines] == [[0.125], [0.125]]
    assert [t.get_text() for t in figure.axes[2].texts] == ["no chain"]
    assert "n/a" in figure.axes[2].get_title()
    assert whole(figure)
