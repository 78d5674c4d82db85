"""Why numbers differ from the published ones, or claims do not hold: each cause with what shows it."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from cgm.records.result import Result
from experiments.paper import published

About = tuple[str, ...]  # what, dataset, split, name; in the table of causes, ANY is each of them
ANY = "*"
REPORT = "outputs/paper/README.md"


class Cause(NamedTuple):
    """A cause.

    Attributes:
        text: The cause, as a clause.
        shown_by: What shows it: a section of the report, or a folder of records, by its path in the repository.
    """

    text: str
    shown_by: str


CAUSES: dict[About, Cause] = {}


def find_cause(about: About, results: Sequence[Result]) -> Cause | None:
    """Find the cause of a difference, as far as it is known: the one of the most particular entry of the table.

    Arguments:
        about: What differs.
        results: The runs.
    """

    what, dataset, split, name = about
    points, size = published.SIZES[dataset]
    if any(result.synthetic_size < size or set(result.points_per_party) != {points} for result in results):
        text = f"not at the size of the paper, |G| = {size:,} and {points:,} points per party"
        return Cause(text, "result.json of these runs")
    entries = product((what, ANY), (dataset,), (split, ANY), (name, ANY))
    known = [CAUSES[entry] for entry in sorted(entries, key=lambda entry: entry.count(ANY)) if entry in CAUSES]
    return known[0] if known else None
