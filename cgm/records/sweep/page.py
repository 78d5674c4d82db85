"""The page of a sweep: `sweep.html`, one file that needs neither network nor server."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from cgm.figures.style import save
from cgm.records.collect import CONSOLE_COLUMNS, Run, Table
from cgm.records.html import render
from cgm.records.record import ERROR
from cgm.records.settings import cell
from cgm.records.sweep.figure import Factor, find_factors, picture_of, short_cell
from cgm.utils.files import write_whole

PAGE, FIGURES = "sweep.html", "figures"  # a file and a folder in the folder of the sweep
TEMPLATES = Path(__file__).parent / "templates"


def write_page(table: Table, folder: str | Path, first: Sequence[str] = ()) -> list[str]:
    """Draw the numbers of a sweep to `figures/`, and write `sweep.html` with them and the tables.

    A headline number that is the same in all runs has no figure.

    Arguments:
        table: The runs of the sweep, see `cgm.records.collect.collect`.
        folder: The folder of the sweep.
        first: The names of numbers whose figures come first on the page, even if they are the same in all runs.

    Returns:
        The names of what was written, relative to the folder.
    """

    folder, runs = Path(folder), table.distinct()
    factors = find_factors(runs, table.varying)
    constant = _constant(runs, table.numbers)
    names = [name for name in table.numbers if name in first or name not in (*constant, "warnings")]
    names.sort(key=lambda name: first.index(name) if name in first else len(first))
    pictures: list[dict[str, Any]] = []
    for name in names if len(runs) > 1 else []:
        if not any(math.isfinite(x) for run in runs if (x := run.numbers.get(name)) is not None):
            continue
        figure, caption, alt = picture_of(runs, factors, name)
        save(figure, folder / FIGURES, re.sub(r"[^\w.-]+", "_", name))  # metrics have names from outside
        width, is_first = round(96 * figure.get_size_inches()[0]), name in (*first, *CONSOLE_COLUMNS)
        shown = {"source": _embedded(figure), "width": width, "caption": caption, "alt": alt}
        pictures.append({"name": name, "is_first": is_first, **shown})

    seeds = tuple(dict.fromkeys(cell(run.settings["seed"]) for run in table.runs if "seed" in run.settings))
    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    numbers = [name for name in table.numbers if name not in constant]
    head, *rows = table.summary(numbers)
    page = render(
        TEMPLATES / "sweep.html",
        title=folder.resolve().name,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        n_runs=len(table.runs),
        n_distinct=len(runs),
        factors=[*factors, *([Factor("seed", seeds, None, ())] if len(seeds) > 1 else [])],
        constant={name: f"{value:.4g}" for name, value in constant.items()},
        pictures=pictures,
        summary=(head, rows if len(rows) < len(table.runs) else []),
        summary_settings=head.index("runs"),
        settings=table.varying,
        numbers=numbers,
        runs=[(run.name, f"{quote(run.name)}/", _cells(run, table.varying, numbers)) for run in table.runs],
        n_failed=len(table.failed),
        failed=_failures(table, folder),
        notes=[note for run in table.runs if (note := _note(run))],
    )
    write_whole(folder / PAGE, page)
    return [PAGE, *([f"{FIGURES}/"] if pictures else [])]


def _failures(table: Table, folder: Path) -> dict[str, list[tuple[str, str, str | None]]]:
    """Return by message the overrides and names of failed runs, with the path of `error.json` if there is one."""

    settings = table.failed_settings()
    failures: dict[str, list[tuple[str, str, str | None]]] = {}
    for name, reason in table.failed.items():
        file = quote(f"{name}/{ERROR}") if (folder / name / ERROR).is_file() else None
        failures.setdefault(" ".join(reason.split()), []).append((settings.get(name, ""), name, file))
    return failures


def _cells(run: Run, settings: Sequence[str], numbers: Sequence[str]) -> list[tuple[str, str]]:
    """Return the settings and numbers of a run, each as its text and what it is sorted by."""

    keys = run.cells(settings)
    cells = [(short_cell(run.settings.get(name, "")), key) for name, key in zip(settings, keys, strict=True)]
    values = [run.numbers.get(name) for name in numbers]
    return cells + [("", "") if value is None else (f"{value:.4g}", repr(value)) for value in values]


def _note(run: Run) -> Mapping[str, Any] | None:
    """Return how G grew in a run, and its warnings; `None` if there is neither."""

    asked, size = run.settings.get("synthetic_size"), run.synthetic_size
    grew = f"{asked:,} to {size:,}" if isinstance(asked, int) and size is not None and size > asked else ""
    return {"name": run.name, "grew": grew, "warnings": run.warnings} if grew or run.warnings else None


def _constant(runs: Sequence[Run], numbers: Sequence[str]) -> dict[str, float]:
    """Return the numbers that are the same in all of several runs."""

    values = {name: {run.numbers.get(name) for run in runs} for name in numbers if len(runs) > 1}
    return {name: x for name, every in values.items() if len(every) == 1 and (x := every.pop()) is not None}


def _embedded(figure: Figure) -> str:
    """Return a figure as the address of an image that is part of the page; the same figure gives the same text."""

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "cgm", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
