import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.valuation.kernels.base import Kernel
from cgm.valuation.kernels.laplacian import Laplacian
from cgm.valuation.kernels.rational_quadratic import RationalQuadratic
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.kernels.sum import Sum
from cgm.valuation.mmd import biased, block_sums, cross_sums, kernel_pass, mmd2_biased, mmd2_unbiased, unbiased

KERNELS = {
    "squared_exponential": (SquaredExponential(0.7), lambda r: np.exp(-(r**2) / (2 * 0.7**2))),
    "laplacian": (Laplacian(0.9), lambda r: np.exp(-r / 0.9)),
    "sum": (
        Sum([RationalQuadratic(1.0, alpha=0.5), SquaredExponential(2.0)]),
        lambda r: (1 + r**2) ** -0.5 + np.exp(-(r**2) / 8),
    ),
}


@pytest.fixture(params=KERNELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(name: str, x: Tensor, y: Tensor) -> np.ndarray:
    """The full kernel matrix, straight from the formula."""

    r = np.sqrt(((x.numpy()[:, None, :] - y.numpy()[None, :, :]) ** 2).sum(-1))
    return KERNELS[name][1](r)


def off_diagonal(k: np.ndarray) -> np.ndarray:
    return k[~np.eye(len(k), dtype=bool)]


class Counting(SquaredExponential):
    """Notes the shape of every kernel matrix that it is asked for."""

    shapes: list[tuple[int, int]] = []

    def profile(self, q: Tensor) -> Tensor:
        self.shapes.append(tuple(q.shape))
        return super().profile(q)


# --- block sums


@pytest.mark.parametrize(("tile", "d"), [(3, 2), (7, 1), (10, 2), (39, 1), (40, 5), (1024, 2)])
@pytest.mark.parametrize(
    "sizes",
    [
        [40],
        [1] * 40,
        [3, 2, 1, 2, 3, 29],  # blocks within a tile, and one over several
        [20, 20],
        [7, 14, 19],  # edges that coincide with those of tiles
        [39, 1],
    ],
    ids=str,
)
def test_block_sums(monkeypatch: pytest.MonkeyPatch, name: str, tile: int, d: int, sizes: list[int]) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    x = normal(40, d)
    k = matrix(name, x, x)
    edges = np.cumsum([0, *sizes])
    expected = np.stack([k[:, a:b].sum(1) for a, b in itertools.pairwise(edges)], axis=1)  # (t, blocks)

    sums = block_sums(KERNELS[name][0], x, sizes)
    assert sums.shape == (40, len(sizes))
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("tile", [3, 5, 1024])
def test_least_and_greatest(monkeypatch: pytest.MonkeyPatch, name: str, tile: int) -> None:
    """Wherever the closest and the farthest pair lie: in one tile, or in two."""

    monkeypatch.setattr("cgm.mmd.TILE", tile)
    for i, j in ((0, 1), (0, 15), (4, 11), (14, 15)):
        x = normal(16, 2, seed=3 + i + j)
        x[i] = x[j] + 0.01  # the closest pair
        x[2] += 20  # the farthest pair holds this point
        result = kernel_pass(KERNELS[name][0], x, [6, 10])
        k = off_diagonal(matrix(name, x, x))
        assert result.gamma == pytest.approx(k.min(), rel=1e-11)
        assert result.eta == pytest.approx(k.max(), rel=1e-12)
        assert result.eta < KERNELS[name][0].diagonal  # the diagonal itself does not count
        torch.testing.assert_close(result.sums, block_sums(KERNELS[name][0], x, [6, 10]), rtol=0, atol=0)


def test_copies_reach_the_diagonal(name: str) -> None:
    kernel = KERNELS[name][0]
    x = torch.cat([normal(5, 2), normal(5, 2)[2:3]])
    result = kernel_pass(kernel, x, [6])
    assert result.eta == pytest.approx(kernel.diagonal, rel=1e-14)
    assert result.eta <= kernel.diagonal


def test_two_points() -> None:
    x = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    result = kernel_pass(Laplacian(1.0), x, [1, 1])
    e = math.exp(-3)
    torch.testing.assert_close(result.sums, torch.tensor([[1, e], [e, 1]], dtype=torch.float64))
    assert result.gamma == result.eta == pytest.approx(e, rel=1e-14)


def test_one_point() -> None:
    assert block_sums(Sum([Laplacian(1.0), Laplacian(2.0)]), normal(1, 3), [1]).tolist() == [[2.0]]


def test_the_diagonal_is_exact() -> None:
    """k(x, x) is k*, whatever rounding makes of ‖x - x‖²."""

    x = 1e4 * torch.arange(1, 30, dtype=torch.float64)[:, None] * torch.ones(1, 3, dtype=torch.float64) / 7
    torch.testing.assert_close(
        block_sums(SquaredExponential(1.0), x, [1] * 29), torch.eye(29, dtype=torch.float64), rtol=0, atol=0
    )


@pytest.mark.parametrize(("t", "tile"), [(40, 7), (100, 16), (64, 64), (10, 64)])
def test_half_the_kernel_is_computed(monkeypatch: pytest.MonkeyPatch, t: int, tile: int) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    monkeypatch.setattr(Counting, "shapes", [])
    kernel_pass(Counting(1.0), normal(t, 2), [t - 3, 3])
    assert max(max(shape) for shape in Counting.shapes) <= tile
    evaluations = sum(n * m for n, m in Counting.shapes)
    assert t * (t + 1) / 2 <= evaluations <= t * (t + tile) / 2


def test_sums_in_double_precision() -> None:
    """Single values bear rounding errors of 6e-8 that average out; sums in float32 are off by 1.5e-7."""

    x = 0.1 * normal(1500, 2).float()
    k = matrix("squared_exponential", x.double(), x.double())
    expected = np.stack([k[:, :500].sum(1), k[:, 500:].sum(1)], axis=1)
    sums = block_sums(KERNELS["squared_exponential"][0], x, [500, 1000])
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums, expected, rtol=5e-8)


@pytest.mark.parametrize("sizes", [[4, 5], [4, 7], [10, 0], [12, -2], [0, 10]], ids=str)
def test_bad_sizes(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"block_sums: sizes=\[.*add up to 10 points"):
        block_sums(SquaredExponential(1.0), normal(10, 2), sizes)


def test_bad_points() -> None:
    x = normal(10, 2)
    x[4, 1] = math.nan
    with pytest.raises(ValueError, match="block_sums: x: row 4 holds NaN or infinity"):
        block_sums(SquaredExponential(1.0), x, [10])
    with pytest.raises(ValueError, match="block_sums: x: expected floating-point"):
        block_sums(SquaredExponential(1.0), torch.ones(3, 2, dtype=torch.int64), [3])


# --- float32


def clouds(d: int, t: int = 1700, seed: int = 0) -> Tensor:
    """Points about two places, and some far from all others."""

    x = normal(t, d, seed=seed)
    x[: t // 3] += 2
    x[-20:] *= 6
    return x


@pytest.mark.parametrize("d", [1, 2, 8])
@pytest.mark.parametrize("sizes", [[1700], [5, 1, 394, 1300]], ids=str)
def test_single_precision(monkeypatch: pytest.MonkeyPatch, name: str, d: int, sizes: list[int]) -> None:
    """Tiles of 500 do not divide 1700; single values are off by 1e-7 and more, sums of many by far less."""

    monkeypatch.setattr("cgm.mmd.TILE", 500)
    x = clouds(d)
    k = matrix(name, x, x)
    edges = np.cumsum([0, *sizes])
    expected = np.stack([k[:, a:b].sum(1) for a, b in itertools.pairwise(edges)], axis=1)

    sums = block_sums(KERNELS[name][0], x, sizes, "float32").numpy()
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sums.sum(0), expected.sum(0), rtol=5e-7)
    assert sums.sum() == pytest.approx(expected.sum(), rel=5e-8)
    assert np.abs(sums - expected).max() > 1e-9  # it is float32 indeed

    sums = cross_sums(KERNELS[name][0], x[:700], x[700:], "float32")
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums, k[:700, 700:].sum(1), rtol=1e-5, atol=1e-6)
    assert float(sums.sum()) == pytest.approx(k[:700, 700:].sum(), rel=5e-8)


@pytest.mark.parametrize("t", [1, 2, 7])
def test_single_precision_of_few_points(name: str, t: int) -> None:
    x = normal(t, 3)
    sums = block_sums(KERNELS[name][0], x, [1] * t, "float32")
    np.testing.assert_allclose(sums, matrix(name, x, x), atol=1e-6)
    assert torch.equal(sums.diagonal(), torch.full((t,), KERNELS[name][0].diagonal, dtype=torch.float64))
    np.testing.assert_allclose(cross_sums(KERNELS[name][0], x, x[:1], "float32"), matrix(name, x, x)[:, 0], atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("cls", [SquaredExponential, RationalQuadratic, Laplacian])
@pytest.mark.parametrize("unit", [1e6, 1e-6])
def test_units_do_not_matter(cls: type[Kernel], unit: float, precision: str) -> None:
    x = clouds(2, 600)
    plain = kernel_pass(cls(0.8), x, [200, 400])
    scaled = kernel_pass(cls(0.8 * unit), unit * x, [200, 400], precision)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if precision == "float32" else {"rtol": 1e-11}
    np.testing.assert_allclose(scaled.sums, plain.sums, **tolerance)
    assert (scaled.gamma, scaled.eta) == pytest.approx((plain.gamma, plain.eta), rel=1e-9)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("far", [1e2, 1e4, 1e6, 1e8, 1e17, 1e200])
def test_far_from_the_mean(monkeypatch: pytest.MonkeyPatch, name: str, far: float, precision: str) -> None:
    """Two clusters at a distance that leaves a product nothing to tell their points by, and outliers as far again.

    Coordinates are rounded to 1e-16 of themselves: what can be told apart at all is a grid of powers of two.
    """

    monkeypatch.setattr("cgm.mmd.TILE", 50)
    steps = torch.randint(-8, 9, (180, 2), generator=torch.Generator().manual_seed(0)).double()
    x = steps * max(0.25, 2.0 ** math.ceil(math.log2(far * 2.0**-50)))
    x[60:120, 0] += 2.0 ** round(math.log2(far))
    x[170:180, 1] -= 2.0 ** round(math.log2(far) + 1)
    with np.errstate(over="ignore"):
        k = matrix(name, x, x)
    tolerance = 1e-4 if precision == "float32" else 1e-7

    result = kernel_pass(KERNELS[name][0], x, [60, 120], precision)
    np.testing.assert_allclose(result.sums, np.stack([k[:, :60].sum(1), k[:, 60:].sum(1)], 1), rtol=0, atol=tolerance)
    assert float(result.sums.sum()) == pytest.approx(k.sum(), rel=1e-6 if precision == "float32" else 1e-9)
    assert result.gamma == pytest.approx(off_diagonal(k).min(), rel=1e-6, abs=1e-37)
    assert result.eta == pytest.approx(off_diagonal(k).max(), abs=1e-6)
    for a in (0, 60, 120):
        sums = cross_sums(KERNELS[name][0], x[a : a + 60], x, precision)
        np.testing.assert_allclose(sums, k[a : a + 60].sum(1), rtol=0, atol=tolerance)


def test_far_off_but_together() -> None:
    x = clouds(2, 600)
    sums = block_sums(SquaredExponential(0.8), x + 2.0**20, [600], "float32")
    np.testing.assert_allclose(sums, block_sums(SquaredExponential(0.8), x, [600]), rtol=1e-5, atol=1e-6)


def test_a_fine_part_of_a_sum() -> None:
    """One part of the kernel is a thousand times as fine as the other: it must be resolved."""

    x = 0.01 * torch.arange(400, dtype=torch.float64)[:, None].sqrt()
    r = np.abs(x.numpy() - x.numpy().T)
    expected = np.exp(-(r**2) / 2) + np.exp(-(r**2) / 2e-6)
    sums = block_sums(Sum([SquaredExponential(1.0), SquaredExponential(1e-3)]), x, [1] * 400, "float32")
    np.testing.assert_allclose(sums, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tile", [100, 333])
def test_least_and_greatest_in_single_precision(monkeypatch: pytest.MonkeyPatch, name: str, tile: int) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    for seed in range(3):
        x = normal(900, 2, seed=seed)
        x[3 * seed] = x[500] + 1e-3
        k = off_diagonal(matrix(name, x, x))
        result = kernel_pass(KERNELS[name][0], x, [100, 800], "float32")
        assert result.gamma == pytest.approx(k.min(), rel=1e-4)
        assert result.eta == pytest.approx(k.max(), abs=2e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_any_number_of_threads(monkeypatch: pytest.MonkeyPatch, name: str, precision: str) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", 64)
    x, before, results = clouds(3, 1000), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            result = kernel_pass(KERNELS[name][0], x, [90, 300, 610], precision, exact=390)
            results.append((result, cross_sums(KERNELS[name][0], x[:300], x[300:], precision)))
    finally:
        torch.set_num_threads(before)
    for result, cross in results[1:]:
        assert torch.equal(result.sums, results[0][0].sums)
        assert result[1:] == results[0][0][1:]
        assert torch.equal(cross, results[0][1])


def test_exact_rows(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The first points' sums are those in float64, to the last bit, and so are all points' sums with them."""

    monkeypatch.setattr("cgm.mmd.TILE", 64)
    x, sizes = clouds(2, 600), [50, 70, 480]
    double, mixed, single = (
        block_sums(KERNELS[name][0], x, sizes),
        kernel_pass(KERNELS[name][0], x, sizes, "float32", exact=120).sums,
        block_sums(KERNELS[name][0], x, sizes, "float32"),
    )
    assert torch.equal(mixed[:120], double[:120])
    assert torch.equal(mixed[:, :2], double[:, :2])
    assert not torch.equal(mixed[120:, 2], double[120:, 2])
    assert not torch.equal(single[:120, 1], double[:120, 1])


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    x, kernel = normal(40, 2), SquaredExponential(1.0)
    double, single = (block_sums(kernel, x, [40], precision) for precision in ("float64", "float32"))
    assert not torch.equal(single, double)
    assert torch.equal(block_sums(kernel, x, [40], "auto"), double)
    monkeypatch.setattr("cgm.mmd.LARGE", 39)
    assert torch.equal(block_sums(kernel, x, [40], "auto"), single)
    assert torch.equal(block_sums(kernel, x, [40]), double)
    for wrong in ("single", "", None):
        with pytest.raises(ValueError, match=rf"precision={wrong!r}: expected one of auto, float32, float64"):
            block_sums(kernel, x, [40], wrong)
        with pytest.raises(ValueError, match=rf"precision={wrong!r}: expected one of auto, float32, float64"):
            cross_sums(kernel, x, x, wrong)


def test_products_of_lesser_precision_are_not_used() -> None:
    """Told so, torch makes float32 products of less than float32 on some machines."""

    x, before = normal(300, 2), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        sums = block_sums(SquaredExponential(1.0), x, [300], "float32")
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(sums, block_sums(SquaredExponential(1.0), x, [300], "float64"))


def test_a_profile_of_its_own() -> None:
    """A kernel that is made of another does not inherit its short cut."""

    class Cosine(SquaredExponential):
        def profile(self, q: Tensor) -> Tensor:
            return q.sqrt().cos()

    x = normal(50, 1)
    r = np.abs(x.numpy() - x.numpy().T)
    np.testing.assert_allclose(block_sums(Cosine(2.0), x, [1] * 50), np.cos(r / 2), atol=1e-7)


# --- sums over two sets


@pytest.mark.parametrize("tile", [3, 8, 1024])
@pytest.mark.parametrize(("n", "m"), [(17, 9), (1, 20), (8, 16)])
def test_cross_sums(monkeypatch: pytest.MonkeyPatch, name: str, tile: int, n: int, m: int) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    x, y = normal(n, 2), normal(m, 2, seed=1) + 0.3
    sums = cross_sums(KERNELS[name][0], x, y)
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums.numpy(), matrix(name, x, y).sum(1), rtol=1e-12)


def test_cross_sums_never_exceed_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", 6)
    monkeypatch.setattr(Counting, "shapes", [])
    cross_sums(Counting(1.0), normal(20, 2), normal(33, 2))
    assert max(max(shape) for shape in Counting.shapes) <= 6
    assert sum(n * m for n, m in Counting.shapes) == 20 * 33


# --- equation (1)


def plain_mmd2(name: str, s: Tensor, t: Tensor, own: bool) -> float:
    """Equation (1), pair by pair; own: with the diagonals."""

    ss, st, tt = (matrix(name, x, y) for x, y in ((s, s), (s, t), (t, t)))
    mean = lambda k: k.mean() if own else off_diagonal(k).mean()  # noqa: E731
    return float(mean(ss) - 2 * st.mean() + mean(tt))


@pytest.mark.parametrize("tile", [4, 1024])
@pytest.mark.parametrize(("s", "t"), [(2, 2), (5, 23), (23, 5), (12, 12)])
def test_mmd(monkeypatch: pytest.MonkeyPatch, name: str, tile: int, s: int, t: int) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    x, y = normal(s, 2), 1.5 * normal(t, 2, seed=1) - 0.4
    kernel = KERNELS[name][0]
    assert mmd2_biased(kernel, x, y) == pytest.approx(plain_mmd2(name, x, y, True), rel=1e-12, abs=1e-14)
    assert mmd2_unbiased(kernel, x, y) == pytest.approx(plain_mmd2(name, x, y, False), rel=1e-12, abs=1e-14)


def test_mmd_of_a_subset(name: str) -> None:
    """The paper's case: S is part of T, and pairs of a point with itself count in S x T."""

    y = normal(20, 3)
    x = y[4:11]
    kernel = KERNELS[name][0]
    assert mmd2_biased(kernel, x, y) == pytest.approx(plain_mmd2(name, x, y, True), rel=1e-12)
    assert mmd2_unbiased(kernel, x, y) == pytest.approx(plain_mmd2(name, x, y, False), rel=1e-12)


def test_mmd_in_closed_form() -> None:
    """Two pairs of copies, far apart: k is 1 within a pair and 0 between the two."""

    zero, far = torch.zeros(2, 1, dtype=torch.float64), torch.full((2, 1), 1e3, dtype=torch.float64)
    k = SquaredExponential(1.0)
    assert mmd2_biased(k, zero, far) == pytest.approx(2, rel=1e-14)
    assert mmd2_unbiased(k, zero, far) == pytest.approx(2, rel=1e-14)
    both = torch.cat([zero, far])
    assert mmd2_biased(k, zero, both) == pytest.approx(1 - 1 + 1 / 2, rel=1e-14)
    assert mmd2_unbiased(k, zero, both) == pytest.approx(1 - 1 + 1 / 3, rel=1e-14)


def test_mmd_of_the_same_set(name: str) -> None:
    kernel, x = KERNELS[name][0], normal(30, 2)
    assert mmd2_biased(kernel, x, x.clone()) == pytest.approx(0, abs=1e-14)
    assert mmd2_unbiased(kernel, x, x.clone()) < 0  # its diagonal is missing


def test_mmd_of_normal_distributions() -> None:
    """The unbiased estimate has its true value as its mean: N(0, 1) and N(1, 1), squared exponential."""

    kernel, pairs = SquaredExponential(1.0), 100
    estimates = [
        mmd2_unbiased(kernel, normal(20, 1, seed=2 * i), normal(15, 1, seed=2 * i + 1) + 1) for i in range(pairs)
    ]
    # x - x' ~ N(m, 2): E exp(-(x - x')² / 2) = exp(-m² / 6) / sqrt(3)
    truth = 2 * (1 - math.exp(-1 / 6)) / math.sqrt(3)
    error = np.std(estimates, ddof=1) / math.sqrt(pairs)
    assert abs(np.mean(estimates) - truth) < 4 * error
    assert error < truth / 10


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    s=st.integers(2, 12),
    t=st.integers(2, 12),
    d=st.integers(1, 4),
    key=st.sampled_from(list(KERNELS)),
)
def test_properties_of_the_mmd(seed: int, s: int, t: int, d: int, key: str) -> None:
    kernel = KERNELS[key][0]
    x, y = normal(s, d, seed=seed), normal(t, d, seed=seed + 1) + 0.5
    value = mmd2_biased(kernel, x, y)
    assert value > 0  # a squared norm
    assert mmd2_biased(kernel, y, x.flip(0)) == pytest.approx(value, rel=1e-10)
    other = mmd2_unbiased(kernel, x, y)
    assert mmd2_unbiased(kernel, y.flip(0), x) == pytest.approx(other, rel=1e-10, abs=1e-13)


def test_from_sums() -> None:
    """The two functions that chains use: sums over S x S, S x T and T x T of a matrix of ones and of an identity."""

    s, t = 4, 10
    assert biased(16, 40, 100, s, t) == pytest.approx(0, abs=1e-15)
    assert unbiased(16, 40, 100, s, t, diagonal=1) == pytest.approx(0, abs=1e-15)
    assert biased(4, 4, 10, s, t) == pytest.approx(1 / 4 - 2 / 10 + 1 / 10)  # S part of T
    assert unbiased(4, 4, 10, s, t, diagonal=1) == pytest.approx(-2 / 10)
    assert unbiased(8, 8, 20, s, t, diagonal=2) == pytest.approx(-4 / 10)


def test_bad_sets() -> None:
    kernel, x, y = SquaredExponential(1.0), normal(4, 2), normal(5, 2)
    for mmd2 in (mmd2_biased, mmd2_unbiased):
        with pytest.raises(ValueError, match="mmd2: t: has 3 columns where 2 are expected"):
            mmd2(kernel, x, normal(5, 3))
        with pytest.raises(ValueError, match="mmd2: s: has 0 points"):
            mmd2(kernel, x[:0], y)
        with pytest.raises(ValueError, match="mmd2: t: has 0 points"):
            mmd2(kernel, x, y[:0])
        broken = y.clone()
        broken[2, 0] = math.inf
        with pytest.raises(ValueError, match="mmd2: t: row 2 holds NaN or infinity"):
            mmd2(kernel, x, broken)
    with pytest.raises(ValueError, match="mmd2: s: has 1 points, at least 2"):
        mmd2_unbiased(kernel, x[:1], y)
    with pytest.raises(ValueError, match="mmd2: t: has 1 points, at least 2"):
        mmd2_unbiased(kernel, x, y[:1])
    assert mmd2_biased(kernel, x[:1], x[:1]) == pytest.approx(0, abs=1e-15)


def test_a_kernel_whose_lengthscale_is_a_rule() -> None:
    kernel: Kernel = SquaredExponential("fit")
    with pytest.raises(ValueError, match=r"kernel\.lengthscale='fit'"):
        mmd2_biased(kernel, normal(4, 2), normal(5, 2))
