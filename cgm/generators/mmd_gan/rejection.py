"""Rejection of generated images of kinds that are less common among real ones."""

from __future__ import annotations

import math
from typing import cast

import torch
from scipy.optimize import brentq
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from cgm.data.features.encoder import Encoder
from cgm.generators.mmd_gan.networks import GeneratorNetwork
from cgm.networks.architectures import META, image_body, in_batches
from cgm.networks.training import Budget, Descent, seeded, stream

WIDTH = 16  # of the encoders that come with cgm; there are 8 times as many features
HIDDEN = 256  # units of each of the two layers on top of them
DROPOUT = 0.3  # with which odds are about right for images that they were not learnt from
IMAGES = 30_000  # of either kind, at most, from which the odds are learnt
BUDGET = Budget(epochs=20, batch=256, rate=1e-3, decay=0.01)
PROPOSED = 250  # images at a time


class RejectionNetwork(nn.Module):
    r"""Network that generates images and rejects some of them.

    Let $h(y)$ be the log-odds that an image $y$ is a real one and not a generated one, as far as its features tell. If
    they are right, $\exp(h)$ is the density of the features of real images, divided by that of generated ones. An image
    is kept with the probability

    .. math:: \min(1, \exp(h(y) - c)),

    so that the kept ones are distributed as real ones, but for those where the bound is reached. The larger $c$, the
    fewer images are kept.

    Arguments:
        generator: The network that generates.

    References:
        Discriminator Rejection Sampling (Azadi et al., 2019), Sec. 3.
    """

    def __init__(self, generator: GeneratorNetwork) -> None:
        super().__init__()
        self.generator = generator
        with META:
            self.body = image_body(generator.image[0], WIDTH)
        self.odds = nn.Sequential(
            *(nn.Linear(8 * WIDTH, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT)),
            *(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT)),
            nn.Linear(HIDDEN, 1),
        )

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the features of images of shape (N, C, H, W), of shape (N, d), of about unit variance."""

        h = normalize(self.body(images.contiguous(memory_format=torch.channels_last)), dim=1)
        return h.shape[1] ** 0.5 * h

    def log_odds(self, features: torch.Tensor) -> torch.Tensor:
        """Compute $h - c$ from features of shape (N, d), of shape (N)."""

        return cast(torch.Tensor, self.odds(features)[:, 0])

    def sample(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images that are kept, of shape (n, C, H, W)."""

        kept = torch.empty(0, *self.generator.image)
        while len(kept) < n:
            images = self.generator.sample(PROPOSED, random)
            shares = self.log_odds(self.features(images)).exp()
            kept = torch.cat([kept, images[torch.rand(PROPOSED, generator=random) < shares]])
        return kept[:n]


def with_rejection(generator: GeneratorNetwork, x: torch.Tensor, seed: int, acceptance: float) -> RejectionNetwork:
    r"""Return a network that rejects some of the images of a generator.

    The features are those of the encoder that comes with cgm for such images, or else of one that is trained on x. The
    log-odds are learnt from x and as many generated images.

    Arguments:
        generator: The network that generates, without batch norm.
        x: Real images, of shape $(N, C, H, W)$, float32.
        seed: The seed of everything random.
        acceptance: The share of images that is kept, between 0 and 1.
    """

    random = stream(seed)
    with seeded(seed):
        network = RejectionNetwork(generator).requires_grad_(False)
    encoder = Encoder(width=WIDTH).fit(x, seed).network()
    # in half precision, as in the files of encoders, so that a file of this network rejects the same images
    state = {name: w.half().float() if w.is_floating_point() else w for name, w in encoder.body.state_dict().items()}
    network.body.load_state_dict(state, assign=True)

    network.eval()
    real = x[torch.randperm(len(x), generator=random)[:IMAGES]]
    generated = generator.sample(len(real), random)
    h = torch.cat([in_batches(network.features, images, "features") for images in (real, generated)])
    is_real = (torch.arange(len(h)) < len(real)).float()

    def loss(rows: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        return binary_cross_entropy_with_logits(network.log_odds(h[rows]), is_real[rows])

    network.odds.requires_grad_(True)
    with seeded(seed):  # dropout draws from the global random stream
        Descent(network.odds, loss, {"features": h}, seed, BUDGET, "generator", "generator: rejection").train()
    network.eval().requires_grad_(False)
    last = cast(nn.Linear, network.odds[-1])
    last.bias.sub_(threshold_for(network.log_odds(h[len(real) :]), acceptance))

    return network


def threshold_for(log_odds: torch.Tensor, acceptance: float) -> float:
    r"""Return the $c$ for which the mean of $\min(1, \exp(h - c))$ is a given share.

    Arguments:
        log_odds: Some $h$, of shape $(N)$.
        acceptance: The share, between 0 and 1.
    """

    h = log_odds.double()
    low, high = float(h.min()), float(h.max()) - math.log(acceptance) + 1  # one more than is needed, for rounding

    return float(brentq(lambda c: float((h - c).exp().clamp(max=1).mean()) - acceptance, low, high, xtol=1e-9))
