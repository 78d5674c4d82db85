"""`cgm settle`: from the files or folders of the parties to reports, certificates and rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cgm.cli.check import check_built_in
from cgm.cli.errors import REFUSALS, explain
from cgm.cli.help import WITH_VALUE
from cgm.cli.targets import check_targets

OF_TABLES: dict[str, Any] = {  # settings that images do not have, with their values where none is given
    "label_column": None,
    "drop": [],
    "categorical": [],
    "numbers": "standardise",
    "rare": 0.005,
    "labeller": None,
    "downstream": None,
}
IMAGES = "cgm.ImageMediator"
OF_THE_COMMAND = ("files", "out", "party_column", "names", "encoding", "schema", "disclose", "alternatives", "threads")


def to_overrides(arguments: Sequence[str]) -> list[str]:
    """Return Hydra's arguments for those of `cgm settle`: files are those that are neither settings nor options.

    If they are folders of images, the generator is `kde`, unless there is another one.

    Example:
        >>> to_overrides(["a.csv", "out=rewards", "b.csv"])
        ['out=rewards', "files=['a.csv','b.csv']"]
    """

    others, files = [], []
    value_follows = False
    for argument in arguments:
        if value_follows or argument.startswith(("-", "+", "~")) or "=" in argument:
            others.append(argument)
        else:
            files.append(argument)
        value_follows = argument in WITH_VALUE
    if files:
        quoted = ",".join("'" + file.replace("\\", "\\\\").replace("'", "\\'") + "'" for file in files)
        others.append(f"files=[{quoted}]")
    if _folders(files) and not any(argument.startswith("generator=") for argument in others):
        others.append("generator=kde")

    return others


def _folders(files: Sequence[str]) -> bool:
    """Decide whether the parties have folders of images: a file among them is an error of its own."""

    return any(Path(file).is_dir() for file in files)


def run(config: DictConfig) -> None:
    """Settle the tables of a configuration, and write the results."""

    try:
        _run(config)
    except REFUSALS as error:
        raise SystemExit(f"cgm: error: {explain(error)}") from error


def _run(config: DictConfig) -> None:
    own = OmegaConf.to_container(config, resolve=True)
    assert isinstance(own, dict)
    command = {name: own.pop(name) for name in OF_THE_COMMAND}
    if command["out"] is None:
        raise ValueError("out: the folder of the results is missing, say for example out=settlement")
    if not command["files"]:
        raise ValueError("no files: cgm settle a.csv b.csv out=FOLDER, or one file and party_column=NAME")

    from cgm.settlements.folder import check_folder

    try:
        check_folder(Path(command["out"]))
    except ValueError as error:
        raise ValueError(str(error).replace("folder=", "out=", 1)) from None
    images = _folders(command["files"])
    if images:
        own = _of_images({str(name): value for name, value in own.items()}, command)
    settings = OmegaConf.create(own)
    check_built_in(own)
    check_targets(settings)
    mediator = instantiate(settings, _convert_="all")

    from cgm.data.tables.files import read_parties
    from cgm.data.tables.schema import Schema
    from cgm.settlements.certificate import check_disclose
    from cgm.utils.checks import check_bool, check_integer
    from cgm.utils.run import limited

    check_integer("threads", command["threads"], min=1, optional=True)
    check_bool("alternatives", command["alternatives"])
    check_disclose(command["disclose"])
    schema = None
    if command["schema"] is not None:
        try:
            text = Path(command["schema"]).read_text(encoding="utf-8")
            schema = Schema.from_dict(yaml.safe_load(text))
        except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"schema={command['schema']}: not a schema ({error})") from error
    if images:
        from cgm.data.images import read_image_parties

        settle = partial(mediator.settle_images, *read_image_parties(command["files"], command["names"]))
    else:
        read = {name: command[name] for name in ("files", "party_column", "names", "encoding")}
        settle = partial(mediator.settle_tables, *read_parties(**read), schema)
    with limited(command["threads"]):
        settlement = settle()
        settlement.write(command["out"], command["disclose"], command["alternatives"])
    print(f"\n{settlement.table()}\n{command['out']}")


def _of_images(own: dict[str, Any], command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a mediator of images, and check that none of tables was given."""

    for name in ("party_column", "schema"):
        if command[name] is not None:
            raise ValueError(f"{name}={command[name]}: for tables; the parties have folders of images")
    for name, default in OF_TABLES.items():
        if name not in ("labeller", "downstream") and own[name] != default:
            raise ValueError(f"{name}={own[name]}: for tables; the parties have folders of images")
    return {**{name: value for name, value in own.items() if name not in OF_TABLES}, "_target_": IMAGES}
