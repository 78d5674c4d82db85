"""Statements that a report tests, with the numbers that decide them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One test of a claim.

    Attributes:
        where: What was tested.
        holds: Whether it holds.
        number: The number that decides.
        about: The same as `where`, in terms of the program; empty if nothing needs them.
    """

    where: str
    holds: bool
    number: str
    about: tuple[str, ...] = ()


def verdicts(tested: Iterable[tuple[str, str, Sequence[Check]]]) -> list[list[str]]:
    """Decide statements by their tests.

    Arguments:
        tested: A statement, how it is tested, and its tests; it is left out if there are none.

    Returns:
        A row for each: the statement, how it is tested, the smallest and the largest number, the verdict, and the tests
        that it did not pass.
    """

    rows = []
    for sentence, criterion, checks in tested:
        if checks:
            held = [check for check in checks if check.holds]
            missed = "; ".join(f"{check.where}: {check.number}" for check in checks if not check.holds)
            verdict = "held" if not missed else "not held" if not held else f"held in {len(held)} of {len(checks)}"
            rows.append([sentence, criterion, _range(checks), verdict, missed or "–"])
    return rows


def _range(checks: Sequence[Check]) -> str:
    """Write the smallest and the largest of the numbers of some checks, or all of them if they are not numbers."""

    if len(checks) > 1 and len({check.number for check in checks}) == 1:
        return f"{checks[0].number} in each"
    try:
        values = sorted((float(check.number.replace("−", "-").rstrip("%")), check.number) for check in checks)
    except ValueError:
        return "; ".join(f"{check.where}: {check.number}" for check in checks)
    return f"{values[0][1]} to {values[-1][1]}" if len(values) > 1 else values[0][1]
