"""Settings of the MMD-GAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cgm.networks.architectures import ARITHMETICS
from cgm.utils.checks import check_bool, check_choice, check_integer, check_number

NORMALISATIONS = ("none", "spectral")
LOSSES = ("paper", "repulsive")
SCHEDULES = ("kid", "linear")


@dataclass(eq=False)
class GANSettings:
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

    Raises:
        ValueError: If a setting is out of range.
    """

    channels: int = 32
    latent: int = 100
    steps: int | None = None
    loss: str = "paper"
    critic_steps: int = 2
    batch_size: int = 64
    mirror: bool = False
    arithmetic: str = "float32"
    learning_rate: float = 5e-4
    critic_learning_rate: float | None = None
    momentum: Sequence[float] = (0.5, 0.9)
    schedule: str = "kid"
    ema: float = 100
    normalisation: str = "none"
    gain: float = 1.0
    gradient_penalty: float = 1.0
    feature_penalty: float = 1.0
    evaluate_every: int = 250
    patience: int = 16

    def __post_init__(self) -> None:
        for name in ("channels", "latent", "critic_steps", "evaluate_every", "patience"):
            check_integer(f"generator.{name}", getattr(self, name), min=1)
        check_integer("generator.steps", self.steps, min=1, optional=True)
        check_integer("generator.batch_size", self.batch_size, min=2)
        check_number("generator.learning_rate", self.learning_rate, min=0, open_min=True)
        check_number("generator.critic_learning_rate", self.critic_learning_rate, min=0, open_min=True, optional=True)
        try:
            self.momentum = tuple(self.momentum)
        except TypeError:
            raise ValueError(f"generator.momentum={self.momentum}: expected two numbers, like [0.5,0.9]") from None
        if len(self.momentum) != 2:
            raise ValueError(f"generator.momentum={list(self.momentum)}: expected two numbers, like [0.5,0.9]")
        for value in self.momentum:
            check_number("generator.momentum", value, min=0, max=1, open_max=True)
        check_number("generator.ema", self.ema, min=1)
        check_number("generator.gain", self.gain, min=0, open_min=True)
        check_bool("generator.mirror", self.mirror)
        check_choice("generator.loss", self.loss, LOSSES)
        check_choice("generator.schedule", self.schedule, SCHEDULES)
        check_choice("generator.arithmetic", self.arithmetic, ARITHMETICS)
        check_number("generator.gradient_penalty", self.gradient_penalty, min=0)
        check_number("generator.feature_penalty", self.feature_penalty, min=0)
        check_choice("generator.normalisation", self.normalisation, NORMALISATIONS)

    def steps_for(self, image: tuple[int, int, int]) -> int:
        """Return the number of steps for images of shape (C, H, W)."""

        if self.steps is not None:
            return self.steps
        return 800 if max(image[1:]) <= 16 else 10_000
