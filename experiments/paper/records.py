"""The records of the reproduction, and means over their seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cgm.evaluation.correlations import Summary, summarise
from cgm.evaluation.correlations import correlation as pearson
from cgm.evaluation.entries import AlphaCorrelation, BetaCorrelation
from cgm.records.result import Result
from experiments.paper.published import Variable
from experiments.records import read_results
from experiments.text import DATASETS, SPLITS, Setting

Groups = dict[Setting, list[Result]]  # for each dataset and split, the results by seed


@dataclass(frozen=True)
class Records:
    """The results in a folder.

    Attributes:
        groups: The results for each dataset and split, in the order of the report.
        folders: The folders of these results.
        broken: For each folder without a complete result, the reason.
    """

    groups: Groups = field(default_factory=dict)
    folders: dict[Setting, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def read_records(folder: Path) -> Records:
    """Read the results of the runs in a folder."""

    results, broken = read_results(folder)
    runs: dict[Setting, list[tuple[Result, str]]] = {}
    for name, result in results.items():
        runs.setdefault((result.dataset, result.split), []).append((result, name))
    order = [(dataset, split) for dataset in DATASETS for split in SPLITS]
    order += sorted(set(runs) - set(order))
    groups, folders = {}, {}
    for key in order:
        if key in runs:
            by_seed = sorted(runs[key], key=lambda run: run[0].seed)
            groups[key] = [result for result, _ in by_seed]
            folders[key] = [name for _, name in by_seed]
    return Records(groups, folders, broken)


def read_all(folder: Path) -> tuple[Records, dict[str, Records]]:
    """Read the runs of the paper in the folder of a reproduction, and those of each choice by its name."""

    choices = folder / "choices"
    paths = sorted(path for path in choices.iterdir() if path.is_dir()) if choices.is_dir() else []
    return read_records(folder / "runs"), {path.name: read_records(path) for path in paths}


def all_results(groups: Groups) -> list[Result]:
    """Return the results of all groups."""

    return [result for group in groups.values() for result in group]


class Correlation(NamedTuple):
    """A correlation of runs that differ in their seed only; `None` if there is none.

    Attributes:
        mean: The mean over seeds.
        within: The mean over seeds of the standard error over β (over parties, for a correlation with β).
        between: The standard error over seeds.
    """

    mean: float | None
    within: float | None
    between: float | None


def correlation(results: list[Result], variable: Variable, metric: str) -> Correlation:
    """Average the correlation of a metric with α or with β over seeds."""

    own = [result.correlations if variable == "alpha" else result.beta_correlations for result in results]
    return over_seeds([entries[metric] for entries in own if entries.get(metric) is not None])


def over_seeds(entries: Sequence[Summary | AlphaCorrelation | BetaCorrelation]) -> Correlation:
    """Average correlations of runs that differ in their seed only, each a mean with its standard error."""

    summary = summarise([entry.mean for entry in entries])
    return Correlation(summary.mean, summarise([entry.sem for entry in entries]).mean, summary.sem)


def correlation_with_alpha(alpha: Sequence[float], values: Sequence[Sequence[float]]) -> Summary:
    """Correlate values of parties with their α, as mean and standard error over β.

    Arguments:
        alpha: α of each party.
        values: The values of the parties, for each β.
    """

    return summarise([pearson(alpha, by_party).value for by_party in values])
