r"""The incentives R1 to R6 in words, and numbers as people read them (Section 4 of the paper)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Wording(NamedTuple):
    """An incentive in words.

    Attributes:
        title: Its name in the paper.
        statement: What it says.
        slack: What its slack is.
    """

    title: str
    statement: str
    slack: str


INCENTIVES = {
    "R1": Wording("Non-negativity", "No reward is worth less than zero.", "the smallest reward value"),
    "R2": Wording(
        "Feasibility",
        "No party is promised more than its own data and all synthetic data together are worth.",
        "the smallest distance of a reward value from this limit",
    ),
    "R3": Wording(
        "Weak efficiency",
        "At least one party receives the largest reward value that the scheme allows: nothing is held back from all.",
        "minus the distance of the largest reward value from this maximum",
    ),
    "R4": Wording(
        "Individual rationality",
        "No party loses by taking part: its reward, which includes its own data, is worth at least its own data alone.",
        "the smallest gain of a party over its own data",
    ),
    "R5": Wording(
        "Fairness",
        "A party whose data adds nothing gains nothing. Two parties whose data adds the same receive the same. "
        "A party whose data adds more than that of another receives more.",
        "the smallest distance by which one of these comparisons holds",
    ),
    "R6": Wording(
        "Stability",
        "No group of parties would do better without the others: the member of the group that contributes most "
        "receives at least what the group's data is worth.",
        "the smallest distance of such a reward from the value of the group's data",
    ),
}


def threat_model(unit: str = "rows") -> str:
    """Return what the attacker of the privacy audit knows and does.

    Arguments:
        unit: What the data consists of, `"rows"` or `"images"`.
    """

    return (
        f"The attacker is the party that receives the reward. It knows its own data and all {unit} of the reward, but "
        f"not the settings of the generator. It is shown {unit} of the other parties that were used and {unit} that "
        "were kept apart, and guesses for each whether it was used. An AUC of 0.5 is guessing, 1 is certainty. The TPR "
        f"is the share of used {unit} that are recognised while few of the others are accused wrongly."
    )


STATES = {True: "holds", False: "does not hold", None: "not known"}


def number(x: Any, digits: int = 4) -> str:
    """Return a number with some significant digits, whole numbers with all, and `n/a` for what is unknown.

    Example:
        >>> number(0.0000123456), number(12345), number(-1234.5), number(None), number(-1e-17)
        ('0.00001235', '12,345', '−1,234', 'n/a', '0')
    """

    if x is None or (isinstance(x, float) and math.isnan(x)):
        return "n/a"
    if isinstance(x, int):
        return f"{x:,}"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if abs(x) < 1e-12:  # rounding errors
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    text = f"{x:,.{decimals}f}" if 1e-9 < abs(x) < 1e12 else f"{x:.{digits}g}"
    text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return text.replace("-", "−", 1 if x < 0 else 0)


def rounded(x: Any, digits: int = 6) -> float:
    """Round a number, also that of a tensor, to some significant digits."""

    return float(f"{float(x):.{digits}g}")


def beta_name(beta: float) -> str:
    """Return an inverse temperature as the shortest text, without a point if it is a whole number.

    Example:
        >>> beta_name(8.0), beta_name(0.5), beta_name(float("inf"))
        ('8', '0.5', 'inf')
    """

    return repr(float(beta)).removesuffix(".0")
