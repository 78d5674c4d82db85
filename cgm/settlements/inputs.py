"""What settlements take: tables and images, as objects and as files, by the names of the parties or in a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from cgm.data.images import read_image_folder
from cgm.data.tables.dialects import Skip
from cgm.data.tables.files import Source, party_names, read_parties, read_table
from cgm.data.tables.schema import Schema
from cgm.utils.convert import is_frame, label_of, parties_by_name, to_frame
from cgm.utils.files import read_plain
from cgm.utils.settings import Integer, Listed, Settings, Text
from cgm.utils.text import suggestion
from cgm.utils.untrusted import load_yaml

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "pipe": "|", "space": " "}  # by their names
EXPECTED = (
    "a DataFrame or another table with names of columns, the path of a file or of a folder of images, or an array of "
    "images (N, H, W), (N, H, W, C) or (N, C, H, W)"
)


@dataclass(frozen=True, kw_only=True)
class FileSettings(Settings):
    """How files of tables are read, the same in Python and on the command line.

    Arguments:
        party_column: The column that names the party of a row, if there is one table of all parties.
        names: The names of the parties. `None`: those that they are given with, those of the files, or the values of
            `party_column`.
        encoding: The encoding of CSV files that are not UTF-8.
        separator: The separator of columns in CSV files: one character, or `"comma"`, `"semicolon"`, `"tab"`, `"bar"`
            or `"space"`. `None`: it is recognised.
        skip: The lines before the header of CSV files, or those and the lines at the end, that are not part of the
            table. `None`: they are recognised.
        schema: The file of a schema, or the schema. `None`: it is inferred.
    """

    party_column: str | None = None
    names: Sequence[str] | None = None
    encoding: str = "utf-8"
    separator: Annotated[str, Text()] | None = None
    skip: Annotated[int, Integer(min=0)] | Annotated[list, Listed(Integer(min=0), min=2)] | None = None
    schema: Annotated[str, Text(path=True)] | Schema | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.separator is not None and self.separator not in SEPARATORS and len(self.separator) != 1:
            raise ValueError(f"separator={self.separator}: expected {', '.join(SEPARATORS)}, or one character")
        if isinstance(self.skip, list | tuple) and len(self.skip) != 2:
            raise ValueError(
                f"skip={self.skip}: expected the lines before the header and those at the end, such as [1, 1]"
            )

    @property
    def reading(self) -> tuple[str, str | None, Skip | None]:
        """Encoding, separator and lines to skip, as `read_table` takes them."""

        skip = self.skip if self.skip is None else Skip(*([self.skip] if isinstance(self.skip, int) else self.skip))
        return self.encoding, SEPARATORS.get(self.separator or "", self.separator), skip

    def read_schema(self) -> Schema | None:
        """Read the file of the schema, if there is one."""

        if self.schema is None or isinstance(self.schema, Schema):
            return self.schema
        try:
            values = load_yaml(read_plain(self.schema, links=True).decode())
        except ValueError as error:
            raise ValueError(f"schema={self.schema}: not a schema ({error})") from error
        return Schema.from_dict(values)


@dataclass(frozen=True)
class Inputs:
    """The data of the parties.

    Attributes:
        data: A DataFrame or an array of images of each party, by its name.
        sources: The files that they came from; `None` for an object.
        images: Whether they are images.
    """

    data: dict[str, Any]
    sources: list[Source | None]
    images: bool


def read_inputs(parties: Any, settings: FileSettings | None = None) -> Inputs:
    """Return the tables or images of the parties; those that are given as paths are read.

    Arguments:
        parties: A table, a path, or an array of images of each party: a dictionary from names, or a list. With
            `party_column`, one table or path.
        settings: How files are read.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If something is neither, or cannot be read; the message names the party.
    """

    settings = settings or FileSettings()
    is_one = isinstance(parties, str | PathLike) or is_frame(parties)
    if not is_one and not isinstance(parties, Mapping | torch.Tensor | np.ndarray):
        parties = list(parties) if hasattr(parties, "__iter__") else parties
        is_one = settings.party_column is not None and isinstance(parties, list) and len(parties) == 1
        parties = parties[0] if is_one else parties
    if is_one:
        return _of_one(parties, settings)
    if settings.party_column is not None:
        raise ValueError(f"party_column={settings.party_column}: expected one table or file for all parties")
    given = parties_by_name(parties)
    kinds = {name: _is_images(name, data) for name, data in given.items()}
    if len(set(kinds.values())) > 1:
        table, images = (next(name for name, kind in kinds.items() if kind is each) for each in (False, True))
        raise ValueError(f"parties: {label_of(images)} has images and {label_of(table)} a table; expected one of them")
    data: list[Any] = []
    sources: list[Source | None] = []
    for each in given.values():
        if not isinstance(each, str | PathLike):
            data.append(to_frame(each) if is_frame(each) else each)
            sources.append(None)
        elif Path(each).is_dir():
            read: tuple[Any, Source] = read_image_folder(Path(each))
            data.append(read[0])
            sources.append(read[1])
        else:
            read = read_table(Path(each), *settings.reading)
            data.append(read[0])
            sources.append(read[1])
    names = list(given)
    if not isinstance(parties, Mapping):  # files have names
        names = [
            name if source is None else source.file if Path(each).is_dir() else source.file[: -len(source.suffix)]
            for name, source, each in zip(names, sources, given.values(), strict=True)
        ]
    return Inputs(dict(zip(party_names(names, settings.names), data, strict=True)), sources, any(kinds.values()))


def are_images(parties: Any) -> bool:
    """Return whether some of the parties have images, without a look into files."""

    values = (
        parties.values()
        if isinstance(parties, Mapping)
        else parties
        if isinstance(parties, list | tuple)
        else [parties]
    )
    return any(
        Path(each).is_dir() if isinstance(each, str | PathLike) else isinstance(each, torch.Tensor | np.ndarray)
        for each in values
    )


def split_settings(
    settings: Mapping[str, Any], of_tables: type[Settings], cls: type[Settings]
) -> tuple[FileSettings, dict[str, Any]]:
    """Divide settings into those of files and those of a mediator.

    Arguments:
        settings: The settings that are given.
        of_tables: The class of mediators of tables, which has all settings that there are.
        cls: The class of the mediator, this one or that of images.

    Raises:
        TypeError: If there is no setting of such a name; the message suggests one.
        ValueError: If a setting is one of tables, and the mediator one of images.
    """

    of_files = [field.name for field in fields(FileSettings)]
    names = [*(field.name for field in fields(of_tables)), *of_files]  # type: ignore[arg-type]  # of a dataclass
    own = {*(field.name for field in fields(cls)), *(of_files if cls is of_tables else ("names",))}  # type: ignore[arg-type]
    for name, value in settings.items():
        if name not in names:
            hint = suggestion(name, names) or f"; there are {', '.join(names)}"
            raise TypeError(f"settle() got an unexpected keyword argument {name!r}{hint}")
        if name not in own:
            raise ValueError(f"{name}={value}: for tables; the parties have images")
    return (
        FileSettings(**{name: value for name, value in settings.items() if name in of_files}),
        {name: value for name, value in settings.items() if name not in of_files},
    )


def _is_images(name: str, data: Any) -> bool:
    """Return whether the data of a party is images, and not a table."""

    if isinstance(data, torch.Tensor | np.ndarray):
        if data.ndim < 3:
            raise ValueError(
                f"{label_of(name)}: an array of shape {tuple(data.shape)}; a table needs names of columns, such as "
                "pd.DataFrame(array, columns=[...]), and images have three or four dimensions"
            )
        return True
    if isinstance(data, str | PathLike):
        return Path(data).is_dir()
    if not is_frame(data):
        raise ValueError(f"{label_of(name)}: expected {EXPECTED}, got {type(data).__name__}")
    return False


def _of_one(parties: Any, settings: FileSettings) -> Inputs:
    """Return the tables of the parties in one table or file."""

    column = settings.party_column
    if isinstance(parties, str | PathLike):
        tables, sources = read_parties([Path(parties)], column, settings.names, *settings.reading)
        return Inputs(tables, list(sources), images=False)
    table = to_frame(parties)
    if column is None:
        raise ValueError("parties: one table; give one for each party, or say party_column=NAME")
    if column not in table:
        raise ValueError(f"party_column={column}: the table has the columns {', '.join(map(str, table.columns))}")
    if table[column].isna().any():
        row = int(table[column].isna().to_numpy().argmax())
        raise ValueError(f"party_column={column}: empty in data row {row + 1}; name its party")
    groups = {str(name): rows.reset_index(drop=True) for name, rows in table.groupby(column, sort=True, observed=True)}
    data = {name: rows.drop(columns=column) for name, rows in groups.items()}
    names = party_names(list(data), settings.names)
    return Inputs(dict(zip(names, data.values(), strict=True)), [None] * len(data), images=False)
