"""The paper's reward scheme: the linear program against its vertices and a grid, and its bounds."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.semivalues import shapley_values
from cgm.rewards.schemes.base import InfeasibleScheme, lower_bounds
from cgm.rewards.schemes.shapley_fair import ShapleyFair, solve_scheme
from cgm.valuation.game import TableGame
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contracts.games import table
from tests.rewards.common import (
    assert_rewards,
    contributions_of,
    game_of,
    plain_game,
    plain_phi,
    plain_program,
    random_valuation,
    subsets,
    tensor,
)

# --- the linear program ---


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[float], list[float], list[float], float]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 6))
    alpha = np.exp(-rng.uniform(0, draw(st.sampled_from([0.1, 1.0, 8.0])), n))
    upper = rng.uniform(draw(st.sampled_from([0.2, 0.9])), 1, n)
    lower = upper * rng.uniform(draw(st.sampled_from([-0.5, 0.1, 0.9])), 1, n)
    epsilon = draw(st.sampled_from([0.0, 1e-3, 0.3, 20.0]))
    return (alpha / alpha.max()).tolist(), lower.tolist(), upper.tolist(), epsilon


@given(programs())
def test_program_against_its_vertices(program: tuple[list[float], list[float], list[float], float]) -> None:
    alpha, lower, upper, epsilon = program
    room, best, rho = plain_program(*program)
    assume(abs(room) > 1e-6)
    if room < 0:
        with pytest.raises(InfeasibleScheme):
            solve_scheme(*map(tensor, program[:3]), epsilon=epsilon)
        return

    scheme = solve_scheme(*map(tensor, program[:3]), epsilon=epsilon)
    assert math.log(scheme.v_star) + epsilon * scheme.rho == pytest.approx(best, abs=1e-9 * max(1, epsilon))
    assert 0 <= scheme.rho <= 1
    for a, low, high in zip(alpha, lower, upper, strict=True):
        assert low - 1e-9 <= a**scheme.rho * scheme.v_star <= high + 1e-9
    assert (scheme.epsilon, scheme.left_out) == (epsilon, ())
    assert scheme.rewards.dtype == torch.float64
    assert_rewards(scheme, alpha, lower)
    if epsilon == 20:
        assert scheme.rho == pytest.approx(rho, abs=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.5, 20.0])
@pytest.mark.parametrize("seed", range(5))
def test_program_against_a_grid(seed: int, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    alpha, upper = rng.uniform(0.1, 1, 4), rng.uniform(0.5, 1, 4)
    alpha /= alpha.max()
    lower = upper.min() * rng.uniform(0.4, 1, 4)

    log_v, rho = np.meshgrid(np.linspace(np.log(0.3), 0, 1501), np.linspace(0, 1, 1001), indexing="ij")
    reward = np.exp(log_v + rho * np.log(alpha)[:, None, None])
    allowed = ((reward >= lower[:, None, None]) & (reward <= upper[:, None, None])).all(0)
    best = (log_v + epsilon * rho)[allowed].max()

    scheme = solve_scheme(*map(torch.from_numpy, (alpha, lower, upper)), epsilon=epsilon)
    value = math.log(scheme.v_star) + epsilon * scheme.rho
    assert best - 1e-9 <= value <= best + 0.005 * max(1, epsilon)


def test_program_of_the_paper() -> None:
    """Credit ratings, equal disjoint, with the bounds v_c(C_i) and v(D_i ∪ G) of the paper's own points."""

    alpha = tensor([0.41661842, 0.71042182, 1, 0.32040511, 0.88063143])
    lower = tensor([0.398612120395, 0.496451740869, 0.535805528751, 0.001731412033, 0.529450812465])
    upper = tensor([0.535799897887, 0.535813673380, 0.535833378606, 0.535791239399, 0.535827245640])
    scheme = solve_scheme(alpha, lower, upper)
    assert scheme.v_star == pytest.approx(0.535833, abs=5e-7)
    assert scheme.rho == pytest.approx(0.0943, abs=5e-5)
    assert scheme.rewards.tolist() == pytest.approx([0.4934, 0.5188, 0.5358, 0.4813, 0.5295], abs=5e-5)


def test_program_satisfies_its_bounds_precisely() -> None:
    """Bounds that cross by more than rounding errors are infeasible, and ρ is never negative."""

    half = tensor([0.5, 0.5])
    scheme = solve_scheme(tensor([1, 0.5]), half, half)
    assert (scheme.v_star, scheme.rho) == pytest.approx((0.5, 0), abs=1e-9)
    assert scheme.rho >= 0
    for crossing in (1e-3, 1e-6, 5e-8, 1e-8):
        with pytest.raises(InfeasibleScheme):
            solve_scheme(tensor([1, 0.5]), half * (1 + crossing), half)


def test_program_with_a_small_epsilon() -> None:
    """Even a small ε decides between solutions with the same v*."""

    alpha, lower, upper = [1.0, 1e-4], [0.1, 0.2], [0.5, 0.9]
    for epsilon in (1e-3, 1e-6, 1e-8):
        scheme = solve_scheme(*map(tensor, (alpha, lower, upper)), epsilon=epsilon)
        _, best, rho = plain_program(alpha, lower, upper, epsilon)
        assert (scheme.v_star, scheme.rho) == pytest.approx((0.5, rho), abs=1e-8)
        assert rho == pytest.approx(math.log(0.2 / 0.5) / math.log(1e-4))

    # a larger ρ requires a slightly smaller v*
    alpha, lower, upper = [1.0, 1.2e-9, 9.2e-11], [0.12, 0.11, 0.23], [0.926554, 0.614624, 0.431058]
    scheme = solve_scheme(*map(tensor, (alpha, lower, upper)), epsilon=1e-6)
    _, best, rho = plain_program(alpha, lower, upper, 1e-6)
    assert math.log(scheme.v_star) + 1e-6 * scheme.rho == pytest.approx(best, abs=1e-10)
    assert scheme.rho == pytest.approx(rho, abs=1e-6)


def test_epsilon_zero_maximises_the_largest_reward_only() -> None:
    alpha, lower, upper = tensor([1, 0.5]), tensor([0.1, 0.4]), tensor([0.9, 0.5])
    scheme = solve_scheme(alpha, lower, upper, epsilon=0)
    assert scheme.v_star == pytest.approx(0.9)
    assert math.log2(0.9 / 0.5) - 1e-9 <= scheme.rho <= min(1, math.log2(0.9 / 0.4)) + 1e-9
    assert scheme.epsilon == 0


def test_one_party() -> None:
    scheme = solve_scheme(tensor([1]), tensor([0.2]), tensor([0.7]))
    assert scheme.rewards.tolist() == pytest.approx([0.7])
    assert (scheme.v_star, scheme.rho) == pytest.approx((0.7, 1))
    with pytest.raises(InfeasibleScheme, match=r"party 1's lower .* 0\.8 .* party 1's upper .* 0\.7 "):
        solve_scheme(tensor([1]), tensor([0.8]), tensor([0.7]))


@pytest.mark.parametrize("small", [0.0, -0.4, -1e9])
def test_lower_bound_that_is_not_positive_has_no_effect(small: float) -> None:
    alpha, upper = tensor([1, 0.1, 0.6]), tensor([0.8, 0.9, 0.7])
    scheme = solve_scheme(alpha, tensor([0.1, small, 0.3]), upper)
    other = solve_scheme(alpha, tensor([0.1, 1e-7, 0.3]), upper)
    assert (scheme.v_star, scheme.rho) == pytest.approx((other.v_star, other.rho), rel=1e-9)
    assert scheme.rewards.tolist() == pytest.approx(other.rewards.tolist(), rel=1e-9)
    assert solve_scheme(alpha, tensor([small] * 3), upper).rho == pytest.approx(1)


@pytest.mark.parametrize("useless", [0.0, -0.2, -1e-300])
@pytest.mark.parametrize("rho", [None, 0.5])
def test_party_without_a_positive_contribution_keeps_its_own_value(useless: float, rho: float | None) -> None:
    """Its bounds have no effect either: here they cross."""

    lower, upper, own = tensor([0.9, 0.2, 0.5]), tensor([0.1, 0.8, 0.7]), tensor([-0.3, 0.15, 0.45])
    scheme = solve_scheme(tensor([useless, 0.7, 1]), lower, upper, rho=rho, party_values=own)
    other = solve_scheme(tensor([0.7, 1]), lower[1:], upper[1:], rho=rho, party_values=own[1:])
    assert scheme.left_out == (0,)
    assert scheme.rewards[0] == own[0]
    assert scheme.rewards[1:].tolist() == other.rewards.tolist()
    assert (scheme.v_star, scheme.rho) == (other.v_star, other.rho)
    assert solve_scheme(tensor([useless, 0.7, 1]), lower, upper, rho=rho).rewards[0] == lower[0]


@pytest.mark.parametrize("rho", [0, 0.3, 1])
def test_given_rho(rho: float) -> None:
    alpha, own, upper = [0.2, 1.0, 0.6], [0.45, 0.1, 0.2], [0.9, 0.8, 0.6]
    scheme = solve_scheme(*map(tensor, (alpha, own, upper)), rho=rho)
    v_star = min(u / a**rho for a, u in zip(alpha, upper, strict=True))
    assert scheme.v_star == pytest.approx(v_star, rel=1e-14)
    assert (scheme.rho, scheme.epsilon) == (rho, None)
    assert scheme.rewards.tolist() == pytest.approx(
        [max(o, a**rho * v_star) for a, o in zip(alpha, own, strict=True)], rel=1e-14
    )


def test_given_rho_rectifies_by_the_own_value_and_not_by_the_bound() -> None:
    args = [tensor(x) for x in ([0.2, 1.0], [0.6, 0.5], [0.9, 0.8])]
    scheme = solve_scheme(*args, rho=1, party_values=tensor([0.3, 0.1]))
    assert scheme.rewards.tolist() == pytest.approx([0.3, 0.8])


def test_given_rho_with_a_lower_bound_above_the_largest_reward() -> None:
    with pytest.raises(InfeasibleScheme, match=r"party 3's .* 0\.7 .* party 2's .* 0\.6 .*scheme\.rho=1"):
        solve_scheme(tensor([0.5, 1, 0.9]), tensor([0.1, 0.2, 0.7]), tensor([0.9, 0.6, 0.8]), rho=1)
    scheme = solve_scheme(tensor([0.5, 1, 0.9]), tensor([0.1, 0.2, 0.6]), tensor([0.9, 0.6, 0.8]), rho=1)
    assert scheme.rewards.tolist() == pytest.approx([0.3, 0.6, 0.6])


def test_infeasible_names_the_bounds_that_cross() -> None:
    """At the ρ for which the distance of the lower and the upper lines is smallest, found on a grid."""

    grid = np.linspace(0, 1, 100_001)
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        alpha, lower, upper = rng.uniform(0.1, 1, 4), rng.uniform(-0.2, 0.9, 4), rng.uniform(0.5, 1, 4)
        alpha[0] = 1
        floors = np.log(np.maximum(lower, 1e-300))[:, None] - np.log(alpha)[:, None] * grid
        tops = np.log(upper)[:, None] - np.log(alpha)[:, None] * grid
        gap = floors.max(0) - tops.min(0)
        if gap.min() < 1e-6:
            continue

        found += 1
        with pytest.raises(InfeasibleScheme) as error:
            solve_scheme(*map(torch.from_numpy, (alpha, lower, upper)))
        numbers = re.search(
            r"party (\d)'s lower bound v_min = (\S+) .*party (\d)'s upper bound v\(D_i ∪ G\) = (\S+) cross at "
            r"ρ=([^,]+),",
            str(error.value),
        )
        i, low, j, high, rho = (float(x) for x in numbers.groups())
        assert (low, high) == (pytest.approx(lower[int(i) - 1], rel=1e-5), pytest.approx(upper[int(j) - 1], rel=1e-5))
        at = np.abs(grid - rho).argmin()  # several ρ may have the same distance, and the message has three digits of it
        assert gap[at] == pytest.approx(gap.min(), abs=3e-3)
        assert floors[int(i) - 1, at] - tops[int(j) - 1, at] == pytest.approx(gap.min(), abs=3e-3)
        for word in ("synthetic_size", "scheme.stable", "scheme.rho"):
            assert word in str(error.value)

    assert found > 10


@pytest.mark.parametrize("rho", [None, 0.5])
@pytest.mark.parametrize("value", [0.0, -0.25])
def test_upper_bound_that_is_not_positive(value: float, rho: float | None) -> None:
    with pytest.raises(InfeasibleScheme, match=rf"party 2 .* = {value:g}, .*kernel\.lengthscale"):
        solve_scheme(tensor([1, 0.5]), tensor([-0.5, -0.5]), tensor([0.5, value]), rho=rho)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", range(4))
def test_values_that_are_not_finite(which: int, bad: float) -> None:
    args = [tensor(x) for x in ([1, 0.5], [0.1, 0.1], [0.5, 0.5], [0.1, 0.1])]
    args[which][1] = bad
    with pytest.raises(ValueError, match="finite"):
        solve_scheme(*args[:3], party_values=args[3])


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(2, 1), torch.tensor(1.0)])
def test_shapes(which: int, wrong: Tensor) -> None:
    args = [tensor(x) for x in ([1, 0.5], [0.1, 0.1], [0.5, 0.5], [0.1, 0.1])]
    args[which] = wrong
    with pytest.raises(ValueError, match="shape"):
        solve_scheme(*args[:3], party_values=args[3])
    with pytest.raises(ValueError, match="shape"):
        solve_scheme(*[torch.ones(2, 2)] * 3, party_values=torch.ones(2, 2))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("epsilon", x) for x in (-1e-9, -1, math.nan, math.inf)),
        *(("rho", x) for x in (-1e-9, 1.001, math.nan, math.inf)),
    ],
)
def test_settings_out_of_range(setting: str, value: float) -> None:
    message = rf"^scheme\.{setting}={value}: expected a number in \[0, "
    with pytest.raises(ValueError, match=message):
        solve_scheme(tensor([1, 0.5]), tensor([0.1, 0.1]), tensor([0.5, 0.5]), **{setting: value})
    with pytest.raises(ValueError, match=message):
        ShapleyFair(**{setting: value})


@pytest.mark.parametrize("rho", [None, 1.0])
@pytest.mark.parametrize("stable", [True, False])
def test_scheme_solves_with_its_bounds(stable: bool, rho: float | None) -> None:
    valuation = random_valuation(1, 3, 2.5)
    contributions, upper = shapley_values(valuation), valuation.with_synthetic
    rewards = ShapleyFair(stable=stable, epsilon=0.1, rho=rho).solve(contributions, valuation, upper)
    assert torch.equal(rewards.lower, lower_bounds(valuation, contributions.phi, stable))
    assert torch.equal(rewards.upper, upper)
    expected = solve_scheme(contributions.alpha, rewards.lower, upper, 0.1, rho, valuation.party_values)
    assert rewards.values.tolist() == rewards.rewards.tolist() == expected.values.tolist()
    assert (rewards.rho, rewards.epsilon) == (expected.rho, None if rho else 0.1)
    assert rewards.details["stable"] is stable
    assert rewards.warnings == ()


@pytest.mark.parametrize("stable", [True, False])
def test_scheme_warns_of_a_party_that_is_left_out(stable: bool) -> None:
    game = TableGame([0.0, 0.3, -0.2, 0.1])  # φ = 0.3, -0.2
    rewards = ShapleyFair(stable=stable).solve(shapley_values(game), game, tensor([0.6, 0.6]))
    assert rewards.left_out == (1,)
    assert rewards.values.tolist() == pytest.approx([0.6, -0.2])
    (warning,) = rewards.warnings
    assert warning.startswith("party 2 has the contribution -0.2, which is not positive: it is left out")


@pytest.mark.parametrize("rho", [None, 0.5])
def test_no_positive_contribution(rho: float | None) -> None:
    with pytest.raises(ValueError, match="scheme: no party has a positive contribution"):
        solve_scheme(tensor([0, -1]), tensor([0.1, 0.1]), tensor([0.5, 0.5]), rho=rho)


def test_float32_arguments_and_float64_results() -> None:
    args = torch.tensor([[0.5, 1.0], [0.125, 0.25], [0.75, 0.5]])
    scheme, double = solve_scheme(*args), solve_scheme(*args.double())
    assert scheme.rewards.dtype == torch.float64
    assert torch.equal(scheme.rewards, double.rewards)


# --- the lower bounds ---


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), lengthscale=st.sampled_from([0.5, 1.5, 4.0]))
def test_lower_bounds(seed: int, n: int, lengthscale: float) -> None:
    valuation = random_valuation(seed, n, lengthscale)
    values, _ = plain_game(valuation)
    phi = plain_phi(values, n)
    own = [values[frozenset([i])] for i in range(n)]
    stable = [max(v for c, v in values.items() if i in c and all(phi[j] <= phi[i] for j in c)) for i in range(n)]
    assert lower_bounds(valuation, tensor(phi), stable=False).tolist() == pytest.approx(own, abs=1e-12)
    assert lower_bounds(valuation, tensor(phi)).tolist() == pytest.approx(stable, abs=1e-12)


def test_lower_bounds_of_equal_contributions() -> None:
    """Parties with contributions that are equal up to rounding are in each other's C_i."""

    values = {c: len(c) / 4 + 0.01 * sum(c) for c in subsets(range(4))}
    bounds = lower_bounds(game_of(values), tensor([0.5, 0.5 * (1 + 1e-15), 0.5 * (1 - 1e-15), 0.6]))
    assert bounds.tolist() == [values[frozenset([0, 1, 2])]] * 3 + [values[frozenset(range(4))]]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_lower_bounds_of_a_monotone_game_are_those_of_the_paper(seed: int, n: int) -> None:
    game = table(n, seed)
    phi = shapley_values(game).phi
    coalitions = [[j for j in range(n) if phi[j] <= p] for p in phi]
    assert lower_bounds(game, phi).tolist() == [game.coalition(c) for c in coalitions]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5))
def test_stability_of_any_game(seed: int, n: int) -> None:
    """R6 holds by its definition, also if v is not monotone."""

    values = dict(zip(subsets(range(n)), np.random.default_rng(seed).uniform(0, 1, 2**n), strict=True))
    values[frozenset()] = 0.0
    game, phi = game_of(values), plain_phi(values, n)
    assume(min(abs(p) for p in phi) > 1e-6 and max(phi) > 0)
    rewards = ShapleyFair().solve(contributions_of(phi), game, tensor([max(values.values()) * 1.1] * n))
    for c in values:
        top = max(c, key=phi.__getitem__, default=None)
        assert top is None or phi[top] < 0 or rewards.values[top] >= values[c] - 1e-9


def test_more_parties_than_can_be_compared() -> None:
    rng = np.random.default_rng(0)
    parties = [torch.from_numpy(rng.standard_normal((2, 2))) for _ in range(21)]
    valuation = Valuation(SquaredExponential(4.0), parties, torch.from_numpy(rng.standard_normal((200, 2))))
    contributions = contributions_of(valuation.party_values.tolist())
    upper = tensor([1.0] * 21)
    assert "the 2^21 coalitions" in ShapleyFair().solve(contributions, valuation, upper).warnings[-1]
    assert not ShapleyFair(stable=False).solve(contributions, valuation, upper).warnings
