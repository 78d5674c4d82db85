"""Tiles of kernel matrices, against full kernel matrices, also through the sums that are computed from them."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from cgm.valuation.kernels import Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.mmd import block_sums, cross_sums, kernel_pass
from cgm.valuation.tiles import Tiles, sort_by_norm
from tests.valuation.common import KERNELS, clouds, matrix, normal, off_diagonal


@pytest.fixture(params=KERNELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


# --- single tiles


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_tiles_are_parts_of_the_matrix(name: str, precision: str) -> None:
    x, y = clouds(2, 90), clouds(2, 70, seed=1)
    k = matrix(name, x, y)
    tiles = Tiles(KERNELS[name][0], x, y, size=32, precision=precision)
    for i in range(0, 90, 32):
        for j in range(0, 70, 32):
            expected = k[i : i + 32, j : j + 32]
            tile = tiles.tile(i, j).clone()
            assert tile.dtype == tiles.dtype(i, j) == getattr(torch, precision)
            np.testing.assert_allclose(tile, expected, rtol=0, atol=1e-5 if precision == "float32" else 1e-13)
            exact = tiles.tile(i, j, exact=True)
            assert exact.dtype == torch.float64
            np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bounds_of_tiles(precision: str) -> None:
    """A tile that is not searched for extremes has none, and most tiles of sorted points are not searched."""

    x = clouds(2, 600)
    x = x[sort_by_norm(x, [len(x)])]
    kernel = SquaredExponential(0.8)
    k = kernel(x, x).numpy()
    tiles, skipped = Tiles(kernel, x, x, size=50, precision=precision), 0
    for low, high in ((0.0, 1.0), (1e-300, 0.999), (1e-3, 0.5), (0.2, 0.3)):
        for i in range(0, 600, 50):
            for j in range(0, 600, 50):
                tile = k[i : i + 50, j : j + 50]
                z = -np.log2(tile)
                z_min, z_max = tiles.bounds(i, j)
                assert z_min - 1e-9 <= z.min() <= z.max() <= z_max + 1e-9
                if not tiles.may_exceed(i, j, low, high):
                    skipped += 1
                    floor = 2.0**-126 if precision == "float32" else 0.0
                    assert max(tile.min(), floor) >= low
                    assert tile.max() <= high
    assert skipped > 100


def test_kernels_without_a_rate_have_no_bounds() -> None:
    x = clouds(2, 100)
    assert Tiles(Laplacian(0.8), x, x, size=50).may_exceed(0, 50, 0.0, 1.0)


def test_points_sorted_by_norm() -> None:
    x, sizes = clouds(3, 100), [10, 60, 30]
    order = sort_by_norm(x, sizes)
    radii = (x - x.mean(0)).norm(dim=1)
    assert order.dtype == torch.int64
    for block, part in zip(torch.arange(100).split(sizes), order.split(sizes), strict=True):
        assert sorted(part.tolist()) == block.tolist()
        assert torch.equal(radii[part], radii[block].sort().values)


def test_a_lengthscale_that_is_a_rule() -> None:
    with pytest.raises(ValueError, match=r"kernel\.lengthscale='fit' is a rule"):
        Tiles(SquaredExponential("fit"), normal(4, 2), normal(5, 2), size=3)


# --- units, far points and small scales


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_units_do_not_matter(precision: str) -> None:
    x = clouds(2, 600)
    for cls, unit in product((SquaredExponential, RationalQuadratic, Laplacian), (1e6, 1e-6)):
        plain = kernel_pass(cls(0.8), x, [200, 400])
        scaled = kernel_pass(cls(0.8 * unit), unit * x, [200, 400], precision)
        tolerance = {"rtol": 1e-5, "atol": 1e-6} if precision == "float32" else {"rtol": 1e-11}
        np.testing.assert_allclose(scaled.sums, plain.sums, **tolerance)
        assert (scaled.gamma, scaled.eta) == pytest.approx((plain.gamma, plain.eta), rel=1e-9)


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6, 1e8, 1e17, 1e200])
def test_far_from_the_mean(monkeypatch: pytest.MonkeyPatch, name: str, far: float) -> None:
    """Two clusters so far apart that a matrix product cannot resolve their points, and outliers twice as far.

    The coordinates are multiples of a power of two, so that they are exact although they are large.
    """

    monkeypatch.setattr("cgm.valuation.mmd.TILE", 50)
    steps = torch.randint(-8, 9, (180, 2), generator=torch.Generator().manual_seed(0)).double()
    x = steps * max(0.25, 2.0 ** math.ceil(math.log2(far * 2.0**-50)))
    x[60:120, 0] += 2.0 ** round(math.log2(far))
    x[170:180, 1] -= 2.0 ** round(math.log2(far) + 1)
    with np.errstate(over="ignore"):
        k = matrix(name, x, x)
    expected = np.stack([k[:, :60].sum(1), k[:, 60:].sum(1)], 1)
    for precision, tolerance, relative in (("float32", 1e-4, 1e-6), ("float64", 1e-7, 1e-9)):
        result = kernel_pass(KERNELS[name][0], x, [60, 120], precision)
        np.testing.assert_allclose(result.sums, expected, rtol=0, atol=tolerance)
        assert float(result.sums.sum()) == pytest.approx(k.sum(), rel=relative)
        assert result.gamma == pytest.approx(off_diagonal(k).min(), rel=1e-6, abs=1e-37)
        assert result.eta == pytest.approx(off_diagonal(k).max(), abs=1e-6)
        for a in (0, 60, 120):
            sums = cross_sums(KERNELS[name][0], x[a : a + 60], x, precision)
            np.testing.assert_allclose(sums, k[a : a + 60].sum(1), rtol=0, atol=tolerance)


def test_far_from_the_origin() -> None:
    x = clouds(2, 600)
    sums = block_sums(SquaredExponential(0.8), x + 2.0**20, [600], "float32")
    np.testing.assert_allclose(sums, block_sums(SquaredExponential(0.8), x, [600]), rtol=1e-5, atol=1e-6)


def test_a_sum_with_a_small_scale() -> None:
    """The length-scale of one part is a thousandth of the other's and must be resolved."""

    x = 0.01 * torch.arange(400, dtype=torch.float64)[:, None].sqrt()
    r = np.abs(x.numpy() - x.numpy().T)
    expected = np.exp(-(r**2) / 2) + np.exp(-(r**2) / 2e-6)
    sums = block_sums(Sum([SquaredExponential(1.0), SquaredExponential(1e-3)]), x, [1] * 400, "float32")
    np.testing.assert_allclose(sums, expected, rtol=0, atol=1e-5)


def test_reduced_precision_of_products_is_not_used() -> None:
    """With "medium", torch may compute float32 products by TF32 or bf16 matmul."""

    x, before = normal(300, 2), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        sums = block_sums(SquaredExponential(1.0), x, [300], "float32")
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(sums, block_sums(SquaredExponential(1.0), x, [300], "float64"))


def test_a_subclass_with_another_profile() -> None:
    """A kernel that overrides `profile` does not inherit `rate`."""

    class Cosine(SquaredExponential):
        def profile(self, q: Tensor) -> Tensor:
            return q.sqrt().cos()

    x = normal(50, 1)
    r = np.abs(x.numpy() - x.numpy().T)
    np.testing.assert_allclose(block_sums(Cosine(2.0), x, [1] * 50), np.cos(r / 2), atol=1e-7)
