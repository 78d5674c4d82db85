"""From the tables of several parties to tables of rewards."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from cgm.data.features.autoencoder import Automatic
from cgm.data.tables.encoding import NUMBER_ENCODINGS, TableEncoding
from cgm.data.tables.files import Source, tables_by_name
from cgm.data.tables.schema import Schema, infer_schema
from cgm.evaluation.entries import Accuracy
from cgm.evaluation.labellers import KNN, Labeller
from cgm.evaluation.tasks import SVM, LabelledReward, Task
from cgm.generators.base import Generator
from cgm.generators.copula import Copula
from cgm.mediator import Mediator, Settlement
from cgm.records.plain import plain
from cgm.settlements.images import ImageMediator, ImageSettlement
from cgm.settlements.party import PartyMediator, PartySettlement
from cgm.utils.checks import check_choice, check_instance, check_number
from cgm.utils.random import stream_seed
from cgm.utils.run import Clock

log = logging.getLogger(__name__)

FILL = 14  # stream that a seed is split into
TESTED = 50  # held-out rows from which accuracies are measured


@dataclass(frozen=True)
class TableSettlement(PartySettlement):
    r"""What a mediator computes for parties with tables.

    Attributes:
        tables: The rows of each party that were valued.
        held_out: The rows of each party that neither the generator nor the valuation has seen.
        schema: The columns.
        pool_table: The synthetic pool $G$ as a table; row k belongs to `pool.points[k]`.
    """

    tables: tuple[pd.DataFrame, ...]
    held_out: tuple[pd.DataFrame, ...]
    schema: Schema
    pool_table: pd.DataFrame

    def reward_table(self, party: int, beta: float) -> pd.DataFrame:
        r"""Return the reward $G_i$ of a party (from 0) at an inverse temperature as a table.

        Raises:
            ValueError: If no such reward was drawn.
        """

        columns = list(self.tables[party].columns)  # in the order of the party's own table
        return self.pool_table[columns].iloc[self.chain(party, beta).indices.numpy()].reset_index(drop=True)


@dataclass(frozen=True, kw_only=True)
class TableMediator(PartyMediator):
    r"""Turns the tables of several parties into rewards, which are tables too.

    It is a `Mediator`, whose settings it shares, with a schema and an encoding before it and an audit after it.

    Arguments:
        label_column: A column of classes, kept out of valuation and rewards: classifiers of it are trained with and
            without rewards. `None`: no classifiers.
        drop: Columns to leave out.
        categorical: Columns that are categories, whatever their cells.
        numbers: How numbers are encoded, see `TableEncoding`.
        rare: The share of rows below which levels of a category are pooled.
        labeller: Labels synthetic rows, for the classifiers alone.
        downstream: Trains and tests the classifiers.
        held_out, max_rows, audit, sensitivity, seed: See `PartyMediator`.

    Raises:
        ValueError: If a setting is out of range.
    """

    generator: Generator = field(default_factory=Copula)
    label_column: str | None = None
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    numbers: str = "standardise"
    rare: float = 0.005
    labeller: Labeller = field(default_factory=KNN)
    downstream: Task = field(default_factory=SVM)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.features, Automatic):
            raise ValueError("features: tables have an encoding of their own; leave this setting out")
        if self.label_column is not None:
            check_instance("label_column", self.label_column, str)
        for name in ("drop", "categorical"):
            columns = getattr(self, name)
            if not isinstance(columns, list | tuple) or not all(isinstance(column, str) for column in columns):
                raise ValueError(f"{name}={columns}: expected a list of columns, such as [{columns}]")
            object.__setattr__(self, name, tuple(columns))
        check_choice("numbers", self.numbers, NUMBER_ENCODINGS)
        check_number("rare", self.rare, min=0, max=0.5)
        check_instance("labeller", self.labeller, Labeller)
        check_instance("downstream", self.downstream, Task)

    def settle_tables(
        self,
        parties: Mapping[str, pd.DataFrame],
        sources: Sequence[Source] | None = None,
        schema: Schema | None = None,
    ) -> TableSettlement:
        """Compute the rewards of parties with tables.

        Arguments:
            parties: The table of each party, by its name.
            sources: Where the tables came from.
            schema: The schema. `None`: it is inferred.

        Raises:
            ValueError: If the tables cannot be valued; the message names the party, the column and the remedy.
            InfeasibleScheme: If no rewards fit their bounds, however large the pool.
        """

        if self.seed is None:
            return replace(self, seed=self._own_seed()).settle_tables(parties, sources, schema)
        tables, own_sources = tables_by_name(parties)
        sources = [_with_digest(source, tables[source.file]) for source in own_sources] if sources is None else sources
        clock = Clock()
        with clock("schema"):
            labels, tables = self._take_labels(tables)
            masks = self._used(tables)
            schema, parsed = infer_schema(tables, masks, self.categorical, self.drop, self.rare, schema)
            order = {name: [column for column in tables[name].columns if column in parsed[name]] for name in tables}
            used = [parsed[name][order[name]][masks[name]].reset_index(drop=True) for name in parsed]
            held_out = [parsed[name][order[name]][~masks[name]].reset_index(drop=True) for name in parsed]
        log.info("%d parties, %d rows, %d columns", len(used), sum(map(len, used)), len(schema.columns))

        encoding = TableEncoding(schema, self.numbers)
        filled = schema.filled(torch.cat([schema.to_codes(table) for table in used]), stream_seed(self.seed, FILL))
        codes = list(filled.split([len(table) for table in used]))
        settlement = self._mediator(encoding).settle(codes, self.seed)
        features = settlement.features
        assert isinstance(features, TableEncoding)
        with clock("decoding"):
            pool_table = schema.to_table(features.decode(settlement.pool.points))
        apart = [features.transform(schema.to_codes(t)) if len(t) else settlement.pool.points[:0] for t in held_out]
        with clock("audit"):
            audits = self._audit(settlement, apart)
        with clock("downstream"):
            accuracies = self._accuracies(settlement, labels, masks, apart)
        sensitivity: dict[str, list[float]] = {}
        warnings: list[str] = []
        if self.sensitivity:
            with clock("sensitivity"):
                generator = self._mediator(features).generator
                data = torch.cat(codes if generator.space == "data" else settlement.parties)
                sensitivity, warnings = self._sensitivity(settlement, generator, data)

        return TableSettlement(
            **self._shared(settlement, list(tables), clock.seconds, warnings),
            tables=tuple(used),
            held_out=tuple(held_out),
            schema=schema,
            pool_table=pool_table,
            audits=tuple(audits),
            accuracies=tuple(accuracies),
            sensitivity=sensitivity,
            settings=plain(self),
            sources=tuple(sources),
        )

    def _mediator(self, encoding: TableEncoding) -> Mediator:
        """Return a mediator with the same settings that values points of the encoding."""

        generator = copy.copy(self.generator)
        if isinstance(generator, Copula):
            vars(generator)["space"] = "data"  # a copula has the margins of columns, not of one-hot vectors

        return self._plain_mediator(features=encoding, generator=generator)

    def _take_labels(
        self, tables: Mapping[str, pd.DataFrame]
    ) -> tuple[dict[str, pd.Series] | None, dict[str, pd.DataFrame]]:
        """Separate the column of labels from the tables."""

        column = self.label_column
        if column is None:
            return None, dict(tables)
        for name, table in tables.items():
            if column not in table:
                raise ValueError(f"label_column={column}: {name} has the columns {', '.join(table.columns)}")
        labels = {name: table[column].astype("string").str.strip() for name, table in tables.items()}
        distinct = pd.concat(list(labels.values())).dropna().unique()
        if len(distinct) < 2:
            raise ValueError(f"label_column={column}: {len(distinct)} different labels, at least two are needed")

        return labels, {name: table.drop(columns=column) for name, table in tables.items()}

    def _accuracies(
        self,
        settlement: Settlement,
        labels: Mapping[str, pd.Series] | None,
        masks: Mapping[str, np.ndarray],
        held_out: Sequence[torch.Tensor],
    ) -> list[Accuracy]:
        """Train and test classifiers of the labels."""

        if labels is None:
            return []
        cells = {name: series.fillna("(missing)") for name, series in labels.items()}
        classes = sorted(set().union(*cells.values()))
        numbers = {
            name: torch.from_numpy(pd.Categorical(c, classes).codes.astype(np.int64)) for name, c in cells.items()
        }
        used = [numbers[name][torch.from_numpy(mask)] for name, mask in masks.items()]
        test = torch.cat([numbers[name][torch.from_numpy(~mask)] for name, mask in masks.items()])
        if len(test) < TESTED:
            reason = f"{len(test)} rows are held out, at least {TESTED} are needed for a test; raise held_out"
            return [Accuracy(chain.party, chain.beta, None, None, reason) for chain in settlement.chains]
        pool = settlement.pool.points
        of_pool = self.labeller.label(torch.cat(settlement.parties), torch.cat(used), pool)
        if of_pool is None:
            return []
        rewards = [LabelledReward(c.party, c.beta, pool[c.indices], of_pool[c.indices]) for c in settlement.chains]
        parties = list(zip(settlement.parties, used, strict=True))

        return self.downstream.evaluate(parties, rewards, (torch.cat(list(held_out)), test))


def settle(parties: Mapping[str, Any], **settings: Any) -> TableSettlement | ImageSettlement:
    """Compute the rewards of parties with tables or images.

    Arguments:
        parties: The table of each party by its name, or its images, see `ImageMediator`.
        settings: Settings of `TableMediator` or `ImageMediator`.

    Raises:
        ValueError: If a setting is out of range, or the data cannot be valued.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(3, 60, 2))
        >>> tables = {f"hospital {i + 1}": pd.DataFrame(x[i], columns=["age", "dose"]) for i in range(3)}
        >>> settlement = settle(tables, synthetic_size=500, sensitivity=False)
        >>> list(settlement.reward_table(0, settlement.recommended[0]).columns)
        ['age', 'dose']
    """

    if any(isinstance(data, np.ndarray | torch.Tensor) for data in parties.values()):
        return ImageMediator(**settings).settle_images(parties)
    return TableMediator(**settings).settle_tables(parties)


def _with_digest(source: Source, table: pd.DataFrame) -> Source:
    """Add the SHA-256 of a table that has no file: that of its CSV."""

    text = table.to_csv(index=False)
    return replace(source, sha256=hashlib.sha256(text.encode()).hexdigest())
