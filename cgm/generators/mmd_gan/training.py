"""Settings and training of the MMD-GAN."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from cgm.generators.mmd_gan.losses import GANLoss
from cgm.generators.mmd_gan.networks import CriticNetwork, GeneratorNetwork, uniform_codes
from cgm.generators.network import RandomNetworkKID, stalled
from cgm.networks.architectures import Arithmetic, autocast, mirror_some
from cgm.networks.training import Progress, Rate, Training
from cgm.utils.cache import digest
from cgm.utils.files import write_whole
from cgm.utils.run import training_device
from cgm.utils.settings import Integer, Listed, Number, Settings

log = logging.getLogger(__name__)

CRITIC_FEATURES = 16
STREAMS = INITIAL, BATCHES, CODES, EVALUATION = range(4)


@dataclass(eq=False)
class GANSettings(Settings):
    r"""Networks and training of an MMD-GAN.

    Arguments:
        channels: The number of channels of the outermost hidden layers; each layer further in has twice as many.
        latent: The number of dimensions of a code.
        steps: The number of steps of the generator. `None`: 800 for images of up to 16 × 16 pixels, 10,000 for larger
            ones.
        loss: `"paper"`: the loss of Bińkowski et al. (2018), see `MMDLoss`. `"repulsive"`: that of Wang, Sun &
            Halgamuge (2019), see `RepulsiveLoss`, which trains several times as fast; it needs spectral normalisation.
        critic_steps: The number of steps of the critic for each step of the generator.
        batch_size: The number of images in a step.
        mirror: Whether to mirror half of the real images left to right; wrong for digits.
        arithmetic: `"float32"`, or `"bfloat16"` for matrix products and convolutions. The latter is faster on
            processors with instructions for it, and slower on others.
        learning_rate: The initial learning rate of Adam, for the generator.
        critic_learning_rate: That for the critic. `None`: the same.
        momentum: The decay rates $(\beta_1, \beta_2)$ of Adam.
        schedule: `"kid"`: the learning rates are halved when the KID has not fallen for some evaluations. `"linear"`:
            they fall linearly to zero in the second half of the training.
        ema: The horizon, in steps, of the moving average of the generator's weights.
        normalisation: The normalisation of the critic's layers: `"none"` or `"spectral"`.
        gain: The factor of the output of each layer of the critic, before its activation.
        gradient_penalty: The weight $\lambda$ of the gradient penalty.
        feature_penalty: The weight $\mu$ of the penalty on the critic's features.
        evaluate_every: The number of steps from one measurement of the KID to the next.
        patience: The number of measurements within which the KID must fall.
        acceptance: The share of generated images that are kept. If it is below 1, those are rejected more often whose
            kind is less common among real images, see `cgm.generators.mmd_gan.rejection.RejectionNetwork`.
    """

    channels: Annotated[int, Integer(min=1)] = 32
    latent: Annotated[int, Integer(min=1)] = 100
    steps: Annotated[int, Integer(min=1)] | None = None
    loss: Literal["paper", "repulsive"] = "paper"
    critic_steps: Annotated[int, Integer(min=1)] = 2
    batch_size: Annotated[int, Integer(min=2)] = 64
    mirror: bool = False
    arithmetic: Arithmetic = "float32"
    learning_rate: Rate = 5e-4
    critic_learning_rate: Rate | None = None
    momentum: Annotated[Sequence[float], Listed(Number(min=0, max=1, open_max=True))] = (0.5, 0.9)
    schedule: Literal["kid", "linear"] = "kid"
    ema: Annotated[float, Number(min=1)] = 100
    normalisation: Literal["none", "spectral"] = "none"
    gain: Annotated[float, Number(min=0, open_min=True)] = 1.0
    gradient_penalty: Annotated[float, Number(min=0)] = 1.0
    feature_penalty: Annotated[float, Number(min=0)] = 1.0
    evaluate_every: Annotated[int, Integer(min=1)] = 250
    patience: Annotated[int, Integer(min=1)] = 16
    acceptance: Annotated[float, Number(min=0, max=1, open_min=True)] = 1.0

    section = "generator"

    def __post_init__(self) -> None:
        if isinstance(self.momentum, Sequence) and not isinstance(self.momentum, str):
            self.momentum = tuple(self.momentum)  # a list in a configuration
        super().__post_init__()
        if len(self.momentum) != 2:
            raise ValueError(f"generator.momentum={list(self.momentum)}: expected two numbers, like [0.5,0.9]")

    def steps_for(self, image: tuple[int, int, int]) -> int:
        """Return the number of steps for images of shape (C, H, W)."""

        if self.steps is not None:
            return self.steps
        return 800 if max(image[1:]) <= 16 else 10_000


class GANTraining(Training):
    """Training of the two networks of an MMD-GAN, on the device of `training_on`.

    Random numbers are drawn and the KID is measured on the CPU, so that other devices train with the same batches.

    Arguments:
        settings: The settings of networks and training.
        loss: The losses of critic and generator.
        x: Real images, of shape (N, C, H, W), float32.
        seed: The seed of everything random.
        folder: A folder for grids of samples. `None`: no grids.
    """

    def __init__(
        self,
        settings: GANSettings,
        loss: GANLoss,
        x: torch.Tensor,
        seed: int,
        folder: str | Path | None = None,
    ) -> None:
        self.settings, self.loss, self.x, self.seed = settings, loss, x, seed
        self.folder = None if folder is None else Path(folder)
        self.device = training_device()
        sequences = np.random.SeedSequence(seed).spawn(len(STREAMS))
        random = [torch.Generator().manual_seed(int(s.generate_state(1, np.uint64)[0])) for s in sequences]

        channels, height, width = x.shape[1:]
        image = (channels, height, width)
        self.kid = RandomNetworkKID(x, random[EVALUATION])
        self.codes = uniform_codes(RandomNetworkKID.max_images, settings.latent, random[EVALUATION])
        self.generator = GeneratorNetwork(image, settings.channels, settings.latent).initialise(random[INITIAL])
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        spectral = settings.normalisation == "spectral"
        self.critic = CriticNetwork(image, settings.channels, CRITIC_FEATURES, spectral, settings.gain)
        self.critic.initialise(random[INITIAL])
        self.half = settings.arithmetic == "bfloat16"
        if self.half:  # the memory layout for which the convolutions are fast
            self.generator.to(memory_format=torch.channels_last)
            self.critic.to(memory_format=torch.channels_last)

        self.factor = 1.0  # of the learning rates
        self.history: list[torch.Tensor] = []  # KID by block, at each evaluation since learning rates were last halved
        self.evaluated: dict[str, float] = {}  # the last evaluation: step and KID

        for network in (self.generator, self.average, self.critic):
            network.to(self.device)
        networks: dict[str, torch.nn.Module] = {"generator": self.generator, "critic": self.critic}
        self.rates = {
            "generator": settings.learning_rate,
            "critic": settings.critic_learning_rate or settings.learning_rate,
        }
        betas = (settings.momentum[0], settings.momentum[1])
        super().__init__(
            group="generator",
            label="generator: MMD-GAN",
            steps=settings.steps_for(image),
            remedy=f"lower generator.learning_rate={settings.learning_rate:g}",
            networks={**networks, "average": self.average},
            optimizers={
                name: torch.optim.Adam(network.parameters(), self.rates[name], betas=betas)
                for name, network in networks.items()
            },
            streams={"batches": random[BATCHES], "codes": random[CODES]},
            evaluate_every=settings.evaluate_every,
        )

    def identity(self) -> dict[str, Any]:
        """Return all that the course of the training depends on; not the last step, unless the learning rates do."""

        # with a linear schedule, the end of a training decides its learning rates
        free = () if self.settings.schedule == "linear" else ("steps",)
        names = [field.name for field in fields(GANSettings) if field.name not in (*free, "acceptance")]
        settings = {name: getattr(self.settings, name) for name in names}

        device = {} if self.device.type == "cpu" else {"device": self.device.type}  # other rounding errors
        return settings | device | {"training": "MMDGAN", "seed": self.seed, "images": digest({"x": self.x})}

    def advance(self, progress: Progress) -> dict[str, float]:
        """Take one step of the generator, after those of the critic."""

        if self.settings.schedule == "linear":
            self.factor = min(1.0, 2 * (1 - progress.share))
            self._set_learning_rates()
        losses: dict[str, float] = {}
        for _ in range(self.settings.critic_steps):
            losses = self.critic_step()
            self.check_finite(progress, losses)
        self.generator_step()

        step = progress.step + 1
        keep = min(1 - 1 / self.settings.ema, step / (step + 9))  # the average forgets the first steps soon
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(weight, 1 - keep)

        return losses

    def critic_step(self) -> dict[str, float]:
        """Take one step of the critic, and return its gain and penalty."""

        real = self._real()
        with torch.no_grad():
            fake = self._fake()
        between = None
        if self.loss.needs_between:
            share = torch.rand(len(real), 1, 1, 1, generator=self.streams["batches"]).to(self.device)
            between = share * real + (1 - share) * fake

        gain, penalty = self.loss.critic(self._features, real, fake, between)
        self.descend("critic", penalty - gain)

        return {"gain": float(gain.detach()), "penalty": float(penalty.detach())}

    def generator_step(self) -> None:
        """Take one step of the generator."""

        with torch.no_grad():
            real = self._features(self._real())
        self.critic.requires_grad_(False)
        self.descend("generator", self.loss.generator(self._features(self._fake()), real))
        self.critic.requires_grad_(True)

    def descend(self, name: str, loss: torch.Tensor) -> None:
        """Take one step of a network against the gradient of a loss."""

        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(self.networks[name].parameters(), 1.0)
        optimizer.step()

    def network(self) -> GeneratorNetwork:
        """Return the network that generates images: averaged weights, without batch norm."""

        return copy.deepcopy(self.average).cpu().folded(self.codes)

    def evaluate(self, progress: Progress) -> None:
        """Measure the KID, and adapt the learning rates."""

        kid = self.measure(progress)
        if self.settings.schedule == "kid":
            self.adapt(kid)

    def finish(self, progress: Progress) -> None:
        """Report the KID of the last step."""

        if self.evaluated.get("step") != progress.step:
            self.measure(progress)
        self.report["kid"] = self.evaluated["kid"]

    @torch.no_grad()
    def measure(self, progress: Progress) -> torch.Tensor:
        """Measure and log the KID, block by block, and save a grid of samples if there is a folder for it."""

        images = self.network()(self.codes)
        kid = self.kid(images[: self.kid.size])
        self.evaluated = {"step": progress.step, "kid": float(kid.mean())}
        self.check_finite(progress, {"kid": self.evaluated["kid"]})
        log.info(
            "%s: %s, KID %.4g, learning rate %.3g",
            self.label,
            progress,
            kid.mean(),
            self.factor * self.rates["generator"],
        )

        if self.folder is not None:
            from torchvision.utils import save_image  # takes a second to import

            file = io.BytesIO()
            save_image(images[:100], file, format="png", nrow=10, padding=1, pad_value=0.5)
            write_whole(self.folder / f"samples-{progress.step:06d}.png", file.getvalue())

        return kid

    def adapt(self, kid: torch.Tensor) -> None:
        """Halve the learning rates if the KID has not fallen within `patience` evaluations."""

        self.history.append(kid)
        patience = self.settings.patience
        if len(self.history) > patience:
            if stalled(self.history[-1 - patience], kid):
                self.factor /= 2
                self.history = [kid]
            else:
                del self.history[0]
        self._set_learning_rates()

    def numbers(self) -> dict[str, Any]:
        """Return the factor of the learning rates and the KIDs since it was last halved."""

        return {"factor": self.factor, "kids": [kid.tolist() for kid in self.history]}

    def load_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Restore what `numbers` returned."""

        self.factor = float(numbers["factor"])
        self.history = [torch.tensor(kid) for kid in numbers["kids"]]
        self._set_learning_rates()

    def _set_learning_rates(self) -> None:
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.factor * self.rates[name]

    def _real(self) -> torch.Tensor:
        """Draw a batch of real images."""

        rows = torch.randint(len(self.x), (self.settings.batch_size,), generator=self.streams["batches"])
        x = self.x[rows]
        if self.settings.mirror:
            x = mirror_some(x, self.streams["batches"])
        x = x.to(self.device)
        return x.contiguous(memory_format=torch.channels_last) if self.half else x

    def _fake(self) -> torch.Tensor:
        """Generate a batch of images."""

        codes = self._codes()
        with autocast(self.settings.arithmetic, self.device.type):
            return self.generator(codes).float()

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the critic's features of images, float32."""

        with autocast(self.settings.arithmetic, self.device.type):
            return self.critic(x).float()

    def _codes(self) -> torch.Tensor:
        return uniform_codes(self.settings.batch_size, self.settings.latent, self.streams["codes"]).to(self.device)
