"""Tests of the figure of reward values between their bounds."""

from dataclasses import replace

import numpy as np
import pytest

from cgm.records.figures.reward_values import reward_values
from tests.figures import legend, line, whole
from tests.records.results import INF, RUNS, change_chains, make_result, make_rewards


@pytest.mark.parametrize(("n", "betas"), RUNS)
def test_reward_values(n, betas):
    result = make_result(n, betas)
    figure = reward_values(result)
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
    figure = reward_values(result)

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
    figure = reward_values(replace(change_chains(result, value=[0.5] * 4), scheme=make_rewards([0.5] * 4, rho=0.1)))

    assert "min r = 0," in figure.get_suptitle()
    assert figure.axes[1].get_ylim() == pytest.approx((0.4995, 0.5005))


def test_reward_values_of_a_scheme_without_v_star_and_rho():
    result = make_result(3, [1.0, 2.0])
    figure = reward_values(replace(result, scheme=make_rewards(result.scheme.values, levels=[1])))

    assert not any("v^*" in text for text in legend(figure))
    assert r"all real data $v_c(N)$" in legend(figure)
    for word in ("ρ", "n/a", "v^*"):
        assert word not in figure.get_suptitle()
    assert whole(figure)
