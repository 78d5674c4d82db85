"""Tests of the figure of the numbers of rewards."""

from dataclasses import replace

import numpy as np
import pytest

from cgm.records.figures.reward_sizes import reward_sizes
from tests.figures import legend, line, whole
from tests.records.results import INF, RUNS, change_chains, make_result


@pytest.mark.parametrize(("n", "betas"), RUNS)
def test_reward_sizes(n, betas):
    result = make_result(n, betas)
    figure = reward_sizes(result)
    (axes,) = figure.axes

    for beta in betas:
        label = rf"$\beta$ = {'∞' if beta == INF else f'{beta:g}'}"
        expected = [chain.size for chain in result.sampling if chain.beta == beta]
        assert line(axes, label).tolist() == expected
        assert label in legend(figure)
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(i + 1) for i in range(n)]
    assert "12,345" in axes.get_ylabel()
    assert axes.get_yscale() == "linear"
    assert "target not reached" not in legend(figure)
    assert whole(figure)


def test_reward_sizes_of_unequal_magnitude():
    result = change_chains(
        make_result(3, [1.0, 2.0]),
        size=(0, 0, 700, 900, 100_000, None),
        reached=(True, True, True, True, False, True),
    )
    figure = reward_sizes(result)
    (axes,) = figure.axes

    np.testing.assert_array_equal(line(axes, r"$\beta$ = 1"), [0, 700, np.nan])
    np.testing.assert_array_equal(line(axes, r"$\beta$ = 2"), [0, 900, np.nan])
    (hollow,) = [a for a in axes.lines if np.nanmax([*a.get_ydata(), 0]) == 100_000]
    assert hollow.get_markerfacecolor() == "white"
    assert "target not reached" in legend(figure)
    assert "n/a: party 3, β = 2" in figure.get_suptitle()
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 100_000
    assert whole(figure)


@pytest.mark.parametrize("sizes", [[0, 0, 0], [None, None, None]])
def test_reward_sizes_without_rewards(sizes):
    figure = reward_sizes(change_chains(make_result(3, [1.0]), size=sizes))

    assert figure.axes[0].get_ylim() == (0, 1)
    assert ("n/a" in figure.get_suptitle()) == (sizes[0] is None)
    assert whole(figure)


def test_a_chain_that_does_not_exist_is_named():
    result = make_result(3, [1.0, 2.0])
    figure = reward_sizes(replace(result, sampling=result.sampling[:-1]))
    assert "n/a: party 3, β = 2" in figure.get_suptitle()
    assert whole(figure)
