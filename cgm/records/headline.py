r"""The headline numbers of a run, and the number that a search optimises."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from cgm.evaluation.entries import AttackGains
from cgm.records.result import Result

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
