"""The kernel inception distance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from cgm.generators.network import mmd2
from cgm.valuation.kernels import RationalQuadratic, SquaredExponential, Sum, squared_distances

RATIONAL = Sum([RationalQuadratic(alpha=alpha) for alpha in (0.1, 1.0, 10.0)])

Critic: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"


class GANLoss(ABC):
    """Base class of the losses of a critic, which maps images to features, and a generator."""

    needs_between: bool = False
    """Whether `critic` needs points between real and generated images."""

    @abstractmethod
    def critic(
        self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the gain that the critic is trained to increase, and the penalty that is subtracted from it.

        Arguments:
            critic: The critic.
            real: Real images, of shape (N, C, H, W).
            fake: Generated images, of shape (N, C, H, W).
            between: Random points on the lines between them, of shape (N, C, H, W), for penalties; `None` if the loss
                needs none.
        """

    @abstractmethod
    def generator(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
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

    needs_between = True

    def critic(
        self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Compute $\text{MMD}_u^2$ and the penalty, see `GANLoss.critic`."""

        if between is None:
            raise ValueError("MMDLoss: the gradient penalty needs points between real and generated images")
        h_real, h_fake = critic(torch.cat([real, fake])).chunk(2)
        size = (h_real.square().mean() + h_fake.square().mean()) / 2
        slope = gradient_penalty(critic, between, h_real, h_fake)

        return mmd2(critic_kernel, h_fake, h_real), self.gradient_penalty * slope + self.feature_penalty * size

    def generator(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        r"""Compute $\text{MMD}_u^2$, see `GANLoss.generator`."""

        return mmd2(critic_kernel, fake, real)


@dataclass(frozen=True)
class RepulsiveLoss(GANLoss):
    r"""The repulsive loss with a bounded Gaussian kernel.

    With the critic's features $h$, real images $x$, generated images $y$ and $k(a, b) = \exp(-\|a - b\|^2 / 2)$, the
    critic is trained to increase

    .. math:: \mathbb{E} \, k^{\max}(h(y), h(y')) - \mathbb{E} \, k^{\min}(h(x), h(x'))

    over pairs of different images: it attracts generated images to each other and repels real images from each other,
    so that it has to tell them apart in detail. In $k^{\max}$ a squared distance counts as at most `upper`, in
    $k^{\min}$ as at least `lower`: pairs that are far or close enough have no gradient. The generator is trained to
    decrease $\text{MMD}_u^2$ with $k$. There is no penalty; the critic must be bounded by its normalisation.

    Arguments:
        lower: The squared distance below which two real images do not repel each other.
        upper: The squared distance above which two generated images are not attracted.

    References:
        Improving MMD-GAN Training with Repulsive Loss Function (Wang, Sun & Halgamuge, 2019), Sec. 3 and 4.
    """

    lower: float = 0.25
    upper: float = 4.0

    def critic(
        self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the gain of the critic, see `GANLoss.critic`; the penalty is zero."""

        x, y = critic(torch.cat([real, fake])).chunk(2)
        attraction = off_diagonal_mean((-squared_distances(y, y).clamp(max=self.upper) / 2).exp())
        repulsion = off_diagonal_mean((-squared_distances(x, x).clamp(min=self.lower) / 2).exp())

        return attraction - repulsion, torch.zeros(())

    def generator(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        r"""Compute $\text{MMD}_u^2$, see `GANLoss.generator`."""

        return mmd2(SquaredExponential(), fake, real)


def off_diagonal_mean(k: torch.Tensor) -> torch.Tensor:
    """Return the mean of the elements of a square matrix that are not on its diagonal."""

    return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))


def critic_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""Compute the sum of rational quadratic kernels ($\alpha$ = 0.1, 1, 10) and the linear one, $x \cdot x'$.

    Arguments:
        x: Features, of shape $(n, d)$.
        y: Features, of shape $(m, d)$.

    Returns:
        The kernel matrix, of shape $(n, m)$.
    """

    return RATIONAL(x, y) + x @ y.T


def gradient_penalty(critic: Critic, x: torch.Tensor, hx: torch.Tensor, hy: torch.Tensor) -> torch.Tensor:
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
