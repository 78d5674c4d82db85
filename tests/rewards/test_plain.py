"""Algorithm 1 in plain steps, draw by draw against the compiled one; see test_draws.py for the probabilities."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from cgm.rewards import steps
from cgm.rewards.plain import algorithm_1, probabilities
from cgm.rewards.sampling import Draws, PoolArrays, sample_rewards
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.references import PoolReference
from cgm.valuation.valuation import Valuation
from tests.rewards.chains import INF, halfway, problem

KERNELS: list[Kernel] = [
    SquaredExponential(0.9),
    Sum([SquaredExponential(0.5), SquaredExponential(2.0)], lengthscale=0.9),
    Laplacian(1.3),
    RationalQuadratic(0.8, alpha=0.5),
]


def plainly(
    valuation: Valuation, party: int, target: float, beta: float, draw: Callable[[np.ndarray], int]
) -> list[int]:
    points = valuation.party(party), valuation.synthetic, valuation.reference_points
    return algorithm_1(valuation.kernel, *points, target, beta, seed=0, draw=draw)


def stream(seed: int, party: int, beta: float) -> np.random.Generator:
    """The random numbers of a chain."""

    return np.random.default_rng([seed, party, int(np.float64(beta).view(np.uint64))])


def proposals(rng: np.random.Generator, order: np.ndarray) -> Callable[[np.ndarray], int]:
    """Draw from given probabilities by proposals, with the random numbers of `steps.draw` if its bounds are exact.

    A block is proposed with a probability proportional to its size times the largest p in it, then any point of the
    block, which is accepted with the probability p over this largest p.
    """

    def draw(p: np.ndarray) -> int:
        blocks = np.split(p[order], range(steps.BLOCK, len(p), steps.BLOCK))
        ends = np.cumsum([len(block) * block.max() for block in blocks])
        while True:
            b = int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))
            i = int(rng.random() * len(blocks[b]))
            if blocks[b][i] > 0 and rng.random() < blocks[b][i] / blocks[b].max():
                return int(order[b * steps.BLOCK + i])

    return draw


def test_the_same_random_numbers_draw_the_same_points() -> None:
    """Whole chains: those of up to 256 points, one block, have exact bounds at every step."""

    whole = [(kernel, 20, reference, 1e9) for kernel in KERNELS for reference in (None, PoolReference())]
    compared = 0
    for kernel, size, reference, share in [*whole, (KERNELS[0], 256, None, 0.9)]:
        base = problem(size=size, n=2)
        valuation = Valuation(kernel, [base.party(0), base.party(1)], base.synthetic, reference=reference)
        targets = halfway(valuation, share)
        for chain in sample_rewards(valuation, targets, [0.0, 1.0, 8.0, INF], seed=5, patience=None):
            draw = proposals(stream(5, chain.party, chain.beta), np.arange(size))
            rows = plainly(valuation, chain.party, targets[chain.party], chain.beta, draw)
            assert rows == chain.indices.tolist()
            compared += len(rows)
    assert compared > 1200


@pytest.mark.parametrize("beta", [0.0, 2.0, 20.0])
def test_the_same_random_numbers_draw_the_same_points_from_several_blocks(beta: float) -> None:
    """With all bounds made exact before each draw."""

    valuation = problem(size=600, n=2)
    state = Draws(PoolArrays(valuation), 1, beta, seed=3)
    order = state.arrays.order
    for _ in range(40):
        steps.update_all(state.arrays.pool, state.sums, state.recent, state.m)
        state.accept(state.draw())
    end = int(np.argmax(state.values))
    assert end > 8
    rows = plainly(valuation, 1, state.values[end] - 1e-12, beta, proposals(stream(3, 1, beta), order))
    assert rows == order[state.accepted[: end + 1]].tolist()


def test_the_values_and_probabilities_of_a_compiled_chain() -> None:
    """With bounds that are not exact, random numbers are used otherwise: the plain steps follow the chain's points."""

    valuation, lengths = problem(size=600, n=2), []
    for chain in sample_rewards(valuation, halfway(valuation, 0.9), [1.0, 30.0], seed=0, patience=None):
        points = iter(chain.indices.tolist())

        def follow(p: np.ndarray, points=points) -> int:
            x = next(points)
            assert p[x] > 0
            return x

        rows = plainly(valuation, chain.party, chain.target, chain.beta, follow)
        assert rows == chain.indices.tolist()  # it ended at the same point
        lengths.append(len(rows))
    assert max(lengths) > 15


def test_probabilities() -> None:
    gains = np.array([0.3, 0.1, 0.2])
    weights = np.exp([2.0, 0.0, 1.0])
    assert probabilities(gains, 2.0) == pytest.approx(weights / weights.sum(), rel=1e-12)
    assert probabilities(-gains, 2.0) == pytest.approx(weights[[1, 0, 2]] / weights.sum(), rel=1e-12)
    assert probabilities(gains, 0.0) == pytest.approx([1 / 3] * 3)
    assert probabilities(gains, INF).tolist() == [1, 0, 0]
    assert probabilities(np.array([0.3, 0.1, 0.3 - 1e-15]), INF).tolist() == [0.5, 0, 0.5]
    assert probabilities(gains, 1e308).tolist() == [1, 0, 0]
    for beta in (0.0, 3.0, INF):
        assert probabilities(np.full(4, 0.7), beta).tolist() == [0.25] * 4
        assert probabilities(np.array([-0.2]), beta).tolist() == [1]


def test_draws_by_its_seed() -> None:
    valuation = problem(size=40, n=2)
    points = valuation.party(0), valuation.synthetic, valuation.points
    target = halfway(valuation, 0.9)[0]
    first, again, other = (algorithm_1(valuation.kernel, *points, target, 1.0, seed) for seed in (0, 0, 1))
    assert first == again != other
    for rows in (first, other):
        assert len(set(rows)) == len(rows)
        values = [valuation.value(torch.cat([points[0], points[1][rows[:k]]])) for k in range(len(rows) + 1)]
        assert values[-1] >= target > max(values[:-1])
    assert algorithm_1(valuation.kernel, *points, float(valuation.party_values[0]) - 1e-9, 1.0, seed=0) == []
    assert sorted(algorithm_1(valuation.kernel, *points, math.inf, 1.0, seed=0)) == list(range(40))
    single = [x.float() for x in points]
    assert len(algorithm_1(valuation.kernel, *single, target, 1.0, seed=0)) > 0


def test_bad_arguments() -> None:
    kernel, x = SquaredExponential(1.0), torch.zeros(3, 2)
    for points, match in (
        ((x, torch.zeros(3, 1), x), "synthetic: has 1 columns where 2 are expected"),
        ((x, x, torch.zeros(3, 4)), "reference: has 4 columns where 2 are expected"),
        ((x[:0], x, x), "own: has 0 points"),
        ((x, x / 0, x), "synthetic: row 0 holds NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=match):
            algorithm_1(kernel, *points, 0.5, 1.0, seed=0)
    with pytest.raises(ValueError, match="seed=-1"):
        algorithm_1(kernel, x, x, x, 0.5, 1.0, seed=-1)
