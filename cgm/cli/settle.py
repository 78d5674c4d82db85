"""`cgm settle`: from the files or folders of the parties to reports, certificates and rewards."""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from cgm.cli.help import WITH_VALUE
from cgm.cli.settings import resolve, task_overrides
from cgm.cli.targets import check_targets
from cgm.data.images import read_image_parties
from cgm.data.tables.files import read_parties
from cgm.privacy.release import Release
from cgm.settlements.folder import check_folder
from cgm.settlements.inputs import FileSettings
from cgm.settlements.release import ReleasedSettlement
from cgm.utils.run import ending, limited
from cgm.utils.settings import Integer, Listed, Text
from cgm.utils.text import printable_lines

OF_TABLES: dict[str, Any] = {  # settings that images do not have, with their values where none is given
    "label_column": None,
    "drop": [],
    "categorical": [],
    "identifiers": [],
    "keep": [],
    "numbers": "standardise",
    "rare": 0.005,
    "missing": [],
    "decimal": None,
    "thousands": None,
    "dates": None,
    "min_count": 5,
    "labeller": None,
    "downstream": None,
    "privacy": {"_target_": "cgm.privacy.NoPrivacy"},
}
IMAGES = "cgm.ImageMediator"


@dataclass(frozen=True, kw_only=True)
class Command(FileSettings):
    """Settings of the command, beside those of the mediator; see `conf/settle.yaml`.

    Arguments:
        files: The files or folders of the parties.
        out: The folder of the results.
        alternatives: Whether parties also receive their rewards for other β.
        threads: The maximum number of threads; `None` for all cores.
    """

    files: Annotated[list, Listed(Text(path=True))] = dataclasses.field(default_factory=list)
    out: Annotated[str, Text(path=True)] | None = None
    alternatives: bool = False
    threads: Annotated[int, Integer(min=1)] | None = None


OF_THE_COMMAND = tuple(field.name for field in dataclasses.fields(Command))


def to_overrides(arguments: Sequence[str]) -> list[str]:
    """Return Hydra's arguments for those of `cgm settle`.

    Files are those that exist, whatever their names, and those that are neither settings nor options. If they are
    folders of images, the generator is `kde`, unless there is another one. A value of one sign, as in `separator=;`,
    is put in quotes, since many signs have a meaning in Hydra's grammar.

    Raises:
        ValueError: If an argument is part of a setting that the shell has divided.

    Example:
        >>> to_overrides(["a.csv", "out=rewards", "b.csv"])
        ['out=rewards', "files=['a.csv','b.csv']"]
    """

    others: list[str] = []
    files: list[str] = []
    value_follows = False
    for argument in arguments:
        exists = not value_follows and os.path.isfile(argument)
        if exists or not (value_follows or argument.startswith(("-", "+", "~")) or "=" in argument):
            if not exists and others and others[-1].count("[") > others[-1].count("]"):
                raise ValueError(
                    f"{others[-1]} {argument}: is a part of it missing? The shell divides settings at spaces; put "
                    f"them in quotes, such as '{others[-1]} {argument}'"
                )
            files.append(argument)
        elif sign := re.fullmatch(r"(\w+)=([^\w\s]| |\t)", argument):
            others.append(f"{sign[1]}={quoted(sign[2])}")
        else:
            others.append(argument)
        value_follows = argument in (*WITH_VALUE, *WITH_VALUE.values())
    if files:
        others.append(f"files=[{','.join(map(quoted, files))}]")
    if _are_folders(files) and not any(argument.startswith("generator=") for argument in others):
        others.append("generator=kde")

    return others


def quoted(text: str) -> str:
    r"""Return text as a value of Hydra's grammar, in quotes, without interpolation.

    In quotes, backslashes have a meaning only before a quote, at the end, and before `${`.

    Example:
        >>> print(quoted("it's"), quoted("${x}.csv"), quoted("a\\b.csv"))
        'it\'s' '\${x}.csv' 'a\b.csv'
    """

    text = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + "\\${", text)
    text = re.sub(r"(\\*)'", lambda found: 2 * found[1] + "\\'", text)
    return "'" + re.sub(r"(\\+)$", lambda found: 2 * found[1], text) + "'"


def _are_folders(files: Sequence[str]) -> bool:
    """Return whether the parties have folders of images: a file among them is an error of its own."""

    return any(Path(file).is_dir() for file in files)


def prepare(config: DictConfig) -> Callable[[], None]:
    """Construct the mediator of a configuration and read the data; return what settles it and writes the results."""

    settings = resolve(config, task_overrides(config.hydra))
    command = Command(**{name: settings.pop(name) for name in OF_THE_COMMAND})
    if command.out is None:
        raise ValueError("out: the folder of the results is missing, say for example out=settlement")
    if not command.files:
        raise ValueError("no files: cgm settle a.csv b.csv out=FOLDER, or one file and party_column=NAME")
    try:
        check_folder(Path(command.out))
    except ValueError as error:
        raise ValueError(str(error).replace("folder=", "out=", 1)) from None
    out, images = command.out, _are_folders(command.files)
    if images:
        settings = _of_images(settings, command)
    check_targets(settings)
    mediator = instantiate(settings, _convert_="all")
    mediator.engine.check_package()
    if not images and command.alternatives and isinstance(mediator.privacy, Release):
        raise ValueError("alternatives=true: with privacy=release, each party receives one reward; leave it out")
    if not images and command.schema is not None and isinstance(mediator.privacy, Release):
        raise ValueError(f"schema={command.schema}: with privacy=release, say privacy.public={command.schema}")
    schema = command.read_schema()
    if images:
        settle = partial(mediator.settle_images, *read_image_parties(command.files, command.names))
    else:
        parties = read_parties(
            command.files,
            command.party_column,
            command.names,
            *command.reading,
        )
        settle = partial(mediator.settle_tables, *parties, schema)

    def work() -> None:
        with ending(), limited(command.threads):
            settlement = settle()
            options = {} if isinstance(settlement, ReleasedSettlement) else {"alternatives": command.alternatives}
            settlement.write(out, **options)
        print(printable_lines(f"\n{settlement.table()}\n{command.out}"))

    return work


def _of_images(settings: dict[str, Any], command: Command) -> dict[str, Any]:
    """Return the settings of a mediator of images, and check that none of tables was given."""

    given = {name: getattr(command, name) for name in ("party_column", "schema", "separator", "skip")}
    given |= {name: settings[name] for name in OF_TABLES if name not in ("labeller", "downstream")}
    for name, value in given.items():
        if value != OF_TABLES.get(name):
            raise ValueError(f"{name}={value}: for tables; the parties have folders of images")
    return {**{name: value for name, value in settings.items() if name not in OF_TABLES}, "_target_": IMAGES}
