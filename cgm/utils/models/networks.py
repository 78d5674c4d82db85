"""Functions for networks of images: input checks, batches, weights, batch norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn

from cgm.utils.checks import check_points
from cgm.utils.progress import progress
from cgm.utils.threads import in_order, workers

ARITHMETICS = ("float32", "bfloat16")  # of convolutions and matrix products in a training
BATCH = 500  # images that pass through a network at once
MAX_RECALIBRATION = 10_000  # images from which batch norm's statistics are computed

Network = TypeVar("Network", bound="nn.Module")


def autocast(arithmetic: str, device: str = "cpu") -> torch.autocast:
    """Return a context in which convolutions and matrix products on a device have one of `ARITHMETICS`."""

    return torch.autocast(device, torch.bfloat16, enabled=arithmetic == "bfloat16")


def check_images(x: torch.Tensor, name: str, shape: Sequence[int] | None = None, min: int = 1) -> torch.Tensor:
    r"""Check images and return them in float32, on the CPU, contiguous.

    Arguments:
        x: The images, of shape $(N, C, H, W)$, with pixels from 0 to 1.
        name: The name of the images in an error.
        shape: The expected shape $(C, H, W)$. Any, if `None`.
        min: The smallest allowed $N$.

    Raises:
        ValueError: If x has another shape, too few images, pixels outside [0, 1], or contains NaN.
    """

    check_points(x, name, width=None if shape is None else shape[0], min=min)
    if x.dim() != 4 or 0 in x.shape:
        raise ValueError(f"{name}: expected images of shape (N, C, H, W), got {tuple(x.shape)}")
    if shape is not None and x.shape[1:] != torch.Size(shape):
        raise ValueError(f"{name}: images of shape {tuple(x.shape[1:])} where {tuple(shape)} are expected")
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name}: pixels range from {low:g} to {high:g}, expected 0 to 1")

    return x.detach().cpu().float().contiguous()


def in_batches(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, label: str) -> torch.Tensor:
    """Apply a function to x of shape (N, ...), some hundred entries at a time, to save memory.

    Batches are processed in parallel, each by one thread, so that the results do not depend on the number of threads.

    Arguments:
        function: Maps a batch of shape (B, ...) to B rows.
        x: All entries.
        label: The label of the progress bar.
    """

    def apply(part: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():  # the mode of a thread is its own
            return function(part)

    parts = []
    with workers() as threads, progress(len(x), label) as bar:
        for part in in_order(threads, apply, ((part,) for part in x.split(BATCH)), ahead=4):
            parts.append(part)
            bar.update(len(part))

    return torch.cat(parts)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of a network's weights and of its batch norm statistics, contiguous."""

    state = network.state_dict()

    # The only integers are batch norm's counts of batches, which are needed in training only
    return {name: x.clone(memory_format=torch.contiguous_format) for name, x in state.items() if x.is_floating_point()}


def with_weights(make: Callable[[], Network], weights: dict[str, torch.Tensor]) -> Network:
    """Construct a network, in evaluation mode and float32, with the weights that `weights_of` returned."""

    with torch.device("meta"):  # no weights are drawn
        network = make()
    counts = {name: torch.zeros(x.shape) for name, x in network.state_dict().items() if not x.is_floating_point()}
    network.load_state_dict({name: x.float() for name, x in weights.items()} | counts, assign=True)
    network.eval().requires_grad_(False)

    return network


def recalibrate_batch_norm(
    network: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, generator: torch.Generator
) -> None:
    """Compute batch norm's statistics again with the final weights.

    The running averages of a short training lag behind the weights.

    Arguments:
        network: The network. It is left in evaluation mode.
        function: Passes images of shape (B, C, H, W) through the network.
        x: The images of the training, of shape (N, C, H, W), of which at most 10,000 are used.
        generator: Draws them.
    """

    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # an average over all batches
    network.train()
    rows = torch.randperm(len(x), generator=generator)[:MAX_RECALIBRATION]
    with torch.no_grad():
        for part in rows.chunk(-(-len(rows) // BATCH)):
            function(x[part])
    network.eval()


def principal_directions(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    r"""Compute the principal directions of the outputs of a network.

    Arguments:
        z: The outputs, of shape $(N, d)$, float64.

    Returns:
        Their mean, of shape $(d)$; the variances in ascending order, of shape $(d)$; the directions, the columns of a
        matrix of shape $(d, d)$; and the number of directions in which the outputs vary.
    """

    mean = z.mean(0)
    variances, directions = torch.linalg.eigh((z - mean).T @ (z - mean) / len(z))

    return mean, variances, directions, int((variances > variances[-1].clamp_min(1e-30) * 1e-6).sum())


def convolution_block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Construct a convolution without bias, followed by batch norm and ReLU."""

    layer = torch.nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

    return torch.nn.Sequential(layer, torch.nn.BatchNorm2d(outputs), torch.nn.ReLU())
