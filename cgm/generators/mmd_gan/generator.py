"""The MMD-GAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from cgm.generators.mmd_gan.losses import GANLoss, MMDLoss, RepulsiveLoss
from cgm.generators.mmd_gan.networks import GeneratorNetwork
from cgm.generators.mmd_gan.rejection import RejectionNetwork, with_rejection
from cgm.generators.mmd_gan.training import GANSettings, GANTraining
from cgm.generators.network import NetworkGenerator
from cgm.networks.architectures import weights_of


@dataclass(eq=False)
class MMDGAN(GANSettings, NetworkGenerator["GeneratorNetwork | RejectionNetwork"]):
    r"""Generative adversarial network with the MMD as its loss (the generator of images, Sec. 6).

    A critic $h$ maps images to 16 features, and a generator maps codes $z \sim U[-1, 1]^{\text{latent}}$ to
    images. With the kernel $k$, the sum of rational quadratic kernels ($\alpha$ = 0.1, 1, 10) and the linear one, the
    critic is trained to increase $\text{MMD}_u^2$ between features of real and generated images, less

    .. math:: \lambda \, \mathbb{E} (\|\nabla f\| - 1)^2 + \mu \, \mathbb{E} h^2,

    where the witness function $f$ is evaluated between real and generated images, and the generator to decrease it.
    Samples come from an exponential moving average of the generator's weights. The learning rate is halved when
    the KID, in the features of a random network, has not fallen for some evaluations.

    Arguments:
        pretrained: Whether to use weights that come with cgm: `True`, `False`, or `"auto"`: if there are weights for
            images of this shape (if the images turn out to be of another kind, an error is raised, since a training
            takes an hour). Or the path of a file of weights.
        minutes: The time limit of a training. `None`: no limit.
        checkpoint: A folder for checkpoints and grids of samples. If it contains a checkpoint of the same training,
            the training is resumed. `None`: no checkpoints.
        channels, latent, steps, loss, critic_steps, batch_size, mirror, arithmetic: See `GANSettings`.
        learning_rate, critic_learning_rate, momentum, schedule, ema, normalisation, gain: See `GANSettings`.
        gradient_penalty, feature_penalty, evaluate_every, patience, acceptance: See `GANSettings`.

    With `loss="repulsive"`, both are trained by another loss of the same kind, see `RepulsiveLoss`.

    References:
        | Demystifying MMD GANs (Bińkowski et al., 2018)
        | Improving MMD-GAN Training with Repulsive Loss Function (Wang, Sun & Halgamuge, 2019)

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> gan = MMDGAN(pretrained=False, channels=2, steps=1, batch_size=4)
        >>> gan.fit(images, seed=0).sample(5, seed=0).shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "mmd_gan"
    architecture: ClassVar[tuple[str, ...]] = ("latent", "channels", "acceptance")

    def make_network(self, sizes: Mapping[str, Any]) -> GeneratorNetwork | RejectionNetwork:
        """Construct the generator's network without batch norm."""

        channels, height, width = sizes["image"]
        image = (channels, height, width)
        network = GeneratorNetwork(image, sizes["channels"], sizes["latent"], batch_norm=False)

        return network if sizes["acceptance"] == 1 else RejectionNetwork(network)

    def make_loss(self) -> GANLoss:
        """Return the loss of a training."""

        return RepulsiveLoss() if self.loss == "repulsive" else MMDLoss(self.gradient_penalty, self.feature_penalty)

    def train(self, x: torch.Tensor, seed: int) -> tuple[GeneratorNetwork | RejectionNetwork, dict[str, float]]:
        """Train the two networks, and return the one that generates images."""

        training = GANTraining(self, self.make_loss(), x, seed, self.checkpoint)
        training.run(self.minutes, self.checkpoint_file)
        network = training.network()

        return network if self.acceptance == 1 else with_rejection(network, x, seed, self.acceptance), training.report

    def draw(self, network: GeneratorNetwork | RejectionNetwork, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images."""

        return network.sample(n, random)

    def halved(self, network: GeneratorNetwork | RejectionNetwork) -> dict[str, torch.Tensor]:
        """Return the weights, see `NetworkGenerator.halved`; of those that reject, the encoder's in half precision."""

        if isinstance(network, GeneratorNetwork):
            return super().halved(network)
        body = {name: w.half() for name, w in weights_of(network.body).items()}
        parts = {"generator": super().halved(network.generator), "body": body, "odds": weights_of(network.odds)}

        return {f"{part}.{name}": w for part, weights in parts.items() for name, w in weights.items()}
