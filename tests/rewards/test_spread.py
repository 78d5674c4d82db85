"""The frontier between stability and proportionality."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.contributions.semivalues import Shapley
from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.base import InfeasibleScheme, lower_bounds
from cgm.rewards.schemes.others import Spread, frontier
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.valuation.game import TableGame
from tests.contracts.games import seeds, table
from tests.rewards.common import contributions_of, tensor


def upper_bounds(game: TableGame, seed: int) -> torch.Tensor:
    return game.grand_value * tensor(np.random.default_rng(seed).uniform(1, 1.3, game.n))


sizes = st.integers(1, 6)


@given(n=sizes, seed=seeds)
def test_ends_of_the_frontier(n: int, seed: int) -> None:
    """Without slack, the rewards are stable; with a slack of v*, which no coalition's value exceeds, they are fair."""

    game = table(n, seed)
    contributions, upper = Shapley().compute(game), upper_bounds(game, seed)
    for slack, stable in ((0.0, True), (1.0, False)):
        rewards = Spread(slack).solve(contributions, game, upper)
        expected = ShapleyFair(stable).solve(contributions, game, upper)
        np.testing.assert_allclose(rewards.values, expected.values, rtol=1e-9)
        assert rewards.details["rho"] == pytest.approx(expected.rho, abs=1e-9)


@settings(max_examples=60)
@given(n=sizes, seed=seeds, slack=st.floats(0, 0.6))
def test_the_largest_rho(n: int, seed: int, slack: float) -> None:
    """On a grid of ρ, with v* as large as the upper bounds allow: no larger ρ misses values by at most the slack."""

    game = table(n, seed)
    contributions, upper = Shapley().compute(game), upper_bounds(game, seed)
    rewards = Spread(slack).solve(contributions, game, upper)
    rho, v_star = rewards.details["rho"], rewards.details["v_star"]
    own, stable, alpha = game.party_values.numpy(), lower_bounds(game, contributions.phi).numpy(), contributions.alpha

    def feasible(rho: float, tolerance: float) -> bool:
        share = alpha.numpy() ** rho
        best = (upper.numpy() / share).min()
        return bool((best * share >= np.maximum(own, stable - slack * best) - tolerance).all())

    scale = float(upper.max())
    assert v_star == pytest.approx(float((upper / alpha**rho).min()), rel=1e-9)
    assert feasible(rho, 1e-9 * scale)
    larger = np.linspace(rho + 1e-6, 1, 200) if rho < 1 - 1e-6 else []
    assert not any(feasible(x, -1e-9 * scale) for x in larger)
    assert rewards.details["shortfall"] <= slack + 1e-9
    missed = float((torch.from_numpy(stable) - rewards.values).max()) / v_star
    assert rewards.details["shortfall"] == pytest.approx(max(missed, 0), abs=1e-12)


@settings(max_examples=30)
@given(n=st.integers(2, 6), seed=seeds)
def test_the_frontier_goes_one_way(n: int, seed: int) -> None:
    """A larger slack has rewards that are closer to proportional and no smaller v*."""

    game = table(n, seed)
    contributions, upper = Shapley().compute(game), upper_bounds(game, seed)
    slacks = np.linspace(0, 1, 9).tolist()
    points = frontier(contributions, game, upper, slacks)
    assert [point.slack for point in points] == slacks
    for low, high in itertools.pairwise(points):
        assert high.rho >= low.rho - 1e-9
        assert high.v_star >= low.v_star * (1 - 1e-9)
    assert points[0].shortfall == pytest.approx(0, abs=1e-9)


def test_stability_is_missed_by_the_slack() -> None:
    game = TableGame([0.0, 1.0, 1.0, 5.0, 6.0, 7.0, 7.0, 10.0])
    contributions, upper = Shapley().compute(game), tensor([10.0] * 3)
    stable, spread, fair = (Spread(slack).solve(contributions, game, upper) for slack in (0.0, 0.1, 1.0))
    assert stable.spread < spread.spread < fair.spread
    incentives = check_incentives(spread, contributions, game)
    assert [name for name in ("R1", "R2", "R3", "R4", "R5", "R6") if not incentives[name].holds] == ["R6"]
    assert incentives["R6"].slack == pytest.approx(-0.1 * 10)
    assert spread.details["shortfall"] == pytest.approx(0.1)


def test_v_star_that_depends_on_rho() -> None:
    """The upper bound of a party with a small contribution decides: the slack is a share of the v* of the solution."""

    game = TableGame([0.0, 1.0, 2.0, 6.0])
    contributions, upper = contributions_of([1.0, 2.0]), tensor([6.2, 60.0])
    rewards = Spread(0.1).solve(contributions, game, upper)
    v_star, rho = rewards.details["v_star"], rewards.details["rho"]
    assert rho == 1
    assert v_star == pytest.approx(12.4)
    high = contributions_of([1.0, 1.5])
    rewards = Spread(0.3).solve(high, TableGame([0.0, 1.0, 2.0, 11.0]), upper)
    v_star = rewards.details["v_star"]
    assert v_star == pytest.approx(9.3)  # 11 - 0.3 · 9.3 = 8.21
    assert rewards.lower[1] == pytest.approx(11 - 0.3 * v_star)


def test_slacks_without_rewards_are_left_out() -> None:
    """The value 11 of both cannot be reached, but almost."""

    game, upper = TableGame([0.0, 1.0, 2.0, 11.0]), tensor([9.0, 10.0])
    contributions = contributions_of([1.0, 1.1])
    assert [point.slack for point in frontier(contributions, game, upper, [0.0, 0.05, 0.2])] == [0.2]
    with pytest.raises(InfeasibleScheme, match="party 2's lower bound"):
        frontier(contributions, game, upper, [0.0, 0.05])
    with pytest.raises(InfeasibleScheme, match="no slacks"):
        frontier(contributions, game, upper, [])


def test_left_out_parties() -> None:
    game = TableGame([0.0, 2.0, 1.0, 3.0])
    rewards = Spread().solve(contributions_of([2.0, -1.0]), game, tensor([4.0, 4.0]))
    assert rewards.values.tolist() == [4, 1]
    assert rewards.details["left_out"] == [1]
    assert "party 2 has the contribution -1, which is not positive" in rewards.warnings[0]


@pytest.mark.parametrize("slack", [-0.1, 1.1, None, float("nan")])
def test_bad_slack(slack: object) -> None:
    with pytest.raises(ValueError, match=r"scheme\.slack=.*: expected a number in \[0, 1\]"):
        Spread(slack)  # type: ignore[arg-type]
