"""Choosing a length-scale, against plain bisection with full kernel matrices."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.lengthscale import LengthscaleSearch, fit_lengthscale, median_distance, resolve_lengthscale
from cgm.valuation.mmd import cross_sums
from cgm.valuation.valuation import Valuation
from tests.valuation.common import Formula, distances, normal


def plain_values(formula: Formula, parties: Sequence[Tensor], synthetic: Tensor) -> list[float]:
    """v(D_i) of all parties, equation (2), from full matrices."""

    points = torch.cat([*parties, synthetic])
    return [
        2 * formula(distances(x, points)).mean() - formula(distances(x, x)).mean()  # mean = sum / (s t), sum / s²
        for x in parties
    ]


def problem(seed: int, d: int = 2, pool: int = 60) -> tuple[list[Tensor], Tensor]:
    """Three parties, each around its own centre, and a pool around all of them."""

    parties = [0.4 * normal(size, d, seed=10 * seed + size) + shift for size, shift in ((9, 0), (12, 1), (7, 3))]
    return parties, 1.5 * normal(pool, d, seed=10 * seed + 5) + 1


def plain_bisection(
    formula: Formula, parties: Sequence[Tensor], synthetic: Tensor, low: float, high: float, iterations: int
) -> float:
    """The binary search of Sec. 5, with formula(r) for the length-scale 1."""

    for _ in range(iterations):
        middle = (low + high) / 2
        if min(plain_values(lambda r: formula(r / middle), parties, synthetic)) >= 0:  # noqa: B023
            high = middle
        else:
            low = middle

    return high


UNIT: list[tuple[Kernel, Formula]] = [
    (SquaredExponential("fit"), lambda r: np.exp(-(r**2) / 2)),
    (RationalQuadratic("fit", alpha=0.5), lambda r: (1 + r**2) ** -0.5),
    (Laplacian("fit"), lambda r: np.exp(-r)),
    (
        Sum([SquaredExponential(0.1), Laplacian(2.0)], "fit"),
        lambda r: np.exp(-(r**2) / (2 * 0.1**2)) + np.exp(-r / 2),
    ),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kernel", "formula"), UNIT, ids=lambda x: x.name if isinstance(x, Kernel) else "")
def test_fit_lengthscale_is_plain_bisection(seed: int, kernel: Kernel, formula: Formula) -> None:
    parties, synthetic = problem(seed)
    fitted = fit_lengthscale(kernel, parties, synthetic)
    expected = plain_bisection(formula, parties, synthetic, 0.01, 1000.0, 20)
    assert fitted.lengthscale == pytest.approx(expected, rel=1e-14)  # the same value of the grid
    assert fitted == kernel.with_lengthscale(fitted.lengthscale)
    assert 0.02 < expected < 100  # neither end of the range

    # the smallest on the grid: all values are non-negative there, and one is negative one step below
    values = plain_values(lambda r: formula(r / expected), parties, synthetic)
    step = (1000.0 - 0.01) / 2**20
    below = plain_values(lambda r: formula(r / (expected - step)), parties, synthetic)
    assert min(values) >= 0 > min(below)


@pytest.mark.parametrize(("low", "high", "iterations"), [(0.1, 50.0, 1), (0.1, 5.0, 7), (0.3, 700.0, 27)])
def test_fit_lengthscale_with_another_range(low: float, high: float, iterations: int) -> None:
    kernel, formula = UNIT[0]
    parties, synthetic = problem(0)
    fitted = fit_lengthscale(kernel, parties, synthetic, low, high, iterations)
    expected = plain_bisection(formula, parties, synthetic, low, high, iterations)
    assert fitted.lengthscale == pytest.approx(expected, rel=1e-14)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), spread=st.floats(0.05, 2.0), pool=st.integers(5, 60), high=st.floats(0.3, 30))
def test_fit_lengthscale_of_random_parties(seed: int, spread: float, pool: int, high: float) -> None:
    """Against all length-scales of the grid, for any order in which the parties' values become non-negative."""

    parties = [spread * normal(4 + i, 2, seed=seed + i) + 2 * normal(1, 2, seed=seed - i) for i in range(4)]
    synthetic = 2 * normal(pool, 2, seed=seed + 9)
    kernel, formula = UNIT[0]
    grid = [0.01 + (high - 0.01) * step / 32 for step in range(1, 33)]
    nonnegative = [min(plain_values(lambda r: formula(r / x), parties, synthetic)) >= 0 for x in grid]  # noqa: B023
    if not nonnegative[-1]:
        with pytest.raises(ValueError, match=r"kernel_search\.high"):
            fit_lengthscale(kernel, parties, synthetic, high=high, iterations=5)
        return

    found = fit_lengthscale(kernel, parties, synthetic, high=high, iterations=5).lengthscale
    step = min(range(32), key=lambda k: abs(grid[k] - found))
    assert found == pytest.approx(grid[step], rel=1e-13)
    assert nonnegative[step]
    assert step == 0 or not nonnegative[step - 1]
    if nonnegative == sorted(nonnegative):  # all values stay non-negative for larger length-scales
        assert step == nonnegative.index(True)


def test_fit_lengthscale_with_a_misleading_subset() -> None:
    """Every second point is far from the others, so that the estimates from a subset of the points are wrong."""

    party, synthetic = normal(1000, 1), normal(2000, 1, seed=1)
    party[::2] = 0.01 * party[::2] + 30
    kernel, formula = UNIT[2]
    for x in (party, party.roll(1, 0)):
        fitted = fit_lengthscale(kernel, [x], synthetic, high=200.0, iterations=6)
        expected = plain_bisection(formula, [x], synthetic, 0.01, 200.0, 6)
        assert fitted.lengthscale == pytest.approx(expected, rel=1e-14)


def test_fit_lengthscale_if_all_values_are_nonnegative() -> None:
    # t < 2 s: no kernel of positive values makes v negative
    fitted = fit_lengthscale(SquaredExponential("fit"), [normal(10, 2)], normal(5, 2, seed=2))
    assert fitted.lengthscale == pytest.approx(0.01 + (1000 - 0.01) / 2**20, rel=1e-12)


def test_fit_lengthscale_works_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    parties, synthetic = problem(1)
    expected = fit_lengthscale(SquaredExponential("fit"), parties, synthetic, high=10.0, iterations=8)
    monkeypatch.setattr("cgm.valuation.mmd.TILE", 11)
    fitted = fit_lengthscale(SquaredExponential("fit"), parties, synthetic, high=10.0, iterations=8)
    assert fitted == expected


def test_fit_lengthscale_in_double_precision() -> None:
    """Otherwise the values of the valuation, which are in float64, could be negative."""

    for seed in range(2):
        parties, synthetic = problem(seed)
        parties, synthetic = [x.float() for x in parties], synthetic.float()
        fitted = fit_lengthscale(SquaredExponential("fit"), parties, synthetic, iterations=40)
        double = [x.double() for x in parties]
        again = fit_lengthscale(SquaredExponential("fit"), double, synthetic.double(), iterations=40)
        assert fitted.lengthscale == again.lengthscale


@pytest.mark.parametrize("far", [0, 1, 2])
def test_fit_lengthscale_names_the_party(far: int) -> None:
    """A small cluster far from all other points has v = 2 s / t - 1 < 0 unless the length-scale is large enough."""

    parties, synthetic = [normal(15, 2, seed=i) for i in range(3)], normal(40, 2, seed=3)
    parties[far] = 1e-3 * parties[far] + 100
    match = rf"kernel\.lengthscale=fit: party {far + 1} .*kernel_search\.high=2"
    with pytest.raises(ValueError, match=match):
        fit_lengthscale(Laplacian("fit"), parties, synthetic, high=2.0)
    assert fit_lengthscale(Laplacian("fit"), parties, synthetic).lengthscale > 2


def test_the_range_of_the_search() -> None:
    """Each bound alone is among the generic tests of settings."""

    for low in (2.0, 3.0):
        message = rf"^kernel_search\.high=2\.0: expected a number in \({low:g}, inf\)$"
        with pytest.raises(ValueError, match=message):
            LengthscaleSearch(low, 2.0)
        with pytest.raises(ValueError, match=message):
            fit_lengthscale(SquaredExponential("fit"), *problem(0), low, 2.0)


def test_rules_refuse_points_that_are_not_finite() -> None:
    """NaN compares as not negative, and would lead the bisection to its lower end."""

    for value, rule in itertools.product((float("nan"), float("inf")), ("fit", "median")):
        parties, synthetic = problem(0)
        synthetic[3, 1] = value
        with pytest.raises(ValueError, match=r"row \d+ holds NaN or infinity"):
            resolve_lengthscale(SquaredExponential(rule), parties, synthetic)
        parties, synthetic = problem(0)
        parties[1][3, 1] = value
        with pytest.raises(ValueError, match=r"row \d+ holds NaN or infinity"):
            resolve_lengthscale(SquaredExponential(rule), parties, synthetic)


def test_fit_lengthscale_refuses_parties_that_cannot_be_valued() -> None:
    parties, synthetic = problem(0)
    fit = SquaredExponential("fit")
    with pytest.raises(ValueError, match="parties: there are none"):
        fit_lengthscale(fit, [], synthetic)
    with pytest.raises(ValueError, match="party 2: has 3 columns where 2 are expected"):
        fit_lengthscale(fit, [parties[0], normal(5, 3)], synthetic)
    with pytest.raises(ValueError, match="party 2: has 0 points"):
        fit_lengthscale(fit, [parties[0], normal(0, 2)], synthetic)
    with pytest.raises(ValueError, match="synthetic_size"):
        fit_lengthscale(fit, parties, normal(0, 2))


@pytest.mark.parametrize("kernel", [SquaredExponential("fit"), Laplacian("fit")], ids=lambda kernel: kernel.name)
def test_fit_lengthscale_computes_few_exact_values(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """A few for the party that decides, and one for each other: far fewer than iterations times parties."""

    sizes = [700, 900, 800, 600]
    parties = [0.2 * normal(n, 2, seed=n) + normal(1, 2, seed=n + 1) for n in sizes]
    synthetic = normal(4000, 2, seed=1)
    counts = []

    def counted(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
        counts.append(len(x) * len(y))
        return cross_sums(kernel, x, y)

    monkeypatch.setattr("cgm.valuation.lengthscale.cross_sums", counted)
    fitted = fit_lengthscale(kernel, parties, synthetic, high=10.0)
    whole = {n * (7000 - n) for n in sizes}
    assert sum(count in whole for count in counts) <= 3 + 6
    assert sum(counts) - sum(count for count in counts if count in whole) < 150 * 300 * 1500

    # the smallest on the grid: all values are non-negative there, and one is negative one step below
    def smallest(lengthscale: float) -> float:
        return float(Valuation(kernel.with_lengthscale(lengthscale), parties, synthetic, "float64").party_values.min())

    assert smallest(fitted.lengthscale) >= 0 > smallest(fitted.lengthscale - (10.0 - 0.01) / 2**20)


# --- the median


def test_median_distance() -> None:
    for n in (2, 3, 6, 7, 50):  # an odd number of pairs
        x = normal(n, 3)
        pairs = [float(np.linalg.norm(x[i] - x[j])) for i in range(n) for j in range(i)]
        assert median_distance(x) == pytest.approx(np.median(pairs), rel=1e-12)


def test_median_distance_of_evenly_spaced_rows() -> None:
    x = normal(21, 2)
    assert median_distance(x, max_points=11) == median_distance(x[::2])
    assert median_distance(x, max_points=3) == median_distance(x[::10])
    assert median_distance(x, max_points=21) == median_distance(x, max_points=22) == median_distance(x)


def test_median_distance_of_copies() -> None:
    x = torch.zeros(10, 2, dtype=torch.float64)
    x[0] = 1  # 36 of 45 pairs are equal points
    with pytest.raises(ValueError, match=r"kernel\.lengthscale=median: the median distance is 0"):
        median_distance(x)
    with pytest.raises(ValueError, match=r"kernel\.lengthscale=median: .* 1 points, at least 2"):
        median_distance(x[:1])


# --- rules


def test_resolve_lengthscale() -> None:
    parties, synthetic = problem(2)
    number = RationalQuadratic(3.0, alpha=0.2)
    assert resolve_lengthscale(number, parties, synthetic) is number

    fitted = resolve_lengthscale(number.with_lengthscale("fit"), parties, synthetic, LengthscaleSearch(0.05, 30.0, 9))
    assert fitted == fit_lengthscale(number, parties, synthetic, low=0.05, high=30.0, iterations=9)

    median = resolve_lengthscale(number.with_lengthscale("median"), parties, synthetic)
    x = torch.cat([*parties, synthetic])  # 88 points, 3828 pairs: the lower of the two in the middle
    pairs = sorted(float(np.linalg.norm(x[i] - x[j])) for i in range(len(x)) for j in range(i))
    assert median.lengthscale == pytest.approx(pairs[len(pairs) // 2 - 1], rel=1e-12)
    assert median == RationalQuadratic(median.lengthscale, alpha=0.2)
