import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.valuation import check_parties
from cgm.valuation.bounds import kernel_bounds, monotone_bound, nonnegative_bound
from cgm.valuation.kernels.base import Kernel
from cgm.valuation.kernels.laplacian import Laplacian
from cgm.valuation.kernels.rational_quadratic import RationalQuadratic
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.kernels.sum import Sum
from cgm.valuation.mmd import mmd2_unbiased
from cgm.valuation.valuation import Valuation

KERNELS: dict[str, tuple[Kernel, Callable[[np.ndarray], np.ndarray]]] = {
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


def plain_value(k: np.ndarray, s: list[int]) -> float:
    """v(S), equation (2), from the kernel matrix on T and the numbers of the points of S."""

    return float(2 * k[s].sum() / (len(s) * len(k)) - k[np.ix_(s, s)].sum() / len(s) ** 2)


def problem(d: int = 2, seed: int = 0) -> tuple[list[Tensor], Tensor, list[list[int]]]:
    """Parties of 5, 2, 9 and 4 points, a pool of 13, and the rows of T of each of these blocks."""

    sizes = [5, 2, 9, 4, 13]
    blocks = [normal(size, d, seed=100 * seed + i) + 0.3 * i for i, size in enumerate(sizes)]
    edges = np.cumsum([0, *sizes])
    return blocks[:-1], blocks[-1], [list(range(a, b)) for a, b in itertools.pairwise(edges)]


# --- every number against the full matrix


@pytest.mark.parametrize("tile", [7, 1024])
@pytest.mark.parametrize("d", [1, 3])
def test_all_attributes(monkeypatch: pytest.MonkeyPatch, name: str, d: int, tile: int) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    parties, synthetic, rows = problem(d)
    valuation = Valuation(KERNELS[name][0], parties, synthetic)
    x = torch.cat([*parties, synthetic])
    k = matrix(name, x, x)
    n, close = 4, {"rtol": 1e-12, "atol": 1e-14}

    assert valuation.n == n
    assert valuation.t == 33
    assert valuation.sizes == [5, 2, 9, 4, 13]
    assert valuation.kernel is KERNELS[name][0]
    assert torch.equal(valuation.points, x)
    for i in range(n):
        assert torch.equal(valuation.party(i), parties[i])
    assert torch.equal(valuation.synthetic, synthetic)
    assert [list(range(33))[valuation.block(i)] for i in range(n + 1)] == rows

    np.testing.assert_allclose(valuation.sums, np.stack([k[:, block].sum(1) for block in rows], axis=1), **close)
    np.testing.assert_allclose(valuation.a, [k[block].sum() for block in rows[:n]], **close)
    b = [[k[np.ix_(i, j)].sum() for j in rows[:n]] for i in rows[:n]]
    np.testing.assert_allclose(valuation.b, b, **close)
    assert torch.equal(valuation.b, valuation.b.T)
    assert valuation.total == pytest.approx(k.sum(), rel=1e-13)
    off_diagonal = k[~np.eye(33, dtype=bool)]
    assert valuation.gamma == pytest.approx(off_diagonal.min(), rel=1e-12)
    assert valuation.eta == pytest.approx(off_diagonal.max(), rel=1e-12)

    np.testing.assert_allclose(valuation.party_values, [plain_value(k, rows[i]) for i in range(n)], **close)
    together = [plain_value(k, rows[i] + rows[n]) for i in range(n)]
    np.testing.assert_allclose(valuation.with_synthetic, together, **close)
    assert valuation.grand_value == pytest.approx(plain_value(k, list(range(20))), rel=1e-12)
    for tensor in (valuation.a, valuation.b, valuation.sums, valuation.party_values, valuation.with_synthetic):
        assert tensor.dtype == torch.float64


def test_coalitions(name: str) -> None:
    """All subsets by itertools; the members of coalition number c are the bits of c."""

    parties, synthetic, rows = problem()
    valuation = Valuation(KERNELS[name][0], parties, synthetic)
    x = torch.cat([*parties, synthetic])
    k = matrix(name, x, x)

    values = valuation.coalition_values()
    assert values.shape == (16,)
    assert values.dtype == torch.float64
    assert values[0] == 0
    assert valuation.coalition([]) == 0
    for size in range(1, 5):
        for members in itertools.combinations(range(4), size):
            expected = plain_value(k, [x for i in members for x in rows[i]])
            number = sum(2**i for i in members)
            assert float(values[number]) == pytest.approx(expected, rel=1e-11)
            assert valuation.coalition(members) == pytest.approx(expected, rel=1e-11)
    assert valuation.coalition([2, 0, 2]) == valuation.coalition({0, 2}) == valuation.coalition(iter([0, 2]))


def test_one_party() -> None:
    parties, synthetic, _ = problem()
    valuation = Valuation(SquaredExponential(0.7), parties[:1], synthetic)
    assert valuation.n == 1
    assert valuation.coalition_values().tolist() == pytest.approx([0, valuation.grand_value], rel=1e-13)
    assert valuation.party_values.tolist() == pytest.approx([valuation.grand_value], rel=1e-13)


def test_coalition_values_of_ten_parties() -> None:
    parties = [normal(2 + i, 2, seed=i) for i in range(10)]
    valuation = Valuation(SquaredExponential(0.7), parties, normal(20, 2, seed=99))
    values = valuation.coalition_values()
    for number in range(1, 1024, 13):
        members = [i for i in range(10) if number >> i & 1]
        assert float(values[number]) == pytest.approx(valuation.coalition(members), rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("tile", [4, 1024])
def test_value_of_any_points(monkeypatch: pytest.MonkeyPatch, name: str, tile: int) -> None:
    monkeypatch.setattr("cgm.mmd.TILE", tile)
    parties, synthetic, rows = problem()
    valuation = Valuation(KERNELS[name][0], parties, synthetic)
    x = torch.cat([*parties, synthetic])
    k = matrix(name, x, x)

    for s in ([0], [32], [3, 30], rows[2], rows[1] + rows[4], list(range(33))):
        assert valuation.value(x[s]) == pytest.approx(plain_value(k, s), rel=1e-11, abs=1e-13)
    outside = normal(11, 2, seed=77) + 0.2
    expected = 2 * matrix(name, outside, x).mean() - matrix(name, outside, outside).mean()
    assert valuation.value(outside) == pytest.approx(expected, rel=1e-11)
    assert valuation.value(outside.float()) == pytest.approx(expected, rel=1e-5)
    mixed = torch.cat([outside, x[5:9]])
    expected = 2 * matrix(name, mixed, x).mean() - matrix(name, mixed, mixed).mean()
    assert valuation.value(mixed) == pytest.approx(expected, rel=1e-11)


def test_in_closed_form() -> None:
    """Points so far apart that K is the identity: v(S) = 2 / t - 1 / s."""

    x = 1e3 * torch.arange(20, dtype=torch.float64)[:, None]
    valuation = Valuation(SquaredExponential(1.0), [x[:2], x[2:5]], x[5:])
    assert valuation.party_values.tolist() == pytest.approx([2 / 20 - 1 / 2, 2 / 20 - 1 / 3])
    assert valuation.grand_value == pytest.approx(2 / 20 - 1 / 5)
    assert valuation.with_synthetic.tolist() == pytest.approx([2 / 20 - 1 / 17, 2 / 20 - 1 / 18])
    assert valuation.value(x) == pytest.approx(1 / 20)
    assert valuation.gamma == valuation.eta == 0


def test_single_precision_data_is_valued_in_double() -> None:
    parties, synthetic, _ = problem()
    parties, synthetic = [x.float() for x in parties], synthetic.float()
    valuation = Valuation(SquaredExponential(0.7), parties, synthetic)
    assert valuation.points.dtype == torch.float64
    double = Valuation(SquaredExponential(0.7), [x.double() for x in parties], synthetic.double())
    assert torch.equal(valuation.sums, double.sums)
    assert valuation.with_synthetic.dtype == torch.float64


@pytest.mark.parametrize("d", [1, 2, 8])
def test_precision(name: str, d: int) -> None:
    """With float32 on G x G, what parties' own points decide stays as it is, and v(D_i ∪ G) is to 1e-7."""

    parties = [normal(size, d, seed=size) + shift for size, shift in ((40, 0.0), (25, 1.0), (60, -0.5))]
    synthetic = 1.5 * normal(1500, d, seed=1)
    double, single = (Valuation(KERNELS[name][0], parties, synthetic, p) for p in ("float64", "float32"))
    exact = {"rtol": 1e-13, "atol": 1e-15}

    assert torch.equal(single.sums[:125], double.sums[:125])
    assert torch.equal(single.sums[:, :3], double.sums[:, :3])
    torch.testing.assert_close(single.b, double.b, **exact)
    torch.testing.assert_close(single.party_values, double.party_values, **exact)
    torch.testing.assert_close(single.coalition_values(), double.coalition_values(), **exact)
    torch.testing.assert_close(single.sums[125:, 3], double.sums[125:, 3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(single.with_synthetic, double.with_synthetic, rtol=1e-7, atol=0)
    assert not torch.equal(single.with_synthetic, double.with_synthetic)
    assert single.total == pytest.approx(double.total, rel=1e-7)
    assert single.value(synthetic[:50]) == double.value(synthetic[:50])
    for end in ("least", "greatest"):
        assert getattr(single, end) == pytest.approx(getattr(double, end), rel=1e-4)


def test_precision_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    parties, synthetic, _ = problem()
    double, single = (Valuation(SquaredExponential(0.7), parties, synthetic, p) for p in ("float64", "float32"))
    assert torch.equal(Valuation(SquaredExponential(0.7), parties, synthetic).sums, double.sums)
    monkeypatch.setattr("cgm.mmd.LARGE", 32)
    assert torch.equal(Valuation(SquaredExponential(0.7), parties, synthetic).sums, single.sums)
    with pytest.raises(ValueError, match="precision='half': expected one of auto, float32, float64"):
        Valuation(SquaredExponential(0.7), parties, synthetic, "half")


def test_order_of_points_and_parties_does_not_matter() -> None:
    parties, synthetic, _ = problem()
    k = SquaredExponential(0.7)
    values = Valuation(k, parties, synthetic)
    turned = Valuation(k, [x.flip(0) for x in parties[::-1]], synthetic.flip(0))
    torch.testing.assert_close(turned.party_values.flip(0), values.party_values, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(turned.with_synthetic.flip(0), values.with_synthetic, rtol=1e-12, atol=1e-14)
    assert turned.grand_value == pytest.approx(values.grand_value, rel=1e-12)


# --- what the paper proves, on random sets


def draw(seed: int, t: int, d: int = 2, copies: bool = False) -> Tensor:
    x = normal(t, d, seed=seed)
    if copies:
        x[2] = x[0]  # points of two parties
    return x


def valued(kernel: Kernel, x: Tensor) -> Valuation:
    return Valuation(kernel, [x[:2], x[2:4]], x[4:])


def subset(seed: int, t: int, s: int) -> list[int]:
    return np.random.default_rng(seed).permutation(t)[:s].tolist()


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), t=st.integers(6, 40), share=st.floats(0, 1), key=st.sampled_from(list(KERNELS)))
def test_proposition_1(seed: int, t: int, share: float, key: str) -> None:
    """v(S) = (σ_S - k*) / (s - 1) - MMD_u²(S, T) + c, with the same c for every S."""

    kernel, x = KERNELS[key][0], draw(seed, t)
    valuation = valued(kernel, x)
    k = matrix(key, x, x)
    constant = (k.sum() - np.trace(k)) / (t * (t - 1))

    s = subset(seed, t, 2 + round(share * (t - 2)))
    sigma = k[np.ix_(s, s)].mean()
    expected = (sigma - kernel.diagonal) / (len(s) - 1) - mmd2_unbiased(kernel, x[s], x) + constant
    assert valuation.value(x[s]) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    t=st.integers(6, 40),
    share=st.floats(0, 1),
    key=st.sampled_from(list(KERNELS)),
    copies=st.booleans(),
)
def test_corollary_1(seed: int, t: int, share: float, key: str, copies: bool) -> None:
    """v(S) lies between the bounds that the least and the greatest kernel value give, as the valuation tells them."""

    kernel, x = KERNELS[key][0], draw(seed, t, copies=copies)
    valuation = valued(kernel, x)
    k = matrix(key, x, x)
    constant = (k.sum() - np.trace(k)) / (t * (t - 1))

    s = subset(seed, t, 2 + round(share * (t - 2)))
    middle = constant - mmd2_unbiased(kernel, x[s], x)
    lower = (valuation.gamma - kernel.diagonal) / len(s) + middle
    upper = (valuation.eta - kernel.diagonal) / len(s) + middle
    value = valuation.value(x[s])
    assert lower - 1e-12 <= value <= upper + 1e-12
    if len(s) == 2:  # then the bounds are those of one pair
        closest = [int(i) for i in np.unravel_index(np.argmax(k - np.diag([np.inf] * t)), k.shape)]
        middle = constant - mmd2_unbiased(kernel, x[closest], x)
        upper = (valuation.eta - kernel.diagonal) / 2 + middle
        assert valuation.value(x[closest]) == pytest.approx(upper, rel=1e-10, abs=1e-12)  # attained


def fit(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Bisects for the end of a range of length-scales: holds(high), though not holds(low)."""

    assert holds(high)
    for _ in range(25):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), t=st.integers(6, 11), s=st.integers(1, 5))
def test_proposition_4(seed: int, t: int, s: int) -> None:
    """With the least length-scale whose γ meets the bound (7), no S of that size has a negative value."""

    assume(2 * s < t)
    x = draw(seed, t)

    q = ((x[:, None] - x[None]) ** 2).sum(-1).numpy()[~np.eye(t, dtype=bool)]

    def holds(lengthscale: float) -> bool:
        k = np.exp(-q / (2 * lengthscale**2))
        return k.min() >= nonnegative_bound(s, t, k.max())

    valuation = valued(SquaredExponential(fit(holds, 1e-2, 1e4)), x)
    assert valuation.gamma == pytest.approx(nonnegative_bound(s, t, valuation.eta), abs=1e-3)
    k = valuation.kernel(x, x).numpy()
    for members in itertools.combinations(range(t), s):
        assert plain_value(k, list(members)) >= -1e-12


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), t=st.integers(6, 11), s=st.integers(1, 10), scale=st.floats(1, 3))
def test_theorem_1(seed: int, t: int, s: int, scale: float) -> None:
    """With the greatest length-scale whose η meets the bound (8), no point more lowers the value of such an S."""

    assume(s < t)
    x = draw(seed, t)

    q = ((x[:, None] - x[None]) ** 2).sum(-1).numpy()[~np.eye(t, dtype=bool)]

    def holds(inverse: float) -> bool:
        return np.exp(-q / 2 * inverse**2).max() <= monotone_bound(s, t)

    valuation = valued(SquaredExponential(1 / (scale * fit(holds, 1e-3, 1e5))), x)
    k = valuation.kernel(x, x).numpy()
    for members in itertools.combinations(range(t), s):
        value = plain_value(k, list(members))
        for more in set(range(t)) - set(members):
            assert plain_value(k, [*members, more]) >= value - 1e-12


def quadratic_form(s: int, t: int) -> np.ndarray:
    """The weights of K's components in v(S), S being the first s of t points."""

    weights = np.zeros((t, t))
    weights[:s] += 1 / (s * t)
    weights[:, :s] += 1 / (s * t)
    weights[:s, :s] -= 1 / s**2
    return weights


@pytest.mark.parametrize("t", [4, 7, 10, 25])
@pytest.mark.parametrize("diagonal", [1.0, 3.0])
def test_nonnegative_bound_is_sharp(t: int, diagonal: float) -> None:
    """v is linear in K, so the worst K with components in [γ, η] is known: for γ by (7) its v is just zero."""

    for s in range(1, math.ceil(t / 2)):
        eta = 0.9 * diagonal / (s + 1)
        gamma = nonnegative_bound(s, t, eta, diagonal)
        weights = quadratic_form(s, t)
        worst = np.where(weights > 0, gamma, eta)
        np.fill_diagonal(worst, diagonal)
        assert (weights * worst).sum() == pytest.approx(0, abs=1e-14)


def test_nonnegative_bound_of_large_sets() -> None:
    """From half of T on, any kernel of non-negative values will do."""

    for t in (6, 9):
        for s in range(math.ceil(t / 2), t):
            assert nonnegative_bound(s, t, eta=0.5) <= 0
            weights = quadratic_form(s, t)
            assert weights.min() >= -1e-16


@pytest.mark.parametrize("t", [3, 4, 7, 10, 25])
@pytest.mark.parametrize("diagonal", [1.0, 3.0])
def test_monotone_bound_makes_the_worst_kernel_monotone(t: int, diagonal: float) -> None:
    """The gain of a point is linear in K: the worst K with components in [0, η] has η where the weight is negative."""

    def least_gain(s: int, eta: float) -> float:
        gain = quadratic_form(s + 1, t) - quadratic_form(s, t)
        worst = np.where(gain < 0, eta, 0.0)
        np.fill_diagonal(worst, diagonal)
        return float((gain * worst).sum())

    for s in range(1, t):
        assert least_gain(s, monotone_bound(s, t, diagonal)) >= 0
    assert least_gain(1, 1.7 * monotone_bound(1, t, diagonal)) < 0  # not sharp, but not far from it


@pytest.mark.parametrize("t", [5, 6, 7, 20, 101])
@pytest.mark.parametrize("diagonal", [1.0, 2.5])
def test_proposition_5(t: int, diagonal: float) -> None:
    """For s < t / 2 - 1 no kernel meets both bounds."""

    for s in range(1, t):
        if s < t / 2 - 1:
            eta = monotone_bound(s, t, diagonal)
            assert nonnegative_bound(s, t, eta, diagonal) > eta


def test_bounds_take_arrays() -> None:
    s = np.arange(1, 9)
    lower, upper = nonnegative_bound(s, 10, 0.3, 2.0), monotone_bound(s, 10, 2.0)
    for i in range(8):
        assert lower[i] == nonnegative_bound(i + 1, 10, 0.3, 2.0)
        assert upper[i] == monotone_bound(i + 1, 10, 2.0)
    assert monotone_bound(1, 10) == pytest.approx(10 / (2 * (8 + 10)))
    assert nonnegative_bound(1, 10, 0.3) == pytest.approx(8 / 18)


# --- for which set sizes the bounds hold


def spell_out(runs: list[list[int]]) -> list[int]:
    assert all(a <= b for a, b in runs)
    assert all(b + 1 < c for (_, b), (c, _) in itertools.pairwise(runs))  # apart, and in order
    return [s for a, b in runs for s in range(a, b + 1)]


@pytest.mark.parametrize("lengthscale", [0.05, 0.2, 0.5, 1.0, 1.7, 2.5, 4.0, 20.0, 300.0])
@pytest.mark.parametrize("key", list(KERNELS))
def test_kernel_bounds(key: str, lengthscale: float) -> None:
    x = draw(3, 30)
    kernel = KERNELS[key][0].with_lengthscale(lengthscale)
    bounds = kernel_bounds(valued(kernel, x))
    k = kernel(x, x).numpy()
    off_diagonal = k[~np.eye(30, dtype=bool)]
    gamma, eta, top, t = off_diagonal.min(), off_diagonal.max(), kernel.diagonal, 30

    assert bounds.gamma == pytest.approx(gamma, rel=1e-10)
    assert bounds.eta == pytest.approx(eta, rel=1e-10)
    expected = [s for s in range(1, t) if gamma >= (t - 2 * s) * (top + (s - 1) * eta) / (2 * s * (t - s))]
    assert spell_out(bounds.nonnegative) == expected
    assert spell_out(bounds.monotone) == [s for s in range(1, t) if eta <= t * top / ((s + 1) * (s * (t - 2) + t))]
    assert all(isinstance(end, int) for run in bounds.nonnegative + bounds.monotone for end in run)
    assert set(range(15, 30)) <= set(spell_out(bounds.nonnegative))  # s >= t / 2: always


def test_kernel_bounds_at_their_ends() -> None:
    t, x = 30, draw(3, 30)
    assert kernel_bounds(valued(SquaredExponential(1e4), x)).nonnegative == [[1, t - 1]]
    assert kernel_bounds(valued(SquaredExponential(1e4), x)).monotone == []
    assert kernel_bounds(valued(SquaredExponential(1e-4), x)).monotone == [[1, t - 1]]
    assert kernel_bounds(valued(SquaredExponential(1e-4), x)).nonnegative == [[t // 2, t - 1]]
    middle = kernel_bounds(valued(RationalQuadratic(1.5, alpha=0.25), x)).nonnegative
    assert middle not in ([[1, t - 1]], [[t // 2, t - 1]])  # the least value holds for some small sets only


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), lengthscale=st.sampled_from([0.02, 0.1, 0.4, 1.0, 2.0, 5.0]))
def test_what_kernel_bounds_promises(seed: int, lengthscale: float) -> None:
    """For each size that it lists, over all subsets of T of that size."""

    t, x = 8, draw(seed, 8)
    valuation = valued(SquaredExponential(lengthscale), x)
    bounds = kernel_bounds(valuation)
    k = valuation.kernel(x, x).numpy()
    values = {s: plain_value(k, list(s)) for size in range(1, t + 1) for s in itertools.combinations(range(t), size)}
    for s, value in values.items():
        if len(s) in spell_out(bounds.nonnegative):
            assert value >= -1e-12
        if len(s) in spell_out(bounds.monotone):
            more = [values[tuple(sorted({*s, x}))] for x in set(range(t)) - set(s)]
            assert min(more) >= value - 1e-12


# --- bad input


def broken(x: Tensor, row: int, value: float) -> Tensor:
    x = x.clone()
    x[row, 1] = value
    return x


PARTIES, POOL, _ = problem()
BAD: dict[str, tuple[list, object, str]] = {
    "no parties": ([], POOL, "parties: there are none"),
    "NaN": ([PARTIES[0], broken(PARTIES[2], 6, math.nan)], POOL, "party 2: row 6 holds NaN or infinity"),
    "infinity": ([broken(PARTIES[0], 1, -math.inf)], POOL, "party 1: row 1 holds NaN or infinity"),
    "NaN in G": (PARTIES, broken(POOL, 12, math.nan), r"synthetic_size\): row 12 holds NaN or infinity"),
    "width": ([PARTIES[0], normal(4, 3)], POOL, "party 2: has 3 columns where 2 are expected"),
    "width of G": (PARTIES, normal(4, 3), r"synthetic_size\): has 3 columns where 2 are expected"),
    "vector": ([PARTIES[0][:, 0]], POOL, r"party 1: expected shape \(N, d\), got \(5,\)"),
    "no columns": ([PARTIES[0][:, :0]], POOL, r"party 1: expected shape \(N, d\), got \(5, 0\)"),
    "empty party": ([*PARTIES, normal(0, 2)], POOL, "party 5: has 0 points, at least 2"),
    "one point": ([PARTIES[0], normal(1, 2)], POOL, "party 2: has 1 points, at least 2"),
    "empty pool": (PARTIES, normal(0, 2), r"synthetic_size\): has 0 points, at least 1"),
    "copies": ([PARTIES[0], torch.full((6, 2), 0.3)], POOL, "party 2: all its 6 points are equal"),
    "integers": ([torch.arange(6).reshape(3, 2)], POOL, "party 1: expected floating-point numbers"),
    "an array": ([PARTIES[0].numpy()], POOL, "party 1: expected a torch tensor"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    parties, synthetic, match = BAD[case]
    with pytest.raises(ValueError, match=match):
        check_parties(parties, synthetic)
    with pytest.raises(ValueError, match=match):
        Valuation(SquaredExponential(1.0), parties, synthetic)


def test_odd_input_that_is_fine() -> None:
    nearly = torch.full((3, 2), 0.3, dtype=torch.float64)
    nearly[2, 1] += 1e-12
    check_parties([nearly, PARTIES[0]], POOL[:1])
    Valuation(SquaredExponential(1.0), [nearly, PARTIES[0]], POOL[:1])


def test_a_kernel_whose_lengthscale_is_a_rule() -> None:
    with pytest.raises(ValueError, match=r"kernel\.lengthscale='fit'"):
        Valuation(SquaredExponential("fit"), PARTIES, POOL)


@pytest.mark.parametrize("members", [[4], [-1], [0, 7]])
def test_bad_coalition(members: list[int]) -> None:
    valuation = Valuation(SquaredExponential(1.0), PARTIES, POOL)
    with pytest.raises(ValueError, match=r"coalition: members=.*numbered 0 to 3"):
        valuation.coalition(members)


def test_bad_points_to_value() -> None:
    valuation = Valuation(SquaredExponential(1.0), PARTIES, POOL)
    with pytest.raises(ValueError, match="value: points: has 3 columns where 2 are expected"):
        valuation.value(normal(4, 3))
    with pytest.raises(ValueError, match="value: points: has 0 points"):
        valuation.value(normal(0, 2))
    with pytest.raises(ValueError, match="value: points: row 2 holds NaN or infinity"):
        valuation.value(broken(normal(4, 2), 2, math.nan))
