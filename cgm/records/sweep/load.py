"""The runs of a sweep in Python: one table, figures, and the record of each run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgm.records.collect import CONSOLE_COLUMNS, Table, read_runs
from cgm.records.record import Record, is_run, kind_of_folder
from cgm.records.settings import cell
from cgm.utils.shown import Shown, counted
from cgm.utils.text import suggestion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

log = logging.getLogger(__name__)

MAX_NAMES = 10  # runs that a message names


class Records(Mapping[str, Record]):
    """The records of a sweep by the names of their runs; each is read when it is first used.

    Arguments:
        folder: The folder of the sweep.
        names: The names of the complete runs.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names, self._loaded = folder, list(names), dict[str, Record]()

    def __getitem__(self, name: str) -> Record:
        if name not in self._names:
            raise KeyError(f"{name}: there is no such run{suggestion(str(name), self._names)}")
        if name not in self._loaded:
            self._loaded[name] = Record.load(self._folder / name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Records of {counted(len(self), 'run')}: {_listed(self._names)}"


@dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """The runs in a folder and below it, see `load_sweep`.

    Attributes:
        folder: The folder.
        table: The runs with their settings and headline numbers.
    """

    folder: Path
    table: Table

    @cached_property
    def records(self) -> Records:
        """The record of each complete run, by its name; each is read when it is first used."""

        return Records(self.folder, [run.name for run in self.table.runs])

    @property
    def varying(self) -> list[str]:
        """The names of the settings that are not the same in all runs."""

        return self.table.varying

    @property
    def numbers(self) -> list[str]:
        """The names of the headline numbers, which `plot.number` draws."""

        return self.table.numbers

    @property
    def failed(self) -> Mapping[str, str]:
        """For each run that failed, was cut off or is damaged: its folder, and the reason."""

        return self.table.failed

    @property
    def plot(self) -> SweepPlots:
        """Figures that are drawn into axes: `plot.number(name)` and `plot.attack_gains(columns)`."""

        return SweepPlots(self.table, self.folder)

    def to_frame(self) -> pd.DataFrame:
        r"""Return one table of pandas, a row for each run, party and $\beta$.

        The columns are `run`, the settings that vary by their dotted names, and those of `Record.to_frame`. A setting
        that is a list is text, such as `[1,2]`; one that a run does not have is `None`.
        """

        import pandas as pd

        frames = []
        for run in self.table.runs:
            frame = self.records[run.name].to_frame()
            start = {"run": run.name} | {name: _value(run.settings.get(name)) for name in self.varying}
            columns = {name: [value] * len(frame) for name, value in start.items()}
            frames.append(pd.concat([pd.DataFrame(columns, index=frame.index), frame], axis=1))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["run", "party", "beta"])

    def run_frame(self) -> pd.DataFrame:
        """Return a table of pandas like `runs.csv`: for each run the settings that vary and headline numbers."""

        import pandas as pd

        rows = [
            {"run": run.name}
            | {name: _value(run.settings.get(name)) for name in self.varying}
            | {name: run.numbers.get(name) for name in self.numbers}
            for run in self.table.runs
        ]
        return pd.DataFrame(rows, columns=["run", *self.varying, *self.numbers])

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        vary = f"; {_listed(self.varying, 4)} vary" if self.varying else ""
        failed = f"failed, cut off or damaged: {_listed(list(self.failed))}" if self.failed else ""
        frame = self.run_frame()
        columns = ["run", *self.varying, *(name for name in self.numbers if name in CONSOLE_COLUMNS)]
        return f"Sweep {self.folder.name}: {counted(len(self.table.runs), 'run')}{vary}", frame[columns], failed


class SweepPlots:
    """Figures of a sweep, each drawn into axes.

    Arguments:
        table: The runs.
        folder: Their folder, in which numbers are read that the table does not have.
    """

    def __init__(self, table: Table, folder: Path) -> None:
        self._table, self._folder = table, folder

    def __repr__(self) -> str:
        return f"Figures: number(name), attack_gains(columns); the numbers are {', '.join(self._table.numbers)}"

    def number(self, name: str, ax: Axes | Sequence[Axes] | None = None, *, legend: bool = True) -> Any:
        """Draw a number over the settings that vary, as `cgm collect` does.

        Arguments:
            name: The name of the number: a headline number such as `spread` or `correlation_accuracy`; a metric of
                `metrics.csv`, such as `size`, of which the mean over parties and inverse temperatures is drawn; or a
                path in `result.json` such as `values.grand`.
            ax: The axes, a list or an array of them if there are several panels; those of a new figure, if `None`.
            legend: Whether to add a legend.

        Returns:
            The axes, or a list of them if there are several panels.

        Raises:
            ValueError: If no run has such a number, or if there is not one of the axes for each panel.
        """

        from cgm.records.sweep.figure import draw_figure, draw_panels, find_factors, make_picture, series_handles

        table = self._table if name in self._table.numbers else read_runs(self._folder, [name], "number")
        runs = table.distinct()
        picture = make_picture(runs, find_factors(runs, table.varying), name)
        if ax is None:
            from matplotlib import pyplot

            drawn = draw_figure(pyplot.figure(figsize=picture.size, layout="constrained"), picture)
            return drawn[0] if len(drawn) == 1 else drawn

        from cgm.figures.style import axes_for, axes_legend

        drawn = [axes_for(each, *picture.size) for each in np.ravel(np.array(ax, dtype=object))]
        if len(drawn) != len(picture.panels):
            raise ValueError(f"ax: {name} has {len(picture.panels)} panels, expected a list of as many axes")
        draw_panels(drawn, picture)
        if len(drawn) == 1:
            drawn[0].set_title(picture.title, fontsize=10)
        if legend:
            series = picture.panels[0].series
            axes_legend(drawn[-1], series_handles(picture), title=series.name if series else None)
        return ax

    def attack_gains(
        self, columns: str, number: str = "attack_gain_value", ax: Axes | None = None, *, decimals: int | None = None
    ) -> Axes:
        """Draw a headline number of attacks as a heat map, see `cgm.records.figures.attack_gains`.

        Arguments:
            columns: The setting of the columns, by its dotted name, such as `"contribution"` or `"scheme.stable"`.
            number: The headline number, one of those that begin with `attack_`.
            ax: The axes; those of a new figure, if `None`.
            decimals: The number of decimals in the cells. Three significant digits, if `None`.

        Raises:
            ValueError: If the number is unknown, if no run has an attack, or if a run does not have the setting.
        """

        from cgm.figures.style import axes_for
        from cgm.records.figures.attack_gains import draw_grid, make_grid

        grid = make_grid(self._table.runs, columns, number)
        axes = axes_for(ax, *grid.size)
        draw_grid(axes, grid, decimals)
        axes.set_title(grid.title, fontsize=10)
        return axes


def load_sweep(folder: str | Path, metric: str | Sequence[str] = ()) -> Sweep:
    """Read the runs in a folder and below it, such as those of a sweep; nothing is written.

    Runs that failed, are not finished or are damaged are named in a warning and in `Sweep.failed`.

    Arguments:
        folder: The folder.
        metric: Further numbers of `run_frame`, one or a list, as of `cgm collect metric=...`: a metric of
            `metrics.csv`, of which the mean over parties and inverse temperatures is taken, or a path in `result.json`
            such as `values.grand`.

    Raises:
        FileNotFoundError: If there is no such folder, or if it is that of a settlement; the message says what it is.
        ValueError: If it is the folder of one run, if there are no runs in it, or if no run has one of the metrics.
    """

    folder = Path(folder)
    if other := kind_of_folder(folder):
        raise FileNotFoundError(f"{folder}: {other}")
    if is_run(folder):
        raise ValueError(f"{folder}: the folder of one run; Record.load reads it")
    sweep = Sweep(folder.absolute(), read_runs(folder, [metric] if isinstance(metric, str) else metric))
    if sweep.failed:
        reasons = [f"{name} ({' '.join(reason.split())})" for name, reason in sweep.failed.items()]
        log.warning("%s failed, cut off or damaged: %s", counted(len(reasons), "run"), _listed(reasons))
    return sweep


def _listed(names: Sequence[str], most: int = MAX_NAMES) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _value(setting: Any) -> Any:
    """Return a setting as a cell of a table of pandas."""

    return setting if setting is None or isinstance(setting, str | int | float) else cell(setting)
