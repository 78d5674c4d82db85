"""From the tables of several parties to tables of rewards."""

from __future__ import annotations

import copy
import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cgm.data.features.automatic import Automatic
from cgm.data.tables.encoding import NUMBER_ENCODINGS, TableEncoding
from cgm.data.tables.files import Source, tables_by_name
from cgm.data.tables.inference import infer_schema
from cgm.data.tables.schema import Schema
from cgm.evaluation.entries import Accuracy, RewardAudit
from cgm.evaluation.labellers.base import Labeller
from cgm.evaluation.labellers.knn import KNN
from cgm.evaluation.privacy.base import Audit
from cgm.evaluation.privacy.membership import Membership
from cgm.evaluation.tasks.base import LabelledReward, Task
from cgm.evaluation.tasks.svm import SVM
from cgm.generators.base import Generator
from cgm.generators.copula import Copula
from cgm.generators.pool import draw_pool
from cgm.mediator import Mediator, Settlement
from cgm.records.plain import plain
from cgm.records.settlement_folder import write_settlement
from cgm.records.tables import aligned_lines
from cgm.utils.checks import check_bool, check_choice, check_instance, check_integer, check_number
from cgm.utils.clock import Clock
from cgm.utils.lazy import pd, torch
from cgm.utils.progress import progress
from cgm.utils.seeds import stream_seed
from cgm.valuation.valuation import Valuation

log = logging.getLogger(__name__)

HOLD_OUT, AUDIT, AGAIN, FILL = 11, 12, 13, 14  # streams that a seed is split into, beside those of the mediator
OWN = ("seconds", "warnings")  # of a settlement of tables, in place of the mediator's
MIN_ROWS = 10  # of a party, to value and audit it
TESTED = 50  # held-out rows from which accuracies are measured
SENSITIVE = 0.25  # changes of α above it are told
LENGTHSCALES = (0.5, 2.0)  # factors of the length-scale for which contributions are computed again


@dataclass(frozen=True)
class TableSettlement(Settlement):
    r"""What a mediator computes for parties with tables.

    Attributes:
        names: The names of the parties.
        tables: The rows of each party that were valued.
        held_out: The rows of each party that neither the generator nor the valuation has seen.
        schema: The columns.
        pool_table: The synthetic pool $G$ as a table; row k belongs to `pool.points[k]`.
        recommended: For each party the $\beta$ whose reward is nearest to all data, that is, with the smallest unbiased
            $\text{MMD}^2(D_i \cup G_i, T)$.
        audits: What an attacker can learn from each reward.
        accuracies: The accuracies of classifiers of `label_column` with and without each reward; empty without labels.
        sensitivity: The contributions $\alpha$ with other length-scales and another seed.
        settings: All settings.
        sources: Where the tables came from.
    """

    names: tuple[str, ...]
    tables: tuple[pd.DataFrame, ...]
    held_out: tuple[pd.DataFrame, ...]
    schema: Schema
    pool_table: pd.DataFrame
    recommended: tuple[float, ...]
    audits: tuple[RewardAudit, ...]
    accuracies: tuple[Accuracy, ...]
    sensitivity: Mapping[str, Sequence[float]]
    settings: Mapping[str, Any]
    sources: tuple[Source, ...]

    def reward_table(self, party: int, beta: float) -> pd.DataFrame:
        r"""Return the reward $G_i$ of a party (from 0) at an inverse temperature as a table.

        Raises:
            ValueError: If no such reward was drawn.
        """

        columns = list(self.tables[party].columns)  # in the order of the party's own table
        return self.pool_table[columns].iloc[self.chain(party, beta).indices.numpy()].reset_index(drop=True)

    def table(self) -> str:
        """Return the headline numbers as a short table, a row for each party."""

        betas = list(dict.fromkeys(chain.beta for chain in self.chains))
        rows = [["party", "rows", "v(D_i)", "α", "r_i", *(f"rows β={beta:g}" for beta in betas)]]
        for i, name in enumerate(self.names):
            numbers = (self.game.party_values[i], self.contributions.alpha[i], self.rewards.values[i])
            chains = [self.chain(i, beta) for beta in betas]
            marks = ["*" * (not c.reached) + "<" * (c.beta == self.recommended[i]) for c in chains]
            sizes = [f"{len(c.indices)}{mark:1}" for c, mark in zip(chains, marks, strict=True)]
            rows.append([name, str(len(self.tables[i])), *(f"{float(x):.4f}" for x in numbers), *sizes])
        lines = aligned_lines(rows)
        lines.append("< recommended: nearest to all data")
        alpha, largest = self.contributions.alpha.tolist(), SENSITIVE
        for setting, others in self.sensitivity.items():
            for name, before, after in zip(self.names, alpha, others, strict=True):
                if abs(after - before) > largest:
                    largest = abs(after - before)
                    sensitive = f"contributions depend on settings: with {setting}, α of {name} is {after:.2f}"
        if largest > SENSITIVE:
            lines.append(sensitive)
        if not all(chain.reached for chain in self.chains):
            lines.append("* stopped before v(D_i ∪ G_i) reached r_i")
        return "\n".join(lines)

    def write(self, folder: str | Path, disclose: Sequence[str] = (), alternatives: bool = False) -> Path:
        r"""Write report, certificates and rewards to a folder, completely or not at all.

        Arguments:
            folder: The folder, new or empty.
            disclose: What each party may know of all parties: any of `names`, `sizes`, `contributions`, `values`,
                `rewards`.
            alternatives: Whether parties also receive their rewards for the $\beta$ that are not recommended; with
                several rewards, a party has more than its reward value.

        Raises:
            ValueError: If the folder is not empty, or `disclose` has an unknown name.
        """

        return write_settlement(folder, self, disclose, alternatives)


@dataclass(frozen=True, kw_only=True)
class TableMediator(Mediator):
    r"""Turns the tables of several parties into rewards, which are tables too.

    It is a `Mediator`, whose settings it shares, with a schema and an encoding before it and an audit after it.

    Arguments:
        label_column: A column of classes, kept out of valuation and rewards: classifiers of it are trained with and
            without rewards. `None`: no classifiers.
        drop: Columns to leave out.
        categorical: Columns that are categories, whatever their cells.
        numbers: How numbers are encoded, see `TableEncoding`.
        rare: The share of rows below which levels of a category are pooled.
        held_out: The share of each party's rows that neither the generator nor the valuation sees, for the audit.
        labeller: Labels synthetic rows, for the classifiers alone.
        downstream: Trains and tests the classifiers.
        audit: Measures what rewards give away.
        sensitivity: Whether contributions are computed again with other length-scales and another seed.
        seed: The seed of everything random. `None`: one that cannot be guessed. A party that knows the seed of the pool
            can undo the noise of some generators, and then sees real rows.

    Raises:
        ValueError: If a setting is out of range.
    """

    generator: Generator = field(default_factory=Copula)
    label_column: str | None = None
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    numbers: str = "standardise"
    rare: float = 0.005
    held_out: float = 0.1
    labeller: Labeller = field(default_factory=KNN)
    downstream: Task = field(default_factory=SVM)
    audit: Audit = field(default_factory=Membership)
    sensitivity: bool = True
    seed: int | None = None

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
        check_number("held_out", self.held_out, min=0, max=0.5)
        check_instance("labeller", self.labeller, Labeller)
        check_instance("downstream", self.downstream, Task)
        check_instance("audit", self.audit, Audit)
        check_bool("sensitivity", self.sensitivity)
        check_integer("seed", self.seed, min=0, optional=True)

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
            return replace(self, seed=secrets.randbits(63)).settle_tables(parties, sources, schema)
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
        rewards = [(c.party, c.beta, settlement.pool.points[c.indices]) for c in settlement.chains]
        with clock("audit"):
            audits = self.audit.audit(settlement.parties, apart, rewards, stream_seed(self.seed, AUDIT))
        with clock("downstream"):
            accuracies = self._accuracies(settlement, labels, masks, apart)
        with clock("sensitivity"):
            sensitivity, warnings = self._sensitivity(settlement, codes) if self.sensitivity else ({}, [])

        shared = {name: getattr(settlement, name) for name in Settlement.__dataclass_fields__ if name not in OWN}
        return TableSettlement(
            **shared,
            seconds={**settlement.seconds, **clock.seconds},
            warnings=[*settlement.warnings, *warnings],
            names=tuple(tables),
            tables=tuple(used),
            held_out=tuple(held_out),
            schema=schema,
            pool_table=pool_table,
            recommended=tuple(_recommended(settlement, party) for party in range(len(used))),
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
        settings = {name: getattr(self, name) for name in Mediator.__dataclass_fields__}

        return Mediator(**{**settings, "features": encoding, "generator": generator})

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

    def _used(self, tables: Mapping[str, pd.DataFrame]) -> dict[str, np.ndarray]:
        """Draw the rows that are used, as a mask of shape (N_i) for each party."""

        assert self.seed is not None
        masks = {}
        for number, (name, table) in enumerate(tables.items()):
            if len(table) < MIN_ROWS:
                raise ValueError(f"{name}: has {len(table)} rows, at least {MIN_ROWS} are needed")
            random = np.random.default_rng([stream_seed(self.seed, HOLD_OUT), number])
            mask = np.ones(len(table), bool)
            mask[random.permutation(len(table))[: round(self.held_out * len(table))]] = False
            masks[name] = mask

        return masks

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

    def _sensitivity(
        self, settlement: Settlement, codes: Sequence[torch.Tensor]
    ) -> tuple[dict[str, list[float]], list[str]]:
        """Compute contributions with other length-scales, and with the generator and pool of another seed."""

        assert self.seed is not None
        game, seed = settlement.game, stream_seed(self.seed, AGAIN)
        found: dict[str, list[float]] = {}
        warnings: list[str] = []

        def compute(name: str, game: Valuation) -> None:
            try:
                found[name] = self.contribution.compute(game, seed).alpha.tolist()
            except ValueError as error:  # the settlement itself has contributions
                warnings.append(f"sensitivity, {name}: {error}")

        with progress(len(LENGTHSCALES) + 1, "sensitivity") as bar:
            for factor in LENGTHSCALES:
                kernel = game.kernel.with_lengthscale(factor * float(game.kernel.lengthscale))
                other = Valuation(kernel, settlement.parties, settlement.pool.points, self.precision)
                compute(f"length-scale × {factor:g}", other)
                bar.update()
            features = settlement.features
            assert isinstance(features, TableEncoding)
            generator = self._mediator(features).generator
            generator.fit(torch.cat(list(codes) if generator.space == "data" else settlement.parties), seed)
            pool = draw_pool(generator, features, game.sizes[-1], seed, game.points.shape[1])
            other = Valuation(game.kernel, settlement.parties, pool.points, self.precision)
            compute("another seed", other)
            bar.update()

        return found, warnings


def settle(parties: Mapping[str, pd.DataFrame], **settings: Any) -> TableSettlement:
    """Compute the rewards of parties with tables.

    Arguments:
        parties: The table of each party, by its name.
        settings: Settings of `TableMediator`.

    Raises:
        ValueError: If a setting is out of range, or the tables cannot be valued.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(3, 60, 2))
        >>> tables = {f"hospital {i + 1}": pd.DataFrame(x[i], columns=["age", "dose"]) for i in range(3)}
        >>> settlement = settle(tables, synthetic_size=500, sensitivity=False)
        >>> list(settlement.reward_table(0, settlement.recommended[0]).columns)
        ['age', 'dose']
    """

    return TableMediator(**settings).settle_tables(parties)


def _recommended(settlement: Settlement, party: int) -> float:
    """Return the β of the reward with the smallest unbiased MMD."""

    own = [chain for chain in settlement.chains if chain.party == party]
    return min(own, key=lambda chain: (not chain.reached, chain.mmd2_unbiased)).beta


def _with_digest(source: Source, table: pd.DataFrame) -> Source:
    """Add the SHA-256 of a table that has no file: that of its CSV."""

    text = table.to_csv(index=False)
    return replace(source, sha256=hashlib.sha256(text.encode()).hexdigest())
