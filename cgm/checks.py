"""Refuses bad input early, with errors that name the setting, the value and the remedy."""

import torch
from torch import Tensor


def check_points(x: Tensor, name: str, width: int | None = None, least: int = 1) -> Tensor:
    r"""Checks that $x$ is a set of finite points and returns it.

    Arguments:
        x: The points, of shape $(N, d)$ or, for images, $(N, C, H, W)$.
        name: What the points are called in an error.
        width: The $d$ that is expected. Any, if `None`.
        least: The least $N$ that will do.

    Raises:
        ValueError: If $x$ has another shape, too few points, or holds NaN or infinity.
    """

    if not isinstance(x, Tensor):
        raise ValueError(f"{name}: expected a torch tensor of shape (N, d), got {type(x).__name__}")
    if x.dim() < 2 or x.shape[1] == 0:
        raise ValueError(f"{name}: expected shape (N, d), got {tuple(x.shape)}; use x.reshape(N, d)")
    if not x.is_floating_point():
        raise ValueError(f"{name}: expected floating-point numbers, got {x.dtype}; use x.double()")
    if width is not None and x.shape[1] != width:
        raise ValueError(f"{name}: has {x.shape[1]} columns where {width} are expected")
    if len(x) < least:
        raise ValueError(f"{name}: has {len(x)} points, at least {least} are needed")
    if not torch.isfinite(x).all():
        row = int(torch.nonzero(~torch.isfinite(x).flatten(1).all(1))[0])
        raise ValueError(f"{name}: row {row} holds NaN or infinity; drop or impute such rows first")

    return x
