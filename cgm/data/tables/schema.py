"""The schema of the parties' tables: the columns that all of them have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch

from cgm.data.tables.columns import NUMBERS, Column


@dataclass(frozen=True)
class Schema:
    """The columns that all parties' tables have.

    Attributes:
        columns: The columns, in the order of the tables.
        dropped: The columns that are left out, and why.
    """

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(column.width for column in self.columns):
            left = "; ".join(f"{name}: {why}" for name, why in self.dropped.items())
            raise ValueError(f"schema: no column is left that rows differ in{f' ({left})' if left else ''}")

    @property
    def slices(self) -> list[slice]:
        """The place of each column in a matrix of codes."""

        ends = np.cumsum([0, *(column.width for column in self.columns)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def to_codes(self, table: pd.DataFrame) -> torch.Tensor:
        """Convert a parsed table to codes, of shape (N, p), float64."""

        codes = [column.to_codes(table[column.name]) for column in self.columns]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(codes, axis=1)))

    def blanked(self, codes: torch.Tensor) -> torch.Tensor:
        """Return codes of shape (N, p) in which all missing numbers are the median of their column."""

        codes = codes.clone()
        for column, part in zip(self.columns, self.slices, strict=True):
            if column.kind in NUMBERS and column.missing:
                codes[codes[:, part.start + 1] > 0.5, part.start] = float(column.median or 0)
        return codes

    def filled(self, codes: torch.Tensor, seed: int) -> torch.Tensor:
        """Return codes of shape (N, p) in which missing numbers are drawn from those of their column.

        A generator that is fitted to them learns the numbers that there are, and where cells are empty, but not that
        the median is frequent.
        """

        codes, random = codes.clone(), np.random.default_rng(seed)
        for column, part in zip(self.columns, self.slices, strict=True):
            if column.kind in NUMBERS and column.missing:
                empty = codes[:, part.start + 1] > 0.5
                known = codes[~empty, part.start].numpy()
                if len(known):
                    codes[empty, part.start] = torch.from_numpy(random.choice(known, int(empty.sum())))
        return codes

    def nearest(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the nearest codes of rows that the columns allow, of shape (N, p)."""

        values = codes.numpy()
        parts = [column.nearest(values[:, part]) for column, part in zip(self.columns, self.slices, strict=True)]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, axis=1)))

    def to_table(self, codes: torch.Tensor) -> pd.DataFrame:
        """Convert codes that are valid (see `nearest`) to a table."""

        values = codes.numpy()
        parts = zip(self.columns, self.slices, strict=True)
        return pd.DataFrame({column.name: column.to_cells(values[:, part]) for column, part in parts})

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, for a YAML file."""

        columns = {}
        for column in self.columns:
            values = {name: value for name, value in asdict(column).items() if name != "name"}
            defaults = {f.name: f.default for f in fields(Column)}
            values["levels"] = list(column.levels)
            columns[column.name] = {k: v for k, v in values.items() if v != defaults[k] and v != []}
        return {"columns": columns, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_dict` has written.

        Raises:
            ValueError: If values are missing or unknown.
        """

        if not isinstance(values, Mapping) or not isinstance(values.get("columns"), Mapping):
            raise ValueError("schema: expected a file with columns: and dropped:, as cgm settle writes it")
        columns = []
        known = {f.name for f in fields(Column)} - {"name"}
        for name, settings in values["columns"].items():
            unknown = sorted(set(settings) - known) if isinstance(settings, Mapping) else [settings]
            if unknown or "kind" not in settings:
                raise ValueError(f"schema: column {name}: expected kind and any of {', '.join(sorted(known))}")
            columns.append(Column(str(name), **settings))
        return cls(tuple(columns), dict(values.get("dropped") or {}))
