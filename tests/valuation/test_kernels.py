import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.valuation.kernels.base import Kernel, squared_distances
from cgm.valuation.kernels.laplacian import Laplacian
from cgm.valuation.kernels.rational_quadratic import RationalQuadratic
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.kernels.sum import Sum
from cgm.valuation.lengthscale import fit_lengthscale, median_distance, resolve_lengthscale
from cgm.valuation.mmd import cross_sums
from cgm.valuation.valuation import Valuation

Formula = Callable[[np.ndarray], np.ndarray]

# each kernel, and what it is as a function of the plain distance r
KERNELS: dict[str, tuple[Kernel, Formula]] = {
    "squared_exponential": (SquaredExponential(0.7), lambda r: np.exp(-(r**2) / (2 * 0.7**2))),
    "rational_quadratic": (
        RationalQuadratic(1.3, alpha=0.4),
        lambda r: (1 + r**2 / (2 * 0.4 * 1.3**2)) ** -0.4,
    ),
    "laplacian": (Laplacian(0.9), lambda r: np.exp(-r / 0.9)),
    "sum": (
        Sum([SquaredExponential(0.5), RationalQuadratic(2.0, alpha=3.0)]),
        lambda r: np.exp(-(r**2) / (2 * 0.5**2)) + (1 + r**2 / (2 * 3.0 * 2.0**2)) ** -3.0,
    ),
    "scaled_sum": (  # the parts' length-scales are in units of the sum's
        Sum([SquaredExponential(0.5), Laplacian(2.0), Sum([SquaredExponential(1.0)], 3.0)], lengthscale=0.6),
        lambda r: np.exp(-(r**2) / (2 * 0.3**2)) + np.exp(-r / 1.2) + np.exp(-(r**2) / (2 * 1.8**2)),
    ),
}


@pytest.fixture(params=KERNELS)
def case(request: pytest.FixtureRequest) -> tuple[Kernel, Formula]:
    return KERNELS[request.param]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distances(x: Tensor, y: Tensor) -> np.ndarray:
    return np.sqrt(((x.numpy()[:, None, :] - y.numpy()[None, :, :]) ** 2).sum(-1))


def plain_values(formula: Formula, parties: Sequence[Tensor], synthetic: Tensor) -> list[float]:
    """v(D_i) of every party, equation (2), from full matrices."""

    points = torch.cat([*parties, synthetic])
    return [
        2 * formula(distances(x, points)).mean() - formula(distances(x, x)).mean()  # mean = sum / (s t), sum / s²
        for x in parties
    ]


# --- the kernels themselves


@pytest.mark.parametrize("d", [1, 2, 7])
def test_formula(case: tuple[Kernel, Formula], d: int) -> None:
    kernel, formula = case
    x, y = normal(13, d), 2 * normal(8, d, seed=1) + 0.5
    k = kernel(x, y)
    assert k.shape == (13, 8)
    assert k.dtype == torch.float64
    np.testing.assert_allclose(k.numpy(), formula(distances(x, y)), rtol=0, atol=1e-14)


def test_inputs_are_left_alone(case: tuple[Kernel, Formula]) -> None:
    kernel, _ = case
    x, y = normal(5, 2), normal(4, 2, seed=1)
    before = x.clone(), y.clone()
    kernel(x, y)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


def test_diagonal_is_the_greatest_value(case: tuple[Kernel, Formula]) -> None:
    kernel, formula = case
    k = kernel(normal(9, 3), normal(9, 3))
    assert kernel.diagonal == formula(np.zeros(()))
    np.testing.assert_allclose(k.diagonal().numpy(), kernel.diagonal, rtol=0, atol=1e-14)
    assert k.max() <= kernel.diagonal + 1e-14
    assert k.min() > 0


def test_symmetry(case: tuple[Kernel, Formula]) -> None:
    kernel, _ = case
    x, y = normal(9, 3), normal(6, 3, seed=1)
    torch.testing.assert_close(kernel(x, y), kernel(y, x).T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("d", [1, 4])
def test_positive_semi_definite(case: tuple[Kernel, Formula], d: int) -> None:
    kernel, _ = case
    x = normal(40, d)
    x = torch.cat([x, x[:5], x[5:10] + 1e-7])  # copies and near copies, too
    assert torch.linalg.eigvalsh(kernel(x, x)).min() > -1e-12


def test_with_lengthscale(case: tuple[Kernel, Formula]) -> None:
    """k(x, y) depends on the distance in units of the length-scale alone."""

    kernel, formula = case
    x, y = normal(6, 2), normal(5, 2, seed=1)
    scaled = kernel.with_lengthscale(5 * kernel.lengthscale)
    assert type(scaled) is type(kernel)
    assert scaled.lengthscale == 5 * kernel.lengthscale
    assert scaled.name == kernel.name
    np.testing.assert_allclose(scaled(x, y).numpy(), formula(distances(x, y) / 5), rtol=0, atol=1e-14)
    np.testing.assert_allclose(kernel(x, y).numpy(), formula(distances(x, y)), rtol=0, atol=1e-14)


def test_other_fields_outlive_another_lengthscale() -> None:
    assert RationalQuadratic("fit", alpha=0.3).with_lengthscale(2.0) == RationalQuadratic(2.0, alpha=0.3)
    parts = [Laplacian(2.0), RationalQuadratic(0.5, alpha=7.0)]
    assert Sum(parts, "median").with_lengthscale(4.0) == Sum(parts, 4.0)


def test_rational_quadratic_tends_to_squared_exponential() -> None:
    x, y = normal(6, 2), normal(5, 2, seed=1)
    torch.testing.assert_close(
        RationalQuadratic(0.8, alpha=1e7)(x, y), SquaredExponential(0.8)(x, y), rtol=0, atol=1e-6
    )


def test_sum_is_the_sum_of_its_parts() -> None:
    x, y = normal(6, 2), normal(5, 2, seed=1)
    parts = [SquaredExponential(0.3), Laplacian(2.0), RationalQuadratic(1.0, alpha=0.1)]
    total = Sum(parts)
    assert total.diagonal == 3
    assert total.name == "Sum(SquaredExponential, Laplacian, RationalQuadratic)"
    torch.testing.assert_close(total(x, y), sum(part(x, y) for part in parts), rtol=0, atol=1e-14)


def test_single_precision_in_and_out() -> None:
    for kernel, formula in KERNELS.values():
        x, y = normal(6, 2), normal(5, 2, seed=1)
        k = kernel(x.float(), y.float())
        assert k.dtype == torch.float32
        np.testing.assert_allclose(k.numpy(), formula(distances(x, y)), rtol=0, atol=1e-5)


# --- rounding


def test_points_far_from_the_origin(case: tuple[Kernel, Formula]) -> None:
    kernel, formula = case
    x, y = normal(30, 3) + 1e6, normal(20, 3, seed=1) + 1e6
    # the points' own rounding is 1e-10; without centring, the squared distances would be off by 1e-3
    np.testing.assert_allclose(kernel(x, y).numpy(), formula(distances(x, y)), rtol=0, atol=2e-9)


def test_near_copies() -> None:
    """A Laplacian kernel must see distances down to rounding, where |x|² - 2xy + |y|² gives noise of 1e-8."""

    x = normal(20, 3)
    step = torch.tensor([0.0, 1e-9, -2e-9], dtype=torch.float64)
    for kernel in (Laplacian(0.5), Sum([Laplacian(0.5)])):
        k = kernel(x, x + step).diagonal().numpy()
        np.testing.assert_allclose(1 - k, np.sqrt(5) * 1e-9 / 0.5, rtol=1e-5)
        assert torch.equal(kernel(x, x).diagonal(), torch.ones(20, dtype=torch.float64))


@pytest.mark.parametrize("fast", [True, False])
def test_squared_distances(fast: bool) -> None:
    x, y = normal(9, 4), normal(5, 4, seed=1)
    q = squared_distances(x, y, fast)
    np.testing.assert_allclose(q.numpy(), distances(x, y) ** 2, rtol=0, atol=1e-13)
    assert squared_distances(x, x, fast).min() >= 0


def test_short_cuts() -> None:
    """What sums may take for granted: f(q) = exp(-rate q), and that f changes little over less than `finest`."""

    q = torch.linspace(0, 30, 50, dtype=torch.float64)
    assert SquaredExponential(3.0).rate == 0.5
    torch.testing.assert_close(SquaredExponential(3.0).profile(q), torch.exp(-0.5 * q))
    for kernel in (RationalQuadratic(1.0), Laplacian(1.0), Sum([SquaredExponential(1.0)])):
        assert kernel.rate is None
    assert SquaredExponential(3.0).finest == 1
    assert Sum([SquaredExponential(0.2), Sum([Laplacian(0.5), Laplacian(4.0)], 0.3)], 7.0).finest == 0.15

    class Other(SquaredExponential):
        def profile(self, q: Tensor) -> Tensor:
            return 1 / (1 + q)

    class Named(SquaredExponential):
        name = "named"

    assert Other(1.0).rate is None
    assert Named(1.0).rate == 0.5


# --- gradients, which training a generator needs


def test_gradients(case: tuple[Kernel, Formula]) -> None:
    kernel, _ = case
    x, y = normal(4, 3).requires_grad_(), normal(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(kernel, (x, y))


def test_gradients_of_points_with_themselves(case: tuple[Kernel, Formula]) -> None:
    """By central differences on x off the diagonal, where the distance is zero and a kernel may have a kink."""

    kernel, _ = case
    x = normal(4, 2)
    weight = normal(4, 4, seed=1).fill_diagonal_(1.0)

    leaf = x.clone().requires_grad_()
    (kernel(leaf, leaf) * weight).sum().backward()
    assert torch.isfinite(leaf.grad).all()

    def total(x: Tensor) -> float:
        return float((kernel(x, x) * weight).fill_diagonal_(0.0).sum())

    for i in range(4):
        for j in range(2):
            step = torch.zeros_like(x)
            step[i, j] = 1e-5
            slope = (total(x + step) - total(x - step)) / 2e-5
            assert float(leaf.grad[i, j]) == pytest.approx(slope, abs=1e-8)


# --- bad settings


@pytest.mark.parametrize("cls", [SquaredExponential, RationalQuadratic, Laplacian])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "fitted", "", None])
def test_bad_lengthscale(cls: type[Kernel], value: float | str | None) -> None:
    with pytest.raises(ValueError, match=re.escape(f"kernel.lengthscale={value!r}")):
        cls(value)
    with pytest.raises(ValueError, match=re.escape(f"kernel.lengthscale={value!r}")):
        cls(1.0).with_lengthscale(value)
    with pytest.raises(ValueError, match=re.escape(f"kernel.lengthscale={value!r}")):
        Sum([cls(1.0)], value)


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), float("inf")])
def test_bad_alpha(value: float) -> None:
    with pytest.raises(ValueError, match=rf"kernel\.alpha={value}"):
        RationalQuadratic(1.0, alpha=value)


@pytest.mark.parametrize("rule", ["fit", "median"])
def test_a_rule_is_no_number_yet(rule: str) -> None:
    x = normal(3, 2)
    for kernel in (SquaredExponential(rule), Laplacian(rule), Sum([Laplacian(1.0)], rule)):
        with pytest.raises(ValueError, match=rf"kernel\.lengthscale='{rule}' is a rule.*resolve_lengthscale"):
            kernel(x, x)


def test_bad_sums() -> None:
    with pytest.raises(ValueError, match=r"kernel\.kernels=\[\].*at least one"):
        Sum([])
    with pytest.raises(ValueError, match=r"kernel\.kernels: Laplacian has lengthscale='fit'.*number"):
        Sum([SquaredExponential(1.0), Laplacian("fit")])


@pytest.mark.parametrize("kernel", [SquaredExponential(1.0), Laplacian(1.0)])
def test_points_of_different_widths(kernel: Kernel) -> None:
    with pytest.raises(ValueError, match="x has 2 columns and y has 3"):
        kernel(normal(4, 2), normal(4, 3))


# --- the length-scale


def problem(seed: int, d: int = 2, pool: int = 60) -> tuple[list[Tensor], Tensor]:
    """Three parties, each about its own place, and a pool about all of them."""

    parties = [0.4 * normal(size, d, seed=10 * seed + size) + shift for size, shift in ((9, 0), (12, 1), (7, 3))]
    return parties, 1.5 * normal(pool, d, seed=10 * seed + 5) + 1


def plain_bisection(
    formula: Formula, parties: Sequence[Tensor], synthetic: Tensor, low: float, high: float, iterations: int
) -> float:
    """Sec. 5 as it is written, with formula(r) that of length-scale 1."""

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
    assert 0.02 < expected < 100  # neither end

    # least on the grid: all values are non-negative there, and one is not a step below
    values = plain_values(lambda r: formula(r / expected), parties, synthetic)
    step = (1000.0 - 0.01) / 2**20
    below = plain_values(lambda r: formula(r / (expected - step)), parties, synthetic)
    assert min(values) >= 0 > min(below)


@pytest.mark.parametrize(("low", "high", "iterations"), [(0.1, 50.0, 1), (0.1, 5.0, 7), (0.3, 700.0, 27)])
def test_fit_lengthscale_obeys_its_range(low: float, high: float, iterations: int) -> None:
    kernel, formula = UNIT[0]
    parties, synthetic = problem(0)
    fitted = fit_lengthscale(kernel, parties, synthetic, low, high, iterations)
    expected = plain_bisection(formula, parties, synthetic, low, high, iterations)
    assert fitted.lengthscale == pytest.approx(expected, rel=1e-14)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), spread=st.floats(0.05, 2.0), pool=st.integers(5, 60), high=st.floats(0.3, 30))
def test_fit_lengthscale_of_random_parties(seed: int, spread: float, pool: int, high: float) -> None:
    """Against every length-scale of the grid, whichever party fails first, and whichever next."""

    parties = [spread * normal(4 + i, 2, seed=seed + i) + 2 * normal(1, 2, seed=seed - i) for i in range(4)]
    synthetic = 2 * normal(pool, 2, seed=seed + 9)
    kernel, formula = UNIT[0]
    grid = [0.01 + (high - 0.01) * step / 32 for step in range(1, 33)]
    will_do = [min(plain_values(lambda r: formula(r / x), parties, synthetic)) >= 0 for x in grid]  # noqa: B023
    if not will_do[-1]:
        with pytest.raises(ValueError, match=r"kernel_search\.high"):
            fit_lengthscale(kernel, parties, synthetic, high=high, iterations=5)
        return

    found = fit_lengthscale(kernel, parties, synthetic, high=high, iterations=5).lengthscale
    step = min(range(32), key=lambda k: abs(grid[k] - found))
    assert found == pytest.approx(grid[step], rel=1e-13)
    assert will_do[step]
    assert step == 0 or not will_do[step - 1]
    if will_do == sorted(will_do):  # all longer ones will do as well: there is just one such step
        assert step == will_do.index(True)


def test_fit_lengthscale_of_a_party_that_a_part_misrepresents() -> None:
    """Every other point is far from the others: what a part of the points has to say may be wrong."""

    party, synthetic = normal(1000, 1), normal(2000, 1, seed=1)
    party[::2] = 0.01 * party[::2] + 30
    kernel, formula = UNIT[2]
    for x in (party, party.roll(1, 0)):
        fitted = fit_lengthscale(kernel, [x], synthetic, high=200.0, iterations=6)
        expected = plain_bisection(formula, [x], synthetic, 0.01, 200.0, 6)
        assert fitted.lengthscale == pytest.approx(expected, rel=1e-14)


def test_fit_lengthscale_when_any_will_do() -> None:
    # t < 2 s: no kernel of positive values makes v negative
    fitted = fit_lengthscale(SquaredExponential("fit"), [normal(10, 2)], normal(5, 2, seed=2))
    assert fitted.lengthscale == pytest.approx(0.01 + (1000 - 0.01) / 2**20, rel=1e-12)


def test_fit_lengthscale_works_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    parties, synthetic = problem(1)
    expected = fit_lengthscale(SquaredExponential("fit"), parties, synthetic, high=10.0, iterations=8)
    monkeypatch.setattr("cgm.mmd.TILE", 11)
    fitted = fit_lengthscale(SquaredExponential("fit"), parties, synthetic, high=10.0, iterations=8)
    assert fitted == expected


def test_fit_lengthscale_in_double_precision() -> None:
    """Else the values that the valuation computes, in double precision, could be negative after all."""

    for seed in range(2):
        parties, synthetic = problem(seed)
        parties, synthetic = [x.float() for x in parties], synthetic.float()
        fitted = fit_lengthscale(SquaredExponential("fit"), parties, synthetic, iterations=40)
        double = [x.double() for x in parties]
        again = fit_lengthscale(SquaredExponential("fit"), double, synthetic.double(), iterations=40)
        assert fitted.lengthscale == again.lengthscale


@pytest.mark.parametrize("far", [0, 1, 2])
def test_fit_lengthscale_names_the_party(far: int) -> None:
    """A tight party far from all else has v = 2 s / t - 1 < 0 unless the length-scale reaches the others."""

    parties, synthetic = [normal(15, 2, seed=i) for i in range(3)], normal(40, 2, seed=3)
    parties[far] = 1e-3 * parties[far] + 100
    match = rf"kernel\.lengthscale=fit: party {far + 1} .*kernel_search\.high=2"
    with pytest.raises(ValueError, match=match):
        fit_lengthscale(Laplacian("fit"), parties, synthetic, high=2.0)
    assert fit_lengthscale(Laplacian("fit"), parties, synthetic).lengthscale > 2


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (1.0, float("inf")), (float("nan"), 1.0)]
)
def test_bad_range(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=rf"kernel_search: low={low}, high={high}"):
        fit_lengthscale(SquaredExponential("fit"), *problem(0), low=low, high=high)


@pytest.mark.parametrize("iterations", [0, -3, 2.5])
def test_bad_iterations(iterations: float) -> None:
    with pytest.raises(ValueError, match=rf"kernel_search\.iterations={iterations}: "):
        fit_lengthscale(SquaredExponential("fit"), *problem(0), iterations=iterations)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("rule", ["fit", "median"])
def test_rules_refuse_points_that_are_not_finite(rule: str, value: float) -> None:
    """A NaN is neither negative nor not, and would send the bisection to its lower end."""

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
def test_fit_lengthscale_takes_few_tries(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """Some tries for the one party that decides, and one for each other: far fewer than halvings times parties."""

    sizes = [700, 900, 800, 600]
    parties = [0.2 * normal(n, 2, seed=n) + normal(1, 2, seed=n + 1) for n in sizes]
    synthetic = normal(4000, 2, seed=1)
    counts = []

    def counted(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
        counts.append(len(x) * len(y))
        return cross_sums(kernel, x, y)

    monkeypatch.setattr("cgm.valuation.kernels.cross_sums", counted)
    fitted = fit_lengthscale(kernel, parties, synthetic, high=10.0)
    whole = {n * (7000 - n) for n in sizes}
    assert sum(count in whole for count in counts) <= 3 + 6
    assert sum(counts) - sum(count for count in counts if count in whole) < 150 * 300 * 1500

    # least on the grid: all values are non-negative there, and one is not a step below
    def least(lengthscale: float) -> float:
        return float(Valuation(kernel.with_lengthscale(lengthscale), parties, synthetic, "float64").party_values.min())

    assert least(fitted.lengthscale) >= 0 > least(fitted.lengthscale - (10.0 - 0.01) / 2**20)


# --- the median


@pytest.mark.parametrize("n", [2, 3, 6, 7, 50])  # an odd number of pairs
def test_median_distance(n: int) -> None:
    x = normal(n, 3)
    pairs = [float(np.linalg.norm(x[i] - x[j])) for i in range(n) for j in range(i)]
    assert median_distance(x) == pytest.approx(np.median(pairs), rel=1e-12)


def test_median_distance_of_evenly_spaced_rows() -> None:
    x = normal(21, 2)
    assert median_distance(x, most=11) == median_distance(x[::2])
    assert median_distance(x, most=3) == median_distance(x[::10])
    assert median_distance(x, most=21) == median_distance(x, most=22) == median_distance(x)


def test_median_distance_of_copies() -> None:
    x = torch.zeros(10, 2, dtype=torch.float64)
    x[0] = 1  # 36 of 45 pairs are copies
    with pytest.raises(ValueError, match=r"kernel\.lengthscale=median: the median distance is 0"):
        median_distance(x)
    with pytest.raises(ValueError, match=r"kernel\.lengthscale=median: .* 1 points, at least 2"):
        median_distance(x[:1])


# --- rules


def test_resolve_lengthscale() -> None:
    parties, synthetic = problem(2)
    number = RationalQuadratic(3.0, alpha=0.2)
    assert resolve_lengthscale(number, parties, synthetic) is number

    fitted = resolve_lengthscale(number.with_lengthscale("fit"), parties, synthetic, low=0.05, high=30.0, iterations=9)
    assert fitted == fit_lengthscale(number, parties, synthetic, low=0.05, high=30.0, iterations=9)

    median = resolve_lengthscale(number.with_lengthscale("median"), parties, synthetic)
    x = torch.cat([*parties, synthetic])  # 88 points, 3828 pairs: the lower of the two in the middle
    pairs = sorted(float(np.linalg.norm(x[i] - x[j])) for i in range(len(x)) for j in range(i))
    assert median.lengthscale == pytest.approx(pairs[len(pairs) // 2 - 1], rel=1e-12)
    assert median == RationalQuadratic(median.lengthscale, alpha=0.2)
