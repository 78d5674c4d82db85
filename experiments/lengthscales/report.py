"""The report of the study, from its records."""

from __future__ import annotations

from pathlib import Path


def write_report(folder: Path, runs: Path) -> Path:
    """Write README.md from the records of the settlements."""

    return folder / "README.md"
