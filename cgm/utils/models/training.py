"""The training loop of networks: progress, time limit, checkpoints, divergence."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgm.utils.models.checkpoints import live_tensors, read_checkpoint, write_checkpoint
from cgm.utils.progress import progress as progress_bar

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120  # between checkpoints, and between lines of the log
MAX_STEP_SECONDS = 10  # a longer step means that the machine paused, for example in standby
AVERAGE = 100  # steps over which losses are averaged


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
        steps: The number of steps of the whole training.
        step: The number of steps taken.
        seconds: The time that they took.
        share: The share of the training that is done, by steps or by time, whichever is larger.
        losses: Running averages of the losses, by name.
    """

    steps: int
    step: int = 0
    seconds: float = 0.0
    share: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    def count(self, losses: Mapping[str, float]) -> None:
        """Count a step with some losses."""

        self.step += 1
        for name, value in losses.items():
            mean = self.losses.get(name, value)
            self.losses[name] = mean + (value - mean) / min(self.step, AVERAGE)

    def __str__(self) -> str:
        losses = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        return f"step {self.step} of {self.steps}, {self.seconds:.0f} s, {losses}"


class Training(ABC):
    r"""Base class of trainings: everything that a training has of its own.

    `run` does the rest. A training that is resumed from a checkpoint continues exactly as if it had not been
    interrupted, so whatever changes from step to step must be in `networks`, `optimizers`, `streams` or `numbers`,
    or follow from the number of the step.

    Arguments:
        group: The group of the settings, such as `"features"`; errors name `<group>.checkpoint`.
        label: The label of the progress bar, the log and the errors.
        steps: The number of steps.
        remedy: What to do if the training diverges, such as `"lower features.rate=0.004"`.
        networks: The networks, by name, in training mode after the construction.
        optimizers: Their optimizers, `Adam` or a variant with the same state, by name.
        streams: The random streams that the steps draw from, by name.
        evaluate_every: The number of steps from one call of `evaluate` to the next. It is not called if `None`.

    Attributes:
        report: Steps and seconds of the training, and what else `finish` adds.
    """

    def __init__(
        self,
        *,
        group: str,
        label: str,
        steps: int,
        remedy: str,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        streams: Mapping[str, torch.Generator] | None = None,
        evaluate_every: int | None = None,
    ) -> None:
        self.group, self.label, self.steps, self.remedy = group, label, steps, remedy
        self.networks, self.optimizers, self.streams = networks, optimizers, streams or {}
        self.evaluate_every = evaluate_every
        self.report: dict[str, float] = {}

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return all that the course of the training depends on: settings, seed, a digest of the data.

        A checkpoint is resumed only by a training of the same identity.
        """

    @abstractmethod
    def advance(self, progress: Progress) -> dict[str, float]:
        """Take the step number `progress.step`, counted from 0, and return its losses by name."""

    def numbers(self) -> dict[str, Any]:
        """Return what else changes from step to step, as numbers, text and lists of them."""

        return {}

    def load_numbers(self, numbers: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """Restore what `numbers` returned."""

    def evaluate(self, progress: Progress) -> None:  # noqa: B027 - optional
        """Measure the networks after some steps; the learning rate may be changed."""

    def finish(self, progress: Progress) -> None:  # noqa: B027 - optional
        """Measure the networks at the end, after the last checkpoint was written; entries of `report` may be added."""

    def run(self, minutes: float | None = None, checkpoint: str | Path | None = None) -> Progress:
        """Train until the steps or the minutes are used up. The networks are left in evaluation mode.

        Arguments:
            minutes: The time limit. Of a pause of the machine, ten seconds count. `None`: no limit. The same seed gives
                the same weights on machines of different speed only without a limit.
            checkpoint: A file that is written every two minutes and at the end. If it exists, the training is resumed
                from it. `None`: no file.

        Raises:
            ValueError: If a loss is not finite, or the checkpoint is damaged or belongs to another training.
        """

        progress = Progress(self.steps)
        path = None if checkpoint is None else Path(checkpoint)
        identity = {} if path is None else self.identity()
        if path is not None and path.exists():
            progress = self._resume(path, identity)

        def save() -> None:
            if path is not None:
                state = {"step": progress.step, "seconds": progress.seconds, "losses": progress.losses}
                write_checkpoint(path, identity, state | {"numbers": self.numbers()}, self._tensors())

        for network in self.networks.values():
            network.train()
        last, saved = time.perf_counter(), progress.seconds

        with progress_bar(self.steps, self.label) as bar:
            bar.update(progress.step)
            while True:
                now = time.perf_counter()
                progress.seconds += min(now - last, MAX_STEP_SECONDS)
                last = now
                spent = 0.0 if minutes is None else progress.seconds / (60 * minutes)
                progress.share = max(progress.step / self.steps, spent)
                if progress.share >= 1:
                    break

                losses = self.advance(progress)
                self.check_finite(progress, losses)
                progress.count(losses)
                if self.evaluate_every is not None and progress.step % self.evaluate_every == 0:
                    self.evaluate(progress)

                bar.set_postfix({name: f"{value:.3g}" for name, value in progress.losses.items()}, refresh=False)
                bar.update()
                if progress.seconds - saved > CHECKPOINT_SECONDS:
                    save()
                    saved = progress.seconds
                    log.info("%s: %s", self.label, progress)

        save()
        for network in self.networks.values():
            network.eval()
        self.report = {"steps": progress.step, "seconds": round(progress.seconds)}
        self.finish(progress)
        log.info("%s: trained, %s", self.label, progress)

        return progress

    def check_finite(self, progress: Progress, values: Mapping[str, float]) -> None:
        """Raise a ValueError that names the setting to change if a value is not finite."""

        if not all(math.isfinite(value) for value in values.values()):
            found = ", ".join(f"{name}={value:g}" for name, value in values.items())
            raise ValueError(f"{self.label}: training diverged at step {progress.step} ({found}); {self.remedy}")

    def _tensors(self) -> dict[str, torch.Tensor]:
        random = {f"random.{name}": stream.get_state() for name, stream in self.streams.items()}
        return live_tensors(self.networks, self.optimizers) | random

    def _resume(self, path: Path, identity: dict[str, Any]) -> Progress:
        state, tensors = read_checkpoint(path, identity, self._tensors(), f"{self.group}.checkpoint")
        try:
            progress = Progress(self.steps, state["step"], state["seconds"], losses=state["losses"])
            self.load_numbers(state["numbers"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a checkpoint of this training ({error!r}); delete it") from error
        for name, tensor in live_tensors(self.networks, self.optimizers).items():
            tensor.copy_(tensors[name])
        for name, stream in self.streams.items():
            stream.set_state(tensors[f"random.{name}"])
        log.info("%s: resumed from %s at step %d of %d", self.label, path, progress.step, progress.steps)

        return progress
