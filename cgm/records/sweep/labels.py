r"""Labels of headline numbers, and text from outside in figures."""

from __future__ import annotations

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

    line = " ".join("".join(x if x.isprintable() else " " for x in text).split())
    line = line if len(line) <= length else line[: length - 1].rstrip() + "…"
    return line.replace("$", r"\$")
