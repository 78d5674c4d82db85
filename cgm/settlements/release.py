r"""Settlements of tables with `privacy=release`: the mediator holds the rows, and sketches each party itself."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from cgm.data.features.autoencoder import Automatic
from cgm.data.tables.files import Source, read_table, table_file
from cgm.evaluation.privacy.base import NoAudit
from cgm.mediator import naming
from cgm.privacy.release import NO_REPLAY, Release
from cgm.privacy.rows import to_codes
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.privacy.sketch import SUFFIX, Sketch
from cgm.release import check_release, computation, own_rewards, warn_of_delta
from cgm.rewards.sampling import Reward
from cgm.settlements.certificate import form_of, rounded
from cgm.settlements.folder import safe_names
from cgm.settlements.sketches import SketchSettlement
from cgm.settlements.tables import Rows, TableMediator
from cgm.utils.plain import plain, snake
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import Clock, timed

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SCHEMAS = (".yaml", ".yml", ".json")  # the ends of files that are schemas and not public rows
# settings that would read or change rows beyond the public schema
OF_ROWS = (
    "label_column", "identifiers", "keep", "numbers", "rare", "missing", "decimal", "thousands", "dates", "min_count",
    "max_rows", "held_out", "disclose",
)  # fmt: skip
OF_SCHEMAS = ("drop", "categorical")  # that a schema states
PUBLIC = (
    "the schema: columns, ranges, levels, scales, kernel, length-scale, landmarks, δ",
    "the names of the parties, their numbers of rows and their ε",
    "all settings",
)


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class ReleasedSettlement(SketchSettlement):
    r"""What a mediator that holds the rows computes with `privacy=release`.

    All but `drawn` follows from one sketch of each party. The reward of a party in `drawn` stops by its exact rows and
    the sketches of the others: it, its size and its value are for this party alone, and only its folder has them.

    Attributes:
        columns: The columns of each party, in the order of its table.
        sources: Where the table of each party came from.
        given: All settings, as JSON holds them.
        of_public: Whether the pool follows public rows, and not the sketches.
    """

    seen: ClassVar[str] = (
        "the mediator holds the rows, and drew one sketch of each party; all in this report follows from the sketches"
    )
    public: ClassVar[Sequence[str]] = PUBLIC
    covered: ClassVar[str] = "what the other parties have"
    own_reward: ClassVar[str] = (
        "The guarantee for the rows of all others covers it. It stops by your exact rows: passed on, it, and how many "
        "rows it has, are not covered by the guarantee for yours."
    )

    columns: Sequence[Sequence[str]]
    sources: Sequence[Source]
    given: Mapping[str, Any]
    of_public: bool = False

    def to_frame(self) -> pd.DataFrame:
        """Return a table of pandas, a row for each party: what follows from the sketches, and no sizes of rewards."""

        return super().to_frame().drop(columns="size")

    def reward_table(self, party: int) -> pd.DataFrame:
        """Return the reward of a party, from 0, with the columns of its table, for this party alone."""

        return super().reward_table(party)[list(self.columns[party])]

    def reward_files(self, party: int) -> dict[str, bytes]:
        """Return the file of the reward of a party, from 0, in the format of its own file."""

        source = self.sources[party]
        content = table_file(self.reward_table(party), self.schema.columns.columns, source).content
        return {f"reward{source.suffix}": content}

    def mediator_files(self) -> dict[str, bytes]:
        """Return the files that stay with the mediator, by name, among them the sketches; none of the rewards."""

        names = safe_names(self.names)
        sketches = {f"sketches/{name}{SUFFIX}": x.to_bytes() for name, x in zip(names, self.sketches, strict=True)}
        return super().mediator_files() | sketches

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers that follow from the sketches, as plain values."""

        return super().to_dict() | {"replay": NO_REPLAY, "settings": dict(self.given)}

    def follows(self) -> str:
        """Return what the pool follows."""

        return "fitted to the public rows alone" if self.of_public else super().follows()

    def _data(self, party: int) -> dict[str, Any]:
        source = self.sources[party]
        form = form_of({**vars(source), "skip": None if source.skip is None else source.skip._asdict()})
        return {"file": PureWindowsPath(source.file).name, "sha256": source.sha256, **form}

    def _own(self, party: int) -> dict[str, Any]:
        reward = self.drawn[party]
        numbers = {"value": reward.start, "with_reward": reward.value, "target": reward.target, "limit": reward.upper}
        exact = {name: rounded(x) for name, x in numbers.items()}
        return {
            "points": reward.size,
            "by_own_rows": {**exact, "beta": reward.beta, "reached": reward.reached},
            "for": "points and by_own_rows are exact: for this party alone, and not protected if they are passed on",
        }

    def more(self) -> list[str]:
        """Return what else the report says of the method."""

        return [
            "Rewards stop by the exact rows of their owner, so that this report has neither their sizes nor their "
            f"values: each party has its own. All rows were sketched; {NO_REPLAY}. To settle with other settings at no "
            "further cost, settle the files in mediator/sketches: cgm settle mediator/sketches/*.sketch "
            "schema=mediator/schema.json. Not computed: audit, other settings, models.",
        ]


def check_tables(mediator: TableMediator, privacy: Release) -> None:
    """Check the settings of a mediator of tables.

    Raises:
        ValueError: If something would be fitted to private rows, or has no effect; the message says what to give.
    """

    if not isinstance(mediator.features, Automatic):
        name = snake(type(mediator.features).__name__)
        raise ValueError(f"features={name}: with privacy=release the public schema encodes tables; say features=auto")
    check_release(mediator, privacy)
    if not isinstance(privacy.public, str):
        raise ValueError(
            f"privacy.public={privacy.public}: of tables, expected the file of public rows, which nobody owns, or of a "
            "schema as cgm schema writes, such as privacy.public=schema.yaml"
        )
    is_schema = Path(privacy.public).suffix.lower() in SCHEMAS
    if is_schema and privacy.pool == "public":
        raise ValueError(
            f"privacy.pool=public: {privacy.public} is a schema; say the file of public rows, or pool=sketches"
        )
    if is_schema and plain(mediator.kernel) != plain(_default(defaults_of(mediator)["kernel"])):
        raise ValueError(
            f"kernel={snake(type(mediator.kernel).__name__)}, kernel.lengthscale={mediator.kernel.lengthscale}: the "
            f"schema {privacy.public} states the kernel; leave it out"
        )
    if not is_schema and mediator.kernel.lengthscale in ("fit", "fit_monotone"):
        raise ValueError(
            f"kernel.lengthscale={mediator.kernel.lengthscale}: would be fitted to the parties' rows; with "
            "privacy=release say median, which is that of the public rows, or a number"
        )
    defaults = {name: _default(field) for name, field in defaults_of(mediator).items()}
    for name in (*OF_ROWS, *(OF_SCHEMAS if is_schema else ())):
        value = getattr(mediator, name)
        if value != defaults[name]:
            given = list(value) if isinstance(value, tuple) else value
            raise ValueError(
                f"{name}={given}: has no effect with privacy=release, where each cell is read by the public schema "
                "alone; leave it out"
            )


def settle_released(
    mediator: TableMediator, privacy: Release, tables: Mapping[str, pd.DataFrame], sources: Sequence[Source], seed: int
) -> ReleasedSettlement:
    """Compute the rewards of parties with tables from sketches of their rows.

    Arguments:
        mediator: The mediator.
        privacy: The settings of the release.
        tables: The table of each party, by its name.
        sources: Where they came from.
        seed: The seed of everything random but the noise, which has none.

    Raises:
        ValueError: If the tables do not fit the public schema; the message names the party, the column and the row.
        InfeasibleScheme: If no rewards fit their bounds, however large the pool.
    """

    check_tables(mediator, privacy)
    epsilons, names, warnings = privacy.epsilons(len(tables)), list(tables), list[str]()
    with Clock() as clock, mediator.engine.running(), naming(names):
        with timed("schema"):
            schema, public = public_schema(mediator, privacy)
            points = [schema.encode(table, name) for name, table in tables.items()]
        with timed("sketches"):
            sketches = [
                Sketch.of_points(schema, x, name, epsilon)
                for x, name, epsilon in zip(points, names, epsilons, strict=True)
            ]
        warnings += warn_of_delta(sketches)
        if not isinstance(mediator.audit, NoAudit):
            warnings.append("audit: is not run, since attacks read held-out rows of other parties; say audit=none")
        for message in warnings:
            log.warning(message)
        pool = None
        if privacy.pool == "public":
            pool = _public_pool(mediator, schema, public, seed)
        sizes = mediator.mediator().sizes(sum(map(len, points)))
        numbers = computation(mediator, privacy, seed).compute(sketches, sizes, pool)
        with timed("sampling"):
            drawn = [nearest(own_rewards(numbers, party, x, mediator.candidates)[1]) for party, x in enumerate(points)]
    return ReleasedSettlement(
        **vars(numbers) | {"warnings": [*warnings, *numbers.warnings]},
        drawn=drawn,
        seconds=clock.seconds,
        columns=[[str(name) for name in table if name not in schema.columns.dropped] for table in tables.values()],
        sources=sources,
        given=plain(mediator) | {"seed": seed},
        of_public=pool is not None,
    )


def nearest(rewards: Sequence[Reward]) -> Reward:
    r"""Return the reward of a party that comes nearest to all data, of those for each $\beta$: by its own rows."""

    return min(rewards, key=lambda reward: reward.mmd2_unbiased)


def public_schema(mediator: TableMediator, privacy: Release) -> tuple[SketchSchema, pd.DataFrame | None]:
    """Return the public schema, and the public rows if there are any.

    Raises:
        ValueError: If the file is neither, or if settings contradict it.
    """

    path = Path(str(privacy.public))
    if path.suffix.lower() in SCHEMAS:
        schema = SketchSchema.read(path)
        if privacy.delta not in (Release.delta, schema.delta):
            raise ValueError(f"privacy.delta={privacy.delta:g}: {path} says δ = {schema.delta:g}; leave it out")
        return schema, None
    public, _ = read_table(path)
    kernel, drop, categorical = mediator.kernel, mediator.drop, mediator.categorical
    schema = propose_schema(public, None, kernel, privacy.landmarks, "landmarks", privacy.delta, categorical, drop)
    return schema, public


def _public_pool(
    mediator: TableMediator, schema: SketchSchema, public: pd.DataFrame | None, seed: int
) -> Callable[[int], torch.Tensor]:
    """Return what draws a pool of some size from a generator that is fitted to public rows."""

    assert public is not None  # of a file of rows
    with timed("generator"):
        codes = to_codes(schema.columns, public, "the public rows")
        generator = Rows(copy.copy(mediator.generator), schema.encoding)
        generator.fit(codes, stream_seed(seed, Stream.FIT_GENERATOR))
    return lambda size: schema.encoding.transform(generator.sample(size, stream_seed(seed, Stream.SAMPLE_POOL)))


def defaults_of(mediator: TableMediator) -> dict[str, Field]:
    """Return the fields of a mediator, which have its defaults, by name."""

    return {field.name: field for field in fields(mediator)}


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
