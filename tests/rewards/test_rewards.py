import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.shapley import ShapleyValues, shapley_values
from cgm.rewards.base import InfeasibleScheme, Scheme
from cgm.rewards.incentives import check_incentives
from cgm.rewards.shapley_fair import RewardScheme, lower_bounds, solve_scheme
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.valuation import Valuation

Values = dict[frozenset[int], float]
INCENTIVES = {"R1", "R2", "R3", "R4", "R5", "R6", "F1", "F2", "F3", "F4"}


def subsets(members: Iterable[int]) -> Iterator[frozenset[int]]:
    members = list(members)
    for k in range(len(members) + 1):
        yield from map(frozenset, itertools.combinations(members, k))


def tensor(x: Iterable[float]) -> Tensor:
    return torch.tensor([float(y) for y in x], dtype=torch.float64)


@dataclass(frozen=True)
class Game:
    """Stands in for a Valuation: any coalition values, where points could give only some."""

    values: Values
    upper: Sequence[float]

    @property
    def n(self) -> int:
        return len(self.upper)

    @property
    def party_values(self) -> Tensor:
        return tensor(self.coalition([i]) for i in range(self.n))

    @property
    def with_synthetic(self) -> Tensor:
        return tensor(self.upper)

    @property
    def grand_value(self) -> float:
        return self.coalition(range(self.n))

    def coalition(self, members: Iterable[int]) -> float:
        return float(self.values[frozenset(members)])

    def coalition_values(self) -> Tensor:
        return tensor(self.coalition(j for j in range(self.n) if c >> j & 1) for c in range(2**self.n))


def random_valuation(seed: int, n: int, lengthscale: float = 1.5, twins: bool = False) -> Valuation:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 4))
    centres = 1.5 * rng.standard_normal((n, d))
    parties = [c + 0.7 * rng.standard_normal((rng.integers(2, 7), d)) for c in centres]
    if twins:
        parties[-1] = parties[0][::-1].copy()
    size = rng.choice([3, 10, 40])
    synthetic = centres[rng.integers(n, size=size)] + 0.7 * rng.standard_normal((size, d))
    return Valuation(
        SquaredExponential(lengthscale), [torch.from_numpy(x) for x in parties], torch.from_numpy(synthetic)
    )


def plain_game(valuation: Valuation) -> tuple[Values, list[float]]:
    """Computes v_c of all coalitions and v(D_i ∪ G), equation (2), from the full kernel matrix."""

    x = valuation.points.numpy()
    k = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * valuation.kernel.lengthscale**2))
    block = np.repeat(np.arange(valuation.n + 1), valuation.sizes)

    def v(blocks: Iterable[int]) -> float:
        rows = np.flatnonzero(np.isin(block, list(blocks)))
        return float(2 * k[rows].mean() - k[np.ix_(rows, rows)].mean()) if len(rows) else 0.0

    n = valuation.n
    return {c: v(c) for c in subsets(range(n))}, [v([i, n]) for i in range(n)]


def plain_phi(values: Values, n: int) -> list[float]:
    """Computes the Shapley values by equation (5): exactly, if the values are fractions."""

    phi = [0 * values[frozenset()]] * n
    for order in itertools.permutations(range(n)):
        for k, i in enumerate(order):
            phi[i] += values[frozenset(order[: k + 1])] - values[frozenset(order[:k])]
    return [p / math.factorial(n) for p in phi]


def by_hand(phi: Sequence[float]) -> ShapleyValues:
    phi = tensor(phi)
    return ShapleyValues(phi, phi / phi.max(), torch.zeros_like(phi), "exact")


def plain_program(
    alpha: Sequence[float], lower: Sequence[float], upper: Sequence[float], epsilon: float
) -> tuple[float, float, float]:
    """Solves max log v* + ε ρ over the vertices of what is allowed.

    Given ρ, log v* may lie between the greatest of the lines log v_min - ρ log α and the least of the lines
    log v_max - ρ log α. The maximum is where two lines meet, or at ρ = 0 or 1.

    Returns:
        The most room between the lower and the upper lines (negative: infeasible), the maximum, and its ρ.
    """

    tops = [(math.log(u), -math.log(a)) for a, u in zip(alpha, upper, strict=True) if a > 0]
    floors = [(math.log(x), -math.log(a)) for a, x in zip(alpha, lower, strict=True) if a > 0 and x > 0]
    rhos = {0.0, 1.0}
    for (c, m), (d, k) in itertools.combinations(tops + floors, 2):
        if m != k and 0 <= (d - c) / (m - k) <= 1:
            rhos.add((d - c) / (m - k))

    top = {rho: min(c + m * rho for c, m in tops) for rho in rhos}
    room = {rho: top[rho] - max((c + m * rho for c, m in floors), default=-math.inf) for rho in rhos}
    best = max(((top[rho] + epsilon * rho, rho) for rho in rhos if room[rho] > -1e-12), default=(math.nan,) * 2)
    return max(room.values()), *best


def plain_incentives(
    r: Sequence[float], v_star: float, values: Values, upper: Sequence[float], phi: Sequence[float]
) -> dict[str, tuple[bool, float | None]]:
    """Checks each incentive by its definition: (held, slack)."""

    n = len(r)
    everyone = set(range(n))
    tolerance = 1e-9 * max(abs(v_star), *(abs(x) for x in r))

    def same(x: float, y: float) -> bool:
        return abs(x - y) <= tolerance

    own = [values[frozenset([i])] for i in range(n)]
    slack = {
        "R1": [r[i] for i in range(n)],
        "R2": [upper[i] - r[i] for i in range(n)],
        "R3": [max(-abs(v_star - r[i]) for i in range(n))],
        "R4": [r[i] - own[i] for i in range(n)],
        "F1": [],
        "F2": [],
        "F3": [],
        "R6": [],
    }
    for i in everyone:
        if all(same(values[c | {i}], values[c]) for c in subsets(everyone - {i})):
            slack["F1"].append(-abs(r[i]))
    for i, j in itertools.permutations(everyone, 2):
        others = list(subsets(everyone - {i, j}))
        if all(same(values[c | {i}], values[c | {j}]) for c in others):
            slack["F2"].append(-abs(r[i] - r[j]))
        elif all(values[c | {i}] >= values[c | {j}] for c in others):
            slack["F3"].append(r[i] - r[j])
    for c in subsets(everyone):
        for i in c:
            if all(phi[i] >= phi[j] - 1e-12 * max(abs(p) for p in phi) for j in c):
                slack["R6"].append(r[i] - values[c])

    told = {}
    for name, all_slack in slack.items():
        worst = min(all_slack, default=None)
        told[name] = (worst is None or (worst > 0 if name == "F3" else worst >= -tolerance), worst)
    fair = [told[f] for f in ("F1", "F2", "F3")]
    told["R5"] = (all(f[0] for f in fair), min((f[1] for f in fair if f[1] is not None), default=None))
    return told


def assert_certificate(
    scheme: Scheme, shapley: ShapleyValues, valuation: Game | Valuation, values: Values, upper: Sequence[float]
) -> dict[str, bool]:
    """Compares the certificate with the definitions, entry by entry; returns what is held."""

    certificate = check_incentives(scheme, shapley, valuation)
    expected = plain_incentives(scheme.rewards.tolist(), scheme.v_star, values, upper, shapley.phi.tolist())
    assert set(certificate) == INCENTIVES
    for name, (holds, slack) in expected.items():
        told = certificate[name]
        assert told.holds is holds, (name, told, slack)
        assert told.slack == (None if slack is None else pytest.approx(slack, abs=1e-10)), (name, told)
        assert told.note
    assert certificate["F4"].holds is None
    assert certificate["F4"].slack is None
    assert certificate["F4"].note
    return {name: told.holds for name, told in certificate.items()}


def assert_rewards(scheme: Scheme, alpha: Sequence[float], own: Sequence[float]) -> None:
    """Compares the rewards with equation (6)."""

    for i, r in enumerate(scheme.rewards.tolist()):
        expected = max(own[i], alpha[i] ** scheme.rho * scheme.v_star) if alpha[i] > 0 else own[i]
        assert r == pytest.approx(expected, rel=1e-12)


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
    """Credit ratings, equal disjoint: the bounds are v_c(C_i) and v(D_i ∪ G) of the paper's own points."""

    alpha = tensor([0.41661842, 0.71042182, 1, 0.32040511, 0.88063143])
    lower = tensor([0.398612120395, 0.496451740869, 0.535805528751, 0.001731412033, 0.529450812465])
    upper = tensor([0.535799897887, 0.535813673380, 0.535833378606, 0.535791239399, 0.535827245640])
    scheme = solve_scheme(alpha, lower, upper)
    assert scheme.v_star == pytest.approx(0.535833, abs=5e-7)
    assert scheme.rho == pytest.approx(0.0943, abs=5e-5)
    assert scheme.rewards.tolist() == pytest.approx([0.4934, 0.5188, 0.5358, 0.4813, 0.5295], abs=5e-5)


def test_program_keeps_its_bounds_to_the_digit() -> None:
    """Bounds that cross by more than rounding are refused, and ρ is never below 0."""

    half = tensor([0.5, 0.5])
    scheme = solve_scheme(tensor([1, 0.5]), half, half)
    assert (scheme.v_star, scheme.rho) == pytest.approx((0.5, 0), abs=1e-9)
    assert scheme.rho >= 0
    for crossing in (1e-3, 1e-6, 5e-8, 1e-8):
        with pytest.raises(InfeasibleScheme):
            solve_scheme(tensor([1, 0.5]), half * (1 + crossing), half)


def test_program_with_a_small_epsilon() -> None:
    """Even a small ε decides between values of v* that are as good."""

    alpha, lower, upper = [1.0, 1e-4], [0.1, 0.2], [0.5, 0.9]
    for epsilon in (1e-3, 1e-6, 1e-8):
        scheme = solve_scheme(*map(tensor, (alpha, lower, upper)), epsilon=epsilon)
        _, best, rho = plain_program(alpha, lower, upper, epsilon)
        assert (scheme.v_star, scheme.rho) == pytest.approx((0.5, rho), abs=1e-8)
        assert rho == pytest.approx(math.log(0.2 / 0.5) / math.log(1e-4))

    # ρ costs a little of v*, and is worth it
    alpha, lower, upper = [1.0, 1.2e-9, 9.2e-11], [0.12, 0.11, 0.23], [0.926554, 0.614624, 0.431058]
    scheme = solve_scheme(*map(tensor, (alpha, lower, upper)), epsilon=1e-6)
    _, best, rho = plain_program(alpha, lower, upper, 1e-6)
    assert math.log(scheme.v_star) + 1e-6 * scheme.rho == pytest.approx(best, abs=1e-10)
    assert scheme.rho == pytest.approx(rho, abs=1e-6)


def test_epsilon_zero_asks_for_the_greatest_reward_alone() -> None:
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
def test_lower_bound_that_is_not_positive_binds_nothing(small: float) -> None:
    alpha, upper = tensor([1, 0.1, 0.6]), tensor([0.8, 0.9, 0.7])
    scheme = solve_scheme(alpha, tensor([0.1, small, 0.3]), upper)
    other = solve_scheme(alpha, tensor([0.1, 1e-7, 0.3]), upper)
    assert (scheme.v_star, scheme.rho) == pytest.approx((other.v_star, other.rho), rel=1e-9)
    assert scheme.rewards.tolist() == pytest.approx(other.rewards.tolist(), rel=1e-9)
    assert solve_scheme(alpha, tensor([small] * 3), upper).rho == pytest.approx(1)


@pytest.mark.parametrize("useless", [0.0, -0.2, -1e-300])
@pytest.mark.parametrize("rho", [None, 0.5])
def test_party_without_a_positive_shapley_value_keeps_its_own(useless: float, rho: float | None) -> None:
    """Its bounds bind nothing either: here they cross."""

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


def test_given_rho_rectifies_by_the_own_value_not_by_the_bound() -> None:
    args = [tensor(x) for x in ([0.2, 1.0], [0.6, 0.5], [0.9, 0.8])]
    scheme = solve_scheme(*args, rho=1, party_values=tensor([0.3, 0.1]))
    assert scheme.rewards.tolist() == pytest.approx([0.3, 0.8])


def test_given_rho_refuses_a_lower_bound_above_the_greatest_reward() -> None:
    with pytest.raises(InfeasibleScheme, match=r"party 3's .* 0\.7 .* party 2's .* 0\.6 .*scheme\.rho=1"):
        solve_scheme(tensor([0.5, 1, 0.9]), tensor([0.1, 0.2, 0.7]), tensor([0.9, 0.6, 0.8]), rho=1)
    scheme = solve_scheme(tensor([0.5, 1, 0.9]), tensor([0.1, 0.2, 0.6]), tensor([0.9, 0.6, 0.8]), rho=1)
    assert scheme.rewards.tolist() == pytest.approx([0.3, 0.6, 0.6])


def test_infeasible_names_the_bounds_that_cross() -> None:
    """At the ρ where the lower and the upper lines come closest, found on a grid."""

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
        at = np.abs(grid - rho).argmin()  # they may come as close at several ρ; three digits of it are told
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
        solve_scheme(*[torch.ones(2, 2)] * 4)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("epsilon", x) for x in (-1e-9, -1, math.nan, math.inf)),
        *(("rho", x) for x in (-1e-9, 1.001, math.nan, math.inf)),
    ],
)
def test_settings_out_of_range(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"scheme\.{setting}={value}"):
        solve_scheme(tensor([1, 0.5]), tensor([0.1, 0.1]), tensor([0.5, 0.5]), **{setting: value})
    with pytest.raises(ValueError, match=rf"scheme\.{setting}={value}"):
        RewardScheme(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("growth", x) for x in (1, 0.5, -2, math.nan, math.inf)),
        *(("most_growth", x) for x in (0.99, 0, math.nan, math.inf)),
    ],
)
def test_growth_out_of_range(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"scheme\.{setting}={value}"):
        RewardScheme(**{setting: value})


@pytest.mark.parametrize(
    ("growth", "most_growth", "sizes"),
    [(2.0, 8.0, [10, 20, 40, 80]), (3.0, 8.0, [10, 30]), (1.5, 3.0, [10, 15, 22]), (2.0, 1.0, [10])],
)
def test_sizes_of_the_pool(growth: float, most_growth: float, sizes: list[int]) -> None:
    assert RewardScheme(growth=growth, most_growth=most_growth).sizes(10) == sizes


class Factor(float):
    """A number that may be multiplied by a thousand times, so that a loop without end comes to one."""

    left = 1000

    def __rmul__(self, other: float) -> float:
        self.left -= 1
        assert self.left > 0, "a loop without end"
        return other * float(self)


@pytest.mark.parametrize("first", [1, 10, 1000])
def test_sizes_of_the_pool_grow_whatever_the_factor(first: int) -> None:
    sizes = RewardScheme(growth=Factor(1.01), most_growth=1.2).sizes(first)
    assert sizes[0] == first
    assert sizes == sorted(set(sizes))
    assert sizes[-1] <= 1.2 * first


@pytest.mark.parametrize("rho", [None, 1.0])
@pytest.mark.parametrize("stable", [True, False])
def test_reward_scheme_solves(stable: bool, rho: float | None) -> None:
    valuation = random_valuation(1, 3, 2.5)
    shapley = shapley_values(valuation)
    scheme, lower = RewardScheme(stable=stable, epsilon=0.1, rho=rho).solve(shapley, valuation)
    assert torch.equal(lower, lower_bounds(valuation, shapley.phi, stable))
    expected = solve_scheme(shapley.alpha, lower, valuation.with_synthetic, 0.1, rho, valuation.party_values)
    assert scheme.rewards.tolist() == expected.rewards.tolist()
    assert (scheme.rho, scheme.epsilon) == (expected.rho, None if rho else 0.1)


@pytest.mark.parametrize("rho", [None, 0.5])
def test_no_positive_shapley_value(rho: float | None) -> None:
    with pytest.raises(ValueError, match="positive Shapley value"):
        solve_scheme(tensor([0, -1]), tensor([0.1, 0.1]), tensor([0.5, 0.5]), rho=rho)


def test_float32_comes_in_and_float64_goes_out() -> None:
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
    stable = [max(own[i], values[frozenset(j for j in range(n) if phi[j] <= phi[i])]) for i in range(n)]
    assert lower_bounds(valuation, tensor(phi), stable=False).tolist() == pytest.approx(own, abs=1e-12)
    assert lower_bounds(valuation, tensor(phi)).tolist() == pytest.approx(stable, abs=1e-12)


def test_lower_bounds_of_equal_shapley_values() -> None:
    """Each of the parties that are equal but for rounding has the others in its C_i."""

    values = {c: len(c) / 4 + 0.01 * sum(c) for c in subsets(range(4))}
    bounds = lower_bounds(Game(values, [2] * 4), tensor([0.5, 0.5 * (1 + 1e-15), 0.5 * (1 - 1e-15), 0.6]))
    assert bounds.tolist() == [values[frozenset([0, 1, 2])]] * 3 + [values[frozenset(range(4))]]


# --- Proposition 3 ---

valuations = st.builds(
    random_valuation,
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([2, 3, 4, 1]),
    lengthscale=st.sampled_from([1.0, 1.5, 2.5]),
    twins=st.booleans(),
)


@st.composite
def monotone_games(draw: st.DrawFn) -> Game:
    """Draws games of which no coalition is worth less than a part of it; a party may be useless or a copy."""

    n = draw(st.sampled_from([3, 4, 5, 2, 1]))
    worth = {c: draw(st.integers(1, 20)) / 10 if c else 0.0 for c in subsets(range(n))}
    values = {c: max(worth[b] for b in subsets(c)) for c in worth}
    if n > 1 and draw(st.booleans()):  # the last party is worth nothing
        values = {c: values[c - {n - 1}] for c in values}
    elif n > 1 and draw(st.booleans()):  # the last party is worth what party 0 is
        values = {c: values[c if 0 in c else frozenset(0 if i == n - 1 else i for i in c)] for c in values}
    upper = [values[frozenset(range(n))] * (1 + draw(st.integers(0, 5)) / 10) for _ in range(n)]
    return Game(values, upper)


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
    held = assert_certificate(scheme, shapley, valuation, values, upper)
    assert held["R1"]
    assert held["R3"]
    assert held["R4"]
    # the paper has it that no party's own data are worth more than they are together with G
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
    held = assert_certificate(scheme, shapley, valuation, values, upper)
    if scheme.left_out:
        return
    assert all(held[r] for r in ("R1", "R2", "R3", "R4", "F1", "F2"))
    assert held["F3"] or scheme.rho < 1e-9
    assert held["R5"] or scheme.rho < 1e-9
    monotone = all(values[c] <= values[c | {i}] for c in values for i in range(valuation.n))
    assert held["R6"] or not (stable and monotone)


@given(monotone_games(), st.booleans(), st.sampled_from([1e-3, 0.1]))
def test_propositions_3b_and_3c_with_a_monotone_value(game: Game, stable: bool, epsilon: float) -> None:
    phi = plain_phi({c: Fraction(v).limit_denominator(100) for c, v in game.values.items()}, game.n)
    shapley = by_hand(phi)
    lower = lower_bounds(game, shapley.phi, stable)
    scheme = solve_scheme(shapley.alpha, lower, game.with_synthetic, epsilon, party_values=game.party_values)
    assert_rewards(scheme, shapley.alpha.tolist(), game.party_values.tolist())
    held = assert_certificate(scheme, shapley, game, game.values, game.upper)
    assert all(held[r] for r in ("R1", "R2", "R3", "R4", "F1", "F2"))
    assert held["F3"] or scheme.rho < 1e-9
    assert held["R6"] or not stable


@pytest.mark.parametrize("n", [2, 4])
def test_twins_get_the_same(n: int) -> None:
    valuation = random_valuation(3, n, 2.5, twins=True)
    shapley = shapley_values(valuation)
    lower = lower_bounds(valuation, shapley.phi)
    scheme = solve_scheme(shapley.alpha, lower, valuation.with_synthetic)
    assert scheme.rewards[0] == pytest.approx(float(scheme.rewards[-1]), rel=1e-12)
    told = check_incentives(scheme, shapley, valuation)["F2"]
    assert told.holds
    assert told.slack == pytest.approx(0, abs=1e-12)
    assert told.note.startswith("1 x ")

    scheme.rewards[0] += 1e-3
    told = check_incentives(scheme, shapley, valuation)["F2"]
    assert told.holds is False
    assert told.slack == pytest.approx(-1e-3)


def test_useless_party() -> None:
    values = {c: 0.3 * len(c - {1}) for c in subsets(range(3))}
    game = Game(values, [0.9] * 3)
    shapley = by_hand(plain_phi(values, 3))
    scheme = solve_scheme(shapley.alpha, lower_bounds(game, shapley.phi), game.with_synthetic)
    assert scheme.left_out == (1,)
    assert scheme.rewards.tolist() == pytest.approx([0.9, 0, 0.9])
    told = check_incentives(scheme, shapley, game)
    assert (told["F1"].holds, told["F1"].slack, told["F1"].note[:4]) == (True, 0, "1 x ")
    assert told["R5"].holds

    scheme.rewards[1] = 0.1
    told = check_incentives(scheme, shapley, game)
    assert (told["F1"].holds, told["F1"].slack) == (False, pytest.approx(-0.1))
    assert (told["R5"].holds, told["R5"].slack) == (False, pytest.approx(-0.1))


def test_proposition_2() -> None:
    """Party 0 adds more than party 1, but both are rectified to what they have: F3 is lost."""

    pairs = {(0,): 0.5, (1,): 0.5, (2,): 0.9, (0, 1): 0.6, (0, 2): 1.0, (1, 2): 0.95, (0, 1, 2): 1.1, (): 0.0}
    values = {frozenset(c): v for c, v in pairs.items()}
    game = Game(values, [1.1] * 3)
    shapley = by_hand(plain_phi(values, 3))
    scheme = solve_scheme(shapley.alpha, game.party_values, game.with_synthetic, rho=1)
    assert scheme.v_star == game.grand_value
    assert scheme.rewards.tolist() == pytest.approx([0.5, 0.5, 1.1])
    held = assert_certificate(scheme, shapley, game, values, game.upper)
    assert not held["F3"]
    assert not held["R5"]
    assert all(held[r] for r in ("R1", "R2", "R3", "R4", "F1", "F2"))


# --- the certificate of whatever rewards ---


@st.composite
def any_rewards(draw: st.DrawFn) -> tuple[Values, list[float], Scheme, ShapleyValues]:
    """Draws games of few different values, so that many a party is useless, a twin or as good as another."""

    n = draw(st.sampled_from([3, 4, 2, 1]))
    steps = st.integers(-1, 3)
    additive = [draw(st.integers(-1, 2)) for _ in range(n)]
    values = {c: Fraction(sum(additive[i] for i in c), 4) for c in subsets(range(n))}
    for c in draw(st.lists(st.sampled_from([c for c in values if c]), max_size=3)):
        values[c] += Fraction(draw(steps), 4)
    phi = plain_phi(values, n)
    assume(max(phi) > 0)
    noise = [draw(st.sampled_from([0, 1e-15, -1e-15])) for _ in phi]
    shapley = by_hand([float(p) * (1 + e) for p, e in zip(phi, noise, strict=True)])
    rewards = tensor(draw(steps) / 4 for _ in range(n))
    v_star = draw(st.sampled_from([float(rewards.max()), 0.75]))
    scheme = Scheme(v_star, draw(st.sampled_from([0.0, 0.5])), rewards, None)
    return {c: float(v) for c, v in values.items()}, [draw(steps) / 4 for _ in range(n)], scheme, shapley


@given(any_rewards())
def test_certificate_by_the_definitions(drawn: tuple[Values, list[float], Scheme, ShapleyValues]) -> None:
    values, upper, scheme, shapley = drawn
    assert_certificate(scheme, shapley, Game(values, upper), values, upper)


@pytest.mark.parametrize("miss", [1e-11, 1e-6])
def test_certificate_forgives_rounding_alone(miss: float) -> None:
    values = {c: 0.25 * len(c) for c in subsets(range(2))}
    game, shapley = Game(values, [0.5, 0.5]), by_hand([0.25, 0.25])
    below = check_incentives(Scheme(0.5, 1.0, tensor([0.5 + miss, 0.25 - miss]), None), shapley, game)
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
    told = check_incentives(Scheme(float(rewards.max()), 0.5, rewards, None), shapley, valuation)
    for name in ("R5", "F1", "F2", "F3"):
        assert told[name].holds is None
        assert told[name].slack is None
    assert all("2^21" in told[name].note for name in ("F1", "F2", "F3"))
    assert told["R6"].holds is (None if stable else False)
    assert told["R6"].slack == pytest.approx(float((rewards - lower).min()))
    assert told["R6"].note
    assert [told[r].holds for r in ("R1", "R3", "R4")] == [True] * 3
