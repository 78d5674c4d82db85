"""Games, and plain computations of their Shapley values, for the tests of contributions."""

import itertools
import math
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation

Values = Callable[[frozenset[int]], float]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def members(number: int, n: int) -> frozenset[int]:
    return frozenset(i for i in range(n) if number >> i & 1)


def tabulate(game: Values, n: int) -> Tensor:
    return torch.tensor([float(game(members(number, n))) for number in range(2**n)], dtype=torch.float64)


def by_permutations(game: Values, n: int) -> list[Fraction]:
    """Equation (5): the mean over all n! permutations, in exact arithmetic."""

    phi = [Fraction(0)] * n
    for order in itertools.permutations(range(n)):
        for place, i in enumerate(order):
            before = frozenset(order[:place])
            phi[i] += Fraction(game(before | {i})) - Fraction(game(before))
    return [total / math.factorial(n) for total in phi]


def by_subsets(values: Tensor) -> list[float]:
    """The mean over the sizes |C| of the mean over all C of this size."""

    n = len(values).bit_length() - 1
    phi = []
    for i in range(n):
        gains = [[] for _ in range(n)]
        for number in range(2**n):
            if i not in members(number, n):
                gains[len(members(number, n))].append(float(values[number + 2**i] - values[number]))
        phi.append(float(np.mean([np.mean(g) for g in gains])))
    return phi


def valuation_of(sizes: Iterable[int], pool: int = 20, seed: int = 0, lengthscale: float = 2.0) -> Valuation:
    parties = [normal(size, 2, seed=1000 * seed + i) + normal(1, 2, seed=-1 - i) for i, size in enumerate(sizes)]
    return Valuation(SquaredExponential(lengthscale), parties, 1.5 * normal(pool, 2, seed=1000 * seed + 999))


def written_out(a: np.ndarray, b: np.ndarray, sizes: list[int], t: int) -> Values:
    def game(c: frozenset[int]) -> float:
        s = sum(sizes[i] for i in c)
        return 2 * sum(a[i] for i in c) / (s * t) - sum(b[i, j] for i in c for j in c) / s**2 if c else 0.0

    return game


def by_definition(game: Values, n: int, weight: Callable[[int], float | Fraction]) -> list[float]:
    """A semivalue: the sum of `weight(|C|)` times the gain of a player, over all C without this player."""

    phi = []
    for i in range(n):
        coalitions = [c for c in (members(number, n) for number in range(2**n)) if i not in c]
        gains = [Fraction(weight(len(c))) * (Fraction(game(c | {i})) - Fraction(game(c))) for c in coalitions]
        phi.append(float(sum(gains)))
    return phi


def random_values(n: int, seed: int, grand: float = 1000.0) -> Tensor:
    """A game with values of both signs, except for the large value of the grand coalition."""

    values = np.random.default_rng(seed).normal(size=2**n)
    values[0], values[-1] = 0, grand
    return torch.from_numpy(values)
