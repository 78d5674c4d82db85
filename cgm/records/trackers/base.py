r"""The interface of experiment trackers, and what they keep: scalars for each party and $\beta$, figures, settings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from cgm.records.headline import headline
from cgm.records.record import Record


class Logger(ABC):
    """Base class of experiment trackers.

    A tracker is a frozen dataclass of its settings with two methods, `has` and `write`. It reads the folder of a
    finished run, so that no number of the run depends on it.
    """

    @abstractmethod
    def has(self, folder: Path) -> bool:
        """Return whether the run in a folder has been written to the tracker.

        Arguments:
            folder: The folder of a finished run.
        """

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write the run in a folder to the tracker; packages that are optional are imported here.

        Arguments:
            folder: The folder of a finished run.

        Raises:
            ImportError: If a package is not installed.
        """


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Return the metrics of a run by names such as `neg_mmd2_unbiased/party_1/beta_0.5`; parties count from 1."""

    for row in record.metrics:
        if row.value is not None and math.isfinite(row.value):
            yield f"{row.metric}/party_{row.party + 1}/beta_{row.beta:g}", row.value


def headline_scalars(record: Record) -> dict[str, float]:
    """Return the headline numbers of a run by names such as `run/v_star`."""

    return {f"run/{name}": float(value) for name, value in headline(record.result).items() if value is not None}


def figures(folder: Path) -> list[Path]:
    """Return the paths of a run's figures."""

    return sorted(folder.glob("*.png"))
