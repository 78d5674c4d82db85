"""Rewards that share out gains, against a fine grid of ρ and against the definitions of the incentives."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.base import InfeasibleScheme, lower_bounds
from cgm.rewards.schemes.gain import Gain, GainRewards, _Crossing
from cgm.valuation.game import TableGame
from tests.rewards.common import Values, contributions_of, game_of, plain_incentives, plain_phi, subsets, tensor


@st.composite
def games(draw: st.DrawFn) -> tuple[Values, list[float], list[float]]:
    """Games of any kind with upper bounds and Shapley values; a party may be useless, or a copy of another."""

    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([3, 4, 2, 1]))
    values = {c: Fraction(int(rng.integers(1, 40)), 40) if c else Fraction(0) for c in subsets(range(n))}
    if draw(st.booleans()):  # monotone
        values = {c: max(values[b] for b in subsets(c)) for c in values}
    special = draw(st.sampled_from(["no", "useless", "copy"])) if n > 1 else "no"
    if special == "useless":
        values = {c: values[c - {n - 1}] for c in values}
    if special == "copy":
        values = {c: values[c if 0 in c else frozenset(0 if i == n - 1 else i for i in c)] for c in values}
    largest = float(max(values.values()))
    upper = [largest * draw(st.floats(0.7, 1.5)) for _ in range(n)]
    return {c: float(v) for c, v in values.items()}, upper, [float(p) for p in plain_phi(values, n)]


def plain_bounds(alpha, own, lower, upper, rho):
    """Compute the ceiling and the floor of v* at ρ, by the formulas of the definition."""

    members = [i for i, a in enumerate(alpha) if a > 0]
    ceiling = min(own[i] + (upper[i] - own[i]) / alpha[i] ** rho for i in members)
    return ceiling, max(own[i] + (lower[i] - own[i]) / alpha[i] ** rho for i in members)


@given(games(), st.booleans())
def test_the_largest_feasible_rho(drawn, stable: bool) -> None:
    values, upper, phi = drawn
    assume(max(phi) > 0 and all(p == 0 or abs(p) > 1e-6 for p in phi))
    game, contributions = game_of(values), contributions_of(phi)
    lower = lower_bounds(game, contributions.phi, stable).tolist()
    own, alpha = game.party_values.tolist(), contributions.alpha.tolist()
    grid = np.linspace(0, 1, 2001)[1:]
    room = {rho: np.subtract(*plain_bounds(alpha, own, lower, upper, rho)) for rho in grid}
    try:
        rewards = Gain(stable).solve(contributions, game, tensor(upper))
    except InfeasibleScheme:
        assert max(room.values()) < 1e-9
        return
    rho, v_star = rewards.rho, rewards.v_star
    ceiling, floor = plain_bounds(alpha, own, lower, upper, rho)
    assert v_star == pytest.approx(ceiling, rel=1e-12)
    assert ceiling >= floor - 1e-9
    assert max((r for r in grid if room[r] > 1e-9), default=0) <= rho
    for i, r in enumerate(rewards.values.tolist()):
        assert r == pytest.approx(own[i] + alpha[i] ** rho * (v_star - own[i]) if alpha[i] > 0 else own[i], rel=1e-9)


@given(games(), st.booleans(), st.sampled_from([None, 0.05, 0.5, 1.0]))
def test_incentives(drawn, stable: bool, rho: float | None) -> None:
    """R1 to R6 and F1 to F3 by their definitions, over all coalitions, with the conditions of the proofs."""

    values, upper, phi = drawn
    assume(max(phi) > 0 and all(p == 0 or abs(p) > 1e-6 for p in phi))
    game, contributions = game_of(values), contributions_of(phi)
    try:
        rewards = Gain(stable, rho).solve(contributions, game, tensor(upper))
    except InfeasibleScheme:
        assume(False)
    own = game.party_values.tolist()
    members = [p > 0 for p in phi]
    r = rewards.values.tolist()
    held = plain_incentives(r, rewards.v_star, values, upper, phi)
    checked = check_incentives(rewards, contributions, game)
    assert {name: checked[name].holds for name in held} == {name: holds for name, (holds, _) in held.items()}

    assert held["R1"][0]  # the values of these games are not negative
    assert all(x <= u + 1e-9 for x, u, member in zip(r, upper, members, strict=True) if member)  # R2
    assert max(x for x, member in zip(r, members, strict=True) if member) == pytest.approx(rewards.v_star)  # R3
    assert all(x >= o for x, o in zip(r, own, strict=True))  # R4
    assert held["F1"][0]
    assert held["F2"][0]
    # the party that is more desirable than another has φ_i > 0 if at most one party has not
    if all(o < rewards.v_star - 1e-9 for o in own) and rewards.rho > 1e-3 and members.count(False) <= 1:
        assert held["F3"][0]
    for c in subsets(range(game.n)) if stable else []:  # R6
        for i in c:
            if phi[i] > 0 and all(phi[j] <= phi[i] for j in c):
                assert r[i] >= values[c] - 1e-9


@given(games(), st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_strict_monotonicity(drawn, seed: int, rho: float) -> None:
    """F4 in comparison with a game with the same v* and ρ, where the condition is met."""

    values, _, phi = drawn
    n, rng = len(phi), np.random.default_rng(seed)
    i = int(rng.integers(n))
    more = {c: v + (rng.integers(0, 2) * rng.uniform(0.01, 1) if i in c else 0) for c, v in values.items()}
    assume(any(more[c] > values[c] for c in values) and min(phi) > 1e-6)
    v_star = max(more[frozenset([j])] for j in range(n)) + rng.uniform(0.01, 1)

    def rewards(values: Values) -> GainRewards:
        own, alpha = tensor(values[frozenset([j])] for j in range(n)), contributions_of(plain_phi(values, n)).alpha
        shares = alpha.clamp(min=0) ** rho
        return GainRewards(own + shares * (v_star - own), own, own + 9, {"v_star": v_star, "rho": rho})

    before, after = rewards(values), rewards(more)
    assert before.monotonicity(contributions_of(phi).alpha).holds
    assert after.values[i] > before.values[i] or before.values[i] >= v_star - 1e-12


def test_the_condition_of_strict_monotonicity() -> None:
    def met(game: list[float], upper: list[float]) -> bool:
        phi = plain_phi({c: game[sum(2**i for i in c)] for c in subsets(range(2))}, 2)
        rewards = Gain(stable=False).solve(contributions_of(phi), TableGame(game), tensor(upper))
        note = check_incentives(rewards, contributions_of(phi), TableGame(game))["F4"].note
        assert "the condition of scheme=gain" in note
        assert ("not met" in note) is not rewards.monotonicity(contributions_of(phi).alpha).holds
        return rewards.monotonicity(contributions_of(phi).alpha).holds

    assert met([0.0, 1.0, 2.0, 3.0], [4.0, 4.0])
    assert not met([0.0, 1.0, 0.0, 1.0], [4.0, 4.0])  # a useless party
    assert not met([0.0, 2.0, 1.0, 1.0], [2.0, 3.0])  # nothing is left to gain: φ = 1, 0


@example(0, 3)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_feasible_sets_that_are_no_interval(seed: int, n: int) -> None:
    """The search finds the largest feasible ρ, also behind values of ρ that are not feasible."""

    rng = np.random.default_rng(seed)
    alpha = np.exp(-rng.uniform(0, 3, n))
    alpha[0] = 1
    own = rng.uniform(0, 1, n)
    lower, upper = own + rng.exponential(0.2, n) * rng.integers(0, 2, n), own + rng.exponential(0.3, n)
    crossing = _Crossing(*map(tensor, (alpha, lower, upper, own)), tensor(alpha) > 0)
    grid = np.linspace(0, 1, 3001)[1:]
    feasible = [rho for rho in grid if np.subtract(*plain_bounds(alpha, own, lower, upper, rho)) > 1e-9]
    rho = crossing.largest_rho()
    assert (rho is None) <= (not feasible)
    if rho is not None:
        assert np.subtract(*plain_bounds(alpha, own, lower, upper, rho)) > -1e-9
        assert rho >= max(feasible, default=0)


@pytest.mark.parametrize(
    ("c", "own", "lower", "upper", "rho"),
    [
        # ρ = .01 and ρ = .95 are feasible, ρ = .5 and ρ = 1 are not
        ([0, 3, 1], [0, 0.69, 0.5], [0, 0.69, 0.7], [1.02, 0.71, 9], math.log(2.6)),
        # from .12 to .85 only
        ([0, 2.53, 2.1], [0.96, 0.42, 0.82], [0.96, 0.66, 0.82], [9, 0.82, 1.1], 0.8542),
    ],
)
def test_feasible_sets_of_several_parts(c, own, lower, upper, rho: float) -> None:
    crossing = _Crossing(tensor(np.exp(-np.array(c))), *map(tensor, (lower, upper, own)), tensor(c) >= 0)
    assert crossing.largest_rho() == pytest.approx(rho, abs=1e-4)
    assert crossing.missing(1.0)
    assert crossing.missing(0.5 if rho > 0.9 else 0.05)
    assert not crossing.missing(0.01 if rho > 0.9 else 0.15)


@pytest.mark.parametrize("rho", [None, 0.5])
def test_infeasible(rho: float | None) -> None:
    game = TableGame([0.0, 1.0, 1.0, 3.0])
    with pytest.raises(InfeasibleScheme, match=r"party \d must be offered v_min = 3, .*scheme\.stable=false") as error:
        Gain(rho=rho).solve(contributions_of([1.5, 1.5]), game, tensor([2.0, 2.5]))
    assert ("scheme.rho=null" in str(error.value)) is (rho is not None)
    assert Gain(stable=False, rho=rho).solve(contributions_of([1.5, 1.5]), game, tensor([2.0, 2.5])).v_star == 2
    with pytest.raises(InfeasibleScheme, match="party 2's own value"):
        Gain(rho=rho).solve(contributions_of([1.5, 1.5]), game, tensor([4.0, 0.5]))


def test_rounding_errors_of_contributions_are_no_contributions() -> None:
    game = TableGame([0.0, 1.0, 0.0, 1.0])
    rewards = Gain().solve(contributions_of([1.0, 3e-17]), game, tensor([2.0, 2.0]))
    assert rewards.details["left_out"] == [1]
    assert rewards.values.tolist() == [2, 0]
    assert rewards.warnings[0].startswith("party 2 has the contribution 3e-17, which is not positive")
