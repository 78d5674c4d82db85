"""Checks of the rules of kernels."""

from __future__ import annotations

from functools import partial

import torch

from cgm.utils.rules import broken_rule, call_before, check_object, require, unchanged_random_state
from cgm.valuation.kernels import Kernel, check_profile

ROUNDING = 1e-10  # of the diagonal: errors that count as rounding
SCALES = (0.1, 1.0, 10.0)  # length-scales at which points of the standard normal distribution are compared
DIMENSIONS = (1, 2, 5, 20)


def check_kernel(kernel: Kernel) -> None:
    r"""Check that a kernel follows the rules of `Kernel`.

    That a kernel is positive definite cannot be proved by a check; it is compared on points at random.

    Arguments:
        kernel: The kernel. Its length-scale may be a rule.

    Raises:
        AssertionError: If a rule is broken; the message names the rule.
        ValueError: If it is the class itself.

    Example:
        >>> from cgm.valuation.kernels import Laplacian
        >>> check_kernel(Laplacian("fit"))
    """

    check_object("kernel", kernel)
    rule = partial(broken_rule, type(kernel).__name__, "kernels")
    with rule("is a subclass of cgm.valuation.kernels.Kernel"):
        require(isinstance(kernel, Kernel), f"its bases are {type(kernel).__mro__[1:]}")
    call_before(lambda: kernel.profile(torch.ones(2, dtype=torch.float64)))
    with unchanged_random_state(rule, "profile"), rule("profile is finite, elementwise, and the diagonal at 0"):
        check_profile(kernel)

    q = torch.linspace(0, 30, 60, dtype=torch.float64)
    values = kernel.profile(q.clone())
    with rule("profile takes q of any shape, and f of an element does not depend on the others"):
        for shape in ((60, 1), (3, 4, 5)):
            found = kernel.profile(q.reshape(shape).clone())
            require(found.shape == torch.Size(shape), f"the shape {tuple(found.shape)} instead of {shape}")
            require(torch.allclose(found.flatten(), values, rtol=1e-12, atol=0), f"other numbers in the shape {shape}")
        alone = torch.cat([kernel.profile(each.reshape(1).clone()) for each in q])
        require(torch.allclose(alone, values, rtol=1e-12, atol=0), "other numbers for each element alone")
    with rule("profile keeps the dtype of q"):
        found = kernel.profile(q.float())
        require(found.dtype == torch.float32, f"{found.dtype} for float32")
    with rule("profile does not change q"):
        kept = q.clone()
        kernel.profile(kept)
        require(torch.equal(kept, q), "it is different afterwards")
    with rule("profile does not increase with the distance"):
        steps = values.diff()
        k = int(steps.argmax())
        bound = ROUNDING * kernel.diagonal
        require(
            float(steps.max()) <= bound, f"f({q[k]:.3g}) = {values[k]:.6g}, f({q[k + 1]:.3g}) = {values[k + 1]:.6g}"
        )
    with rule("is positive definite: no matrix k(x, x) has a negative eigenvalue"):
        random = torch.Generator().manual_seed(0)
        for d in DIMENSIONS:
            x = torch.randn(60, d, generator=random, dtype=torch.float64)
            for scale in SCALES:
                matrix = kernel.with_lengthscale(scale)(x, x)
                require(torch.allclose(matrix, matrix.T, rtol=0, atol=bound), "the matrix is not symmetric")
                least = float(torch.linalg.eigvalsh(matrix).min())
                require(least >= -len(x) * bound, f"{least:.3g} in {d} dimensions, lengthscale={scale:g}")
