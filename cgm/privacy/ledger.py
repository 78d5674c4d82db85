"""The ledger of a party: which sketches of which rows it has made, and what they reveal together."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cgm.privacy.accounting import MAX_EPSILON, Guarantee, compose
from cgm.privacy.sketch import Sketch
from cgm.utils.checks import check_number
from cgm.utils.files import locked, read_plain, sha256, write_whole

log = logging.getLogger(__name__)

FORMAT = "cgm sketch ledger 1"
NAME = "sketches.ledger.json"
KEYS = {"rows", "date", "file", "schema", "epsilon", "delta"}
NOTE = "Stays with the party. It knows files by all of their rows: rows that are in two files are not recognised."


@dataclass(frozen=True)
class Entry:
    r"""A sketch in a ledger.

    Arguments:
        rows: The salted digest of the rows.
        date: When it was made, UTC.
        file: The name of its file.
        schema: The digest of its schema.
        epsilon, delta: $\varepsilon$ and $\delta$.
    """

    rows: str
    date: str
    file: str
    schema: str
    epsilon: float
    delta: float

    @property
    def mu(self) -> float:
        r"""The parameter $\mu$ of the release."""

        return Guarantee.of(self.epsilon, self.delta).mu


class Ledger:
    """A file with all sketches that a party has made, by salted digests of their rows.

    Arguments:
        path: The file; it is made with the first sketch, and nobody else can read it.

    Raises:
        ValueError: If it is no ledger.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.salt, self.entries = secrets.token_hex(16), list[Entry]()
        if os.path.lexists(self.path):
            self.salt, self.entries = _read(self.path)

    def earlier(self, digest: str) -> list[Entry]:
        """Return the entries of sketches of rows with a digest, see `rows_digest`."""

        rows = self._salted(digest)
        return [entry for entry in self.entries if entry.rows == rows]

    def together(self, digest: str, delta: float) -> Guarantee | None:
        r"""Return what all sketches of some rows reveal together, at a $\delta$; `None` if there are none."""

        entries = self.earlier(digest)
        return Guarantee(compose(entry.mu for entry in entries), delta) if entries else None

    def add(self, digest: str, sketch: Sketch, file: str) -> None:
        """Add a sketch, before its file is written: a release that is not in the ledger would be worse than none.

        Arguments:
            digest: The digest of the rows.
            sketch: The sketch.
            file: The name of its file.
        """

        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        with locked(self.path.with_name(f".{self.path.name}.lock"), wait=lambda: log.info("waiting for %s", self.path)):
            if os.path.lexists(self.path):  # another process may have added one
                self.salt, self.entries = _read(self.path)
            self.entries.append(
                Entry(self._salted(digest), date, file, sketch.schema.digest, sketch.epsilon, sketch.schema.delta)
            )
            values = {"format": FORMAT, "note": NOTE, "salt": self.salt, "sketches": [vars(e) for e in self.entries]}
            write_whole(self.path, (json.dumps(values, indent=2) + "\n").encode())
            os.chmod(self.path, 0o600)

    def _salted(self, digest: str) -> str:
        return sha256(f"{self.salt}{digest}".encode())


def _read(path: Path) -> tuple[str, list[Entry]]:
    """Return the salt and the entries of a file."""

    try:
        values = json.loads(read_plain(path, links=True).decode())
        if not isinstance(values, Mapping) or values.get("format") != FORMAT or not isinstance(values.get("salt"), str):
            raise ValueError(f"expected the format {FORMAT}")
        return values["salt"], [_entry(each) for each in values["sketches"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a ledger of sketches, or a damaged one ({error}); without it, earlier sketches are not "
            "counted: restore it, or state another file by ledger="
        ) from error


def _entry(values: Any) -> Entry:
    if not isinstance(values, Mapping) or set(values) != KEYS:
        raise ValueError(f"a sketch needs {', '.join(sorted(KEYS))}")
    check_number("epsilon", values["epsilon"], 0.0, MAX_EPSILON, open_min=True)
    check_number("delta", values["delta"], 0.0, 1.0, open_min=True, open_max=True)
    return Entry(**values)
