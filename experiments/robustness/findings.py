"""Statements about the scheme, each with the numbers that decide it."""

from collections.abc import Callable, Iterable
from statistics import fmean

from cgm.evaluation.correlations import correlation
from cgm.utils.text import markdown_table
from experiments.claims import Check, verdicts
from experiments.robustness.plan import BASE, STRONGEST, WEAKEST
from experiments.robustness.records import Gain, Honest, Records, by_setting, choose
from experiments.text import Setting, minus, names, signed

REVERSED = -0.8  # a rank correlation up to it counts as nearly reversed
EQUAL = 0.01  # so does a ρ up to it as paying all the same


def findings(records: Records) -> list[str]:
    """List the findings, how they are tested, and whether they hold."""

    base = choose(records.gains, variant=BASE)
    stable = [run for run in records.honest if run.variant == "scheme=stable"]
    rows = verdicts(
        [
            (
                "(a) Uniform noise in place of the weakest party's data raises its α.",
                "gain in α > 0",
                raised(choose(base, attack="noise", attacker=WEAKEST), "alpha"),
            ),
            (
                "(b) In the unequal split, `scheme=stable` pays nearly everyone the same.",
                f"ρ ≤ {EQUAL}",
                means(_of_split(stable, "unequal"), lambda run: run.result.scheme.number("rho"), _at_most(EQUAL)),
            ),
            (
                "(b) the same, measured by rewards.",
                "(max r − min r) / max r ≤ 5 %",
                means(_of_split(stable, "unequal"), spread, _at_most(0.05)),
            ),
            *(
                (
                    f"(c) Splitting the {attacker} party into two raises its total{what}.",
                    f"gain in{what} > 0",
                    raised(choose(base, attack="split", attacker=attacker), number),
                )
                for attacker in (WEAKEST, STRONGEST)
                for number, what in (("alpha", " α"), ("value", " true value"))
            ),
            (
                "(d) Leave-one-out nearly reverses Shapley's order of the parties.",
                f"rank correlation of the two φ ≤ {minus(str(REVERSED))}",
                reversals(records.honest),
            ),
        ]
    )
    if not rows:
        return []
    return [
        "## Findings",
        "Found first on the paper's simulation (credit ratings), and tested here in each setting, a dataset with a "
        "split. Numbers are means over seeds; gains in true value are in % of v_c(N).",
        markdown_table(["finding", "tested by", "smallest to largest", "verdict", "not in"], rows),
    ]


def raised(gains: Iterable[Gain], number: str) -> list[Check]:
    """Test in each setting whether a gain is positive."""

    write = signed if number == "alpha" else percent
    return [Check(_where(setting), mean > 0, write(mean)) for setting, mean in by_setting(gains, number).items()]


def means(
    runs: Iterable[Honest], number: Callable[[Honest], float | None], holds: Callable[[float], bool]
) -> list[Check]:
    """Test in each setting the mean over seeds of a number of honest runs."""

    found: dict[Setting, list[float]] = {}
    for run in runs:
        if (x := number(run)) is not None:
            found.setdefault(run.setting, []).append(x)
    return [Check(_where(setting), holds(fmean(xs)), f"{fmean(xs):.3f}") for setting, xs in found.items()]


def reversals(runs: Iterable[Honest]) -> list[Check]:
    """Test in each setting whether leave-one-out reverses the order of the Shapley values."""

    found = {(run.variant, run.setting, run.seed): run.result.contributions.phi.tolist() for run in runs}
    orders: dict[Setting, list[float]] = {}
    for (variant, setting, seed), phi in found.items():
        other = found.get(("contribution=leave_one_out", setting, seed))
        if variant == BASE and other is not None:
            rank = correlation(phi, other, "spearman").value
            if rank is not None:
                orders.setdefault(setting, []).append(rank)
    return [Check(_where(s), round(fmean(ranks), 9) <= REVERSED, signed(fmean(ranks))) for s, ranks in orders.items()]


def spread(run: Honest) -> float:
    """Return the spread of the rewards as a share of the largest."""

    return run.result.scheme.spread / float(run.result.scheme.values.max())


def percent(x: float) -> str:
    """Write a gain in per cent of v_c(N)."""

    return minus(f"{round(x, 1) or 0.0:+.1f}%")


def _at_most(limit: float) -> Callable[[float], bool]:
    return lambda x: x <= limit


def _of_split(runs: Iterable[Honest], split: str) -> list[Honest]:
    return [run for run in runs if run.setting[1] == split]


def _where(setting: Setting) -> str:
    return ", ".join(names(setting))
