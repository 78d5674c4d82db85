"""Check of the reproduction: is each claim and each published number of the report reproduced, and if not, why?

    python -m experiments.paper check
    python -m experiments.paper check folder=outputs/reproduction

Prints a line for each, from the records alone. A published number agrees if it lies where a further run of cgm would,
with a probability of 95 %: within mean ± t √(1 + 1/n) times the standard deviation over n seeds, and the rounding of
the published number. R6 has to hold in each record of `scheme=stable`. What differs has a cause in the table of
`experiments.paper.causes`, with what shows it. The exit status is 1 if a difference has no cause there, or if runs are
missing, and otherwise 0.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from omegaconf import DictConfig
from scipy.stats import t as student

from cgm.records.result import Result
from experiments.paper import published
from experiments.paper.causes import About, find_cause
from experiments.paper.claims import tested
from experiments.paper.plan import SPLITS
from experiments.paper.records import Groups, Records, read_all
from experiments.paper.text import METRICS, OF_THE_PAPER
from experiments.settings import program
from experiments.text import minus, names

AGREES, DIFFERS, UNEXPLAINED, MISSING, ONE_SEED = "agrees", "differs", "UNEXPLAINED", "MISSING", "one seed"
LEVEL = 0.95  # the probability with which a further run lies in the interval


class Line(NamedTuple):
    """A line of the check.

    Attributes:
        state: How it ended.
        text: What was compared, with the numbers and the cause of a difference.
    """

    state: str
    text: str


class Number(NamedTuple):
    """A published number and those of the runs.

    Attributes:
        about: What it is, for the table of causes.
        text: The same in words.
        own: The number of each seed.
        published: The published number.
        digits: Its decimals.
    """

    about: About
    text: str
    own: list[float]
    published: float
    digits: int


@program("paper/check.yaml")
def main(config: DictConfig) -> None:
    """Print the lines and how many there are of each kind; end with status 1 if one of them needs a cause or a run."""

    folder = Path(config.folder)
    if not folder.is_dir():
        sys.exit(f"experiments.paper check: error: folder={folder}: there is no such folder")
    lines = check(folder)
    for line in lines:
        print(f"{line.state + ':':<12} {line.text}")
    counts = Counter(line.state for line in lines)
    print("\n" + ", ".join(f"{n} {state}" for state, n in counts.items()))
    if counts[UNEXPLAINED] or counts[MISSING]:
        sys.exit(1)


def check(folder: Path) -> list[Line]:
    """Check the records of a reproduction.

    Arguments:
        folder: The folder of the reproduction, with `runs` and `choices`.
    """

    runs, choices = read_all(folder)
    groups = {setting: group for setting, group in runs.groups.items() if setting[0] in OF_THE_PAPER}
    missing = [(dataset, split) for dataset in OF_THE_PAPER for split in SPLITS if (dataset, split) not in groups]
    everywhere = {"runs": runs} | {f"choices/{name}": own for name, own in choices.items()}
    broken = [f"{name}: {' '.join(why.split())}" for own in everywhere.values() for name, why in own.broken.items()]
    return [
        *(Line(MISSING, f"{', '.join(names(setting))}: no complete run") for setting in missing),
        *(Line(MISSING, text) for text in broken),
        *_claims(groups),
        *(_compare(number, groups) for number in numbers(groups) if number.about[1:3] in groups),
        *_stable(everywhere),
    ]


def interval(values: Sequence[float], digits: int) -> tuple[float, float]:
    """Compute where a further run lies with a probability of 95 %, after rounding.

    Arguments:
        values: The numbers of the runs, two or more.
        digits: The decimals to which the number of the further run is rounded.

    Returns:
        The middle of the interval and half its width.
    """

    n = len(values)
    spread = float(student.ppf((1 + LEVEL) / 2, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n)
    return fmean(values), spread + 0.5 * 10**-digits


def numbers(groups: Groups) -> Iterator[Number]:
    """List the published numbers, each with those of the runs, as far as there are any."""

    for variable, symbol, tables in (("alpha", "α", published.ALPHA), ("beta", "β", published.BETA)):
        for setting, table in tables.items():
            for metric, (number, _) in table.items():
                entries = [
                    (r.correlations if variable == "alpha" else r.beta_correlations).get(metric)
                    for r in groups.get(setting, [])
                ]
                means = [entry.mean for entry in entries if entry is not None and entry.mean is not None]
                text = f"correlation of {METRICS[metric]} with {symbol}"
                yield Number((variable, *setting, metric), text, means, number, _decimals(number))
    for setting, alpha in published.CONTRIBUTIONS.items():
        alphas, digits = [r.contributions.alpha.tolist() for r in groups.get(setting, [])], max(map(_decimals, alpha))
        for i, number in enumerate(alpha):
            own = [alpha[i] for alpha in alphas]
            yield Number(("contributions", *setting, str(i)), f"α of party {i + 1}", own, number, digits)
    for setting, number in published.LENGTHSCALES.items():
        own = [result.kernel.lengthscale for result in groups.get(setting, [])]
        yield Number(("lengthscale", *setting, ""), "length-scale", own, number, _decimals(number))
    for setting, by_beta in published.REWARD_SIZES.items():
        rewards = [reward for result in groups.get(setting, []) for reward in result.sampling]
        for beta, counts in by_beta.items():
            for i, count in enumerate(counts):
                own = [float(reward.size) for reward in rewards if (reward.party, reward.beta) == (i, beta)]
                yield Number(("sizes", *setting, str(i)), f"|G_i| of party {i + 1}, β = {beta}", own, count, 0)
    schemes = [result.scheme for result in groups.get(published.OF_REWARDS, [])]
    for name, key, number in (("v*", "v_star", published.V_STAR), ("ρ", "rho", published.RHO)):
        own = [x for scheme in schemes if (x := scheme.number(key)) is not None]
        yield Number(("rewards", *published.OF_REWARDS, key), name, own, number, _decimals(number))
    for i, number in enumerate(published.REWARDS):
        own = [scheme.values.tolist()[i] for scheme in schemes]
        yield Number(("rewards", *published.OF_REWARDS, str(i)), f"r of party {i + 1}", own, number, _decimals(number))


def _compare(number: Number, groups: Groups) -> Line:
    """Compare a published number with the interval of the runs."""

    setting = number.about[1], number.about[2]
    where = f"{', '.join(names(setting))}: {number.text}: published {_write(number.published, number.digits)}"
    if not number.own:
        return Line(MISSING, f"{where}; not in the runs")
    if len(number.own) == 1:
        return Line(ONE_SEED, f"{where}; here {_write(number.own[0], number.digits)}, without an interval")
    middle, half = interval(number.own, number.digits)
    text = f"{where}; here {_write(middle, number.digits)} ± {_write(half, number.digits)}"
    return _line(abs(number.published - middle) <= half, text, number.about, groups[setting])


def _claims(groups: Groups) -> Iterator[Line]:
    """Test each claim in each setting."""

    for _, criterion, checks in tested(groups):
        for one in checks:
            text = f"{one.where}: claim: {criterion}: {one.number}"
            results = [r for setting, group in groups.items() if setting[0] == one.about[1] for r in group]
            yield _line(one.holds, text, one.about, results)


def _stable(records: Mapping[str, Records]) -> Iterator[Line]:
    """Verify R6 in each record of `scheme=stable`."""

    for folder, own in records.items():
        stable = [
            (name, result)
            for setting, group in own.groups.items()
            for name, result in zip(own.folders[setting], group, strict=True)
            if (result.settings["scheme"]["class"], result.settings["scheme"].get("stable")) == ("ShapleyFair", True)
        ]
        missed = [name for name, result in stable if result.incentives["R6"].holds is not True]
        if stable:
            text = f"{folder}: R6 holds in {len(stable) - len(missed)} of {len(stable)} records of scheme=stable"
            yield Line(UNEXPLAINED if missed else AGREES, text + (f"; not in {', '.join(missed)}" if missed else ""))


def _line(agrees: bool, text: str, about: About, results: Sequence[Result]) -> Line:
    """Write how a comparison ended, with the cause of a difference."""

    if agrees:
        return Line(AGREES, text)
    cause = find_cause(about, results)
    if cause is None:
        return Line(UNEXPLAINED, f"{text}; no cause of {about} in experiments/paper/causes.py")
    return Line(DIFFERS, f"{text}; {cause.text} [{cause.shown_by}]")


def _decimals(number: float) -> int:
    """Count the decimals of a published number: three of correlations that end in zeros."""

    return max(3, min(10, len(str(number).partition(".")[2])))


def _write(number: float, digits: int) -> str:
    return minus(f"{number:,.{digits}f}")
