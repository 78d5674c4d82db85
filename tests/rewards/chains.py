"""Problems of weighted sampling, and plain computations of chains, for the tests of sampling."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from cgm.rewards.plain import probabilities
from cgm.rewards.sampling import Reward
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.valuation import Valuation

INF = math.inf
FAR = 1e9  # a target that no chain reaches


class Plain:
    """Values and probabilities computed from the full kernel matrix of T.

    Arguments:
        valuation: The valuation.
        k: The kernel, as a function of the squared distance.
    """

    def __init__(self, valuation: Valuation, k: Callable[[np.ndarray], np.ndarray]) -> None:
        x = valuation.points.numpy()
        self.k = k(((x[:, None] - x[None]) ** 2).sum(-1))  # (t, t)
        self.sums = self.k.sum(1)
        self.t, self.size = len(x), valuation.sizes[-1]
        ends = np.cumsum(valuation.sizes)
        self.parties = [list(range(end - n, end)) for end, n in zip(ends, valuation.sizes, strict=True)][:-1]
        self.g = self.t - self.size  # G's first row

    def rows(self, party: int, taken: Sequence[int]) -> list[int]:
        return self.parties[party] + [self.g + x for x in taken]

    def v(self, rows: list[int]) -> float:
        return 2 * self.sums[rows].mean() / self.t - self.k[np.ix_(rows, rows)].mean()

    def mmd2(self, rows: list[int]) -> tuple[float, float]:
        s, t = len(rows), self.t
        ss, st = self.k[np.ix_(rows, rows)], self.k[rows]
        biased = ss.mean() - 2 * st.mean() + self.k.mean()
        off = (ss.sum() - np.trace(ss)) / (s * (s - 1)), (self.k.sum() - np.trace(self.k)) / (t * (t - 1))
        return biased, off[0] - 2 * st.mean() + off[1]

    def probabilities(self, party: int, taken: Sequence[int], beta: float) -> np.ndarray:
        """Compute p(x) for all points of G, 0 for those that are taken."""

        rows = self.rows(party, taken)
        left = [x for x in range(self.size) if x not in set(taken)]
        before = self.v(rows)
        delta = np.array([self.v([*rows, self.g + x]) - before for x in left])
        p = np.zeros(self.size)
        p[left] = probabilities(delta, beta)
        return p


def squared_exponential(lengthscale: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda q: np.exp(-q / (2 * lengthscale**2))


def problem(size: int = 24, n: int = 3, d: int = 2, seed: int = 0, kernel: Kernel | None = None) -> Valuation:
    rng = np.random.default_rng(seed)
    centres = 1.2 * rng.standard_normal((n, d))
    parties = [torch.from_numpy(c + 0.6 * rng.standard_normal((rng.integers(3, 8), d))) for c in centres]
    synthetic = centres[rng.integers(n, size=size)] + 0.7 * rng.standard_normal((size, d))
    return Valuation(kernel or SquaredExponential(0.9), parties, torch.from_numpy(synthetic))


def assert_chain(plain: Plain, chain: Reward, patience: float | None = None) -> None:
    """Check every step of a chain: each point has a positive probability, and v agrees with its formula."""

    taken = []
    best = value = plain.v(plain.rows(chain.party, []))
    assert chain.start == pytest.approx(value, abs=1e-12)
    since = 0
    for x, reported in zip(chain.indices.tolist(), chain.values.tolist(), strict=True):
        assert value < chain.target  # otherwise the chain would have ended
        assert patience is None or since < patience * plain.size
        assert plain.probabilities(chain.party, taken, chain.beta)[x] > 0

        taken.append(x)
        value = plain.v(plain.rows(chain.party, taken))
        assert reported == pytest.approx(value, abs=1e-12)
        since = 0 if value > best else since + 1
        best = max(best, value)

    assert chain.value == pytest.approx(value, abs=1e-12)
    assert chain.reached == (value >= chain.target - 1e-12)
    if not chain.reached:
        assert len(taken) == plain.size or (patience is not None and since >= patience * plain.size)
    assert (chain.mmd2_biased, chain.mmd2_unbiased) == pytest.approx(plain.mmd2(plain.rows(chain.party, taken)))


def assert_same(chains: Sequence[Reward], others: Sequence[Reward]) -> None:
    """Check that chains are exactly the same."""

    for chain, other in zip(chains, others, strict=True):
        assert (chain.party, chain.beta) == (other.party, other.beta)
        assert torch.equal(chain.indices, other.indices)
        assert torch.equal(chain.values, other.values)
        assert (chain.start, chain.reached) == (other.start, other.reached)
        assert (chain.mmd2_biased, chain.mmd2_unbiased) == (other.mmd2_biased, other.mmd2_unbiased)


def halfway(valuation: Valuation, share: float = 0.8) -> list[float]:
    return (valuation.party_values + share * (valuation.with_synthetic - valuation.party_values)).tolist()
