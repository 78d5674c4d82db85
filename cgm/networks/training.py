"""Trainings of networks: random streams, the loop, checkpoints, and descent by AdamW."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from torch import nn

from cgm.networks.architectures import BATCH
from cgm.networks.fitted import to_json
from cgm.utils.cache import digest
from cgm.utils.files import read_plain, write_whole
from cgm.utils.run import progress as progress_bar
from cgm.utils.settings import Integer, Number, Text

log = logging.getLogger(__name__)

ORDER, STEP, RECALIBRATION = 201, 202, 203  # keys of streams


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global random state, from which networks are initialised, and restore it afterwards."""

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(stream(seed).initial_seed())
        yield


def stream(seed: int, *key: int) -> torch.Generator:
    """Return the random stream of a seed and a key."""

    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)

    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


CHECKPOINT_SECONDS = 120  # between checkpoints, and between lines of the log
MAX_STEP_SECONDS = 10  # a longer step means that the machine paused, for example in standby
AVERAGE = 100  # steps over which losses are averaged
MAX_RECALIBRATION = 10_000  # images from which the statistics of batch norm are computed


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
        optimizers: Their optimizers, by name.
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
        identity = {} if path is None else json.loads(to_json(self.identity()))
        if path is not None and path.exists():
            progress = self._resume(path, identity)
            log.info("%s: resumed from %s at step %d of %d", self.label, path, progress.step, progress.steps)

        def save() -> None:
            if path is not None:
                write_checkpoint(path, {"identity": identity} | self._state(progress))

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

    def _state(self, progress: Progress) -> dict[str, Any]:
        """Return all that changes from step to step."""

        return {
            "step": progress.step,
            "seconds": progress.seconds,
            "losses": progress.losses,
            "numbers": self.numbers(),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
        }

    def _resume(self, path: Path, identity: dict[str, Any]) -> Progress:
        """Restore the state of a checkpoint of the same identity, and return its progress."""

        state = read_checkpoint(path)
        saved = state.get("identity", {})
        if differences := [
            f"{name}={saved.get(name)!r}, here {identity.get(name)!r}"
            for name in identity | saved
            if (name in saved, saved.get(name)) != (name in identity, identity.get(name))
        ]:
            raise ValueError(
                f"{path}: a checkpoint of another training ({'; '.join(differences)}); use another "
                f"{self.group}.checkpoint"
            )
        try:
            for name, network in self.networks.items():
                network.load_state_dict(state["networks"][name])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            for name, stream in self.streams.items():
                stream.set_state(state["streams"][name])
            self.load_numbers(state["numbers"])
            return Progress(self.steps, state["step"], state["seconds"], losses=state["losses"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: not a checkpoint of this training ({error!r}); delete it") from error


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint after its SHA-256, completely or not at all.

    Arguments:
        path: The file. An existing one is replaced.
        state: Tensors, numbers and text, in dictionaries and lists.
    """

    file = io.BytesIO()
    torch.save(state, file)
    write_whole(path, hashlib.sha256(file.getvalue()).digest() + file.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Nothing in the file is executed.

    Raises:
        ValueError: If the file is damaged, or not a checkpoint.
    """

    data = read_plain(path, links=True)
    checksum, content = data[:32], data[32:]
    if hashlib.sha256(content).digest() != checksum:
        raise ValueError(f"{path}: not a checkpoint, or a damaged one (its checksum differs); delete it")
    try:
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception:  # of pickle, whose message advises to run it, and of many other classes
        raise ValueError(f"{path}: not a checkpoint: more than tensors, numbers and text; delete it") from None


# Settings of trainings, which classes share; see `Budget`
Epochs: TypeAlias = Annotated[int, Integer(min=1)]
Minutes: TypeAlias = Annotated[float, Number(min=0, open_min=True)] | None
Batch: TypeAlias = Annotated[int, Integer(min=2)]
Rate: TypeAlias = Annotated[float, Number(min=0, open_min=True)]
Checkpoint: TypeAlias = Annotated[str, Text(path=True)] | None


@dataclass(frozen=True)
class Budget:
    r"""Length and speed of a training.

    The learning rate rises from a tenth of `rate` to `rate` in the first fifth of the training, and falls to zero
    along a cosine.

    Arguments:
        epochs: The maximum number of passes over the data.
        minutes: The time limit; of a pause of the machine, ten seconds count. `None`: no limit. The same seed gives the
            same weights on machines of different speed only without a limit.
        batch: The number of rows in a step.
        rate: The largest learning rate of AdamW.
        decay: The weight decay of AdamW.
        checkpoint: A file that is written every two minutes and at the end, and from which a training with the
            same settings, seed and data is resumed. `None`: no file.
    """

    epochs: int
    minutes: float | None = None
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.0
    checkpoint: str | None = None

    @classmethod
    def of(cls, settings: Any, decay: float = 0.0) -> Budget:
        """Return the budget that an object has as its settings, with a weight decay."""

        return cls(settings.epochs, settings.minutes, settings.batch, settings.rate, decay, settings.checkpoint)


class Descent(Training):
    r"""Training of one network by AdamW.

    Arguments:
        network: The network. It is changed in place.
        loss: Maps the row numbers of a batch, of shape $(B)$, and a random stream to the loss to minimise.
        data: The data that the loss refers to, by name: tensors with $N$ rows each.
        seed: The seed of the order of the rows and of the random stream of each step.
        budget: Length and speed.
        group: The group of the settings, for errors.
        label: The label of the progress bar, the log and the errors.
        settings: What else the loss and the network depend on, for checkpoints.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
        data: Mapping[str, torch.Tensor],
        seed: int,
        budget: Budget,
        group: str,
        label: str,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.loss, self.data, self.seed, self.budget, self.settings = loss, data, seed, budget, settings or {}
        self.rows = len(next(iter(data.values())))
        self.batch = min(budget.batch, self.rows)
        self.batches = self.rows // self.batch  # in an epoch; the last few rows of its order are left out
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=budget.rate, weight_decay=budget.decay)
        self.order = torch.empty(0, dtype=torch.int64)
        super().__init__(
            group=group,
            label=label,
            steps=budget.epochs * self.batches,
            remedy=f"lower {group}.rate={budget.rate:g}",
            networks={"network": network},
            optimizers={"network": self.optimizer},
        )

    def identity(self) -> dict[str, Any]:
        """Return all that the course of the training depends on."""

        budget = asdict(replace(self.budget, checkpoint=None))
        training = {"training": self.label, "seed": self.seed, "data": digest(dict(self.data))}

        return {**training, **budget, **self.settings}

    def advance(self, progress: Progress) -> dict[str, float]:
        """Take one step."""

        epoch, i = divmod(progress.step, self.batches)
        if i == 0 or not len(self.order):
            self.order = torch.randperm(self.rows, generator=stream(self.seed, ORDER, epoch))
        rows = self.order[i * self.batch : (i + 1) * self.batch]
        for group in self.optimizer.param_groups:
            group["lr"] = self.budget.rate * learning_rate_factor(progress.share)

        loss = self.loss(rows, stream(self.seed, STEP, progress.step))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

        return {"loss": float(loss.detach())}

    def train(self) -> dict[str, float]:
        """Train within the budget, and return steps and seconds.

        Raises:
            ValueError: If the loss is not finite, or the checkpoint is damaged or belongs to another training.
        """

        self.run(self.budget.minutes, self.budget.checkpoint)

        return self.report


def recalibrate(
    network: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, seed: int
) -> None:
    """Compute the statistics of batch norm again with the final weights, and leave the network in evaluation mode.

    The running averages of a short training lag behind the weights.

    Arguments:
        network: The network.
        function: Passes images of shape (B, C, H, W) through the network.
        x: The images of the training, of shape (N, C, H, W), of which at most 10,000 are used.
        seed: The seed that draws them.
    """

    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # an average over all batches
    network.train()
    rows = torch.randperm(len(x), generator=stream(seed, RECALIBRATION))[:MAX_RECALIBRATION]
    with torch.no_grad():
        for part in rows.chunk(-(-len(rows) // BATCH)):
            function(x[part])
    network.eval()


def learning_rate_factor(share: float) -> float:
    """Return the learning rate, as a share of the largest one, when a share of the training is done.

    Example:
        >>> [learning_rate_factor(share) for share in (0.0, 0.2, 0.6, 1.0)]
        [0.1, 1.0, 0.5, 0.0]
    """

    if share < 0.2:
        return 0.1 + 0.9 * share / 0.2

    return (1 + math.cos(math.pi * (share - 0.2) / 0.8)) / 2
