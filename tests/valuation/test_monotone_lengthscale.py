"""The smallest length-scale with a non-negative and monotone value, against full kernel matrices and plain loops."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import cgm.valuation.lengthscale as module
from cgm.valuation.bounds import negative_increments
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.lengthscale import LengthscaleSearch, fit_lengthscale, fit_monotone, resolve_lengthscale
from cgm.valuation.references import PoolReference, RealReference, Reference
from cgm.valuation.valuation import Valuation
from tests.valuation.common import distances, normal

FIT = SquaredExponential("fit_monotone")
LARGER = [19, 88, 131, 91]  # clouds that are monotone at a larger length-scale only; the last, not at all larger ones


def smallest_increment(lengthscale: float, parties: Sequence[Tensor], synthetic: Tensor) -> float:
    """The smallest v(C with i) - v(C), from a full matrix and a loop over all pairs of coalitions."""

    points = torch.cat([*parties, synthetic])
    k = np.exp(-(distances(points, points) ** 2) / (2 * lengthscale**2))
    ends = np.cumsum([0, *map(len, parties)])

    def v(c: int) -> float:
        rows = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in range(len(parties)) if c >> i & 1])
        return float(2 * k[rows].mean() - k[np.ix_(rows, rows)].mean())

    values = [0.0] + [v(c) for c in range(1, 2 ** len(parties))]
    return min(
        values[c | 1 << i] - values[c] for i in range(len(parties)) for c in range(len(values)) if not c >> i & 1
    )


def ring(n: int, radius: float = 1.0, spread: float = 0.5, size: int = 15) -> tuple[list[Tensor], Tensor]:
    """Parties evenly around the origin, and a pool of the same distribution as all of them."""

    angles = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    centres = radius * torch.stack([angles.cos(), angles.sin()], 1)
    parties = [c + spread * normal(size, 2, seed=i) for i, c in enumerate(centres)]
    return parties, torch.cat([c + spread * normal(40, 2, seed=50 + i) for i, c in enumerate(centres)])


def crowd() -> tuple[list[Tensor], Tensor]:
    """Two wide parties, and one that is concentrated near the mean."""

    parties = [2 * normal(20, 2, seed=1), 2 * normal(20, 2, seed=2), 0.05 * normal(40, 2, seed=3)]
    return parties, torch.cat([2 * normal(150, 2, seed=4), 0.05 * normal(10, 2, seed=5)])


def clouds(seed: int) -> tuple[list[Tensor], Tensor]:
    """Two to four clouds of random sizes, widths and centres, and a pool of copies of them."""

    random = np.random.default_rng(seed)

    def cloud(i: int) -> Tensor:
        width, size, shift = random.uniform(0.05, 2), int(random.integers(4, 30)), random.uniform(0, 1.5)
        return width * normal(size, 2, seed=10 * seed + i) + shift * normal(1, 2, seed=10 * seed + 9 - i)

    parties = [cloud(i) for i in range(int(random.integers(2, 5)))]
    pool = [x.repeat(int(random.integers(1, 5)), 1) + 0.1 * normal(1, 2, seed=3) for x in parties]
    return parties, torch.cat(pool)


def test_values_by_fourier_transforms_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgm.valuation.products.PAIRS_PER_MODE", 0)  # for few points
    for parties, pool in (ring(4), *map(clouds, LARGER[:3])):
        exact = fit_monotone(FIT, parties, pool)
        assert fit_monotone(FIT, parties, pool, method="nufft") == exact


def test_fit_lengthscale_is_the_result_where_v_is_monotone() -> None:
    parties, synthetic = ring(3)
    fitted = fit_lengthscale(FIT, parties, synthetic)
    assert smallest_increment(fitted.numeric_lengthscale, parties, synthetic) >= 0
    assert fit_monotone(FIT, parties, synthetic) == fitted
    assert resolve_lengthscale(FIT, parties, synthetic) == fitted


@pytest.mark.parametrize("seed", LARGER)
def test_a_larger_lengthscale_where_v_is_not_monotone(seed: int) -> None:
    parties, synthetic = clouds(seed)
    fitted = fit_lengthscale(FIT, parties, synthetic).numeric_lengthscale
    assert smallest_increment(fitted, parties, synthetic) < 0
    found = fit_monotone(FIT, parties, synthetic).numeric_lengthscale
    assert found > fitted

    # monotone there, and not one step of the grid below
    assert smallest_increment(found, parties, synthetic) >= -1e-12
    assert smallest_increment(found - (1000 - 0.01) / 2**20, parties, synthetic) < 0
    game = Valuation(SquaredExponential(found), parties, synthetic)
    assert negative_increments(game).negative == 0
    assert min(game.party_values) >= 0


def test_v_is_not_monotone_at_all_larger_lengthscales() -> None:
    parties, synthetic = clouds(LARGER[-1])
    found = fit_monotone(FIT, parties, synthetic).numeric_lengthscale
    assert smallest_increment(8 * found, parties, synthetic) < 0


@pytest.mark.parametrize("seed", [0, *LARGER])
def test_large_lengthscales(seed: int) -> None:
    """There, v(S) is k* - (Var(T) + |difference of the means|^2) / l^2, as the docstring states."""

    parties, synthetic = clouds(seed)
    points, scale = torch.cat([*parties, synthetic]), 1e3
    values = Valuation(SquaredExponential(scale), parties, synthetic).coalition_values()
    for c in range(1, len(values)):
        s = torch.cat([x for i, x in enumerate(parties) if c >> i & 1])
        spread = points.var(0, correction=0).sum() + (s.mean(0) - points.mean(0)).square().sum()
        assert float(1 - values[c]) == pytest.approx(float(spread) / scale**2, rel=1e-3)


def test_no_lengthscale() -> None:
    parties, synthetic = crowd()
    fitted = fit_lengthscale(FIT, parties, synthetic, high=50.0).numeric_lengthscale
    for scale in np.geomspace(fitted, 50.0, 20):
        assert smallest_increment(scale, parties, synthetic) < 0
    with pytest.raises(ValueError, match=r"fit_monotone: v is not monotone at any of the \d+ .*kernel_search\.high=50"):
        fit_monotone(FIT, parties, synthetic, high=50.0)


@pytest.mark.parametrize("reference", [PoolReference(), RealReference()])
def test_another_reference(reference: Reference) -> None:
    parties, synthetic = ring(3)
    found = resolve_lengthscale(FIT, parties, synthetic, LengthscaleSearch(0.01, 50.0, 16), reference)
    assert negative_increments(Valuation(found, parties, synthetic, reference=reference)).negative == 0
    start = fit_lengthscale(FIT, parties, synthetic, 0.01, 50.0, 16, reference)
    assert found.numeric_lengthscale >= start.numeric_lengthscale


def test_the_margin_is_that_of_the_valuation() -> None:
    parties, synthetic = ring(4, size=30)
    kernel, blocks = SquaredExponential(0.8), [*parties, synthetic]
    expected = negative_increments(Valuation(kernel, parties, synthetic)).smallest
    found = module._margin(kernel, blocks, [len(x) for x in blocks], tuple(range(5)))
    assert found == pytest.approx(expected, abs=1e-11)


def test_the_estimate_from_a_subset_has_little_bias() -> None:
    """The diagonal counts as often as in the whole blocks: the mean over random subsets is near the exact number."""

    parties, synthetic = ring(2, size=40)
    kernel, blocks = SquaredExponential(0.1), [*parties, synthetic]
    sizes = [len(x) for x in blocks]
    random = torch.Generator().manual_seed(0)

    def some(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=random)[: len(x) // 2]]

    def value(each: Sequence[Tensor]) -> float:
        return module._margin(kernel, each, sizes, (0, 1, 2))

    exact = value(blocks)
    mean = np.mean([value([*map(some, parties), synthetic]) for _ in range(100)])
    assert abs(mean - exact) < 0.1 * abs(exact)


@pytest.mark.parametrize("seed", LARGER)
def test_few_exact_tests(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    parties, synthetic = clouds(seed)
    exact = []
    plain = module._margin

    def counted(kernel: Kernel, blocks: Sequence[Tensor], *rest: Any) -> float:
        exact.append(len(blocks[-1]) == len(synthetic))
        return plain(kernel, blocks, *rest)

    monkeypatch.setattr(module, "_margin", counted)
    monkeypatch.setattr(module, "SUBSET", 2 * len(synthetic) // 3)
    found = fit_monotone(FIT, parties, synthetic).numeric_lengthscale
    assert sum(exact) <= 24  # of 2^20 points of the grid
    assert smallest_increment(found, parties, synthetic) >= -1e-12
    assert smallest_increment(found - (1000 - 0.01) / 2**20, parties, synthetic) < 0


def test_many_parties() -> None:
    with pytest.raises(ValueError, match=r"fit_monotone: there are 21 parties.*at most 20"):
        fit_monotone(FIT, [normal(3, 2, seed=i) for i in range(21)], normal(30, 2))
