"""The data folder, and the search for files in it."""

import os
from collections.abc import Sequence
from pathlib import Path

OTHER_FOLDER = "or set another data folder with data_dir=... or the environment variable CGM_DATA"
"""Advice for the error of a missing file."""


def data_folder(data_dir: str | None) -> Path:
    """Return `data_dir` or, if it is not given, the environment variable `CGM_DATA` or, if it is not set, `data`."""

    return Path(data_dir or os.environ.get("CGM_DATA") or "data")


def first_file(paths: Sequence[Path]) -> Path | None:
    """Return the first path that is a file, or `None` if there is none."""

    return next((path for path in paths if path.is_file()), None)


def listed(paths: Sequence[Path]) -> str:
    """Return the absolute paths, each once, as a list for an error message."""

    return ", ".join(dict.fromkeys(str(path.absolute()) for path in paths))
