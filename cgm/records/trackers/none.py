"""No tracker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cgm.records.trackers.base import Logger


@dataclass(frozen=True)
class NoLogger(Logger):
    """No tracker."""

    def has(self, folder: Path) -> bool:
        """Return True: there is nothing to write."""

        return True

    def write(self, folder: Path) -> None:
        """Do nothing."""
