# ruff: noqa: D102 - the docstring of a class describes its attributes
"""What reports and certificates need of a settlement of tables or images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from cgm.contributions.base import Contributions
from cgm.data.features.base import Features
from cgm.data.tables.files import Source
from cgm.data.tables.schema import Schema
from cgm.evaluation.entries import Accuracy
from cgm.generators.pool import Pool
from cgm.rewards.base import Rewards
from cgm.rewards.incentives import Incentive
from cgm.rewards.sampling import Chain
from cgm.valuation.valuation import Valuation


class Settled(Protocol):
    r"""A settlement of the parties' tables or images, see `cgm.mediator.Settlement` for what it inherits.

    Attributes:
        names: The names of the parties.
        tables: The rows of each party that were valued: a DataFrame, or images of shape (N_i, C, H, W), uint8.
        held_out: The rows of each party that were kept apart for the audit; may be empty.
        pool_table: The synthetic pool $G$ of the same kind; row k belongs to `pool.points[k]`.
        recommended: For each party the $\beta$ whose reward is recommended.
        schema: The columns; `None` for images.
        audits: The privacy audits of rewards; may be empty.
        accuracies: The accuracies of a downstream task; may be empty.
        sensitivity: The parties' $\alpha$ with other settings, by a description of these; may be empty.
        settings: All settings, as JSON holds them.
        sources: Where the data of each party came from.
    """

    @property
    def pool(self) -> Pool: ...
    @property
    def features(self) -> Features: ...
    @property
    def parties(self) -> list[torch.Tensor]: ...
    @property
    def game(self) -> Valuation: ...
    @property
    def contributions(self) -> Contributions: ...
    @property
    def rewards(self) -> Rewards: ...
    @property
    def incentives(self) -> Mapping[str, Incentive]: ...
    @property
    def chains(self) -> Sequence[Chain]: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def seconds(self) -> Mapping[str, float]: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def tables(self) -> Sequence[Any]: ...
    @property
    def held_out(self) -> Sequence[Any]: ...
    @property
    def pool_table(self) -> Any: ...
    @property
    def recommended(self) -> Sequence[float]: ...
    @property
    def schema(self) -> Schema | None: ...
    @property
    def audits(self) -> Sequence[Any]: ...
    @property
    def accuracies(self) -> Sequence[Accuracy]: ...
    @property
    def sensitivity(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def sources(self) -> Sequence[Source]: ...
    def reward_table(self, party: int, beta: float) -> Any: ...
