"""Gradient descent by AdamW on the rows of a data set, within a budget, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import cos, pi
from typing import Any

import torch
from torch import nn

from cgm.utils.checks import check_integer, check_number, check_text
from cgm.utils.models.streams import ORDER, STEP, stream
from cgm.utils.models.training import Progress, Training
from cgm.utils.tensors import digest


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

    def check(self, group: str) -> None:
        """Raise a ValueError that names the setting, `<group>.<name>`, if one is out of range."""

        check_integer(f"{group}.epochs", self.epochs, min=1)
        check_integer(f"{group}.batch", self.batch, min=2)
        check_number(f"{group}.rate", self.rate, min=0, open_min=True)
        check_number(f"{group}.decay", self.decay, min=0)
        check_number(f"{group}.minutes", self.minutes, min=0, open_min=True, optional=True)
        check_text(f"{group}.checkpoint", self.checkpoint, path=True, optional=True)


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
        own = {"training": self.label, "seed": self.seed, "data": digest(dict(self.data))}

        return {**own, **budget, **self.settings}

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


def learning_rate_factor(share: float) -> float:
    """Return the learning rate, as a share of the largest one, when a share of the training is done.

    Example:
        >>> [learning_rate_factor(share) for share in (0.0, 0.2, 0.6, 1.0)]
        [0.1, 1.0, 0.5, 0.0]
    """

    if share < 0.2:
        return 0.1 + 0.9 * share / 0.2

    return (1 + cos(pi * (share - 0.2) / 0.8)) / 2
