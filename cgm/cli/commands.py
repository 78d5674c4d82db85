"""The commands that read what runs and settlements have left: `cgm collect` and `cgm verify`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from cgm.cli.errors import explain
from cgm.cli.help import say
from cgm.records.collect import TABLES
from cgm.records.collect import collect as collect_tables
from cgm.settlements.verification import verify as verify_files
from cgm.utils.text import printable, printable_lines


def collect(arguments: Sequence[str]) -> None:
    """Write the tables, figures and page of a sweep, and print a summary.

    Arguments:
        arguments: What follows `cgm collect`.

    Raises:
        SystemExit: If the folder is not that of a sweep or cannot be written, with one line.
    """

    from cgm.records.sweep.page import write_page  # imports matplotlib

    parser = collect_parser()
    given = parser.parse_args(arguments)
    metrics = []
    for setting in given.settings:
        name, equals, value = setting.partition("=")
        if name != "metric" or not equals:
            parser.error(f"{setting}: expected metric=NAME")
        metrics += [each for each in (part.strip(" '\"") for part in value.strip().strip("[]").split(",")) if each]

    try:
        table = collect_tables(given.folder, metrics)
        written = [*TABLES, *write_page(table, given.folder, metrics)]
    except (OSError, ValueError) as error:
        strerror = getattr(error, "strerror", None)
        text = explain(error) if strerror is None else f"{given.folder}: not readable or writable: {strerror}"
        raise SystemExit(printable(f"cgm: error: {text}")) from error
    say(printable_lines(f"{table.console_summary()}\n{os.path.join(given.folder, '')}: {', '.join(written)}"))


def collect_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm collect`."""

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


def verify(arguments: Sequence[str]) -> int:
    """Print what a party can verify of the folder that it received.

    Arguments:
        arguments: What follows `cgm verify`.

    Returns:
        The exit status, 0 if nothing failed and 1 otherwise.
    """

    given = verify_parser().parse_args(arguments)
    verification = verify_files(given.folder, given.data, given.key, given.settlement)
    last = "nothing failed" if verification.ok else "FAILED: do not rely on these files"
    say("\n".join([*verification.lines, last]))
    return 0 if verification.ok else 1


def verify_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of `cgm verify`."""

    parser = argparse.ArgumentParser(
        prog="cgm verify",
        description="Verify that the files of a party are those of its certificate. The exit code is 0 if nothing "
        "failed, and 1 otherwise.",
    )
    parser.add_argument("folder", help="the folder with certificate.json")
    parser.add_argument("data", nargs="?", help="your own file, as you gave it to the mediator")
    parser.add_argument("--key", help="the mediator's public key (PEM), for certificate.sig")
    parser.add_argument("--settlement", help="the name or the date of the settlement: an older one is refused")
    return parser
