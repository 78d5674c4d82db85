"""The MMD-GAN, a generator of images."""

import logging
import math
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from cgm.generators.base import Generator
from cgm.generators.mmd_gan.losses import KID
from cgm.generators.mmd_gan.networks import GeneratorNetwork
from cgm.generators.mmd_gan.training import Training
from cgm.utils.checks import check_integer
from cgm.utils.models import pretrained
from cgm.utils.models.pretrained import Weights
from cgm.utils.progress import progress

log = logging.getLogger(__name__)

BATCH = 500  # images that are made at a time
UNLIKE = 1.0  # a KID of pretrained weights above which they belong to other images; half the classes alone: 0.2 to 0.6


@dataclass(eq=False)
class MMDGAN(Generator):
    r"""Trains a generative adversarial network with the MMD as its loss (the generator of images, Sec. 6).

    A critic $h$ maps images to 16 features, and a generator maps codes $z \sim U[-1, 1]^{\text{latent}}$ to
    images. With the kernel $k$, a sum of rational quadratic ones ($\alpha$ = 0.1, 1, 10) and the linear one, the
    critic is trained to increase $\text{MMD}_u^2$ between features of real and generated images, less

    .. math:: \lambda \, \mathbb{E} (\|\nabla f\| - 1)^2 + \mu \, \mathbb{E} h^2,

    where the witness function $f$ is taken between real and generated images, and the generator to decrease it.
    Samples come from an exponential moving average of the generator's weights. The learning rate is halved when
    the KID, in a random network's features, has not fallen for some evaluations.

    Arguments:
        pretrained: Whether to use weights that come with cgm: `True`, `False`, `"auto"` for yes if there are some
            for images of this size (but images of another kind are refused, since training takes an hour), or the
            path of a file of weights.
        channels: Channels of the outermost hidden layers; each layer further in has twice as many.
        latent: The number of dimensions of a code.
        steps: Steps of the generator; if `None`, 800 for images of up to 16 × 16 pixels, 10,000 for larger ones.
        critic_steps: Steps of the critic for each of the generator's.
        batch_size: Images in a step.
        learning_rate: Adam's, for both networks, in the beginning.
        ema: The horizon, in steps, of the moving average.
        normalisation: Of the critic: `"none"` or `"spectral"`.
        gradient_penalty: $\lambda$.
        feature_penalty: $\mu$.
        evaluate_every: Steps between measurements of the KID.
        patience: Measurements within which the KID must fall.
        minutes: The time after which training stops early, or `None`.
        checkpoint: A folder for checkpoints and sample grids, or `None`. If it holds a checkpoint of the same
            training, the training goes on from there.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018).

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> gan = MMDGAN(pretrained=False, channels=2, steps=1, batch_size=4)
        >>> gan.fit(images, seed=0).sample(5, seed=0).shape
        torch.Size([5, 1, 8, 8])
    """

    pretrained: bool | str = "auto"
    channels: int = 32
    latent: int = 100
    steps: int | None = None
    critic_steps: int = 2
    batch_size: int = 64
    learning_rate: float = 5e-4
    ema: float = 100
    normalisation: str = "none"
    gradient_penalty: float = 1.0
    feature_penalty: float = 1.0
    evaluate_every: int = 250
    patience: int = 16
    minutes: float | None = None
    checkpoint: str | None = None

    space: ClassVar[str] = "data"

    report: ClassVar[dict[str, float] | None] = None
    """Steps, seconds and the KID reached, once there has been a training."""

    # an empty batch of images for their size and dtype, another one for the sizes of the network, all its weights
    shapes: ClassVar = {"images": (0, "C", "H", "W"), "network": (0, "latent", "channels"), "weights": ("P",)}

    def __post_init__(self) -> None:
        """Refuses settings that are out of range."""

        whole = {"channels": 1, "latent": 1, "critic_steps": 1, "batch_size": 2, "evaluate_every": 1, "patience": 1}
        for name, least in (whole | ({"steps": 1} if self.steps is not None else {})).items():
            check_integer(f"generator.{name}", getattr(self, name), min=least)

        positive = ("learning_rate", "ema", *(["minutes"] if self.minutes is not None else []))
        for name in (*positive, "gradient_penalty", "feature_penalty"):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < 0 or (value == 0 and name in positive):
                wanted = "positive" if name in positive else "non-negative"
                raise ValueError(f"generator.{name}={value!r}: use a {wanted} number")
        if self.ema < 1:
            raise ValueError(f"generator.ema={self.ema}: use a number of steps from 1")
        if self.normalisation not in ("none", "spectral"):
            raise ValueError(f"generator.normalisation={self.normalisation!r}: use none or spectral")
        pretrained.check_choice("generator.pretrained", self.pretrained)
        if self.checkpoint is not None and Path(self.checkpoint).is_file():
            raise ValueError(f"generator.checkpoint={self.checkpoint}: is a file, expected a folder")

    def steps_for(self, image: tuple[int, ...]) -> int:
        """Tells the number of steps for images of shape (C, H, W)."""

        if self.steps is not None:
            return self.steps
        return 800 if max(image[1:]) <= 16 else 10_000

    def fit(self, x: Tensor, seed: int) -> "MMDGAN":
        """Trains on images of shape (N, C, H, W) in [0, 1], unless there are weights that are trained already."""

        x = self.check_fit(x)
        weights = pretrained.choose(self.pretrained, "mmd_gan", tuple(x.shape[1:]))

        if weights is not None:
            self.state = {**state_of(weights, tuple(x.shape[1:])), "images": x.new_empty(0, *x.shape[1:])}
            log.info("generator: an MMD-GAN trained on %s, %s", weights.dataset, weights.path)
            if self.checkpoint is not None:
                log.warning(
                    "generator.checkpoint=%s is not used: the weights are trained already; use "
                    "generator.pretrained=false to train",
                    self.checkpoint,
                )
            self._compare(x, seed)
            return self

        training = Training(self, x.float(), seed)
        network = training.run()
        self.report = training.report
        self.state = {
            "images": x.new_empty(0, *x.shape[1:]),
            "network": torch.empty(0, self.latent, self.channels),
            "weights": halved(network, training.codes),
        }

        return self

    def check_fit(self, x: Tensor) -> Tensor:
        """Returns a copy of the images of a fit, on the CPU; refuses what is none."""

        name = f"images to fit {type(self).__name__} to"
        if isinstance(x, Tensor) and x.dim() != 4:
            raise ValueError(
                f"{name}: expected shape (N, C, H, W), got {tuple(x.shape)}; for points that are no images, "
                "use generator=kde"
            )
        x = super().check_fit(x)
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            raise ValueError(f"{name}: pixels lie in [{low:g}, {high:g}], they must lie in [0, 1]; rescale them")
        if min(x.shape[2:]) < 4:
            raise ValueError(f"{name}: {x.shape[2]} x {x.shape[3]} pixels; use images of at least 4 x 4")

        return x

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses weights whose number is not that of the network."""

        network_of(state)

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> Tensor:
        """Draws n images, a batch at a time."""

        state = self.check_sample(n)
        network = network_of(state)
        stream = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        random = torch.Generator().manual_seed(int(stream))

        images = state["images"].new_empty(n, *state["images"].shape[1:])
        with progress(n, "generating images") as bar:
            for batch in images.split(BATCH):
                batch.copy_(network(2 * torch.rand(len(batch), network.latent, generator=random) - 1))
                bar.update(len(batch))

        return images

    def _compare(self, x: Tensor, seed: int) -> None:
        """Tells if pretrained weights make other images than those of the fit: their size alone says little."""

        kid = KID(x.float(), torch.Generator().manual_seed(0))
        distance = float(kid(self.sample(kid.size, seed).float()).mean())
        if distance > UNLIKE:
            unlike = (
                f"the pretrained MMD-GAN makes images unlike those of the dataset (KID {distance:.3g}, expected below "
                f"{UNLIKE:g}); use generator.pretrained=false to train one"
            )
            if self.pretrained == "auto":
                raise ValueError(f"generator.pretrained=auto: {unlike}, or generator.pretrained=true to take it anyway")
            log.warning("%s; it is taken all the same, as generator.pretrained=%s says", unlike, self.pretrained)


def state_of(weights: Weights, image: tuple[int, ...]) -> dict[str, Tensor]:
    """Reads the state of a trained generator of images of shape (C, H, W).

    Raises:
        ValueError: If the file is none of an MMD-GAN, or for images of another shape.
    """

    try:
        writer = MMDGAN(**weights.info["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{weights.path}: beside it are not the settings of an MMD-GAN ({error!r})") from error
    state = writer.load(weights.path).fitted()
    shape = tuple(state["images"].shape[1:])
    if shape != tuple(image):
        raise ValueError(
            f"generator.pretrained: {weights.path} makes images of shape {shape}, but those of the dataset have shape "
            f"{tuple(image)}; use generator.pretrained=false to train"
        )

    return state


def network_of(state: dict[str, Tensor]) -> GeneratorNetwork:
    """Builds the network that a state describes.

    Raises:
        ValueError: If the number of weights is another one.
    """

    _, latent, channels = state["network"].shape
    image = tuple(state["images"].shape[1:])
    if min(latent, channels, *image) < 1:
        raise ValueError(f"a network for images {image} from {latent} dimensions in {channels} channels can't be")
    try:  # takes no memory yet, however large the sizes that a file may claim
        network = GeneratorNetwork(image, channels, latent, batch_norm=False)
        expected = sum(weight.numel() for weight in network.parameters())
    except (RuntimeError, OverflowError) as error:
        raise ValueError(f"a network of impossible size, images {image} in {channels} channels ({error})") from error
    if expected != len(state["weights"]):
        raise ValueError(f"weights holds {len(state['weights'])} numbers where {expected} are expected")
    network.to_empty(device="cpu")
    vector_to_parameters(state["weights"].float(), network.parameters())

    return network.requires_grad_(False)


@torch.no_grad()
def halved(network: GeneratorNetwork, codes: Tensor) -> Tensor:
    """Returns a network's weights as one vector, in half precision if no pixel changes by a step of 8 bits.

    Arguments:
        network: The network, without batch normalisation.
        codes: Codes to try it with, of shape (N, latent).
    """

    weights = parameters_to_vector(network.parameters())
    before = network(codes)
    vector_to_parameters(weights.half().float(), network.parameters())
    change = float((network(codes) - before).abs().max())
    log.info("greatest change of a pixel in half precision: %.2g", change)

    return weights.half() if change < 1 / 255 else weights
