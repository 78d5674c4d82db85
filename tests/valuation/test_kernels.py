"""The kernels, against their formulas; see also tests/contracts/test_kernels.py."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cgm.valuation import Valuation, check_kernel, resolve_lengthscale
from cgm.valuation.kernels import (
    RULES,
    Kernel,
    Laplacian,
    RationalQuadratic,
    SquaredExponential,
    Sum,
    squared_distances,
)
from tests.valuation.common import Formula, distances, normal

# kernels, and their values as a function of the distance r
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


# --- the kernels themselves


def test_formula(case: tuple[Kernel, Formula]) -> None:
    kernel, formula = case
    for d in (1, 2, 7):
        x, y = normal(13, d), 2 * normal(8, d, seed=1) + 0.5
        k = kernel(x, y)
        assert k.shape == (13, 8)
        assert k.dtype == torch.float64
        np.testing.assert_allclose(k.numpy(), formula(distances(x, y)), rtol=0, atol=1e-14)


def test_diagonal_is_the_largest_value(case: tuple[Kernel, Formula]) -> None:
    kernel, formula = case
    k = kernel(normal(9, 3), normal(9, 3))
    assert kernel.diagonal == formula(np.zeros(()))
    np.testing.assert_allclose(k.diagonal().numpy(), kernel.diagonal, rtol=0, atol=1e-14)
    assert k.max() <= kernel.diagonal + 1e-14
    assert k.min() > 0


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


def test_with_lengthscale_keeps_other_settings() -> None:
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
    # rounding errors of the points are 1e-10; without centring, those of squared distances would be 1e-3
    np.testing.assert_allclose(kernel(x, y).numpy(), formula(distances(x, y)), rtol=0, atol=2e-9)


def test_near_copies() -> None:
    """A Laplacian kernel must resolve distances for which |x|² - 2xy + |y|² has errors of 1e-8."""

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


def test_rate_and_min_scale() -> None:
    """Sums rely on f(q) = exp(-rate q), and on f being nearly constant over distances below `min_scale`."""

    q = torch.linspace(0, 30, 50, dtype=torch.float64)
    assert SquaredExponential(3.0).rate == 0.5
    torch.testing.assert_close(SquaredExponential(3.0).profile(q), torch.exp(-0.5 * q))
    for kernel in (RationalQuadratic(1.0), Laplacian(1.0), Sum([SquaredExponential(1.0)])):
        assert kernel.rate is None
    assert SquaredExponential(3.0).min_scale == 1
    assert Sum([SquaredExponential(0.2), Sum([Laplacian(0.5), Laplacian(4.0)], 0.3)], 7.0).min_scale == 0.15

    class Other(SquaredExponential):
        def profile(self, q: Tensor) -> Tensor:
            return 1 / (1 + q)

    class Named(SquaredExponential):
        name = "named"

    assert Other(1.0).rate is None
    assert Named(1.0).rate == 0.5


# --- bad settings


def test_messages_name_numbers_and_rules() -> None:
    message = r"^kernel\.lengthscale=%s: expected a number in \(0, inf\), or one of fit, fit_monotone, median%s$"
    with pytest.raises(ValueError, match=message % (0, "")):
        Laplacian(0)
    with pytest.raises(ValueError, match=message % ("fitted", r"; did you mean fit\?")):
        Sum([Laplacian(1.0)], "fitted")
    assert RULES == ("fit", "fit_monotone", "median")


def test_a_rule_must_be_resolved() -> None:
    x = normal(3, 2)
    for rule in RULES:
        for kernel in (SquaredExponential(rule), Laplacian(rule), Sum([Laplacian(1.0)], rule)):
            with pytest.raises(ValueError, match=rf"kernel\.lengthscale='{rule}' is a rule.*resolve_lengthscale"):
                kernel(x, x)


def test_bad_sums() -> None:
    with pytest.raises(ValueError, match=r"kernel\.kernels=\(\): expected a list of at least 1"):
        Sum([])
    with pytest.raises(ValueError, match=r"kernel\.kernels: Laplacian has lengthscale='fit'.*expected a number"):
        Sum([SquaredExponential(1.0), Laplacian("fit")])


def profile_of(function: Callable[[Tensor], Any]) -> Kernel:
    class Mine(Kernel):
        def profile(self, q: Tensor) -> Tensor:
            return function(q)

    return Mine()


def test_a_kernel_of_the_user_is_checked() -> None:
    check_kernel(profile_of(lambda q: 1 / (1 + q)))
    for function, message in (
        (torch.cos, "does not increase with the distance"),
        (lambda q: (1 - q / 50).clamp(min=0), "is positive definite"),
        (lambda q: torch.exp(-q.float()), "torch.float32 for q"),
        (lambda q: torch.exp(-q.double()), "keeps the dtype"),
        (lambda q: q.neg_().exp_(), "does not change q"),
        (lambda q: torch.exp(-q) + 0 * torch.rand(()), "does not change the global random state"),
    ):
        with pytest.raises(AssertionError, match=f"Mine breaks a rule of kernels: .*{message}"):
            check_kernel(profile_of(function))
    with pytest.raises(ValueError, match=r"the class Laplacian itself; pass an object, Laplacian\(\)"):
        check_kernel(Laplacian)  # type: ignore[arg-type]


def test_errors_of_a_kernel_of_the_user_name_it() -> None:
    parties = [torch.randn(20, 2) + i for i in range(2)]
    for function, message in (
        (lambda q: (1 - q).sqrt(), "profile(q) is nan at q = 4"),
        (lambda q: q.sum(1), "profile(q) has the shape (2,) and torch.float64 for q of the shape (2, 3)"),
        (lambda q: q * 0, "profile is 0 at 0, and diagonal 1"),
        (lambda q: math.exp(-q), "profile raises"),
        (lambda q: np.exp(-q.numpy()), "profile(q) is a ndarray; expected a tensor"),
    ):
        with pytest.raises(ValueError, match=f"^kernel Mine: {re.escape(message)}"):
            Valuation(profile_of(function), parties, parties[0])
        with pytest.raises(ValueError, match=f"^kernel Mine: {re.escape(message)}"):
            resolve_lengthscale(profile_of(function).with_lengthscale("fit"), parties, parties[0])
