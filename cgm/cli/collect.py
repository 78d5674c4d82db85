"""`cgm collect`: from the folder of a sweep to its tables, figures and page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from cgm.cli.errors import explain
from cgm.records.collect import TABLES, Table, collect


def main(arguments: Sequence[str]) -> None:
    """Write the tables, figures and page of a sweep, and print a summary.

    Arguments:
        arguments: What follows `cgm collect`.

    Raises:
        SystemExit: If the folder is not that of a sweep or cannot be written, with one line.
    """

    parser = command()
    given = parser.parse_args(arguments)
    metrics = []
    for setting in given.settings:
        name, equals, value = setting.partition("=")
        if name != "metric" or not equals:
            parser.error(f"{setting}: expected metric=NAME")
        metrics += [each for each in (part.strip(" '\"") for part in value.strip().strip("[]").split(",")) if each]

    try:
        table = collect(given.folder, metrics)
        written = [*TABLES, *write_page(table, given.folder, metrics)]
    except OSError as error:
        text = (
            explain(error) if error.strerror is None else f"{given.folder}: not readable or writable: {error.strerror}"
        )
        raise SystemExit(f"cgm: error: {text}") from error
    except ValueError as error:
        raise SystemExit(f"cgm: error: {explain(error)}") from error
    print(f"{table.console_summary()}\n{os.path.join(given.folder, '')}: {', '.join(written)}")


def command() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""

    parser = argparse.ArgumentParser(
        prog="cgm collect",
        description=f"Write {', '.join(TABLES)}, figures/ and sweep.html of all runs in a folder and below it.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", help="a folder that contains the folders of runs")
    parser.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="metric=NAME",
        help="further numbers for tables and figures, as a list such as metric=size,values.grand: a metric of "
        "metrics.csv, or the path of a number in result.json",
    )

    return parser


def write_page(table: Table, folder: str | Path, first: Sequence[str] = ()) -> list[str]:
    """Write the figures and the page of a sweep, see `cgm.records.sweep.page.write_page`."""

    # imports matplotlib: not at the top, so that other commands start quickly
    from cgm.records.sweep import page

    return page.write_page(table, folder, first)
