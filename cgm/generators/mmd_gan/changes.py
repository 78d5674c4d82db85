"""Random changes of the images that a critic sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from cgm.networks.architectures import GREY, crop

CHANGES = ("crop", "colour", "shift", "cutout")
SMALLEST = 0.3  # share of an image's area that "crop" leaves, as in the training of the encoders


def change(x: torch.Tensor, changes: Sequence[str], random: torch.Generator) -> torch.Tensor:
    r"""Change images at random, differentiably.

    Arguments:
        x: Images of shape $(N, C, H, W)$, with pixels from 0 to 1.
        changes: `"crop"`: a random part of at least three tenths of the area is enlarged. `"colour"`: brightness,
            contrast and, with three colours, saturation are changed. `"shift"`: the image is shifted by at most an
            eighth of its sides, and filled up with black. `"cutout"`: a rectangle of half the sides, partly outside of
            the image at times, becomes black.
        random: Draws the changes of each image.

    References:
        Differentiable Augmentation for Data-Efficient GAN Training (Zhao et al., 2020)
    """

    n, channels, height, width = x.shape
    device = x.device
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)

    def uniform(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(n, 1, 1, 1, generator=random)).to(device)

    def places(count: int) -> torch.Tensor:
        return torch.randint(count, (n, 1), generator=random).to(device)

    if "crop" in changes:
        x = crop(x, SMALLEST, random)
    if "colour" in changes:
        x = x + uniform(-0.25, 0.25)
        if channels == 3:
            grey = (x * torch.tensor(GREY, device=device)[:, None, None]).sum(1, keepdim=True)
            x = grey + (x - grey) * uniform(0, 2)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * uniform(0.5, 1.5)
    if "shift" in changes:
        down, right = height // 8, width // 8
        padded = nn.functional.pad(x, [right, right, down, down])
        from_rows = (places(2 * down + 1) + rows)[:, None, :, None]  # (N, 1, H, 1), of the padded image
        from_columns = (places(2 * right + 1) + columns)[:, None, None, :]  # (N, 1, 1, W)
        image, colour = torch.arange(n, device=device), torch.arange(channels, device=device)
        x = padded[image[:, None, None, None], colour[:, None, None], from_rows, from_columns]
    if "cutout" in changes:
        top, left = places(height + 1) - height // 4, places(width + 1) - width // 4
        in_rows = ((rows >= top) & (rows < top + height // 2))[:, None, :, None]
        in_columns = ((columns >= left) & (columns < left + width // 2))[:, None, None, :]
        x = torch.where(in_rows & in_columns, 0.0, x)

    return x
