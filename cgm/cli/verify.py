"""The command `cgm verify`, which a party runs over the folder that it received."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cgm.settlements.verification import verify


def main(arguments: Sequence[str]) -> int:
    """Print what can be verified.

    Arguments:
        arguments: What follows `cgm verify`.

    Returns:
        The exit code, 0 if nothing failed and 1 otherwise.
    """

    given = command().parse_args(arguments)
    verification = verify(given.folder, given.data, given.key)
    print("\n".join(verification.lines))
    print("nothing failed" if verification.ok else "FAILED: do not rely on these files")

    return 0 if verification.ok else 1


def command() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""

    parser = argparse.ArgumentParser(
        prog="cgm verify",
        description="Verify that the files of a party are those of its certificate. The exit code is 0 if nothing "
        "failed, and 1 otherwise.",
    )
    parser.add_argument("folder", help="the folder with certificate.json")
    parser.add_argument("data", nargs="?", help="your own file, as you gave it to the mediator")
    parser.add_argument("--key", help="the mediator's public key (PEM), for certificate.sig")

    return parser
