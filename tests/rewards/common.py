"""Games, and plain computations of rewards and incentives, for the tests of reward values."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from cgm.contributions.base import Contributions
from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.shapley_fair import FairRewards
from cgm.valuation.game import Game, TableGame
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation

Values = dict[frozenset[int], float]
INCENTIVES = {"R1", "R2", "R3", "R4", "R5", "R6", "F1", "F2", "F3", "F4"}


def subsets(members: Iterable[int]) -> Iterator[frozenset[int]]:
    members = list(members)
    for k in range(len(members) + 1):
        yield from map(frozenset, itertools.combinations(members, k))


def tensor(x: Iterable[float]) -> Tensor:
    return torch.tensor([float(y) for y in x], dtype=torch.float64)


def game_of(values: Values) -> TableGame:
    n = len(values).bit_length() - 1
    return TableGame(tensor(values[frozenset(i for i in range(n) if c >> i & 1)] for c in range(2**n)))


def contributions_of(phi: Sequence[float]) -> Contributions:
    return Contributions.of(tensor(phi), "exact")


def fair(
    v_star: float,
    rho: float,
    values: Tensor,
    upper: Sequence[float] | Tensor,
    lower: Sequence[float] | Tensor | None = None,
) -> FairRewards:
    """Any reward values, as if they were those of `ShapleyFair`; the lower bounds are the values, if `None`."""

    lower = values if lower is None else torch.as_tensor(lower)
    details = {"v_star": v_star, "rho": rho, "epsilon": None, "stable": True, "left_out": []}
    return FairRewards(values, lower, torch.as_tensor(upper, dtype=torch.float64), details)


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
    """Compute v_c of all coalitions and v(D_i ∪ G), equation (2), from the full kernel matrix."""

    x = valuation.points.numpy()
    k = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * valuation.kernel.lengthscale**2))
    block = np.repeat(np.arange(valuation.n + 1), valuation.sizes)

    def v(blocks: Iterable[int]) -> float:
        rows = np.flatnonzero(np.isin(block, list(blocks)))
        return float(2 * k[rows].mean() - k[np.ix_(rows, rows)].mean()) if len(rows) else 0.0

    n = valuation.n
    return {c: v(c) for c in subsets(range(n))}, [v([i, n]) for i in range(n)]


def plain_phi(values: Values, n: int) -> list[float]:
    """Compute the Shapley values by equation (5), exactly if the values are fractions."""

    phi = [0 * values[frozenset()]] * n
    for order in itertools.permutations(range(n)):
        for k, i in enumerate(order):
            phi[i] += values[frozenset(order[: k + 1])] - values[frozenset(order[:k])]
    return [p / math.factorial(n) for p in phi]


def plain_program(
    alpha: Sequence[float], lower: Sequence[float], upper: Sequence[float], epsilon: float
) -> tuple[float, float, float]:
    """Compute max log v* + ε ρ over the vertices of the feasible set.

    Given ρ, log v* is between the largest of the lines log v_min - ρ log α and the smallest of the lines
    log v_max - ρ log α. The maximum is where two lines cross, or at ρ = 0 or 1.

    Returns:
        The largest distance from the lower to the upper lines (negative if infeasible), the maximum, and its ρ.
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
    """Check each incentive by its definition: (holds, slack)."""

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

    result = {}
    for name, all_slack in slack.items():
        worst = min(all_slack, default=None)
        result[name] = (worst is None or (worst > 0 if name == "F3" else worst >= -tolerance), worst)
    fair = [result[f] for f in ("F1", "F2", "F3")]
    result["R5"] = (all(f[0] for f in fair), min((f[1] for f in fair if f[1] is not None), default=None))
    return result


def assert_incentives(
    rewards: FairRewards, contributions: Contributions, game: Game, values: Values, upper: Sequence[float]
) -> dict[str, bool | None]:
    """Compare all incentives with their definitions; return which of them hold."""

    checked = check_incentives(rewards, contributions, game)
    expected = plain_incentives(rewards.values.tolist(), rewards.v_star, values, upper, contributions.phi.tolist())
    assert set(checked) == INCENTIVES
    for name, (holds, slack) in expected.items():
        incentive = checked[name]
        assert incentive.holds is holds, (name, incentive, slack)
        assert incentive.slack == (None if slack is None else pytest.approx(slack, abs=1e-10)), (name, incentive)
        assert incentive.note
    assert checked["F4"].holds is None
    assert checked["F4"].slack is None
    assert checked["F4"].note
    return {name: incentive.holds for name, incentive in checked.items()}


def assert_rewards(rewards: FairRewards, alpha: Sequence[float], own: Sequence[float]) -> None:
    """Compare the rewards with equation (6)."""

    for i, r in enumerate(rewards.values.tolist()):
        expected = max(own[i], alpha[i] ** rewards.rho * rewards.v_star) if alpha[i] > 0 else own[i]
        assert r == pytest.approx(expected, rel=1e-12)
