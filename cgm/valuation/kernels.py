"""Kernels on points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, ClassVar

import torch

from cgm.utils.convert import to_tensor
from cgm.utils.settings import Choice, Instance, Listed, Number, Settings

__all__ = ["Kernel", "Laplacian", "RationalQuadratic", "SquaredExponential", "Sum"]

RULES = ("fit", "fit_monotone", "median")

Positive = Annotated[float, Number(min=0, open_min=True)]
Lengthscale = Positive | Annotated[str, Choice(RULES)]
"""A number, or the name of a rule, which `resolve_lengthscale` replaces by a number."""


@dataclass(frozen=True)
class Kernel(Settings, ABC):
    r"""Base class of kernels of the distance between two points, $k(x, x') = f(\|x - x'\|^2 / \ell^2)$.

    A kernel is a frozen dataclass of its settings with one method, `profile`. Calling it on x of shape $(n, d)$ and y
    of shape $(m, d)$ returns the $(n, m)$ matrix of kernel values.

    Arguments:
        lengthscale: The length-scale $\ell$, in the units of the data; or a rule, `"fit"`, `"fit_monotone"` or
            `"median"`, which `resolve_lengthscale` must replace by a number before the kernel can be called.

    Raises:
        ValueError: If a setting is out of range.
    """

    lengthscale: Lengthscale = 1.0

    section = "kernel"
    rate: ClassVar[float | None] = None
    r"""The rate $r$ of a kernel with $f(q) = \exp(-r q)$, which allows for faster sums; `None` for all others."""

    def __init_subclass__(cls, **options: object) -> None:
        """Reset `rate` when a subclass overrides `profile`."""

        super().__init_subclass__(**options)
        if "profile" in vars(cls) and "rate" not in vars(cls):
            cls.rate = None

    @property
    def name(self) -> str:
        """The name of the kernel in records."""

        return type(self).__name__

    @property
    def diagonal(self) -> float:
        r"""The diagonal value $k^* = k(x, x)$."""

        return 1.0

    @property
    def smooth(self) -> bool:
        r"""Whether $f$ is smooth at 0, so that rounding errors of small squared distances have little effect."""

        return True

    @property
    def min_scale(self) -> float:
        r"""The smallest distance, in units of $\ell$, over which $f$ changes considerably."""

        return 1.0

    @property
    def numeric_lengthscale(self) -> float:
        r"""The length-scale $\ell$ as a number.

        Raises:
            ValueError: If the length-scale is a rule.
        """

        if isinstance(self.lengthscale, str):
            raise ValueError(
                f"kernel.lengthscale={self.lengthscale!r} is a rule, not a number; call "
                "cgm.valuation.resolve_lengthscale(kernel, parties, synthetic) first"
            )
        return self.lengthscale

    @abstractmethod
    def profile(self, q: torch.Tensor) -> torch.Tensor:
        r"""Compute $f(q)$ for squared distances in units of $\ell^2$.

        Arguments:
            q: Squared distances $q \geq 0$, of any shape; it is not changed.

        Returns:
            $f$ of each, of the same shape and dtype: finite, and $f(0) = k^*$, the `diagonal`. The kernel must be
            positive definite, else values mean nothing; `check_kernel` looks for what shows that it is not.
        """

    def with_lengthscale(self, lengthscale: Lengthscale) -> Kernel:
        """Return the same kernel with another length-scale."""

        return replace(self, lengthscale=lengthscale)

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Compute the (n, m) kernel matrix of x (n, d) and y (m, d), tensors or what `cgm.utils.convert` takes."""

        x, y = (
            p if isinstance(p, torch.Tensor) else to_tensor(p, f"kernel: {name}") for p, name in ((x, "x"), (y, "y"))
        )
        scale = self.numeric_lengthscale
        return self.profile(squared_distances(x / scale, y / scale, self.smooth))


def check_profile(kernel: Kernel) -> None:
    """Check on a few squared distances what values need of the profile of a kernel.

    Raises:
        ValueError: If the profile is not a tensor of the same shape and dtype, of finite numbers, and the diagonal
            at 0; the message names the kernel.
    """

    name, q = f"kernel {type(kernel).__name__}: profile", torch.tensor([[0.0, 1e-3, 0.5], [1.0, 4.0, 1e3]]).double()
    try:
        values = kernel.profile(q.clone())
    except Exception as error:
        raise ValueError(f"{name} raises {type(error).__name__}: {error}; q is a tensor of any shape") from error
    if not isinstance(values, torch.Tensor):
        raise ValueError(f"{name}(q) is a {type(values).__name__}; expected a tensor, of functions of torch")
    if values.shape != q.shape or values.dtype != q.dtype:
        raise ValueError(
            f"{name}(q) has the shape {tuple(values.shape)} and {values.dtype} for q of the shape {tuple(q.shape)} and "
            f"{q.dtype}; expected the same, f of each element"
        )
    if not torch.isfinite(values).all():
        k = int(torch.nonzero(~torch.isfinite(values).flatten())[0])
        raise ValueError(f"{name}(q) is {float(values.flatten()[k])} at q = {float(q.flatten()[k]):g}")
    if abs(float(values[0, 0]) - kernel.diagonal) > 1e-9 * abs(kernel.diagonal) or kernel.diagonal <= 0:
        raise ValueError(
            f"{name} is {float(values[0, 0]):g} at 0, and diagonal {kernel.diagonal:g}; expected equal numbers above 0"
        )


def squared_distances(x: torch.Tensor, y: torch.Tensor, fast: bool = True) -> torch.Tensor:
    r"""Compute $\|x - y\|^2$ for all pairs.

    Arguments:
        x: Points, of shape $(n, d)$.
        y: Points, of shape $(m, d)$.
        fast: Whether to use one matrix product, whose error is a rounding error of the points' squared norms.
            Otherwise, or if a squared norm is above 1e6, coordinates are subtracted, and the error is a rounding
            error of the distance itself.

    Returns:
        The squared distances, of shape $(n, m)$.

    Raises:
        ValueError: If x and y differ in width.
    """

    if x.shape[1] != y.shape[1]:
        raise ValueError(f"kernel: x has {x.shape[1]} columns and y has {y.shape[1]}; they must be equal")

    # |x - y|² = [-2x, |x|², 1] · [y, 1, |y|²]; centred first, because a sum of large numbers loses a small distance
    centre = x.mean(0)
    x, y = x - centre, y - centre
    xx, yy = x.square().sum(1, keepdim=True), y.square().sum(1, keepdim=True)
    if not fast or bool((torch.cat([xx, yy]).detach() > 1e6).any()):
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()

    x = torch.cat([-2 * x, xx, torch.ones_like(xx)], dim=1)  # (n, d + 2)
    y = torch.cat([y, torch.ones_like(yy), yy], dim=1)  # (m, d + 2)
    return (x @ y.T).clamp(min=0)


@dataclass(frozen=True)
class SquaredExponential(Kernel):
    r"""The squared exponential kernel, $\exp(-\|x - x'\|^2 / 2 \ell^2)$, which the paper uses.

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.

    Example:
        >>> import torch
        >>> SquaredExponential(2.0)(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.6065]])
    """

    rate: ClassVar[float] = 0.5

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute exp(-q / 2)."""

        return q.mul(-0.5).exp_()


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    r"""The rational quadratic kernel, $(1 + \|x - x'\|^2 / 2 \alpha \ell^2)^{-\alpha}$.

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.
        alpha: The exponent $\alpha$; as it grows, the kernel tends to the squared exponential kernel.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018).
    """

    alpha: Positive = 1.0

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute (1 + q / 2 alpha) ** -alpha."""

        return q.mul(0.5 / self.alpha).add_(1).pow(-self.alpha)


@dataclass(frozen=True)
class Laplacian(Kernel):
    r"""The Laplacian kernel, $\exp(-\|x - x'\| / \ell)$, with the Euclidean norm (Matérn 1/2).

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.
    """

    @property
    def smooth(self) -> bool:
        """False: a rounding error of 1e-16 in a squared distance would be an error of 1e-8 in the kernel."""

        return False

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute exp(-sqrt(q))."""

        return q.sqrt().neg().exp_()


@dataclass(frozen=True, init=False)
class Sum(Kernel):
    r"""A sum of kernels, $\sum_j k_j(x / \ell, x' / \ell)$.

    Arguments:
        kernels: The kernels $k_j$, each with its own length-scale, a number.
        lengthscale: The unit $\ell$ in which the kernels' own length-scales are measured, see `Kernel`.

    Raises:
        ValueError: If there are no kernels, or if the length-scale of one is a rule.
    """

    kernels: Annotated[Sequence[Kernel], Listed(Instance(Kernel), min=1)] = ()
    lengthscale: Lengthscale = 1.0

    # written out, because a generated __init__ would put the inherited field `lengthscale` first
    def __init__(self, kernels: Sequence[Kernel], lengthscale: Lengthscale = 1.0) -> None:
        object.__setattr__(self, "kernels", tuple(kernels) if isinstance(kernels, Iterable) else (kernels,))
        object.__setattr__(self, "lengthscale", lengthscale)
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        for kernel in self.kernels:
            if isinstance(kernel.lengthscale, str):
                raise ValueError(
                    f"kernel.kernels: {kernel.name} has lengthscale={kernel.lengthscale!r}; expected a number, "
                    "relative to the lengthscale of the sum, which may be 'fit' or 'median'"
                )

    @property
    def name(self) -> str:
        """The name of the kernel in records, with the names of its parts."""

        return f"Sum({', '.join(kernel.name for kernel in self.kernels)})"

    @property
    def diagonal(self) -> float:
        """The sum of the diagonal values."""

        return sum(kernel.diagonal for kernel in self.kernels)

    @property
    def smooth(self) -> bool:
        """Whether all parts are smooth."""

        return all(kernel.smooth for kernel in self.kernels)

    @property
    def min_scale(self) -> float:
        """The smallest scale of all parts."""

        return min(kernel.numeric_lengthscale * kernel.min_scale for kernel in self.kernels)

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute the sum of the profiles."""

        return reduce(torch.add, (_scaled_profile(kernel, q) for kernel in self.kernels))


def _scaled_profile(kernel: Kernel, q: torch.Tensor) -> torch.Tensor:
    """Compute the profile of a kernel of squared distances q that are not in units of its length-scale."""

    scale = kernel.numeric_lengthscale**2
    return kernel.profile(q / scale) if kernel.rate is None else q.mul(-kernel.rate / scale).exp_()


def squared_exponential_rates(kernel: Kernel) -> list[float]:
    r"""Return the rates $r_j$ of a kernel $\sum_j \exp(-r_j q / 2)$ of squared distances in units of its length-scale.

    Returns:
        The rates; none, if the kernel has another form.
    """

    # not isinstance: a subclass may override `profile`
    if type(kernel) is SquaredExponential:
        return [1.0]
    if type(kernel) is Sum and all(type(part) is SquaredExponential for part in kernel.kernels):
        return [part.numeric_lengthscale**-2 for part in kernel.kernels]
    return []
