"""Near-copies in float32: values of pools in clusters against float64, and ordinary pools, which are not affected."""

from itertools import product

import pytest
import torch
from torch import Tensor

from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential
from cgm.valuation.mmd import cross_sums
from cgm.valuation.tiles import MIN_COPIES, Tiles, near_copies
from cgm.valuation.valuation import Valuation
from tests.valuation.common import normal

LENGTHSCALE = 0.1
KERNELS = [SquaredExponential, RationalQuadratic, Laplacian]
WIDTHS = [0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2]


def clusters(t: int, d: int, width: float, n: int = 10, seed: int = 0) -> Tensor:
    """Points in n clusters, whose centres are close enough for float32."""

    member = torch.randint(n, (t,), generator=torch.Generator().manual_seed(seed))
    return 0.4 * normal(n, d, seed=seed + 1)[member] + width * normal(t, d, seed=seed + 2)


def error(kernel: Kernel, pool: Tensor) -> float:
    """The largest difference of v(D_i ∪ G) between float32 and float64."""

    parties = [0.4 * normal(20, pool.shape[1], seed=seed) for seed in (10, 11)]
    single, double = (Valuation(kernel, parties, pool, precision) for precision in ("float32", "float64"))
    return float((single.with_synthetic - double.with_synthetic).abs().max())


def dtypes(x: Tensor, size: int = 500) -> dict[tuple[int, int], torch.dtype]:
    tiles = Tiles(SquaredExponential(LENGTHSCALE), x, x, size, "float32")
    return {(i, j): tiles.dtype(i, j) for i in range(0, len(x), size) for j in range(0, len(x), size)}


@pytest.mark.parametrize("d", [2, 8])
@pytest.mark.parametrize("kernel", KERNELS)
def test_values_of_clusters(kernel: type[Kernel], d: int) -> None:
    """Ten clusters, and two, in which half of all pairs are near-copies."""

    for width, n in product(WIDTHS, (2, 10)):
        assert error(kernel(LENGTHSCALE), clusters(2000, d, width, n, seed=n)) < 1e-7


def test_without_near_copies_in_float64_the_error_is_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The case in which the bound of 1e-7 was violated before."""

    monkeypatch.setattr("cgm.valuation.tiles.MIN_COPIES", 10**9)
    errors = [error(SquaredExponential(LENGTHSCALE), clusters(1000, 8, 1e-9, n=3, seed=seed)) for seed in range(8)]
    assert max(errors) > 2e-7


def test_sums_over_two_sets() -> None:
    """Near-copies in either of the two sets."""

    kernel, copies, others = SquaredExponential(LENGTHSCALE), clusters(1500, 8, 1e-9), 0.4 * normal(1500, 8, seed=5)
    for x, y in ((copies, others), (others, copies)):
        difference = cross_sums(kernel, x, y, "float32") - cross_sums(kernel, x, y)
        assert abs(float(difference.sum())) / 1500**2 < 1e-9


@pytest.mark.parametrize("d", [1, 2, 8])
def test_ordinary_points_stay_in_float32(d: int) -> None:
    for clamped, scale, seed in product((False, True), (0.1, 1.0, 5.0, 20.0), range(3)):
        x = scale * normal(20_000, d, seed=seed)
        assert not near_copies(x, x.square().sum(1), clamped).any()
    assert set(dtypes(0.3 * normal(2000, d)).values()) == {torch.float32}


def test_only_tiles_with_near_copies_are_in_float64() -> None:
    x = 0.4 * normal(2000, 2)
    x[500:900] = x[500] + 1e-9 * normal(400, 2)
    for (i, j), dtype in dtypes(x).items():
        assert dtype == (torch.float64 if 500 in (i, j) else torch.float32)


def test_points_that_are_exact_anyway_do_not_count() -> None:
    x = 0.4 * normal(2000, 2)
    x[:500] = x[0]
    kernel = SquaredExponential(LENGTHSCALE)
    assert Tiles(kernel, x, x, 500, "float32").dtype(0, 0) == torch.float64
    assert Tiles(kernel, x, x, 500, "float32", exact=500).dtype(0, 0) == torch.float32


def test_which_points_are_marked() -> None:
    """Groups of at least `MIN_COPIES` points; the largest first; those near the mean, whose errors are small, last."""

    x = 10 * normal(1000, 2) + 10
    x[:100], x[100:200] = x[0].clone(), torch.zeros(2)
    marked = near_copies(x, x.square().sum(1), clamped=False)
    assert marked[:100].all()
    assert not marked[200:].any()

    x = 10 * normal(1000, 2) + 10
    x[: MIN_COPIES - 1] = x[0].clone()
    assert not near_copies(x, x.square().sum(1), clamped=False).any()
    x[:MIN_COPIES] = x[0].clone()
    assert near_copies(x, x.square().sum(1), clamped=False)[:MIN_COPIES].any()


def test_single_points_and_extreme_ones() -> None:
    ones = torch.ones(20, 3, dtype=torch.float64)
    for x in (ones[:1], 0 * ones, 1e200 * ones, 1e-200 * ones):
        assert near_copies(x, x.square().sum(1), clamped=True).shape == (len(x),)
