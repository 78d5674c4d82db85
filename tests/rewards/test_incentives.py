"""The incentives, against their definitions over all coalitions, and Propositions 2 and 3."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.base import Contributions
from cgm.contributions.semivalues import shapley_values
from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.base import InfeasibleScheme, Rewards, lower_bounds
from cgm.rewards.schemes.shapley_fair import FairRewards, solve_scheme
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.rewards.common import (
    INCENTIVES,
    Values,
    assert_incentives,
    assert_rewards,
    contributions_of,
    fair,
    game_of,
    plain_game,
    plain_phi,
    plain_program,
    random_valuation,
    subsets,
    tensor,
)

# --- Proposition 3 ---

valuations = st.builds(
    random_valuation,
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([2, 3, 4, 1]),
    lengthscale=st.sampled_from([1.0, 1.5, 2.5]),
    twins=st.booleans(),
)


@st.composite
def monotone_games(draw: st.DrawFn) -> tuple[Values, Tensor]:
    """Monotone games, with upper bounds; a party may be useless or a copy of another."""

    n = draw(st.sampled_from([3, 4, 5, 2, 1]))
    worth = {c: draw(st.integers(1, 20)) / 10 if c else 0.0 for c in subsets(range(n))}
    values = {c: max(worth[b] for b in subsets(c)) for c in worth}
    if n > 1 and draw(st.booleans()):  # the last party adds nothing
        values = {c: values[c - {n - 1}] for c in values}
    elif n > 1 and draw(st.booleans()):  # the last party is a copy of party 0
        values = {c: values[c if 0 in c else frozenset(0 if i == n - 1 else i for i in c)] for c in values}
    return values, tensor(values[frozenset(range(n))] * (1 + draw(st.integers(0, 5)) / 10) for _ in range(n))


@given(valuations, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_proposition_3a(valuation: Valuation, rho: float) -> None:
    values, upper = plain_game(valuation)
    phi = plain_phi(values, valuation.n)
    assume(max(phi) > 1e-3)
    alpha, own = [p / max(phi) for p in phi], [values[frozenset([i])] for i in range(valuation.n)]
    assume(min(phi) > 1e-6 and min(upper) > 0)
    v_star = min(u / a**rho for a, u in zip(alpha, upper, strict=True))
    shapley = shapley_values(valuation)
    args = (shapley.alpha, valuation.party_values, valuation.with_synthetic)
    assume(abs(max(own) - v_star) > 1e-6)
    if max(own) > v_star:
        with pytest.raises(InfeasibleScheme):
            solve_scheme(*args, rho=rho)
        return

    scheme = solve_scheme(*args, rho=rho)
    assert scheme.v_star == pytest.approx(v_star, rel=1e-9)
    assert_rewards(scheme, alpha, own)
    held = assert_incentives(scheme, shapley, valuation, values, upper)
    assert held["R1"]
    assert held["R3"]
    assert held["R4"]
    # the paper assumes that the value of no party's own data is above the value together with G
    assert held["R2"] or any(o > u for o, u in zip(own, upper, strict=True))


@given(valuations, st.booleans(), st.sampled_from([0.0, 1e-3, 0.1]))
def test_propositions_3b_and_3c(valuation: Valuation, stable: bool, epsilon: float) -> None:
    values, upper = plain_game(valuation)
    phi = plain_phi(values, valuation.n)
    assume(max(phi) > 1e-3 and min(abs(p) for p in phi) > 1e-6)
    shapley = shapley_values(valuation)
    assert shapley.phi.tolist() == pytest.approx(phi, abs=1e-10)

    lower = lower_bounds(valuation, shapley.phi, stable)
    room, best, _ = plain_program(shapley.alpha.tolist(), lower.tolist(), [max(u, 1e-9) for u in upper], epsilon)
    assume(abs(room) > 1e-6)
    args = (shapley.alpha, lower, valuation.with_synthetic, epsilon)
    if room < 0 or any(u <= 0 < p for u, p in zip(upper, phi, strict=True)):
        with pytest.raises(InfeasibleScheme):
            solve_scheme(*args, party_values=valuation.party_values)
        return

    scheme = solve_scheme(*args, party_values=valuation.party_values)
    assert math.log(scheme.v_star) + epsilon * scheme.rho == pytest.approx(best, abs=1e-8)
    assert_rewards(scheme, shapley.alpha.tolist(), [values[frozenset([i])] for i in range(valuation.n)])
    assert scheme.left_out == tuple(i for i in range(valuation.n) if phi[i] < 0)
    held = assert_incentives(scheme, shapley, valuation, values, upper)
    if scheme.left_out:
        return
    assert all(held[r] for r in ("R1", "R2", "R3", "R4", "F1", "F2"))
    assert held["F3"] or scheme.rho < 1e-9
    assert held["R5"] or scheme.rho < 1e-9
    assert held["R6"] or not stable  # also if v is not monotone


@given(monotone_games(), st.booleans(), st.sampled_from([1e-3, 0.1]))
def test_propositions_3b_and_3c_with_a_monotone_value(
    drawn: tuple[Values, Tensor], stable: bool, epsilon: float
) -> None:
    values, upper = drawn
    game = game_of(values)
    phi = plain_phi({c: Fraction(v).limit_denominator(100) for c, v in values.items()}, game.n)
    shapley = contributions_of(phi)
    lower = lower_bounds(game, shapley.phi, stable)
    scheme = solve_scheme(shapley.alpha, lower, upper, epsilon, party_values=game.party_values)
    assert_rewards(scheme, shapley.alpha.tolist(), game.party_values.tolist())
    held = assert_incentives(scheme, shapley, game, values, upper.tolist())
    assert all(held[r] for r in ("R1", "R2", "R3", "R4", "F1", "F2"))
    assert held["F3"] or scheme.rho < 1e-9
    assert held["R6"] or not stable


@pytest.mark.parametrize("n", [2, 4])
def test_twins_have_the_same_reward(n: int) -> None:
    valuation = random_valuation(3, n, 2.5, twins=True)
    shapley = shapley_values(valuation)
    lower = lower_bounds(valuation, shapley.phi)
    scheme = solve_scheme(shapley.alpha, lower, valuation.with_synthetic)
    assert scheme.rewards[0] == pytest.approx(float(scheme.rewards[-1]), rel=1e-12)
    checked = check_incentives(scheme, shapley, valuation)["F2"]
    assert checked.holds
    assert checked.slack == pytest.approx(0, abs=1e-12)
    assert checked.note.startswith("1 x ")

    scheme.rewards[0] += 1e-3
    checked = check_incentives(scheme, shapley, valuation)["F2"]
    assert checked.holds is False
    assert checked.slack == pytest.approx(-1e-3)


def test_useless_party() -> None:
    values = {c: 0.3 * len(c - {1}) for c in subsets(range(3))}
    game = game_of(values)
    shapley = contributions_of(plain_phi(values, 3))
    scheme = solve_scheme(shapley.alpha, lower_bounds(game, shapley.phi), tensor([0.9] * 3))
    assert scheme.left_out == (1,)
    assert scheme.rewards.tolist() == pytest.approx([0.9, 0, 0.9])
    checked = check_incentives(scheme, shapley, game)
    assert (checked["F1"].holds, checked["F1"].slack, checked["F1"].note[:4]) == (True, 0, "1 x ")
    assert checked["R5"].holds

    scheme.rewards[1] = 0.1
    checked = check_incentives(scheme, shapley, game)
    assert (checked["F1"].holds, checked["F1"].slack) == (False, pytest.approx(-0.1))
    assert (checked["R5"].holds, checked["R5"].slack) == (False, pytest.approx(-0.1))


def test_proposition_2() -> None:
    """Party 0 adds more than party 1, but both rewards are rectified to the parties' own values: F3 is violated."""

    pairs = {(0,): 0.5, (1,): 0.5, (2,): 0.9, (0, 1): 0.6, (0, 2): 1.0, (1, 2): 0.95, (0, 1, 2): 1.1, (): 0.0}
    values = {frozenset(c): v for c, v in pairs.items()}
    game, upper = game_of(values), [1.1] * 3
    shapley = contributions_of(plain_phi(values, 3))
    scheme = solve_scheme(shapley.alpha, game.party_values, tensor(upper), rho=1)
    assert scheme.v_star == game.grand_value
    assert scheme.rewards.tolist() == pytest.approx([0.5, 0.5, 1.1])
    held = assert_incentives(scheme, shapley, game, values, upper)
    assert not held["F3"]
    assert not held["R5"]
    assert all(held[r] for r in ("R1", "R2", "R3", "R4", "F1", "F2"))


# --- any rewards ---


@st.composite
def any_rewards(draw: st.DrawFn) -> tuple[Values, list[float], FairRewards, Contributions]:
    """Games of few different values, so that parties are often useless, symmetric or ordered by desirability."""

    n = draw(st.sampled_from([3, 4, 2, 1]))
    steps = st.integers(-1, 3)
    additive = [draw(st.integers(-1, 2)) for _ in range(n)]
    values = {c: Fraction(sum(additive[i] for i in c), 4) for c in subsets(range(n))}
    for c in draw(st.lists(st.sampled_from([c for c in values if c]), max_size=3)):
        values[c] += Fraction(draw(steps), 4)
    phi = plain_phi(values, n)
    assume(max(phi) > 0)
    noise = [draw(st.sampled_from([0, 1e-15, -1e-15])) for _ in phi]
    shapley = contributions_of([float(p) * (1 + e) for p, e in zip(phi, noise, strict=True)])
    rewards = tensor(draw(steps) / 4 for _ in range(n))
    v_star = draw(st.sampled_from([float(rewards.max()), 0.75]))
    rho = draw(st.sampled_from([0.0, 0.5]))
    upper = [draw(steps) / 4 for _ in range(n)]
    return {c: float(v) for c, v in values.items()}, upper, fair(v_star, rho, rewards, upper), shapley


@given(any_rewards())
def test_incentives_by_their_definitions(drawn: tuple[Values, list[float], FairRewards, Contributions]) -> None:
    values, upper, scheme, shapley = drawn
    assert_incentives(scheme, shapley, game_of(values), values, upper)


@pytest.mark.parametrize("miss", [1e-11, 1e-6])
def test_only_rounding_errors_are_tolerated(miss: float) -> None:
    game, shapley = game_of({c: 0.25 * len(c) for c in subsets(range(2))}), contributions_of([0.25, 0.25])
    rewards = fair(0.5, 1.0, tensor([0.5 + miss, 0.25 - miss]), [0.5, 0.5])
    below = check_incentives(rewards, shapley, game)
    assert [below[r].holds for r in ("R2", "R3", "R4")] == [miss < 1e-9] * 3
    assert below["R2"].slack == pytest.approx(-miss, rel=1e-3)
    assert below["R3"].slack == pytest.approx(-miss, rel=1e-3)
    assert below["R4"].slack == pytest.approx(-miss, rel=1e-3)


@pytest.mark.parametrize("stable", [True, False])
def test_more_parties_than_can_be_listed(stable: bool) -> None:
    rng = np.random.default_rng(0)
    parties = [torch.from_numpy(rng.standard_normal((2, 2))) for _ in range(21)]
    valuation = Valuation(SquaredExponential(2.0), parties, torch.from_numpy(rng.standard_normal((60, 2))))
    shapley = shapley_values(valuation)
    lower = lower_bounds(valuation, shapley.phi)
    if stable:
        rewards = torch.maximum(lower, valuation.party_values) + 0.01
    else:
        rewards = valuation.party_values + 1e-3
    given = fair(float(rewards.max()), 0.5, rewards, valuation.with_synthetic)
    checked = check_incentives(given, shapley, valuation)
    for name in ("R5", "F1", "F2", "F3"):
        assert checked[name].holds is None
        assert checked[name].slack is None
    assert all("2^21" in checked[name].note for name in ("F1", "F2", "F3"))
    assert checked["R6"].holds is (None if stable else False)
    assert checked["R6"].slack == pytest.approx(float((rewards - lower).min()))
    assert checked["R6"].note
    assert [checked[r].holds for r in ("R1", "R3", "R4")] == [True] * 3


# --- schemes without v* and ρ ---


@given(any_rewards())
def test_rewards_without_details(drawn: tuple[Values, list[float], FairRewards, Contributions]) -> None:
    """R3 and F4 are unknown, and all other incentives are those of the same rewards with v* and ρ."""

    values, _, scheme, contributions = drawn
    game = game_of(values)
    expected = check_incentives(replace(scheme, details={"v_star": 0.0, "rho": 0.5}), contributions, game)
    for details in ({}, {"share": 0.5}, {"v_star": None, "rho": None}):
        checked = check_incentives(Rewards(scheme.values, scheme.lower, scheme.upper, details), contributions, game)
        assert set(checked) == INCENTIVES
        for name in ("R3", "F4"):
            assert checked[name].holds is None
            assert checked[name].slack is None
            assert "does not have" in checked[name].note
        assert {k: v for k, v in checked.items() if k not in ("R3", "F4")} == {
            k: v for k, v in expected.items() if k not in ("R3", "F4")
        }


def test_rewards_with_only_one_of_the_details() -> None:
    game, contributions = game_of({c: 0.25 * len(c) for c in subsets(range(2))}), contributions_of([0.25, 0.25])
    rewards = Rewards(tensor([0.5, 0.5]), tensor([0.25, 0.25]), tensor([0.5, 0.5]), {"v_star": 0.5})
    checked = check_incentives(rewards, contributions, game)
    assert checked["R3"].holds is True
    assert "does not have" in checked["F4"].note


@pytest.mark.parametrize(("lower", "met"), [(0.25, True), (0.6, False)])
def test_condition_of_proposition_3b(lower: float, met: bool) -> None:
    game, contributions = game_of({c: 0.25 * len(c) for c in subsets(range(2))}), contributions_of([0.25, 0.25])
    rewards = fair(0.5, 1.0, tensor([0.5, 0.5]), [0.5, 0.5], tensor([lower, lower]))
    assert ("not met" in check_incentives(rewards, contributions, game)["F4"].note) is not met
