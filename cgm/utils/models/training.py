"""Trains networks by gradient descent, within a budget, from a seed."""

import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import cos, pi
from numbers import Real
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cgm.utils.checks import check_integer
from cgm.utils.files import write_whole
from cgm.utils.progress import progress

log = logging.getLogger(__name__)

ORDER, STEP, SETTLE = 201, 202, 203  # keys of the random streams
CHECKPOINT_SECONDS = 120
MOST_SECONDS = 10  # that a step can take, unless the machine pauses


@dataclass(frozen=True)
class Budget:
    r"""Says for how long to train, and how fast.

    The learning rate rises from a tenth to `rate` in the first fifth of the training, and falls to zero along a
    cosine.

    Arguments:
        epochs: The number of passes over the data, at most.
        minutes: The time after which to stop, if that comes first; of a pause of the machine, ten seconds count.
            `None`: no limit. Only without one does a seed give the same weights whatever the machine's speed.
        batch: The number of images in a step.
        rate: The greatest learning rate of AdamW.
        decay: The weight decay of AdamW.
        checkpoint: A file that is written every two minutes and at the end, and from which a training with the
            same settings, seed and data goes on. `None`: no such file.
    """

    epochs: int
    minutes: float | None = None
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.0
    checkpoint: str | None = None

    def check(self, group: str) -> None:
        """Raises a ValueError that names the setting, if one is out of range."""

        check_integer(f"{group}.epochs", self.epochs, min=1)
        check_integer(f"{group}.batch", self.batch, min=2)
        for name, value in (("rate", self.rate), ("minutes", self.minutes)):
            good = isinstance(value, Real) and 0 < value < float("inf")
            if not good and not (name == "minutes" and value is None):
                raise ValueError(f"{group}.{name}={value}: expected a positive number")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds PyTorch's global random state, from which networks are initialised, and puts it back afterwards."""

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(stream(seed).initial_seed())
        yield


def stream(seed: int, *key: int) -> torch.Generator:
    """Makes the random stream of a seed and a key."""

    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)

    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def train(
    network: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    n: int,
    seed: int,
    budget: Budget,
    label: str,
) -> None:
    r"""Trains a network by AdamW.

    Arguments:
        network: The network, changed in place, and left in evaluation mode.
        loss: Maps the indices of a batch, of shape $(B)$, and a random stream to the loss to minimise.
        n: The number of images.
        seed: Draws the order of the images, and is behind the random stream of each step.
        budget: How long and how fast.
        label: What a progress bar says.

    Raises:
        ValueError: If the loss is not finite, or the checkpoint is not one of this very training.
    """

    optimizer = torch.optim.AdamW(network.parameters(), lr=budget.rate, weight_decay=budget.decay)
    batch = min(budget.batch, n)
    per_epoch = n // batch  # the last few images of an epoch's order are left out
    steps, step, seconds = budget.epochs * per_epoch, 0, 0.0
    # Whatever a training that goes on must have in common with the one that stopped
    sizes = [tuple(tensor.shape) for tensor in network.state_dict().values()]
    key = f"{label}; n={n}, seed={seed}, {replace(budget, checkpoint=None)}; {sizes}"
    losses: list[float] = []

    if budget.checkpoint is not None and Path(budget.checkpoint).exists():
        step, seconds, losses = _resume(Path(budget.checkpoint), key, network, optimizer)

    def keep() -> None:
        if budget.checkpoint is not None:
            content = {
                "key": key,
                "step": step,
                "seconds": seconds,
                "losses": losses,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            file = io.BytesIO()
            torch.save(content, file)
            write_whole(budget.checkpoint, file.getvalue())

    network.train()
    last, kept = time.perf_counter(), seconds
    order = None

    with progress(steps, label) as bar:
        bar.update(step)
        while True:
            now = time.perf_counter()
            seconds += min(now - last, MOST_SECONDS)
            last = now
            done = max(step / steps, 0.0 if budget.minutes is None else seconds / (60 * budget.minutes))
            if done >= 1:
                break
            if order is None or step % per_epoch == 0:
                order = torch.randperm(n, generator=stream(seed, ORDER, step // per_epoch))
            start = step % per_epoch * batch
            for group in optimizer.param_groups:
                group["lr"] = budget.rate * _rate(done)
            value = loss(order[start : start + batch], stream(seed, STEP, step))
            if not torch.isfinite(value):
                raise ValueError(
                    f"{label}: the loss is {float(value.detach())} at step {step}; use a smaller learning rate"
                )
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            step += 1
            losses = [*losses[-99:], float(value.detach())]
            bar.update()
            if seconds - kept > CHECKPOINT_SECONDS:
                keep()
                kept = seconds
                log.info("%s: %.0f %% done, step %d, loss %.4g", label, 100 * done, step, np.mean(losses))

    keep()
    network.eval()
    log.info("%s: %d steps in %.0f seconds, loss %.4g", label, step, seconds, np.mean(losses))


def _rate(done: float) -> float:
    """Returns the share of the greatest learning rate, when a share of the training is done."""

    if done < 0.2:
        return 0.1 + 0.9 * done / 0.2

    return (1 + cos(pi * (done - 0.2) / 0.8)) / 2


def _resume(
    path: Path, key: str, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float, list[float]]:
    """Reads a checkpoint into network and optimizer; returns its step, seconds and losses. Runs nothing from it."""

    try:
        content = torch.load(path, weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise ValueError(f"{path}: not a checkpoint, or a damaged one ({error}); delete it") from error
    if not isinstance(content, dict) or content.get("key") != key:
        raise ValueError(f"{path}: the checkpoint of another training; delete it, or use another file")
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])

    return content["step"], content["seconds"], content["losses"]
