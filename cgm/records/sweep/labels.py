r"""Labels of headline numbers, and text from outside in figures."""

from __future__ import annotations

from collections.abc import Sequence

from cgm.records.figures.attack_gains import LABELS as ATTACK_LABELS
from cgm.records.figures.style import LABELS as METRIC_LABELS

LABELS = {
    "v_star": "largest reward value $v^*$",
    "rho": r"$\rho$ of the reward scheme",
    "spread": r"spread of the rewards, max $r_i$ − min $r_i$",
    "t": "number of points $|T|$",
    "lengthscale": r"length-scale $\ell$ of the kernel",
    "accuracy": "downstream accuracy with rewards",
    "accuracy_gain": "gain in downstream accuracy",
    "seconds": "seconds of a run",
    "warnings": "number of warnings",
    **ATTACK_LABELS,
}
CORRELATIONS = {"correlation_": r"$\alpha$", "beta_correlation_": r"$\beta$"}


def number_label(name: str) -> str:
    """Return the label of a number in a figure."""

    for prefix, symbol in CORRELATIONS.items():
        if name.startswith(prefix):
            metric = name.removeprefix(prefix)
            return f"correlation of {symbol} with {METRIC_LABELS.get(metric) or outside(metric.replace('_', ' '))}"
    return LABELS.get(name) or METRIC_LABELS.get(name) or outside(name)


def is_signed(name: str) -> bool:
    """Return whether a number is a change, with a meaningful zero."""

    return name.startswith("attack_") or name.endswith("_gain")


def outside(text: str, length: int = 32) -> str:
    r"""Return text from outside as one line for a figure, which is not read as a formula.

    Example:
        >>> outside("a\nb $x$"), outside("a name that is too long", length=10)
        ('a b \\$x\\$', 'a name th…')
    """

    return _cut(_one_line(text), length - 1, 0).replace("$", r"\$")


def outside_distinct(texts: Sequence[str], length: int = 32) -> list[str]:
    """Return texts from outside as `outside` does, but cut so that they stay distinct.

    They are cut at the end; if two of them would differ in their last characters only, in the middle; and if these
    would be equal as well, not at all.

    Example:
        >>> outside_distinct(["Scheme, rho=1, fair=true", "Scheme, rho=1, fair=false"], length=18)
        ['Scheme…, fair=true', 'Scheme… fair=false']
    """

    lines = [_one_line(text) for text in texts]
    found = lines
    for begin, seen in ((length - 1, length - 8), (length // 3, length), (4, length)):
        cut = [_cut(line, begin, length - 1 - begin) for line in lines]
        if len({line[:seen] for line in cut}) == len(set(lines)):
            found = cut
            break
    return [line.replace("$", r"\$") for line in found]


def _one_line(text: str) -> str:
    return " ".join("".join(x if x.isprintable() else " " for x in text).split())


def _cut(line: str, begin: int, end: int) -> str:
    """Return the first and the last characters of a line that is longer than both."""

    return line if len(line) <= begin + end + 1 else f"{line[:begin].rstrip()}…{line[len(line) - end :]}"
