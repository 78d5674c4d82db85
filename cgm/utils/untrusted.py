"""Formats of files that come from outside, checked before they are read: arrays, Parquet, YAML."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from cgm.utils.files import check_bytes, check_cells, open_plain
from cgm.utils.text import shortened

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is seven times faster
MAX_REASON = 200  # characters of a package's message, which may quote the file
MAX_DEPTH = 20  # of lists and mappings in YAML
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}  # version 3 is for names of fields


@contextmanager
def open_arrays(path: str | Path, links: bool = False) -> Iterator[NpzFile]:
    """Open an `.npz` file whose arrays have the sizes that they state, and fit into memory; nothing is unpickled.

    Arguments:
        path: The file.
        links: Whether it may be a link, see `open_plain`.

    Raises:
        ValueError: If it is damaged, encrypted, too large, or holds Python objects; also while arrays are read.
        OSError: If it cannot be read.
    """

    with open_plain(path, links) as file:
        try:
            array_shapes(path, file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
        except (ValueError, OSError):
            raise
        except Exception as error:  # of zipfile, zlib and numpy, of many classes
            reason = shortened(str(error), MAX_REASON)
            raise ValueError(f"not a file of arrays (.npz), or a damaged one ({reason})") from error


def array_shapes(path: str | Path, file: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in an `.npz` file, from their headers, if their content has the same sizes.

    Arguments:
        path: Its name in an error.
        file: The file.

    Raises:
        Exception: Of zipfile, zlib or numpy, if it is damaged; a ValueError if it is encrypted, too large, or holds
            Python objects.
    """

    shapes = {}
    with zipfile.ZipFile(file) as members:
        check_bytes(path, sum(member.file_size for member in members.infolist()), "its arrays take")
        for member in members.infolist():
            name = member.filename.removesuffix(".npy")
            if member.flag_bits & 1:
                raise ValueError(f"{name!r} is encrypted; write the file without a password")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # read in one piece, of any size
                raise ValueError(f"{name!r} is compressed by another method than numpy's")
            with members.open(member) as array:
                try:
                    shape, _, dtype = HEADERS[npy.read_magic(array)](array)
                except Exception as error:  # of numpy and of Python's parser, of many classes
                    reason = shortened(str(error), MAX_REASON)
                    raise ValueError(f"{name!r} is not an array of numbers, or a damaged one ({reason})") from error
                if dtype.hasobject or dtype.names is not None:
                    raise ValueError(f"{name!r} holds objects, expected an array of numbers")
                size, has = math.prod(shape) * dtype.itemsize, member.file_size - array.tell()
                if min(shape, default=0) < 0 or size != has:
                    raise ValueError(f"{name!r} has {has} bytes where its shape {shape} needs {size}")
            shapes[name] = shape
    return shapes


def check_parquet(path: str | Path, content: bytes) -> None:
    """Check that a Parquet file fits into memory, from its metadata.

    Arguments:
        path: Its name in an error.
        content: The file.

    Raises:
        ImportError: If pyarrow is not installed.
        ValueError: If it does not, a `TooLarge`.
        Exception: Of pyarrow, if it is damaged.
    """

    from pyarrow.parquet import ParquetFile

    metadata = ParquetFile(io.BytesIO(content)).metadata
    check_cells(path, metadata.num_rows, metadata.num_columns)
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    check_bytes(path, sum(group.total_byte_size for group in groups), "its columns take")


def load_yaml(text: str) -> Any:
    """Read YAML of plain values, without references: a few hundred bytes of them can stand for any amount of memory.

    Raises:
        ValueError: If it is not YAML, refers to other parts of itself, or is nested too deeply.
    """

    depth = 0
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"line {event.start_mark.line + 1}: a reference (*{event.anchor}); write the values")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"line {event.start_mark.line + 1}: nested in more than {MAX_DEPTH} levels")
        return yaml.load(text, LOADER)
    except (yaml.YAMLError, RecursionError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(shortened(" ".join(str(error).split()), MAX_REASON)) from error
