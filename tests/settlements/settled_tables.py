"""A settlement of tables for the tests of reports and certificates: random points, with a table made of each point."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from cgm.data.tables.columns import Column
from cgm.data.tables.files import Source
from cgm.data.tables.schema import Schema
from cgm.evaluation.entries import AttackResult, RewardAudit
from cgm.generators import KDE
from cgm.mediator import Mediator
from cgm.rewards import WeightedSampling
from cgm.settlements import PartySettlement
from cgm.settlements.settlement import Variant
from tests.scores import accuracies

EVIL = "<script>alert('x')</script>"
CITIES = ("Oslo", "=cmd()", EVIL)


def column(name: str, kind: str, **details: Any) -> Column:
    """Make a column of any kind; numbers and levels that do not matter are filled in."""

    numbers = {"minimum": 0.0, "maximum": 1.0, "median": 0.0}
    details = {"boolean": {"levels": ["no", "yes"]}, "categorical": {"levels": ["a", "b"]}}.get(kind, numbers) | details
    (made,) = Schema.from_dict({"columns": {name: {"kind": kind, **details}}}).columns
    return made


SCHEMA = Schema(
    (
        column("income", "numeric"),
        column("age", "integer", missing=True),
        column("employed", "boolean", levels=["False", "True"]),
        column("city", "categorical", levels=list(CITIES)),
        column("since", "date"),
        column("$ spent <b>", "numeric"),
    )
)


def as_table(points: torch.Tensor) -> pd.DataFrame:
    """Make a table of points of shape (N, 2)."""

    x, y = points.double().numpy().T
    age = pd.array(np.round(40 + 8 * y), dtype="Int64")
    age[np.arange(len(x)) % 7 == 3] = pd.NA
    return pd.DataFrame(
        {
            "income": 1000 * x,
            "age": age,
            "employed": x + y > 0,
            "city": pd.Categorical(np.array(CITIES)[np.clip(np.round(x), 0, 2).astype(int)], categories=CITIES),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.round(100 * y), unit="D"),
            "$ spent <b>": y,
        }
    )


def attack(name: str, auc: float) -> AttackResult:
    return AttackResult(name, auc, auc - 0.0401234, auc + 0.0401234, 0.0123456, 0.0012345, 0.0456789)


@cache
def settle(
    names: tuple[str, ...] = ("North Bank", "South Bank", "West Bank"), rows: int = 60, **settings: Any
) -> PartySettlement:
    """Settle random points of some parties."""

    generator = torch.Generator().manual_seed(5)
    n = len(names)
    points = [torch.randn(rows + 7 * i, 2, generator=generator).double() + 1.5 * i / n for i in range(n)]
    settings = {"sampling": WeightedSampling((1.0, 4.0, 8.0)), "synthetic_size": 400} | settings
    mediator = Mediator(KDE(), **settings)
    settlement = mediator.settle(points, seed=3)
    alpha = settlement.contributions.alpha.tolist()
    audits = [
        RewardAudit(i, 8.0, 1301 + i, 5757, [attack("nearest_distance", 0.51 + 0.01 * i), attack("density_ratio", 0.5)],
                    "nearest_distance", 0, 0, 0.69, 0.7)
        for i in range(n)
    ]  # fmt: skip
    audits.append(RewardAudit(0, 1.0, 131, 0, [], None, None, None, None, None, reason="no rows were kept apart"))
    return PartySettlement(
        **{**vars(settlement), "names": names},
        tables=tuple(as_table(x) for x in points),
        held_out=tuple(as_table(torch.randn(5 + i, 2, generator=generator)) for i in range(n)),
        pool_table=as_table(settlement.pool.points),
        recommended=(8.0,) * n,
        schema=SCHEMA,
        audits=audits,
        accuracies=[accuracies(i, 8.0, 0.81 + 0.01 * i, 0.78, None) for i in range(n)],
        sensitivity={
            "length-scale × 0.5": Variant(alpha[::-1], [0.7531] * n, list(range(1201, 1201 + n))),
            "another seed": Variant([0.9 * a for a in alpha], reason="no such rewards"),
        },
        settings={
            "seed": 3,
            "files": [f"{name}.csv" for name in names],
            "scheme": {"class": "ShapleyFair", "rho": None},
        },
        sources=tuple(Source(f"/data/{name}.csv", f"{i:064x}") for i, name in enumerate(names)),
    )


def redrawn(settlement: PartySettlement, party: int, **changes: Any) -> PartySettlement:
    """Change the rewards of a party."""

    drawn = {key: replace(r, **changes) if r.party == party else r for key, r in settlement.drawn.items()}
    return replace(settlement, drawn=drawn)
