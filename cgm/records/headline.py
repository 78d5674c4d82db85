r"""The headline numbers of a run: in its table, in the tables of sweeps, and as the number that a search optimises."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from cgm.evaluation.entries import AttackGains, Change, RewardAudit
from cgm.records.result import Result
from cgm.utils.text import aligned_lines

ATTACK = (  # numbers of a run with an attack
    "attack_gain_alpha",
    "attack_gain_alpha_max",
    "attack_gain_reward",
    "attack_gain_reward_max",
    "attack_gain_size",
    "attack_gain_value",
    "attack_gain_accuracy",
    "attack_others_mean",
    "attack_others_worst",
)
HEADLINE = ("v_star", "rho", "spread", "t", "lengthscale", "accuracy", "accuracy_gain", *ATTACK, "seconds", "warnings")
SECTIONS = ("scheme", "kernel", "correlations", "beta_correlations", "incentives", "attack", "seconds")  # with numbers


STATES = {True: "held", False: "NOT held", None: "unknown"}  # of an incentive


def headline(result: Result) -> dict[str, float | None]:
    r"""Return the headline numbers of a run: means over $\beta$ or over parties, or over both for accuracies."""

    after = [entry.accuracy for entry in result.downstream if entry.accuracy is not None]
    gains = [
        entry.accuracy - entry.accuracy_before
        for entry in result.downstream
        if entry.accuracy is not None and entry.accuracy_before is not None
    ]
    numbers: dict[str, float | None] = {name: result.scheme.number(name) for name in ("v_star", "rho")}
    numbers |= {"spread": result.scheme.spread, "t": result.t, "lengthscale": result.kernel.lengthscale}
    numbers |= {f"correlation_{metric}": entry.mean for metric, entry in result.correlations.items()}
    numbers |= {f"beta_correlation_{metric}": entry.mean for metric, entry in result.beta_correlations.items()}
    numbers |= {"accuracy": _mean(after), "accuracy_gain": _mean(gains)}
    numbers |= dict.fromkeys(ATTACK) if result.attack is None else _attack(result.attack)
    return numbers | {"seconds": sum(result.seconds.values()), "warnings": len(result.warnings)}


def objective_value(result: Result, objective: str) -> float:
    """Return a headline number, or the number at a dotted path in `result.json`; NaN if the run has none.

    Raises:
        ValueError: If there is no such number.
    """

    numbers = headline(result)
    if objective in numbers:
        value: Any = numbers[objective]
    else:
        value = result.to_json()
        path: list[str] = []
        for key in objective.split("."):
            if not (isinstance(value, Mapping) and key in value):
                keys = sorted(value) if isinstance(value, Mapping) else []
                found = f"there are {', '.join(keys)}" if keys else "that is not a section"
                raise ValueError(f"objective={objective}: no {key!r} in {'.'.join(path) or 'result.json'}; {found}")
            value = value[key]
            path.append(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"objective={objective}: is not a number, but {type(value).__name__}")
    return float(value)


def check_objective(objective: str) -> None:
    """Check the name of an objective before there is a run.

    Raises:
        ValueError: If no run can have such a number.
    """

    section, dot, _ = objective.partition(".")
    if dot and section in SECTIONS:
        return
    if not dot and (objective in HEADLINE or re.match("(beta_)?correlation_.", objective)):
        return
    raise ValueError(
        f"objective={objective}: expected a column of runs.csv ({', '.join(HEADLINE)}, correlation_... or "
        f"beta_correlation_... of a metric) or a path in result.json that begins with {', '.join(SECTIONS)}"
    )


def _attack(gains: AttackGains) -> dict[str, float | None]:
    r"""Return the gains of an attack: attacked minus honest, means over $\beta$; the worst change is the minimum."""

    alpha, reward, by_beta = gains.alpha, gains.reward, gains.by_beta
    accuracies = [
        entry.accuracy - entry.accuracy_honest
        for entry in by_beta
        if entry.accuracy is not None and entry.accuracy_honest is not None
    ]
    numbers = (
        alpha.total - alpha.honest,
        alpha.max - alpha.honest,
        reward.total - reward.honest,
        reward.max - reward.honest,
        fmean(entry.size - entry.size_honest for entry in by_beta),
        fmean(entry.value - entry.value_honest for entry in by_beta),
        _mean(accuracies),
        _mean([entry.others_mean for entry in by_beta if entry.others_mean is not None]),
        min((entry.others_worst for entry in by_beta if entry.others_worst is not None), default=None),
    )
    return dict(zip(ATTACK, numbers, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def headline_table(result: Result) -> str:
    """Return a table: a row for each party, the scheme, the incentives, the attack, a row for each audit."""

    rewards = {(reward.party, reward.beta): reward for reward in result.sampling}
    betas = list(dict.fromkeys(beta for _, beta in rewards))
    rows = [["party", "α", "v(D_i)", "v_min", "r_i", "v(D_i∪G)", *(f"|G_i| β={beta:g}" for beta in betas)]]
    values, scheme = result.values, result.scheme
    columns = result.contributions.alpha, values.party, values.lower, scheme.values, values.upper
    for i, numbers in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        sizes = [f"{rewards[i, beta].size}{'' if rewards[i, beta].reached else '*'}" for beta in betas]
        rows.append([str(i + 1), *(f"{x:.4f}" for x in numbers), *sizes])
    lines = aligned_lines(rows)
    if not all(reward.reached for reward in result.sampling):
        lines.append("* stopped before v(D_i ∪ G_i) reached r_i")

    numbers_of_scheme = [("v*", scheme.number("v_star"), 6), ("ρ", scheme.number("rho"), 4)]
    parts = [f"{symbol} = {number:.{digits}f}" for symbol, number, digits in numbers_of_scheme if number is not None]
    lines.append(", ".join([*parts, f"spread of rewards max r - min r = {scheme.spread:.4f}"]))
    incentives = []
    for name in (f"R{k}" for k in range(1, 7)):
        slack = result.incentives[name].slack
        shown = 0.0 if slack is not None and abs(slack) <= 1e-12 else slack  # rounding errors are shown as 0
        incentives.append(f"{name} {STATES[result.incentives[name].holds]}{'' if shown is None else f' ({shown:.2g})'}")
    lines.append("incentives (slack): " + ", ".join(incentives))
    if result.attack is not None:
        lines += ["", *_attack_lines(result.attack)]
    return "\n".join([*lines, *_audit_lines(result.audit)])


def _audit_lines(audit: Sequence[RewardAudit]) -> list[str]:
    """Return a row for each reward that was audited, and the reasons of those that could not be."""

    rows = [["party", "β", "strongest attack", "AUC", "true positive rate", "copies", "nearest (chance)"]]
    lines = []
    for entry in audit:
        if entry.reason is not None:
            lines.append(f"no audit of party {entry.party + 1}, β={entry.beta:g}: {entry.reason}")
            continue
        if entry.strongest is None:  # no attack on points was made
            continue
        attack = next(attack for attack in entry.attacks if attack.name == entry.strongest)
        auc = f"{attack.auc:.3f} [{attack.auc_low:.3f}, {attack.auc_high:.3f}]"
        tpr = f"{attack.tpr:.3f} [{attack.tpr_low:.3f}, {attack.tpr_high:.3f}]"
        nearest = f"{entry.nearest_share:.3f} ({entry.chance:.3f})"
        rows.append([str(entry.party + 1), f"{entry.beta:g}", attack.name, auc, tpr, str(entry.copies), nearest])
    return ["", *aligned_lines(rows), *lines] if len(rows) > 1 else lines


def _attack_lines(gains: AttackGains) -> list[str]:
    r"""Return the gains of an attack as the lines of a table with a row for each $\beta$."""

    several = len(gains.identities) > 1

    def both(honest: float | None, attacked: float | None) -> str:
        return " -> ".join("n/a" if x is None else f"{x:.4f}" for x in (honest, attacked))

    def signed(x: float | None) -> str:
        return "n/a" if x is None else f"{x:+.4f}"

    def change(x: Change) -> str:
        return both(x.honest, x.total) + (f" (max {x.max:.4f})" if several else "")

    rows = [["β", "|G_i|", "v(D_i∪G_i)", "accuracy", "others' v, mean", "worst"]]
    for entry in gains.by_beta:
        rows.append(
            [
                f"{entry.beta:g}",
                f"{entry.size_honest} -> {entry.size}",
                both(entry.value_honest, entry.value),
                both(entry.accuracy_honest, entry.accuracy),
                signed(entry.others_mean),
                signed(entry.others_worst),
            ]
        )
    as_parties = f", as {', '.join(str(i + 1) for i in gains.identities)}" if several else ""
    return [
        f"attack {gains.name} by party {gains.party + 1}{as_parties}; honest -> attacked: "
        f"α {change(gains.alpha)}, r_i {change(gains.reward)}",
        *aligned_lines(rows),
    ]
