"""Training of the MMD-GAN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cgm.generators.mmd_gan.networks import CriticNetwork
from cgm.valuation.kernels.rational_quadratic import RationalQuadratic
from cgm.valuation.kernels.sum import Sum
from cgm.valuation.mmd import unbiased

if TYPE_CHECKING:
    pass

RATIONAL = Sum([RationalQuadratic(alpha=alpha) for alpha in (0.1, 1.0, 10.0)])


def critic_kernel(x: Tensor, y: Tensor) -> Tensor:
    r"""Computes the sum of rational quadratic kernels ($\alpha$ = 0.1, 1, 10) and the linear one, $x \cdot x'$.

    Arguments:
        x: Features, of shape $(n, d)$.
        y: Features, of shape $(m, d)$.

    Returns:
        The kernel matrix, of shape $(n, m)$.
    """

    return RATIONAL(x, y) + x @ y.T


def mmd2(kernel: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    r"""Estimates the squared maximum mean discrepancy as `cgm.mmd.mmd2_unbiased` does, and can be differentiated.

    Arguments:
        kernel: Any kernel, as a function that gives the matrix of its values.
        x: Points, of shape $(n, d)$.
        y: Points, of shape $(m, d)$.
    """

    kxx, kyy = kernel(x, x), kernel(y, y)
    xx, yy = kxx.sum() - kxx.diagonal().sum(), kyy.sum() - kyy.diagonal().sum()

    return unbiased(xx, kernel(x, y).sum(), yy, len(x), len(y), diagonal=0.0)


def gradient_penalty(critic: Callable[[Tensor], Tensor], x: Tensor, hx: Tensor, hy: Tensor) -> Tensor:
    r"""Computes the mean of $(\|\nabla_x f(x)\| - 1)^2$, where $f$ is the witness function of two samples.

    .. math:: f(x) = \frac{1}{n} \sum_i k(h(x), h(x_i)) - \frac{1}{m} \sum_j k(h(x), h(y_j))

    Arguments:
        critic: The critic $h$.
        x: Images at which to compute it, of shape $(N, C, H, W)$.
        hx: The critic's features $h(x_i)$ of one sample, of shape $(n, d)$.
        hy: Those of the other, of shape $(m, d)$.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 2.2.
    """

    x = x.detach().requires_grad_()
    h = critic(x)
    witness = critic_kernel(h, hx).mean(1) - critic_kernel(h, hy).mean(1)  # (N)
    (gradient,) = torch.autograd.grad(witness.sum(), x, create_graph=True)

    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def critic_objective(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    between: Tensor,
    gradient_weight: float,
    feature_weight: float,
) -> tuple[Tensor, Tensor]:
    r"""Computes what the critic is trained to increase, $\text{MMD}_u^2$, and the penalty that is taken off it.

    Arguments:
        critic: The critic $h$.
        real: Real images, of shape $(N, C, H, W)$.
        fake: Generated images, of shape $(N, C, H, W)$.
        between: Images at which the slope of the witness function is penalised, of the same shape.
        gradient_weight: The weight $\lambda$ of the gradient penalty.
        feature_weight: The weight $\mu$ of the mean square of a feature.
    """

    h_real, h_fake = critic(torch.cat([real, fake])).chunk(2)
    size = (h_real.square().mean() + h_fake.square().mean()) / 2
    slope = gradient_penalty(critic, between, h_real, h_fake)

    return mmd2(critic_kernel, h_fake, h_real), gradient_weight * slope + feature_weight * size


class KID:
    r"""Measures how far generated images are from real ones, without labels, in features that nobody has trained.

    This is the kernel inception distance, an unbiased MMD² with the kernel $(x \cdot x' / d + 1)^3$, but in the
    whitened features of a random convolutional network instead of the Inception network's. It is good for
    comparing generators of the same images, not for comparison with published figures.

    Arguments:
        x: Real images, of shape $(N, C, H, W)$, of which some are drawn.
        random: The random stream that draws them.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 4.
    """

    most, blocks, outputs = 2000, 10, 64

    def __init__(self, x: Tensor, random: torch.Generator) -> None:
        weights = torch.Generator().manual_seed(0)
        self.network = CriticNetwork(tuple(x.shape[1:]), 16, self.outputs).initialise(weights).requires_grad_(False)
        rows = torch.randperm(len(x), generator=random)[: self.most]
        features = self.network(x[rows])  # (n, d)
        self.size, self.mean = len(rows), features.mean(0)

        # Without whitening, one direction (how bright an image is) would drown the others in its noise; directions
        # of next to no variance stay small
        variances, directions = torch.linalg.eigh((features - self.mean).T @ (features - self.mean) / len(rows))
        floor = 0.01 * variances[-1] + torch.finfo(features.dtype).tiny
        self.whitening = directions / (variances.clamp(min=0) + floor).sqrt()  # (d, d)
        self.real = self._blocks(features)

    def __call__(self, images: Tensor) -> Tensor:
        """Computes the distance from as many images as were drawn, for each block of them."""

        fake = self._blocks(self.network(images))
        return torch.stack([mmd2(self._kernel, x, y) for x, y in zip(self.real, fake, strict=True)])

    def _blocks(self, features: Tensor) -> list[Tensor]:
        z = (features - self.mean) @ self.whitening
        return list(z.chunk(max(1, min(self.blocks, len(z) // 2))))

    def _kernel(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / self.outputs + 1) ** 3


def stalled(before: Tensor, now: Tensor) -> bool:
    """Tells whether a KID has not fallen, by a paired t-test over its blocks at a level of 5 %."""

    gain = before - now
    return bool(gain.mean() <= 1.83 * gain.std(correction=0) / math.sqrt(max(1, len(gain) - 1)))
