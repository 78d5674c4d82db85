"""Losses of the MMD-GAN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cgm.generators.kid import mmd2
from cgm.valuation.kernels.rational_quadratic import RationalQuadratic
from cgm.valuation.kernels.sum import Sum

RATIONAL = Sum([RationalQuadratic(alpha=alpha) for alpha in (0.1, 1.0, 10.0)])

Critic = Callable[[Tensor], Tensor]


class GANLoss(ABC):
    """Base class of the losses of a critic, which maps images to features, and a generator."""

    @abstractmethod
    def critic(self, critic: Critic, real: Tensor, fake: Tensor, between: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gain that the critic is trained to increase, and the penalty that is subtracted from it.

        Arguments:
            critic: The critic.
            real: Real images, of shape (N, C, H, W).
            fake: Generated images, of shape (N, C, H, W).
            between: Random points on the lines between them, of shape (N, C, H, W), for penalties.
        """

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compute the loss that the generator is trained to decrease.

        Arguments:
            fake: The critic's features of generated images, of shape (N, d).
            real: Those of real images, of shape (N, d).
        """


@dataclass(frozen=True)
class MMDLoss(GANLoss):
    r"""The squared maximum mean discrepancy of the critic's features, with two penalties on the critic.

    Arguments:
        gradient_penalty: The weight $\lambda$ of the gradient penalty.
        feature_penalty: The weight $\mu$ of the mean square of a feature.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 2.2.
    """

    gradient_penalty: float = 1.0
    feature_penalty: float = 1.0

    def critic(self, critic: Critic, real: Tensor, fake: Tensor, between: Tensor) -> tuple[Tensor, Tensor]:
        r"""Compute $\text{MMD}_u^2$ and the penalty, see `GANLoss.critic`."""

        h_real, h_fake = critic(torch.cat([real, fake])).chunk(2)
        size = (h_real.square().mean() + h_fake.square().mean()) / 2
        slope = gradient_penalty(critic, between, h_real, h_fake)

        return mmd2(critic_kernel, h_fake, h_real), self.gradient_penalty * slope + self.feature_penalty * size

    def generator(self, fake: Tensor, real: Tensor) -> Tensor:
        r"""Compute $\text{MMD}_u^2$, see `GANLoss.generator`."""

        return mmd2(critic_kernel, fake, real)


def critic_kernel(x: Tensor, y: Tensor) -> Tensor:
    r"""Compute the sum of rational quadratic kernels ($\alpha$ = 0.1, 1, 10) and the linear one, $x \cdot x'$.

    Arguments:
        x: Features, of shape $(n, d)$.
        y: Features, of shape $(m, d)$.

    Returns:
        The kernel matrix, of shape $(n, m)$.
    """

    return RATIONAL(x, y) + x @ y.T


def gradient_penalty(critic: Critic, x: Tensor, hx: Tensor, hy: Tensor) -> Tensor:
    r"""Compute the mean of $(\|\nabla_x f(x)\| - 1)^2$, where $f$ is the witness function of two samples.

    .. math:: f(x) = \frac{1}{n} \sum_i k(h(x), h(x_i)) - \frac{1}{m} \sum_j k(h(x), h(y_j))

    Arguments:
        critic: The critic $h$.
        x: Images at which to evaluate it, of shape $(N, C, H, W)$.
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
