"""A settlement of tables for the tests of reports and certificates: random points, with a table made of each point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from cgm.data.tables import Schema, Source
from cgm.data.tables.columns import BooleanColumn, CategoricalColumn, DateColumn, IntegerColumn, NumericColumn
from cgm.evaluation.entries import Accuracy
from cgm.generators import KDE
from cgm.mediator import Mediator, Settlement
from cgm.rewards import WeightedSampling

EVIL = "<script>alert('x')</script>"


@dataclass(frozen=True)
class Attack:
    name: str
    auc: float
    auc_low: float
    auc_high: float
    tpr: float
    tpr_low: float
    tpr_high: float


@dataclass(frozen=True)
class Audit:
    party: int
    beta: float
    members: int
    non_members: int
    attacks: list[Attack]
    strongest: str | None
    copies: int | None
    nearest_share: float | None
    chance: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Settled(Settlement):
    names: tuple[str, ...]
    tables: tuple[pd.DataFrame, ...]
    held_out: tuple[pd.DataFrame, ...]
    pool_table: pd.DataFrame
    recommended: tuple[float, ...]
    schema: Schema
    audits: Sequence[Audit]
    accuracies: Sequence[Accuracy]
    sensitivity: Mapping[str, Sequence[Sequence[float]]]
    settings: Mapping[str, Any]
    sources: tuple[Source, ...]

    def reward_table(self, party: int, beta: float) -> pd.DataFrame:
        (chain,) = (chain for chain in self.chains if (chain.party, chain.beta) == (party, beta))
        return self.pool_table.iloc[chain.indices.numpy()].reset_index(drop=True)


NUMBERS = {"minimum": -1e6, "maximum": 1e6, "median": 0.0}
SCHEMA = Schema(
    (
        NumericColumn("income", **NUMBERS),
        IntegerColumn("age", missing=True, **NUMBERS),
        BooleanColumn("employed", levels=("False", "True")),
        CategoricalColumn("city", levels=("Oslo", "=cmd()", EVIL)),
        DateColumn("since", **NUMBERS),
        NumericColumn("$ spent <b>", **NUMBERS),
    )
)


def as_table(points: torch.Tensor) -> pd.DataFrame:
    """Make a table of points of shape (N, 2)."""

    x, y = points.double().numpy().T
    age = pd.array(np.round(40 + 8 * y), dtype="Int64")
    age[np.arange(len(x)) % 7 == 3] = pd.NA
    city = np.array(SCHEMA.columns[3].levels)[np.clip(np.round(x), 0, 2).astype(int)]
    return pd.DataFrame(
        {
            "income": 1000 * x,
            "age": age,
            "employed": x + y > 0,
            "city": pd.Categorical(city, categories=SCHEMA.columns[3].levels),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.round(100 * y), unit="D"),
            "$ spent <b>": y,
        }
    )


def attack(name: str, auc: float) -> Attack:
    return Attack(name, auc, auc - 0.0401234, auc + 0.0401234, 0.0123456, 0.0012345, 0.0456789)


@cache
def settle(names: tuple[str, ...] = ("North Bank", "South Bank", "West Bank"), rows: int = 60) -> Settled:
    """Settle random points of some parties."""

    generator = torch.Generator().manual_seed(5)
    n = len(names)
    points = [torch.randn(rows + 7 * i, 2, generator=generator).double() + 1.5 * i / n for i in range(n)]
    mediator = Mediator(KDE(), sampling=WeightedSampling((1.0, 4.0, 8.0)), synthetic_size=400)
    settlement = mediator.settle(points, seed=3)
    alpha = settlement.contributions.alpha.tolist()
    audits = [
        Audit(i, 8.0, 1301 + i, 5757, [attack("nearest_distance", 0.51 + 0.01 * i), attack("density_ratio", 0.5)],
              "nearest_distance", 0, 0.69, 0.7)
        for i in range(n)
    ]  # fmt: skip
    audits.append(Audit(0, 1.0, 131, 0, [], None, None, None, None, reason="no rows were kept apart"))
    return Settled(
        **{field.name: getattr(settlement, field.name) for field in fields(Settlement)},
        names=names,
        tables=tuple(as_table(x) for x in points),
        held_out=tuple(as_table(torch.randn(5 + i, 2, generator=generator)) for i in range(n)),
        pool_table=as_table(settlement.pool.points),
        recommended=(8.0,) * n,
        schema=SCHEMA,
        audits=audits,
        accuracies=[Accuracy(i, 8.0, 0.81 + 0.01 * i, 0.78, None) for i in range(n)],
        sensitivity={"length-scale × 0.5": [alpha[::-1]], "seeds 1 to 2": [alpha, [0.9 * a for a in alpha]]},
        settings={
            "seed": 3,
            "files": [f"{name}.csv" for name in names],
            "scheme": {"class": "ShapleyFair", "rho": None},
        },
        sources=tuple(Source(f"/data/{name}.csv", f"{i:064x}") for i, name in enumerate(names)),
    )


def changed(settlement: Settled, **changes: Any) -> Settled:
    return replace(settlement, **changes)
