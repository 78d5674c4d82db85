"""Settings of the MMD-GAN."""

from __future__ import annotations

from dataclasses import dataclass

from cgm.utils.checks import check_choice, check_integer, check_number

NORMALISATIONS = ("none", "spectral")


@dataclass(eq=False)
class GANSettings:
    r"""Networks and training of an MMD-GAN.

    Arguments:
        channels: The number of channels of the outermost hidden layers; each layer further in has twice as many.
        latent: The number of dimensions of a code.
        steps: The number of steps of the generator. `None`: 800 for images of up to 16 × 16 pixels, 10,000 for larger
            ones.
        critic_steps: The number of steps of the critic for each step of the generator.
        batch_size: The number of images in a step.
        learning_rate: The initial learning rate of Adam, for both networks.
        ema: The horizon, in steps, of the moving average of the generator's weights.
        normalisation: The normalisation of the critic's layers: `"none"` or `"spectral"`.
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
    critic_steps: int = 2
    batch_size: int = 64
    learning_rate: float = 5e-4
    ema: float = 100
    normalisation: str = "none"
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
        check_number("generator.ema", self.ema, min=1)
        check_number("generator.gradient_penalty", self.gradient_penalty, min=0)
        check_number("generator.feature_penalty", self.feature_penalty, min=0)
        check_choice("generator.normalisation", self.normalisation, NORMALISATIONS)

    def steps_for(self, image: tuple[int, int, int]) -> int:
        """Return the number of steps for images of shape (C, H, W)."""

        if self.steps is not None:
            return self.steps
        return 800 if max(image[1:]) <= 16 else 10_000
