"""Tests of the figures of rewards by party, and of values while they are drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cgm.figures.rewards import MAX_POINTS, reward_sizes, reward_values, value_curves
from cgm.records.figures.run import outcome_of
from tests.drawn import legend, line, whole
from tests.records.results import INF, RUNS, change_chains, make_chains, make_result, make_rewards


@pytest.mark.parametrize(("n", "betas"), RUNS)
def test_reward_sizes(n, betas):
    result = make_result(n, betas)
    figure = reward_sizes(outcome_of(result))
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
    figure = reward_sizes(outcome_of(result))
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
    figure = reward_sizes(outcome_of(change_chains(make_result(3, [1.0]), size=sizes)))

    assert figure.axes[0].get_ylim() == (0, 1)
    assert ("n/a" in figure.get_suptitle()) == (sizes[0] is None)
    assert whole(figure)


def test_a_chain_that_does_not_exist_is_named():
    result = make_result(3, [1.0, 2.0])
    figure = reward_sizes(outcome_of(replace(result, sampling=result.sampling[:-1])))
    assert "n/a: party 3, β = 2" in figure.get_suptitle()
    assert whole(figure)


@pytest.mark.parametrize(("n", "betas"), RUNS)
def test_reward_values(n, betas):
    result = make_result(n, betas)
    figure = reward_values(outcome_of(result))
    top, bottom = figure.axes
    values, rewards = result.values, result.scheme.values.tolist()

    for axes in (top, bottom):
        np.testing.assert_array_equal(line(axes, r"upper bound $v(D_i \cup G)$"), values.upper)
        np.testing.assert_array_equal(line(axes, "lower bound"), values.lower)
        np.testing.assert_array_equal(line(axes, "own data $v(D_i)$"), values.party)
        assert set(line(axes, "largest reward value $v^*$")) == {result.scheme.number("v_star")}
        assert set(line(axes, "all real data $v_c(N)$")) == {values.grand}
        (bars,) = [c for c in axes.collections if c.get_label() == "reward value $r_i$"]
        assert [segment[0, 1] for segment in bars.get_segments()] == rewards
        for beta in betas:
            expected = [chain.value for chain in result.sampling if chain.beta == beta]
            assert line(axes, rf"$\beta$ = {'∞' if beta == INF else f'{beta:g}'}").tolist() == expected

    low, high = bottom.get_ylim()
    assert low < min(rewards) <= max(rewards) < high
    assert high - low < 0.5 * np.ptp(top.get_ylim())
    assert f"max r − min r = {max(rewards) - min(rewards):.4g}" in figure.get_suptitle()
    assert whole(figure)


def test_reward_values_that_are_missing():
    result = make_result(3, [1.0])
    first, *_ = (chain.value for chain in result.sampling)
    result = replace(
        change_chains(result, value=(first, 0.001, None), reached=(True, False, True)),
        values=replace(result.values, grand=None),
        scheme=replace(result.scheme, details={"v_star": None, "rho": None}),
    )
    result.values.lower[0] = result.values.upper[1] = result.scheme.values[2] = float("nan")
    figure = reward_values(outcome_of(result))

    for name in (
        "lower bound of party 1",
        "upper bound of party 2",
        "r_i of party 3",
        "party 3, β = 1",
        "v_c(N)",
        "v^*",
    ):
        assert name in figure.get_suptitle().replace("\n", " ")
    assert figure.axes[1].get_ylim()[0] > 0.1  # a chain that missed its target does not spoil the close-up
    assert figure.axes[0].get_ylim()[0] < 0.001
    assert whole(figure)


def test_reward_values_all_equal():
    result = make_result(4, [1.0])
    figure = reward_values(
        outcome_of(replace(change_chains(result, value=[0.5] * 4), scheme=make_rewards([0.5] * 4, rho=0.1)))
    )

    assert "min r = 0," in figure.get_suptitle()
    assert figure.axes[1].get_ylim() == pytest.approx((0.4995, 0.5005))


def test_reward_values_of_a_scheme_without_v_star_and_rho():
    result = make_result(3, [1.0, 2.0])
    figure = reward_values(outcome_of(replace(result, scheme=make_rewards(result.scheme.values, levels=[1]))))

    assert not any("v^*" in text for text in legend(figure))
    assert r"all real data $v_c(N)$" in legend(figure)
    for word in ("ρ", "n/a", "v^*"):
        assert word not in figure.get_suptitle()
    assert whole(figure)


@pytest.mark.parametrize(("n", "betas"), [*RUNS[:3], (26, [1.0, 8.0])])
def test_value_curves(n, betas):
    result = make_result(n, betas)
    chains = make_chains(result)
    figure = value_curves(chains[::-1], result.contributions.alpha)

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
    figure = value_curves(chains, result.contributions.alpha)

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
