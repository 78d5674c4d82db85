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

from cgm.records.collect import CONSOLE_COLUMNS, Run, Table
from cgm.records.figures.style import save
from cgm.records.overrides import distinct_values, find_differing
from cgm.records.record import ERROR
from cgm.records.settings import cell
from cgm.records.sweep.factors import Factor, find_factors, short_cell
from cgm.records.sweep.figure import picture_of
from cgm.settlements.report.page import render
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

    folder = Path(folder)
    runs = table.distinct()
    factors = find_factors(runs, table.varying)
    constant = _constant(runs, table.numbers)
    numbers = {name: [x for run in runs if (x := run.numbers.get(name)) is not None] for name in table.numbers}
    known = [name for name, found in numbers.items() if any(map(math.isfinite, found)) and name != "warnings"]
    drawn = [name for name in known if name in first or name not in constant]
    pictures: list[dict[str, Any]] = []
    for name in drawn if len(runs) > 1 else []:
        picture = picture_of(runs, factors, name)
        save(picture.figure, folder / FIGURES, re.sub(r"[^\w.-]+", "_", name))  # metrics have names from outside
        pictures.append(
            {
                "name": name,
                "is_first": name in first or name in CONSOLE_COLUMNS,
                "source": _embedded(picture.figure),
                "width": round(96 * picture.figure.get_size_inches()[0]),
                "caption": picture.caption,
                "alt": picture.alt,
            }
        )
    pictures.sort(key=lambda each: first.index(each["name"]) if each["name"] in first else len(first))
    write_whole(folder / PAGE, _render(table, folder, factors, constant, pictures))

    return [PAGE, *([f"{FIGURES}/"] if pictures else [])]


def _render(
    table: Table,
    folder: Path,
    factors: Sequence[Factor],
    constant: Mapping[str, float],
    pictures: Sequence[Mapping[str, Any]],
) -> bytes:
    """Return the page."""

    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    head, *rows = table.summary([name for name in table.numbers if name not in constant])
    return render(
        "sweep",
        TEMPLATES,
        title=folder.resolve().name,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        n_runs=len(table.runs),
        n_distinct=len(table.distinct()),
        varies=_varies(table, factors),
        constant={name: f"{value:.4g}" for name, value in constant.items()},
        pictures=pictures,
        summary=(head, rows if len(rows) < len(table.runs) else []),
        summary_settings=head.index("runs"),
        runs=_run_rows(table, constant),
        n_failed=len(table.failed),
        failed=_failures(table, folder),
        has_settings=any(table.failed_settings().values()),
        notes=[note for run in table.runs if (note := _note(run))],
    )


def _varies(table: Table, factors: Sequence[Factor]) -> list[tuple[str, str, str]]:
    """Return the name of each setting that varies, its values, and what else is to be said of it.

    Values that no complete run has are known from the overrides of failed ones.
    """

    seeds = dict.fromkeys(cell(run.settings["seed"]) for run in table.runs if "seed" in run.settings)
    shown = {factor.name: list(factor.values) for factor in factors} | {"seed": list(seeds)}
    together = {factor.name: f"with {', '.join(factor.together)}" for factor in factors if factor.together}
    complete = [table.overrides[run.name] for run in table.runs if run.name in table.overrides]
    of_failed = [table.overrides[name] for name in table.failed if name in table.overrides]
    missing = {}
    is_known = all(complete) and len(table.overrides) > 1
    for name in find_differing(table.overrides.values()) if is_known else ():
        known = distinct_values(complete, name)
        by_default = sorted({cell(run.settings[name]) for run in table.runs if name in run.settings})
        only = [value for value in distinct_values(of_failed, name) if value not in (*known, *by_default)]
        if only:
            shown.setdefault(name, known or by_default)
            missing[name] = f"no complete run: {' · '.join(only)}"
    if len(seeds) < 2 and "seed" not in missing:
        del shown["seed"]

    rows = []
    for name, values in sorted(shown.items(), key=lambda row: (row[0] == "seed", row[0])):
        text = " · ".join(values)
        if len(values) > 20:
            text = f"{len(values)} values" + ("" if name == "seed" else f", {values[0]} to {values[-1]}")
        rows.append((name, text, "; ".join(part for part in (together.get(name), missing.get(name)) if part)))
    return rows


def _failures(table: Table, folder: Path) -> dict[str, list[tuple[str, str, str | None]]]:
    """Return by message the overrides and names of failed runs, with the path of `error.json` if there is one."""

    settings = table.failed_settings()
    failures: dict[str, list[tuple[str, str, str | None]]] = {}
    for name, reason in table.failed.items():
        file = quote(f"{name}/{ERROR}") if (folder / name / ERROR).is_file() else None
        failures.setdefault(" ".join(reason.split()), []).append((settings.get(name, ""), name, file))

    return failures


def _run_rows(table: Table, constant: Mapping[str, float]) -> dict[str, Any]:
    """Return the head and the rows of the table of runs; a cell is its text and what it is sorted by."""

    numbers = [name for name in table.numbers if name not in constant]
    rows = []
    for run in table.runs:
        own = run.settings
        keys = run.cells(table.varying)
        cells = [(short_cell(own.get(name, "")), key) for name, key in zip(table.varying, keys, strict=True)]
        for name in numbers:
            value = run.numbers.get(name)
            cells.append(("", "") if value is None else (f"{value:.4g}", repr(value)))
        rows.append((run.name, f"{quote(run.name)}/", cells))

    return {"settings": table.varying, "numbers": numbers, "rows": rows}


def _note(run: Run) -> dict[str, Any] | None:
    """Return how G grew in a run, and its warnings; `None` if there is neither."""

    asked, size = run.settings.get("synthetic_size"), run.synthetic_size
    grew = f"{asked:,} to {size:,}" if isinstance(asked, int) and size is not None and size > asked else ""
    return {"name": run.name, "grew": grew, "warnings": run.warnings} if grew or run.warnings else None


def _constant(runs: Sequence[Run], numbers: Sequence[str]) -> dict[str, float]:
    """Return the numbers that are the same in all of several runs."""

    if len(runs) < 2:
        return {}
    values = {name: {run.numbers.get(name) for run in runs} for name in numbers}
    return {name: x for name, found in values.items() if len(found) == 1 and (x := found.pop()) is not None}


def _embedded(figure: Figure) -> str:
    """Return a figure as the address of an image that is part of the page; the same figure gives the same text."""

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "cgm", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
