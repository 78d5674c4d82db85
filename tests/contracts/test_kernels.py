"""Properties of every kernel: each class in `cgm.valuation.kernels`, and each file in `conf/kernel`."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hydra.utils import get_class, instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import cgm.valuation.kernels
from cgm.settlements.party import multiscale
from cgm.valuation.check import check_kernel
from cgm.valuation.kernels import Kernel, Sum
from cgm.valuation.lengthscale import resolve_lengthscale
from cgm.valuation.mmd import block_sums
from tests.contracts.members import classes, configurations, required

CLASSES = classes(cgm.valuation.kernels, lambda cls: issubclass(cls, Kernel))
FILES = configurations("kernel")
OF_FILES: dict[str, Kernel] = {name: instantiate(config, _convert_="all") for name, config in FILES.items()}

# values for settings without a default
PARTS = {"kernels": (CLASSES["Laplacian"](2.0), CLASSES["SquaredExponential"](0.5))}
KERNELS: dict[str, Kernel] = (
    {name: cls(**required(cls, PARTS) | {"lengthscale": 0.8}) for name, cls in CLASSES.items() if cls is not Sum}
    | {"Sum": Sum(**PARTS, lengthscale=0.8), "Sum of one": Sum(PARTS["kernels"][:1], 0.8)}
    | {"kernel=sum": OF_FILES["sum"].with_lengthscale(0.8)}
)
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)

seeds = st.integers(0, 2**32)


def points(n: int, d: int, seed: int) -> Tensor:
    """Random points; the first ones are copies and near copies of others."""

    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))
    if n >= 4:
        x[0], x[1] = x[2], x[3] + 1e-7
    return x


def brute_force(kernel: Kernel, x: Tensor, y: Tensor) -> np.ndarray:
    """The profile of the squared distances of all pairs, in units of the length-scale, one by one."""

    scale = kernel.numeric_lengthscale
    q = [[sum(((a - b) / scale) ** 2 for a, b in zip(u, v, strict=True)) for v in y.tolist()] for u in x.tolist()]
    return kernel.profile(torch.tensor(q, dtype=torch.float64)).numpy()


def test_every_class_has_a_file() -> None:
    """Files have the rule of the paper, and the defaults of the class otherwise."""

    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())
    for kernel in OF_FILES.values():
        assert isinstance(kernel, Sum) or kernel == type(kernel)("fit")
    assert OF_FILES["sum"].lengthscale == "fit"
    assert OF_FILES["multiscale"] == multiscale()


@every_kernel
def test_rules_of_kernels(kernel: Kernel) -> None:
    check_kernel(kernel)


@every_kernel
@given(n=st.integers(1, 12), m=st.integers(1, 12), d=st.integers(1, 5), seed=seeds)
@settings(max_examples=25)
def test_matrix(kernel: Kernel, n: int, m: int, d: int, seed: int) -> None:
    x, y = points(n, d, seed), points(m, d, seed + 1)
    k = kernel(x, y)
    assert k.shape == (n, m)
    assert k.dtype == torch.float64
    np.testing.assert_allclose(k, brute_force(kernel, x, y), rtol=0, atol=1e-12 * kernel.diagonal)
    assert kernel(x.float(), y.float()).dtype == torch.float32


@every_kernel
@given(n=st.integers(1, 30), d=st.integers(1, 5), seed=seeds)
@settings(max_examples=25)
def test_symmetry_and_diagonal(kernel: Kernel, n: int, d: int, seed: int) -> None:
    x = points(n, d, seed)
    k = kernel(x, x)
    torch.testing.assert_close(k, k.T, rtol=0, atol=1e-14 * kernel.diagonal)
    torch.testing.assert_close(k.diagonal(), torch.full((n,), kernel.diagonal, dtype=k.dtype), rtol=0, atol=1e-13)
    assert float(k.abs().max()) <= kernel.diagonal + 1e-13  # as for every positive semi-definite kernel
    assert float(kernel.profile(torch.zeros(1, dtype=torch.float64))) == pytest.approx(kernel.diagonal, rel=1e-14)


@every_kernel
@given(n=st.integers(1, 50), d=st.integers(1, 5), seed=seeds, scale=st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=25)
def test_positive_semi_definite(kernel: Kernel, n: int, d: int, seed: int, scale: float) -> None:
    x = scale * points(n, d, seed)
    assert float(torch.linalg.eigvalsh(kernel(x, x)).min()) > -1e-12 * kernel.diagonal


@every_kernel
def test_arguments_are_not_changed(kernel: Kernel) -> None:
    x, y = points(5, 2, seed=0), points(4, 2, seed=1)
    before = x.clone(), y.clone()
    kernel(x, y)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@every_kernel
@given(factor=st.floats(0.01, 100), seed=seeds)
@settings(max_examples=25)
def test_with_lengthscale(kernel: Kernel, factor: float, seed: int) -> None:
    """A kernel depends on the distance in units of the length-scale only; its other settings do not change."""

    x, y = points(6, 2, seed), points(5, 2, seed + 1)
    scaled = kernel.with_lengthscale(factor * kernel.numeric_lengthscale)
    assert scaled.numeric_lengthscale == scaled.lengthscale == factor * kernel.numeric_lengthscale
    assert type(scaled) is type(kernel)
    assert (scaled.name, scaled.diagonal, scaled.smooth, scaled.rate, scaled.min_scale) == (
        kernel.name,
        kernel.diagonal,
        kernel.smooth,
        kernel.rate,
        kernel.min_scale,
    )
    torch.testing.assert_close(scaled(factor * x, factor * y), kernel(x, y), rtol=0, atol=1e-7 * kernel.diagonal)
    assert scaled.with_lengthscale(kernel.lengthscale) == kernel


@every_kernel
def test_attributes(kernel: Kernel) -> None:
    """What sums of the kernel rely on, see `cgm.valuation.tiles`."""

    assert kernel.diagonal > 0
    assert isinstance(kernel.smooth, bool)
    assert kernel.min_scale > 0
    assert kernel.name
    q = torch.linspace(0, 30, 50, dtype=torch.float64)
    if kernel.rate is not None:
        torch.testing.assert_close(kernel.profile(q), torch.exp(-kernel.rate * q))
    # a smooth kernel hardly changes over a small part of its smallest scale
    step = torch.tensor([(1e-4 * kernel.min_scale) ** 2], dtype=torch.float64)
    if kernel.smooth:
        assert kernel.diagonal - float(kernel.profile(step)) < 1e-6 * kernel.diagonal


@every_kernel
def test_sums(kernel: Kernel) -> None:
    x = points(300, 2, seed=0)
    expected = kernel(x, x)
    for precision, tolerance in (("float32", 1e-4), ("float64", 1e-9)):
        sums = block_sums(kernel, x, [100, 200], precision)
        torch.testing.assert_close(sums[:, 0], expected[:, :100].sum(1), rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(sums[:, 1], expected[:, 100:].sum(1), rtol=tolerance, atol=tolerance)


@every_kernel
def test_kernels_are_values(kernel: Kernel) -> None:
    """Equal settings make equal kernels, also after pickling, and settings cannot be changed."""

    assert pickle.loads(pickle.dumps(kernel)) == replace(kernel) == kernel
    assert hash(replace(kernel)) == hash(kernel)
    assert kernel.with_lengthscale(0.9) != kernel
    with pytest.raises(FrozenInstanceError):
        kernel.lengthscale = 2.0


@every_kernel
def test_gradients(kernel: Kernel) -> None:
    """Generators are trained with kernels."""

    x, y = points(4, 3, seed=0)[1:].requires_grad_(), points(5, 3, seed=1)[1:].requires_grad_()
    assert torch.autograd.gradcheck(kernel, (x, y))


@every_kernel
def test_gradients_of_points_with_themselves(kernel: Kernel) -> None:
    """Against central differences off the diagonal; on it the distance is zero and a kernel may have a kink."""

    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 2)))
    weight = torch.from_numpy(np.random.default_rng(1).standard_normal((4, 4))).fill_diagonal_(1.0)

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
            assert float(leaf.grad[i, j]) == pytest.approx(slope, abs=1e-7)


@every_kernel
def test_rules(kernel: Kernel) -> None:
    """A rule must be resolved before the kernel can be called."""

    x = points(20, 2, seed=0)
    for rule in ("fit", "median"):
        unresolved = kernel.with_lengthscale(rule)
        with pytest.raises(ValueError, match=f"kernel.lengthscale='{rule}' is a rule"):
            unresolved(x, x)
        resolved = resolve_lengthscale(unresolved, [x, points(15, 2, seed=1)], points(60, 2, seed=2))
        assert resolved.numeric_lengthscale > 0
        assert resolved.with_lengthscale(rule) == unresolved
        assert resolve_lengthscale(resolved, [x], x) is resolved


@every_kernel
def test_points_of_different_widths(kernel: Kernel) -> None:
    with pytest.raises(ValueError, match="x has 2 columns and y has 3"):
        kernel(points(4, 2, seed=0), points(4, 3, seed=1))
