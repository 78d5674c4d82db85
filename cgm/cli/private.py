"""The commands around sketches: `cgm schema`, `cgm sketch`, and `cgm settle` of sketches."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from cgm.cli.errors import explain
from cgm.cli.help import say
from cgm.data.tables.dialects import Skip
from cgm.data.tables.files import read_table, rows_digest
from cgm.privacy.accounting import MAX_EPSILON
from cgm.privacy.ledger import NAME, Ledger
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import FEATURES, KERNELS, MAX_LANDMARKS, SketchSchema, propose_schema
from cgm.privacy.sketch import SUFFIX, Sketch
from cgm.privacy.valuation import PRICES
from cgm.rewards.sampling import WeightedSampling
from cgm.settlements.folder import check_folder
from cgm.utils.files import read_plain
from cgm.utils.settings import Choice, Integer, Listed, Number, Settings, Text
from cgm.utils.signing import new_key, public_key, read_key
from cgm.utils.text import printable, printable_lines, suggestion
from cgm.utils.untrusted import load_yaml


@dataclass(frozen=True, kw_only=True)
class SchemaSettings(Settings):
    """Propose a public schema from public rows or a description of the columns, or show one.

    Arguments:
        public: A file of rows that anybody may see, such as a published data set; never rows that are to be protected.
        columns: A YAML file with the columns and for each its kind (numeric, integer, date, boolean, categorical), and
            minimum and maximum, or levels; missing: true, if cells may be empty. Such as
              age: {kind: integer, minimum: 0, maximum: 100}
              visit: {kind: date, minimum: 2020-01-01, maximum: 2024-12-31}
              sex: {kind: categorical, levels: [f, m, (other)], missing: true}
        schema: The file of a schema to show; nothing is written.
        kernel: The kernel.
        lengthscale: Its length-scale: a number, or median, which is that of the public rows.
        features: landmarks, or fourier for a grid in up to three dimensions.
        landmarks: The number of landmarks.
        delta: The probability δ of all sketches.
        categorical: Columns of the public rows to treat as categories.
        drop: Columns of the public rows to leave out.
        label: The column that is the class of a row: features are released for each class. null: none.
        encoding: The encoding of a CSV file that is not UTF-8.
        separator: The separator of its columns, if it is not recognised.
        out: The file of the schema, YAML.
    """

    public: Annotated[str, Text(path=True)] | None = None
    columns: Annotated[str, Text(path=True)] | None = None
    schema: Annotated[str, Text(path=True)] | None = None
    kernel: Annotated[str, Choice(tuple(KERNELS))] = "squared_exponential"
    lengthscale: Annotated[float, Number(min=0, open_min=True)] | Literal["median"] = "median"
    features: Annotated[str, Choice(FEATURES)] = "landmarks"
    landmarks: Annotated[int, Integer(min=1, max=MAX_LANDMARKS)] = 512
    delta: Annotated[float, Number(min=0, max=0.1, open_min=True)] = 1e-5
    categorical: Annotated[list, Listed(Text())] = field(default_factory=list)
    drop: Annotated[list, Listed(Text())] = field(default_factory=list)
    label: Annotated[str, Text()] | None = None
    encoding: Annotated[str, Text()] = "utf-8"
    separator: Annotated[str, Text()] | None = None
    out: Annotated[str, Text(path=True)] | None = None


@dataclass(frozen=True, kw_only=True)
class SketchSettings(Settings):
    """Sketch a party's own file: one small file with noise, which takes the place of the rows.

    Arguments:
        schema: The file of the schema that all parties agreed on.
        epsilon: The privacy parameter ε; smaller is more private.
        out: The file of the sketch.
        party: The name of the party in the sketch. null: that of the file.
        ledger: The file that keeps count of sketches. null: sketches.ledger.json beside the sketch.
        key: The file of the party's private key, by which the sketch is signed; cgm key makes one.
        encoding: The encoding of a CSV file that is not UTF-8.
        separator: The separator of its columns, if it is not recognised.
    """

    examples: ClassVar = {"schema": "schema.yaml", "epsilon": "1", "out": f"north{SUFFIX}"}

    schema: Annotated[str, Text(path=True)]
    epsilon: Annotated[float, Number(min=0, max=MAX_EPSILON, open_min=True)]
    out: Annotated[str, Text(path=True)]
    party: Annotated[str, Text()] | None = None
    ledger: Annotated[str, Text(path=True)] | None = None
    key: Annotated[str, Text(path=True)] | None = None
    encoding: Annotated[str, Text()] = "utf-8"
    separator: Annotated[str, Text()] | None = None


@dataclass(frozen=True, kw_only=True)
class KeySettings(Settings):
    """Make a private key, by which a party signs its sketches, or show the public key of one.

    Arguments:
        out: The file of the new private key, which nobody else can read, and which stays with the party.
        key: The file of a private key, whose public key is shown.
    """

    out: Annotated[str, Text(path=True)] | None = None
    key: Annotated[str, Text(path=True)] | None = None


@dataclass(frozen=True, kw_only=True)
class RewardSettings(Settings):
    """Complete a reward of a settlement of sketches at home, against the party's own rows.

    Arguments:
        schema: The file of the schema that the rows were sketched by, which is compared with that of the folder.
        out: The file of the completed reward, CSV. null: completed.csv in the folder.
        seed: The seed of the draws of further points.
        encoding: The encoding of a CSV file that is not UTF-8.
        separator: The separator of its columns, if it is not recognised.
    """

    schema: Annotated[str, Text(path=True)] | None = None
    out: Annotated[str, Text(path=True)] | None = None
    seed: Annotated[int, Integer(min=0)] = 0
    encoding: Annotated[str, Text()] = "utf-8"
    separator: Annotated[str, Text()] | None = None


@dataclass(frozen=True, kw_only=True)
class SettleSettings(Settings):
    """Settle sketches: values, contributions, rewards, with standard errors, and what is guaranteed to each party.

    Arguments:
        schema: The file of the schema that all sketches were made by.
        out: The folder of the results, new or empty.
        keys: A YAML file with the public key of each party, by its name: each sketch must be signed by its party's.
            null: signatures are verified by the keys that sketches name themselves.
        contribution: The contribution concept, a choice of the group contribution. null: shapley.
        scheme: The scheme, a choice of the group scheme. null: shapley_fair.
        price: none, if noise costs a party nothing in expectation; bias, if values fall with privacy.
        synthetic_size: The size of the synthetic pool. null: twice as many points as rows, from 3,000 to 100,000.
        particles: The number of particles that the pool is drawn from.
        steps: The number of steps of their fit.
        beta: The inverse temperature of the rewards.
        tolerance: The share of a party's possible gain that a complete reward may miss.
        draws: The number of draws of noise for standard errors. null: 100, or 20 for more than 12 parties.
        at_home: Whether parties receive what cgm reward needs: the pool, and the total of the others' sketches.
        seed: The seed of the pool and of sampling; the noise of sketches has none.
    """

    examples: ClassVar = {"schema": "schema.yaml", "out": "settlement"}

    schema: Annotated[str, Text(path=True)]
    out: Annotated[str, Text(path=True)]
    keys: Annotated[str, Text(path=True)] | None = None
    contribution: Annotated[str, Text()] | None = None
    scheme: Annotated[str, Text()] | None = None
    price: Annotated[str, Choice(PRICES)] = "none"
    synthetic_size: Annotated[int, Integer(min=1)] | None = None
    particles: Annotated[int, Integer(min=2)] = ParticleFit.particles
    steps: Annotated[int, Integer(min=1)] = ParticleFit.steps
    beta: Annotated[float, Number(min=0)] = 4.0
    tolerance: Annotated[float, Number(min=0, max=1, open_max=True)] = 0.05
    draws: Annotated[int, Integer(min=2)] | None = None
    at_home: bool = False
    seed: Annotated[int, Integer(min=0)] = 0


S = TypeVar("S", bound=Settings)


def schema(arguments: Sequence[str]) -> None:
    """Propose and write a schema, or show one.

    Arguments:
        arguments: What follows `cgm schema`.

    Raises:
        SystemExit: If a setting or a file is not valid, with one line.
    """

    given = schema_parser().parse_args(arguments)
    with_errors(lambda: _schema(settings_of(SchemaSettings, given.settings)))


def schema_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm schema`."""

    return _parser("cgm schema", SchemaSettings)


def _schema(given: SchemaSettings) -> None:
    """Carry out `cgm schema`."""

    if given.schema is not None:
        shown = SketchSchema.read(given.schema)
        say(printable_lines(f"{shown!r}\ndigest {shown.digest}"))
        return
    if given.out is None:
        raise ValueError("out: the file of the schema is missing, say for example out=schema.yaml")
    _check_new(given.out, "cgm schema writes a new file; sketches of another schema are refused")
    rows = None if given.public is None else read_table(given.public, given.encoding, given.separator)[0]
    columns: Any = None
    if given.columns is not None:
        columns = load_yaml(read_plain(given.columns, links=True).decode())
        columns = columns.get("columns", columns) if isinstance(columns, dict) else columns
    kernel = KERNELS[given.kernel](given.lengthscale)
    proposed = propose_schema(
        rows,
        columns,
        kernel,
        given.landmarks,
        given.features,
        given.delta,
        given.categorical,
        given.drop,
        given.label,
    )
    lines = [repr(proposed), f"digest {proposed.digest}"]
    if rows is not None:
        points = proposed.encode(rows, given.public or "")
        lost = 1 - float(proposed.embedding.transform(points).square().sum(1).mean()) / proposed.kernel.diagonal
        lines.append(f"the features miss {100 * max(lost, 0):.2g} % of the weight of a public row")
        of_rows = "ranges, levels, scales" if columns is None else "scales"
        lines.append(
            f"{of_rows}, length-scale and landmarks are those of {given.public}, and everybody will see them: it must "
            "not hold rows that are to be protected"
        )
    proposed.write(given.out)
    say(printable_lines("\n".join([*lines, f"{given.out}: read it, and let all parties agree on it"])))


def sketch(arguments: Sequence[str]) -> None:
    """Sketch a file, and say what the sketch reveals.

    Arguments:
        arguments: What follows `cgm sketch`.

    Raises:
        SystemExit: If a setting or a file is not valid, with one line.
    """

    given = sketch_parser().parse_args(arguments)
    with_errors(lambda: _sketch(given.file, settings_of(SketchSettings, given.settings)))


def sketch_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm sketch`."""

    parser = _parser("cgm sketch", SketchSettings, settings=False)
    parser.add_argument("file", metavar="FILE", help="the party's own rows: CSV, Parquet or Excel")
    return _add_settings(parser, SketchSettings)


def _sketch(file: str, given: SketchSettings) -> None:
    """Carry out `cgm sketch`."""

    _check_new(given.out, "another sketch is another release; delete it only if nobody has received it")
    private = None if given.key is None else read_key(given.key)
    out = Path(given.out)
    ledger = Ledger(given.ledger or out.with_name(NAME))
    known = ledger.path.exists()
    public = SketchSchema.read(given.schema)
    table, source = read_table(file, given.encoding, given.separator, Skip(0, 0))
    party = given.party or source.file[: -len(source.suffix)]
    made = Sketch.draw(public, table, party, given.epsilon)
    if private is not None:
        made = made.signed(private)
    digest = rows_digest(table)
    earlier = ledger.earlier(digest)
    ledger.add(digest, made, out.name)
    made.write(out)
    lines = made.in_words()
    if earlier and (together := ledger.together(digest, public.delta)) is not None:
        names = ", ".join(f"{entry.file} (ε = {entry.epsilon:g})" for entry in earlier)
        lines.append(
            f"WARNING: of these rows, there are earlier sketches: {names}. Together with this one, the guarantee is "
            f"ε = {together.epsilon:.3g} at δ = {public.delta:g} (μ = {together.mu:.3g}): {together.in_words()}."
        )
    if private is not None:
        lines.append(f"It is signed; the public key is {made.public_key}.")
    if not known:
        lines.append(
            f"{ledger.path}: is new. Sketches of these rows that another file counts, as in another folder, are not "
            "counted: they add up all the same; name that file by ledger="
        )
    size = os.path.getsize(out)
    lines.append(f"{out}: {size:,} bytes, to be sent; {ledger.path}: keeps count of sketches, and stays here")
    say(printable_lines("\n".join(lines)))


def key(arguments: Sequence[str]) -> None:
    """Make a private key, or show the public key of one.

    Arguments:
        arguments: What follows `cgm key`.

    Raises:
        SystemExit: If a setting or a file is not valid, with one line.
    """

    given = key_parser().parse_args(arguments)
    with_errors(lambda: _key(settings_of(KeySettings, given.settings)))


def key_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm key`."""

    return _parser("cgm key", KeySettings)


def _key(given: KeySettings) -> None:
    """Carry out `cgm key`."""

    if (given.out is None) == (given.key is None):
        raise ValueError("expected either out=, the file of a new private key such as out=north.key, or key=, of one")
    if given.key is not None:
        say(public_key(read_key(given.key)))
        return
    assert given.out is not None
    _check_new(given.out, "a key that is replaced is lost; name another file")
    public = new_key(given.out)
    say(
        printable_lines(
            f"{public}\n{given.out}: the private key: keep it, and let nobody have it. The line above is the public "
            "key: give it to the mediator, by another way than the sketch."
        )
    )


def reward(arguments: Sequence[str]) -> None:
    """Complete a reward at home, and say what was promised and what it is worth with the exact rows.

    Arguments:
        arguments: What follows `cgm reward`.

    Raises:
        SystemExit: If a setting or a file is not valid, with one line.
    """

    given = reward_parser().parse_args(arguments)
    with_errors(lambda: _reward(given.folder, given.file, settings_of(RewardSettings, given.settings)))


def reward_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm reward`."""

    parser = _parser("cgm reward", RewardSettings, settings=False)
    parser.add_argument("folder", metavar="FOLDER", help="the folder that you received, with certificate.json")
    parser.add_argument("file", metavar="FILE", help="your own rows, those that you sketched: CSV, Parquet or Excel")
    return _add_settings(parser, RewardSettings)


def _reward(folder: str, file: str, given: RewardSettings) -> None:
    """Carry out `cgm reward`."""

    from cgm.settlements.completion import complete_reward
    from cgm.settlements.verification import COMPLETED

    out = Path(folder) / COMPLETED if given.out is None else Path(given.out)
    if out.suffix.lower() != ".csv":
        raise ValueError(f"out={out}: expected a name that ends in .csv")
    for path in (out, out.with_suffix(".json")):
        _check_new(str(path), "delete the earlier one, or name another file")
    schema = None if given.schema is None else SketchSchema.read(given.schema)
    rows, _ = read_table(file, given.encoding, given.separator, Skip(0, 0))
    completed = complete_reward(folder, rows, given.seed, schema)
    completed.write(out)
    say(
        printable_lines(
            f"{completed!r}\n{completed.in_words()}\n{out}: the completed reward, and "
            f"{out.with_suffix('.json').name} its numbers. Both follow from your exact rows, for which no sketch's "
            "guarantee holds: keep them."
        )
    )


def settle(arguments: Sequence[str]) -> None:
    """Settle sketches, and print the headline numbers.

    Arguments:
        arguments: What follows `cgm settle`, if one of it is the file of a sketch.

    Raises:
        SystemExit: If a setting or a file is not valid, with one line.
    """

    given = settle_parser().parse_args(arguments)
    files = [each for each in given.arguments if each.endswith(SUFFIX) and "=" not in each]
    settings = [each for each in given.arguments if each not in files]
    if tables := [each for each in settings if "=" not in each]:
        raise SystemExit(
            printable(f"cgm: error: {tables[0]}: expected a file that ends in {SUFFIX}, as the others; sketch it first")
        )
    if len(files) < 2:
        raise SystemExit(printable(f"cgm: error: {files[0]}: one sketch; give one for each party"))
    with_errors(lambda: _settle(files, settings_of(SettleSettings, settings)))


def settle_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm settle` of sketches."""

    parser = _parser("cgm settle", SettleSettings, settings=False)
    parser.add_argument("arguments", nargs="*", metavar=f"FILE{SUFFIX}|NAME=VALUE", help="sketches, and settings")
    return parser


def _settle(files: Sequence[str], given: SettleSettings) -> None:
    """Carry out `cgm settle` of sketches."""

    from cgm.settlements.sketches import SketchMediator

    check_folder(given.out)
    changes = {} if given.contribution is None else {"contribution": given.contribution}
    changes |= {} if given.scheme is None else {"scheme": given.scheme}
    mediator = SketchMediator(
        sampling=WeightedSampling((given.beta,), tolerance=given.tolerance),
        pool=ParticleFit(particles=given.particles, steps=given.steps),
        synthetic_size=given.synthetic_size,
        price=given.price,
        draws=given.draws,
        at_home=given.at_home,
        seed=given.seed,
        **changes,  # type: ignore[arg-type]  # names of choices
    )
    public = SketchSchema.read(given.schema)
    keys = None if given.keys is None else load_yaml(read_plain(given.keys, links=True).decode())
    settlement = mediator.settle([Sketch.read(file, public) for file in files], keys)
    settlement.write(given.out)
    say(printable_lines(f"{settlement.table()}\n{given.out}"))


def settings_of(cls: type[S], given: Sequence[str]) -> S:
    """Return settings from arguments such as `epsilon=1`, whose values are YAML.

    Raises:
        ValueError: If one is not of this form, unknown, given twice, or out of range.
    """

    names = [each.name for each in fields(cls)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if not equals or name not in names:
            raise ValueError(f"{argument}: expected {', '.join(f'{each}=' for each in names)}{suggestion(name, names)}")
        if name in values:
            raise ValueError(f"{name}: is given twice")
        is_text = not value.startswith("[") and name in _TEXTS
        values[name] = value if is_text else load_yaml(value)
        if isinstance(values[name], str) and name in _NUMBERS:  # 1e-5 is text in YAML
            with contextlib.suppress(ValueError):  # the name of a rule, or an error of its own
                values[name] = float(values[name])
    required = (each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING)  # type: ignore[arg-type]
    for name in required:
        if name not in values:
            raise ValueError(f"{name}: is missing, say for example {name}={cls.examples[name]}")  # type: ignore[attr-defined]
    return cls(**values)


_TEXTS = ("public", "columns", "schema", "out", "party", "label", "ledger", "key", "keys", "encoding", "separator")
_NUMBERS = ("epsilon", "delta", "lengthscale")


def with_errors(work: Any) -> None:
    """Do some work; what it refuses ends the command with one line."""

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        work()
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(printable(f"cgm: error: {explain(error)}")) from error


def _check_new(path: str, why: str) -> None:
    if os.path.lexists(path):
        raise ValueError(f"out={path}: exists; {why}")


def _parser(program: str, cls: type[Settings], settings: bool = True) -> argparse.ArgumentParser:
    """Return a parser that shows the settings of a class."""

    summary, _, entries = (cls.__doc__ or "").partition("Arguments:")
    parser = argparse.ArgumentParser(
        prog=program,
        description=summary.strip(),
        epilog="settings, NAME=VALUE:\n" + entries.rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return _add_settings(parser, cls) if settings else parser


def _add_settings(parser: argparse.ArgumentParser, cls: type[Settings]) -> argparse.ArgumentParser:
    parser.add_argument("settings", nargs="*", default=[], metavar="NAME=VALUE", help="see below")
    return parser
