"""From the tables of several parties to tables of rewards."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from cgm.data.features.autoencoder import Automatic
from cgm.data.features.base import Features
from cgm.data.tables.encoding import NUMBER_ENCODINGS, TableEncoding
from cgm.data.tables.files import Source, tables_by_name
from cgm.data.tables.forms import Decimal, Form, Reading, Thousands
from cgm.data.tables.kinds import label_texts
from cgm.data.tables.schema import Schema, infer_schema
from cgm.evaluation.entries import Scores
from cgm.evaluation.labellers import KNN, Labeller
from cgm.evaluation.privacy.cells import name_columns
from cgm.evaluation.tasks.base import LabelledReward, ModelTask, Task
from cgm.evaluation.tasks.svm import SVM
from cgm.generators.base import Generator
from cgm.generators.copula import Copula
from cgm.mediator import Settlement
from cgm.privacy.release import NoPrivacy, Privacy, Release
from cgm.settlements.images import ImageMediator
from cgm.settlements.inputs import are_images, read_inputs, split_settings
from cgm.settlements.party import PartyMediator, name_parties
from cgm.settlements.settlement import PartySettlement
from cgm.utils.plain import plain
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import Clock, timed
from cgm.utils.settings import Choice, Integer, Number

if TYPE_CHECKING:
    from cgm.settlements.release import ReleasedSettlement

log = logging.getLogger(__name__)

TESTED = 50  # held-out rows from which accuracies are measured
TRAINED = 10_000  # rows with which a classifier is trained, and tested, and by which rewards are labelled, at most


class Rows(Generator):
    """Rows of a table, drawn by a generator of points: what is valued is what can be written to a file.

    Arguments:
        generator: A generator of encoded rows; a copula draws the codes of columns, since it has their margins.
        encoding: The encoding, fitted.
        repeated: The numbers that rewards may repeat, by the place of their column, see `repeated_numbers`. A copula
            repeats those that occur more than once in its data, and all integers; it is fitted to draws between the
            neighbours of the others. `None`: all may be repeated.
    """

    space: ClassVar[str] = "data"

    def __init__(
        self, generator: Generator, encoding: TableEncoding, repeated: Mapping[int, np.ndarray] | None = None
    ) -> None:
        self.generator, self.encoding, self.repeated = generator, encoding, repeated or {}
        self.of_codes = isinstance(generator, Copula)
        self.levels = [place for place, size in enumerate(encoding.schema.sizes) if size]

    def fit(self, x: torch.Tensor, seed: int) -> Rows:
        """Fit the generator to the codes x of rows, of shape (N, number of columns)."""

        if self.of_codes:
            random = np.random.default_rng(stream_seed(seed, Stream.SPREAD_NUMBERS))
            x = x.clone()
            for place, numbers in self.repeated.items():
                x[:, place] = torch.from_numpy(spread(x[:, place].numpy(), numbers, random))
        self.generator.fit(x if self.of_codes else self.encoding.transform(x), seed)
        self.warnings = self.generator.warnings
        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw the codes of n rows that the columns allow."""

        x = self.generator.sample(n, seed)
        if self.of_codes:
            x[:, self.levels] = x[:, self.levels].round()  # between levels there is none
            x = self.encoding.transform(x)
        return self.encoding.decode(x)


def repeated_numbers(
    schema: Schema, parties: Sequence[torch.Tensor], min_count: int, min_parties: int
) -> dict[int, np.ndarray]:
    """Return the numbers that enough rows of enough parties have, by the place of their column.

    Arguments:
        schema: The columns.
        parties: The codes of each party, of shape (N_i, p).
        min_count: The number of rows that a number needs.
        min_parties: The number of parties.
    """

    found = {}
    for place, size in enumerate(schema.sizes):
        if size == 0:
            parts = [codes[:, place].numpy() for codes in parties]
            numbers, counts = np.unique(np.concatenate(parts), return_counts=True)
            owners = np.sum([np.isin(numbers, part) for part in parts], axis=0)
            found[place] = numbers[(counts >= min_count) & (owners >= min_parties)]
    return found


def spread(numbers: np.ndarray, repeated: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return numbers of shape (N) in which those that are not to be repeated are drawn between their neighbours.

    A column without equal numbers stays as it is, since no generator repeats its numbers.
    """

    distinct, index, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if counts.max() == 1:
        return numbers
    low, high = (distinct[np.clip(np.arange(len(distinct)) + step, 0, len(distinct) - 1)] for step in (-1, 1))
    drawn = low[index] + random.random(len(numbers)) * (high - low)[index]
    return np.where(np.isin(numbers, repeated), numbers, drawn)


class OfRows(Features):
    """Features of encoded rows, such as their principal components.

    Arguments:
        features: The features.
        encoding: The encoding, fitted.
    """

    def __init__(self, features: Features, encoding: TableEncoding) -> None:
        self.features, self.encoding = features, encoding

    @property
    def joint(self) -> bool:
        """Whether the features are fitted to the parties' rows and the pool together."""

        return self.features.joint

    def fit(self, x: torch.Tensor, seed: int) -> OfRows:
        """Fit the features to the codes x of rows, of shape (N, number of columns)."""

        self.features = copy.copy(self.features).fit(self.encoding.transform(x), seed)
        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Map the codes of rows to features of shape (N, d), float64."""

        return self.features.transform(self.encoding.transform(x))

    def fit_transform(self, x: torch.Tensor, seed: int, cache: str | Path | None = None) -> torch.Tensor:
        """Fit the features to the codes x of rows, and return its features."""

        self.features = copy.copy(self.features)
        return self.features.fit_transform(self.encoding.transform(x), seed, cache)


@dataclass(frozen=True, kw_only=True)
class TableMediator(PartyMediator):
    r"""Turns the tables of several parties into rewards, which are tables too.

    It makes a `Mediator` of its settings, with a schema and an encoding before it and an audit after it.

    Arguments:
        label_column: A column of classes, kept out of valuation and rewards: classifiers of it are trained with and
            without rewards. `None`: no classifiers.
        drop: Columns to leave out.
        categorical: Columns that are categories, whatever their cells.
        identifiers: Columns that are identifiers, beside those that are recognised; they are left out.
        keep: Columns that are no identifiers, whatever their name and cells.
        numbers: How numbers are encoded, see `TableEncoding`.
        rare: The share of rows below which levels of a category are pooled.
        missing: Cells that stand for a missing value, beside the usual ones; text or numbers, such as -999.
        decimal: The decimal sign. `None`: it is recognised.
        thousands: The sign between thousands. `None`: it is recognised.
        dates: The format of the dates of a column, such as `{"opened": "%Y%m%d"}`. `None`: it is recognised.
        min_count: The number of rows that each level needs, and each number that rewards may repeat, to leave the rows
            of a party, and that lie at each end of a range of numbers. Also two parties need to have a level, unless
            `disclose` has `levels`. If there is one party, nothing leaves, and nothing is pooled for this reason.
        labeller: Labels synthetic rows, for the classifiers alone.
        downstream: Trains and tests the classifiers.
        privacy: Whether what reaches other parties is differentially private, see `cgm.privacy.Release`.

    Raises:
        ValueError: If a setting is out of range.
    """

    generator: Generator = field(default_factory=Copula)
    label_column: str | None = None
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    identifiers: Sequence[str] = ()
    keep: Sequence[str] = ()
    numbers: Annotated[str, Choice(NUMBER_ENCODINGS)] = "standardise"
    rare: Annotated[float, Number(min=0, max=0.5)] = 0.005
    missing: Sequence[Any] = ()
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    dates: Mapping[str, str] | None = None
    min_count: Annotated[int, Integer(min=1)] = 5
    labeller: Labeller = field(default_factory=KNN)
    downstream: Task = field(default_factory=SVM)
    privacy: Privacy = field(default_factory=NoPrivacy)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("drop", "categorical", "identifiers", "keep"):
            columns = getattr(self, name)
            if not isinstance(columns, list | tuple) or not all(isinstance(column, str) for column in columns):
                raise ValueError(f"{name}={columns}: expected a list of columns, such as [{columns}]")
            object.__setattr__(self, name, tuple(columns))
        object.__setattr__(self, "missing", tuple(self.reading.missing))
        if both := set(self.keep) & {*self.identifiers, *self.drop}:
            raise ValueError(f"keep={both.pop()}: the same column is in drop or identifiers")
        if isinstance(self.privacy, Release):
            from cgm.settlements.release import check_tables  # which settles by objects of this class

            check_tables(self, self.privacy)

    @property
    def reading(self) -> Reading:
        """How cells are read."""

        return Reading(self.missing, self.decimal, self.thousands, {} if self.dates is None else self.dates)

    def settle_tables(
        self,
        parties: Any,
        sources: Sequence[Source | None] | None = None,
        schema: Schema | None = None,
    ) -> PartySettlement | ReleasedSettlement:
        """Compute the rewards of parties with tables.

        Arguments:
            parties: The table of each party, by its name, or in a list; or the paths of files, see `settle`.
            sources: Where the tables came from; `None` for a table that has no file.
            schema: The schema. `None`: it is inferred.

        Raises:
            ValueError: If the tables cannot be valued; the message names the party, the column and the remedy.
            InfeasibleScheme: If no rewards fit their bounds, however large the pool.
        """

        if sources is None:
            inputs = read_inputs(parties)
            parties, sources = inputs.data, inputs.sources
        tables, unnamed = tables_by_name(parties)
        files = [
            _with_digest(of_object, tables[of_object.file]) if source is None else source
            for source, of_object in zip(sources, unnamed, strict=True)
        ]
        seed = self.draw_seed()
        if isinstance(self.privacy, Release):
            from cgm.settlements.release import settle_released

            if schema is not None:
                raise ValueError("schema: with privacy=release, the schema is that of privacy.public")
            return settle_released(self, self.privacy, tables, files, seed)
        with self.engine.running(), Clock() as clock:
            with timed("schema"):
                labels, tables = self._take_labels(tables)
                masks = self.choose_rows(tables, seed)
                forms: dict[str, dict[str, Form]] = {}
                separators = {name: source.separator for name, source in zip(tables, files, strict=True)}
                alone = len(tables) == 1
                schema, parsed = infer_schema(
                    tables,
                    masks,
                    self.categorical,
                    self.drop,
                    self.rare,
                    schema,
                    identifiers=self.identifiers,
                    keep=self.keep,
                    min_count=1 if alone else self.min_count,
                    min_parties=1 if alone or "levels" in self.disclose else 2,
                    reading=self.reading,
                    separators=separators,
                    forms=forms,
                )
                # after what may end the run
                few = [*self.warn_of_few(masks, self._untested(masks)), *self._warn_of_labels(labels)]
                files = [replace(source, forms=forms[name]) for name, source in zip(tables, files, strict=True)]
                order = {name: [column for column in tables[name].columns if column in parsed[name]] for name in tables}
                used = [parsed[name][order[name]][masks[name]].reset_index(drop=True) for name in parsed]
                held_out = [parsed[name][order[name]][~masks[name]].reset_index(drop=True) for name in parsed]
            log.info("%d parties, %d rows, %d columns", len(used), sum(map(len, used)), len(schema.columns))

            codes = torch.cat([schema.to_codes(table) for table in used])
            filled = schema.filled(codes, stream_seed(seed, Stream.FILL_CELLS)).split([len(table) for table in used])
            encoding = TableEncoding(schema, self.numbers).fit(torch.cat(filled), seed)
            given = self.features
            features: Features = encoding if isinstance(given, Automatic) else OfRows(given, encoding)
            repeated = None if alone else repeated_numbers(schema, filled, self.min_count, 2)
            mediator = self.mediator(features=features, generator=Rows(copy.copy(self.generator), encoding, repeated))
            settlement = mediator.settle(dict(zip(tables, filled, strict=True)), seed)
            features = settlement.features
            with timed("decoding"):
                size = len(settlement.pool.points)
                pool_table = schema.to_table(settlement.generator.sample(size, stream_seed(seed, Stream.SAMPLE_POOL)))
            approximation = mediator.approximation(settlement.game, seed)
            none = settlement.pool.points[:0]
            codes_apart = [schema.to_codes(table) for table in held_out]
            apart = [features.transform(codes) if len(codes) else none for codes in codes_apart]
            cells = [schema.to_cells(codes) for codes in (*filled, *codes_apart, schema.to_codes(pool_table))]
            of_cells = (cells[: len(used)], cells[len(used) : -1], cells[-1])
            valued = [column.name for column in schema.columns if column.width]
            audits = [name_columns(entry, valued) for entry in self.run_audit(settlement, apart, seed, of_cells)]
            copied = self.warn_of_copies(settlement, audits, list(tables))
            with timed("downstream"):
                accuracies = self._accuracies(settlement, labels, masks, apart, seed)
            sensitivity, warnings = self.compare_settings(mediator, settlement, filled, seed)

        return name_parties(
            replace(settlement, warnings=[*few, *settlement.warnings]),
            warnings=[*schema.warnings, *copied, *warnings],
            seconds=clock.seconds,
            tables=tuple(used),
            held_out=tuple(held_out),
            schema=schema,
            pool_table=pool_table,
            audits=tuple(audits),
            accuracies=tuple(accuracies),
            sensitivity=sensitivity,
            approximation=approximation,
            samples=self.samples(settlement) | self._of_models(settlement, accuracies),
            settings=plain(replace(self, seed=seed)),
            sources=tuple(files),
        )

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
        labels = {name: label_texts(table[column], self.reading) for name, table in tables.items()}
        distinct = pd.concat(list(labels.values())).dropna().unique()
        if len(distinct) < 2:
            raise ValueError(f"label_column={column}: {len(distinct)} different labels, at least two are needed")

        return labels, {name: table.drop(columns=column) for name, table in tables.items()}

    def _warn_of_labels(self, labels: Mapping[str, pd.Series] | None) -> list[str]:
        """Warn of empty labels, and of parties that share no label with others; return the warnings."""

        notes = []
        distinct = {name: set(series.dropna()) for name, series in (labels or {}).items()}
        for name, classes in distinct.items():
            others = set().union(*(distinct[other] for other in distinct if other != name))
            if classes and others and not classes & others:
                told = ", ".join(sorted(classes)[:3])
                notes.append(
                    f"label_column={self.label_column}: {name} has {told}, which no other party has; write the same "
                    "classes in the same way"
                )
        for name, series in (labels or {}).items():
            if empty := int(series.isna().sum()):
                notes.append(
                    f"label_column={self.label_column}: {empty} labels of {name} are empty; they count as a class"
                )
        for note in notes:
            log.warning(note)
        return notes

    def _untested(self, masks: Mapping[str, np.ndarray]) -> str:
        """Say that too few rows are held out for a test of classifiers; return nothing if there are enough."""

        held_out = sum(int((~mask).sum()) for mask in masks.values())
        if self.label_column is None or held_out >= TESTED:
            return ""
        return f"models are not tested with and without rewards (at least {TESTED} are needed)"

    def _of_models(self, settlement: Settlement, accuracies: Sequence[Scores]) -> dict[str, str]:
        """Say with how many rows classifiers were trained, if not with all."""

        if not accuracies or sum(settlement.game.sizes[:-1]) <= TRAINED:
            return {}
        return {
            "downstream": f"Models are trained and tested with at most {TRAINED:,} rows, unless downstream.max_points "
            "is given, and rewards are labelled by as many."
        }

    def _accuracies(
        self,
        settlement: Settlement,
        labels: Mapping[str, pd.Series] | None,
        masks: Mapping[str, np.ndarray],
        held_out: Sequence[torch.Tensor],
        seed: int,
    ) -> list[Scores]:
        """Train and test classifiers of the labels, with at most `TRAINED` rows each."""

        if labels is None or self._untested(masks):
            return []
        cells = {name: series.fillna("(missing)") for name, series in labels.items()}
        classes = sorted(set().union(*cells.values()))
        numbers = {
            name: torch.from_numpy(pd.Categorical(c, classes).codes.astype(np.int64)) for name, c in cells.items()
        }
        used = [numbers[name][torch.from_numpy(mask)] for name, mask in masks.items()]
        test = torch.cat([numbers[name][torch.from_numpy(~mask)] for name, mask in masks.items()])
        pool = settlement.pool.points[: self.candidates]  # of which rewards are drawn
        random = np.random.default_rng(stream_seed(seed, Stream.SAMPLE_ROWS))

        def part(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if len(x) <= TRAINED:
                return x, y
            rows = torch.from_numpy(np.sort(random.choice(len(x), TRAINED, replace=False)))
            return x[rows], y[rows]

        of_pool = self.labeller.label(*part(torch.cat(settlement.parties), torch.cat(used)), pool)
        if of_pool is None:
            return []
        rewards = [
            LabelledReward(c.party, c.beta, pool[c.indices], of_pool[c.indices]) for c in settlement.drawn.values()
        ]
        parties = list(zip(settlement.parties, used, strict=True))

        task = self.downstream
        if isinstance(task, ModelTask) and task.max_points is None:
            task = replace(task, max_points=TRAINED)
        return task.evaluate(parties, rewards, part(torch.cat(list(held_out)), test))


def settle(parties: Any, **settings: Any) -> PartySettlement | ReleasedSettlement:
    """Compute the rewards of parties with tables or images.

    Arguments:
        parties: The data of each party, in a dictionary from names or in a list: a DataFrame, or another table that
            PyArrow takes; the path of a file of a table, or of a folder of images; an array of images, see
            `ImageMediator`. Tables and files of tables may be mixed, and so may arrays and folders of images. With
            `party_column`, one table or file of all parties.
        settings: Settings of `TableMediator` or `ImageMediator`, and those of files: `party_column`, `names`,
            `encoding`, `separator`, `skip` and `schema`, as on the command line.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a setting is out of range, or the data cannot be read or valued.
        TypeError: If there is no such setting.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(3, 60, 2))
        >>> tables = {f"hospital {i + 1}": pd.DataFrame(x[i], columns=["age", "dose"]) for i in range(3)}
        >>> settlement = settle(tables, synthetic_size=500, sensitivity=False)
        >>> list(settlement.reward_table(0, settlement.recommended[0]).columns)
        ['age', 'dose']
    """

    if isinstance(parties, Iterator):
        parties = list(parties)
    images = are_images(parties)
    of_files, others = split_settings(settings, TableMediator, ImageMediator if images else TableMediator)
    mediator = ImageMediator(**others) if images else TableMediator(**others)  # refused before files are read
    schema = of_files.read_schema()
    inputs = read_inputs(parties, of_files)
    if isinstance(mediator, ImageMediator):
        return mediator.settle_images(inputs.data, inputs.sources)
    return mediator.settle_tables(inputs.data, inputs.sources, schema)


def _with_digest(source: Source, table: pd.DataFrame) -> Source:
    """Add the SHA-256 of a table that has no file: that of its CSV."""

    text = table.to_csv(index=False)
    return replace(source, sha256=hashlib.sha256(text.encode()).hexdigest())
