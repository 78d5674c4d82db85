"""Points, kernels and their plain formulas, for the tests of the valuation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.valuation import Valuation

Formula = Callable[[np.ndarray], np.ndarray]

# kernels, and their values as a function of the distance r
KERNELS: dict[str, tuple[Kernel, Formula]] = {
    "squared_exponential": (SquaredExponential(0.7), lambda r: np.exp(-(r**2) / (2 * 0.7**2))),
    "laplacian": (Laplacian(0.9), lambda r: np.exp(-r / 0.9)),
    "sum": (
        Sum([RationalQuadratic(1.0, alpha=0.5), SquaredExponential(2.0)]),
        lambda r: (1 + r**2) ** -0.5 + np.exp(-(r**2) / 8),
    ),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clouds(d: int, t: int = 1700, seed: int = 0) -> Tensor:
    """Points around two centres, and some far from all others."""

    x = normal(t, d, seed=seed)
    x[: t // 3] += 2
    x[-20:] *= 6
    return x


def distances(x: Tensor, y: Tensor) -> np.ndarray:
    return np.sqrt(((x.numpy()[:, None, :] - y.numpy()[None, :, :]) ** 2).sum(-1))


def matrix(name: str, x: Tensor, y: Tensor) -> np.ndarray:
    """The full kernel matrix, directly from the formula."""

    return KERNELS[name][1](distances(x, y))


def off_diagonal(k: np.ndarray) -> np.ndarray:
    return k[~np.eye(len(k), dtype=bool)]


def plain_value(k: np.ndarray, s: Sequence[int]) -> float:
    """v(S), equation (2), from the kernel matrix on T and the rows of S."""

    return float(2 * k[s].sum() / (len(s) * len(k)) - k[np.ix_(s, s)].sum() / len(s) ** 2)


def draw(seed: int, t: int, d: int = 2, copies: bool = False) -> Tensor:
    """Draw t points for `valued`; with copies, the first points of the two parties are equal."""

    x = normal(t, d, seed=seed)
    if copies:
        x[2] = x[0]
    return x


def valued(kernel: Kernel, x: Tensor) -> Valuation:
    """The valuation of two parties of two points and a pool of all other points."""

    return Valuation(kernel, [x[:2], x[2:4]], x[4:])
