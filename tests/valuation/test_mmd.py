"""Sums of the kernel and the MMD, against full kernel matrices."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.valuation.kernels import Kernel, Laplacian, SquaredExponential, Sum
from cgm.valuation.mmd import biased, block_sums, cross_sums, kernel_pass, mmd2_biased, mmd2_unbiased, unbiased
from tests.valuation.common import KERNELS, clouds, matrix, normal, off_diagonal


@pytest.fixture(params=KERNELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


class Counting(SquaredExponential):
    """Records the shape of every kernel matrix that it computes."""

    shapes: list[tuple[int, int]] = []

    def profile(self, q: Tensor) -> Tensor:
        self.shapes.append(tuple(q.shape))
        return super().profile(q)


# --- block sums


SIZES = [
    [40],
    [1] * 40,
    [3, 2, 1, 2, 3, 29],  # several blocks in one tile, and one block in several tiles
    [20, 20],
    [7, 14, 19],  # blocks that end where tiles end
    [39, 1],
]


@pytest.mark.parametrize(("tile", "d"), [(3, 2), (7, 1), (10, 2), (39, 1), (40, 5), (1024, 2)])
def test_block_sums(monkeypatch: pytest.MonkeyPatch, tile: int, d: int) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
    x = normal(40, d)
    for name, sizes in itertools.product(KERNELS, SIZES):
        k = matrix(name, x, x)
        edges = np.cumsum([0, *sizes])
        expected = np.stack([k[:, a:b].sum(1) for a, b in itertools.pairwise(edges)], axis=1)  # (t, blocks)

        sums = block_sums(KERNELS[name][0], x, sizes)
        assert sums.shape == (40, len(sizes))
        assert sums.dtype == torch.float64
        np.testing.assert_allclose(sums.numpy(), expected, rtol=1e-12, atol=1e-13, err_msg=f"{name} {sizes}")


def test_smallest_and_largest(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """For closest and farthest pairs within one tile, and in two tiles."""

    for tile, (i, j) in itertools.product((3, 5, 1024), ((0, 1), (0, 15), (4, 11), (14, 15))):
        monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
        x = normal(16, 2, seed=3 + i + j)
        x[i] = x[j] + 0.01  # the closest pair
        x[2] += 20  # the farthest pair holds this point
        result = kernel_pass(KERNELS[name][0], x, [6, 10])
        k = off_diagonal(matrix(name, x, x))
        assert result.gamma == pytest.approx(k.min(), rel=1e-11)
        assert result.eta == pytest.approx(k.max(), rel=1e-12)
        assert result.eta < KERNELS[name][0].diagonal  # without the diagonal
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
    """k(x, x) is k*, without the rounding error of ‖x - x‖²."""

    x = 1e4 * torch.arange(1, 30, dtype=torch.float64)[:, None] * torch.ones(1, 3, dtype=torch.float64) / 7
    torch.testing.assert_close(
        block_sums(SquaredExponential(1.0), x, [1] * 29), torch.eye(29, dtype=torch.float64), rtol=0, atol=0
    )


@pytest.mark.parametrize(("t", "tile"), [(40, 7), (100, 16), (64, 64), (10, 64)])
def test_half_the_kernel_is_computed(monkeypatch: pytest.MonkeyPatch, t: int, tile: int) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
    monkeypatch.setattr(Counting, "shapes", [])
    kernel_pass(Counting(1.0), normal(t, 2), [t - 3, 3])
    assert max(max(shape) for shape in Counting.shapes) <= tile
    evaluations = sum(n * m for n, m in Counting.shapes)
    assert t * (t + 1) / 2 <= evaluations <= t * (t + tile) / 2


def test_sums_in_double_precision() -> None:
    """Values of float32 points have errors of 6e-8, which average out; sums in float32 would have errors of 1.5e-7."""

    x = 0.1 * normal(1500, 2).float()
    k = matrix("squared_exponential", x.double(), x.double())
    expected = np.stack([k[:, :500].sum(1), k[:, 500:].sum(1)], axis=1)
    sums = block_sums(KERNELS["squared_exponential"][0], x, [500, 1000])
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums, expected, rtol=5e-8)


def test_bad_sizes() -> None:
    for sizes in ([4, 5], [4, 7], [10, 0], [12, -2], [0, 10]):
        with pytest.raises(ValueError, match=r"block_sums: sizes=\[.*expected positive sizes that add up to 10 points"):
            block_sums(SquaredExponential(1.0), normal(10, 2), sizes)


def test_bad_points() -> None:
    x = normal(10, 2)
    x[4, 1] = math.nan
    with pytest.raises(ValueError, match="block_sums: x: row 4 holds NaN or infinity"):
        block_sums(SquaredExponential(1.0), x, [10])
    with pytest.raises(ValueError, match="block_sums: x: expected numbers, got text"):
        block_sums(SquaredExponential(1.0), [["a"]], [1])


# --- float32


@pytest.mark.parametrize("d", [1, 2, 8])
def test_single_precision(monkeypatch: pytest.MonkeyPatch, name: str, d: int) -> None:
    """Tiles of 500 do not divide 1700; single values have errors of 1e-7 and more, sums of many far smaller ones."""

    monkeypatch.setattr("cgm.valuation.mmd.TILE", 500)
    x = clouds(d)
    k = matrix(name, x, x)
    for sizes in ([1700], [5, 1, 394, 1300]):
        edges = np.cumsum([0, *sizes])
        expected = np.stack([k[:, a:b].sum(1) for a, b in itertools.pairwise(edges)], axis=1)

        sums = block_sums(KERNELS[name][0], x, sizes, "float32").numpy()
        np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(sums.sum(0), expected.sum(0), rtol=5e-7)
        assert sums.sum() == pytest.approx(expected.sum(), rel=5e-8)
        assert np.abs(sums - expected).max() > 1e-9  # they are computed in float32

    sums = cross_sums(KERNELS[name][0], x[:700], x[700:], "float32")
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums, k[:700, 700:].sum(1), rtol=1e-5, atol=1e-6)
    assert float(sums.sum()) == pytest.approx(k[:700, 700:].sum(), rel=5e-8)


def test_single_precision_of_few_points(name: str) -> None:
    kernel = KERNELS[name][0]
    for t in (1, 2, 7):
        x = normal(t, 3)
        sums = block_sums(kernel, x, [1] * t, "float32")
        np.testing.assert_allclose(sums, matrix(name, x, x), atol=1e-6)
        assert torch.equal(sums.diagonal(), torch.full((t,), kernel.diagonal, dtype=torch.float64))
        np.testing.assert_allclose(cross_sums(kernel, x, x[:1], "float32"), matrix(name, x, x)[:, 0], atol=1e-6)


def test_smallest_and_largest_in_single_precision(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for tile, seed in itertools.product((100, 333), range(3)):
        monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
        x = normal(900, 2, seed=seed)
        x[3 * seed] = x[500] + 1e-3
        k = off_diagonal(matrix(name, x, x))
        result = kernel_pass(KERNELS[name][0], x, [100, 800], "float32")
        assert result.gamma == pytest.approx(k.min(), rel=1e-4)
        assert result.eta == pytest.approx(k.max(), abs=2e-6)


@pytest.mark.processor
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_any_number_of_threads(monkeypatch: pytest.MonkeyPatch, name: str, precision: str) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", 64)
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
    """The sums of the first points are exactly those in float64, and so are the sums of all points with them."""

    monkeypatch.setattr("cgm.valuation.mmd.TILE", 64)
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
    monkeypatch.setattr("cgm.valuation.mmd.LARGE", 39)
    assert torch.equal(block_sums(kernel, x, [40], "auto"), single)
    assert torch.equal(block_sums(kernel, x, [40]), double)
    for wrong in ("single", "", None):
        with pytest.raises(ValueError, match=rf"^precision={wrong}: expected one of auto, float32, float64$"):
            block_sums(kernel, x, [40], wrong)
        with pytest.raises(ValueError, match=rf"^precision={wrong}: expected one of auto, float32, float64$"):
            cross_sums(kernel, x, x, wrong)


# --- sums over two sets


def test_cross_sums(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for tile, (n, m) in itertools.product((3, 8, 1024), ((17, 9), (1, 20), (8, 16))):
        monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
        x, y = normal(n, 2), normal(m, 2, seed=1) + 0.3
        sums = cross_sums(KERNELS[name][0], x, y)
        assert sums.dtype == torch.float64
        np.testing.assert_allclose(sums.numpy(), matrix(name, x, y).sum(1), rtol=1e-12)


def test_cross_sums_never_exceed_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", 6)
    monkeypatch.setattr(Counting, "shapes", [])
    cross_sums(Counting(1.0), normal(20, 2), normal(33, 2))
    assert max(max(shape) for shape in Counting.shapes) <= 6
    assert sum(n * m for n, m in Counting.shapes) == 20 * 33


# --- equation (1)


def plain_mmd2(name: str, s: Tensor, t: Tensor, own: bool) -> float:
    """Equation (1), with the diagonals if `own`."""

    ss, st, tt = (matrix(name, x, y) for x, y in ((s, s), (s, t), (t, t)))
    mean = lambda k: k.mean() if own else off_diagonal(k).mean()  # noqa: E731
    return float(mean(ss) - 2 * st.mean() + mean(tt))


def test_mmd(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for tile, (s, t) in itertools.product((4, 1024), ((2, 2), (5, 23), (23, 5), (12, 12))):
        monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
        x, y = normal(s, 2), 1.5 * normal(t, 2, seed=1) - 0.4
        kernel = KERNELS[name][0]
        assert mmd2_biased(kernel, x, y) == pytest.approx(plain_mmd2(name, x, y, True), rel=1e-12, abs=1e-14)
        assert mmd2_unbiased(kernel, x, y) == pytest.approx(plain_mmd2(name, x, y, False), rel=1e-12, abs=1e-14)


def test_mmd_of_a_subset(name: str) -> None:
    """As in the paper, S is a subset of T, and S x T contains pairs of a point with itself."""

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
    assert mmd2_unbiased(kernel, x, x.clone()) < 0  # without the diagonals


def test_mmd_of_normal_distributions() -> None:
    """The mean of the unbiased estimate is the true value, here for N(0, 1) and N(1, 1)."""

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
    """From the sums over S x S, S x T and T x T of a matrix of ones, and of an identity matrix."""

    s, t = 4, 10
    assert biased(16, 40, 100, s, t) == pytest.approx(0, abs=1e-15)
    assert unbiased(16, 40, 100, s, t, diagonal=1) == pytest.approx(0, abs=1e-15)
    assert biased(4, 4, 10, s, t) == pytest.approx(1 / 4 - 2 / 10 + 1 / 10)  # S is a subset of T
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
