"""Random changes of images that leave their content recognisable."""

from __future__ import annotations

import math

import torch

GREY = (0.299, 0.587, 0.114)  # the weights of red, green and blue in the brightness of a pixel


def mirror_some(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the images x of shape (N, C, H, W) left to right."""

    flipped = torch.rand(len(x), generator=generator) < 0.5

    return torch.where(flipped[:, None, None, None], x.flip(3), x)


def crop(x: torch.Tensor, smallest: float, generator: torch.Generator) -> torch.Tensor:
    r"""Cut a random rectangle out of each image, and enlarge it to the size of the image.

    Arguments:
        x: Images of shape $(N, C, H, W)$.
        smallest: The smallest share of an image's area that is cut out.
        generator: Draws area, aspect ratio (from 3/4 to 4/3) and place.
    """

    n = len(x)
    area = smallest + (1 - smallest) * torch.rand(n, generator=generator)
    ratio = torch.exp((2 * torch.rand(n, generator=generator) - 1) * math.log(4 / 3))
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).clamp(max=1)  # (N, 2), of 1
    shifts = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - sides)
    maps = torch.cat([torch.diag_embed(sides), shifts[:, :, None]], 2)  # (N, 2, 3)
    grid = torch.nn.functional.affine_grid(maps, list(x.shape), align_corners=False)

    return torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def recolour(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast, saturation and tint of four in five images; turn one in five grey.

    Arguments:
        x: Images of shape (N, 3, H, W), with pixels from 0 to 1.
        generator: Draws which images are changed, and how.
    """

    def around(one: float, strength: float, channels: int = 1) -> torch.Tensor:
        return one + strength * (2 * torch.rand(len(x), channels, 1, 1, generator=generator) - 1)

    def grey(y: torch.Tensor) -> torch.Tensor:
        return (y * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)

    def some(share: float) -> torch.Tensor:
        return torch.rand(len(x), 1, 1, 1, generator=generator) < share

    y = x * around(1, 0.4)
    mean = grey(y).mean((2, 3), keepdim=True)
    y = mean + (y - mean) * around(1, 0.4)
    y = grey(y) + (y - grey(y)) * around(1, 0.4)
    y = y * around(1, 0.2, channels=3)
    y = torch.where(some(0.8), y, x)

    return torch.where(some(0.2), grey(y), y).clamp(0, 1)
