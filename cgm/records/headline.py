r"""The headline numbers of a run: in its table, in the tables of sweeps, and as the number that a search optimises."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from cgm.evaluation.entries import AttackGains, Change, MeanCorrelation, RewardAudit
from cgm.records.result import Result
from cgm.records.settings import union
from cgm.release import Released
from cgm.rewards.incentives import STATES
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
CORRELATIONS = ("correlations", "beta_correlations")
SECTIONS = ("scheme", "kernel", "correlations", "beta_correlations", "incentives", "attack", "seconds")  # with numbers


def headline(result: Result) -> dict[str, float | None]:
    r"""Return the headline numbers of a run: means over $\beta$ or over parties, or over both for scores.

    The accuracy and its gain are there in any case, other scores if the task has them.
    """

    numbers: dict[str, float | None] = {name: result.scheme.number(name) for name in ("v_star", "rho")}
    numbers |= {"spread": result.scheme.spread, "t": result.t, "lengthscale": result.kernel.lengthscale}
    numbers |= {f"correlation_{metric}": entry.mean for metric, entry in result.correlations.items()}
    numbers |= {f"beta_correlation_{metric}": entry.mean for metric, entry in result.beta_correlations.items()}
    for score in union([{"accuracy": None}, *(entry.after for entry in result.downstream)]):
        pairs = [(entry.after.get(score), entry.before.get(score)) for entry in result.downstream]
        numbers[score] = _mean([after for after, _ in pairs if after is not None])
        numbers[f"{score}_gain"] = _mean(_differences(pairs))
    numbers |= dict.fromkeys(ATTACK) if result.attack is None else _attack(result.attack)
    return numbers | {"seconds": sum(result.seconds.values()), "warnings": len(result.warnings)}


def objective_value(result: Result, objective: str) -> float:
    """Return a headline number, or the number at a dotted path in `result.json`; NaN if the run has none.

    Raises:
        ValueError: If there is no such number.
    """

    numbers = headline(result)
    value: Any
    if objective in numbers:
        value = numbers[objective]
    elif re.match("(beta_)?correlation_.", objective):
        value = None  # of a metric that was not measured
    elif len(keys := objective.split(".")) > 2 and keys[0] in CORRELATIONS and keys[1] not in getattr(result, keys[0]):
        value = None
    else:
        value = result.to_json()
        path: list[str] = []
        for key in objective.split("."):
            if not (isinstance(value, Mapping) and key in value):
                names = sorted(value) if isinstance(value, Mapping) else []
                found = f"there are {', '.join(names)}" if names else "that is not a section"
                raise ValueError(f"objective={objective}: no {key!r} in {'.'.join(path) or 'result.json'}; {found}")
            value = value[key]
            path.append(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"objective={objective}: is not a number, but {type(value).__name__}")
    return float(value)


def check_objective(objective: str, scores: Sequence[str], correlated: Sequence[str] | None = None) -> None:
    """Check the name of an objective before there is a run.

    Arguments:
        objective: The name.
        scores: The names of the scores of the downstream task.
        correlated: The names of what is correlated; `None` to accept any.

    Raises:
        ValueError: If no run can have such a number.
    """

    section, dot, rest = objective.partition(".")
    correlation = re.match("(?:beta_)?correlation_(.+)", objective)
    columns = [*HEADLINE, *(name for score in scores for name in (score, f"{score}_gain", f"attack_gain_{score}"))]
    if not (correlation or (dot and section in SECTIONS) or objective in columns):
        raise ValueError(
            f"objective={objective}: expected a column of runs.csv ({', '.join(dict.fromkeys(columns))}, "
            "correlation_... or beta_correlation_... of a metric) or a path in result.json that begins with "
            f"{', '.join(SECTIONS)}"
        )
    name = correlation[1] if correlation else rest.partition(".")[0] if section in CORRELATIONS else None
    if name is not None and correlated is not None and name not in correlated:
        raise ValueError(f"objective={objective}: {name} is not measured; there are {', '.join(correlated)}")


def _attack(gains: AttackGains) -> dict[str, float | None]:
    r"""Return the gains of an attack: attacked minus honest, means over $\beta$; the worst change is the minimum."""

    alpha, reward, by_beta = gains.alpha, gains.reward, gains.by_beta
    scores = {
        score: _mean(_differences([(entry.scores.get(score), entry.scores_honest.get(score)) for entry in by_beta]))
        for score in union([{"accuracy": None}, *(entry.scores for entry in by_beta)])
    }
    numbers = (
        alpha.total - alpha.honest,
        alpha.max - alpha.honest,
        reward.total - reward.honest,
        reward.max - reward.honest,
        fmean(entry.size - entry.size_honest for entry in by_beta),
        fmean(entry.value - entry.value_honest for entry in by_beta),
        scores.pop("accuracy"),
        _mean([entry.others_mean for entry in by_beta if entry.others_mean is not None]),
        min((entry.others_worst for entry in by_beta if entry.others_worst is not None), default=None),
    )
    return dict(zip(ATTACK, numbers, strict=True)) | {f"attack_gain_{name}": gain for name, gain in scores.items()}


def _differences(pairs: Sequence[tuple[float | None, float | None]]) -> list[float]:
    """Return the differences of the pairs of which both numbers are known."""

    return [a - b for a, b in pairs if a is not None and b is not None]


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
    if result.privacy is not None:
        lines += _privacy_lines(result.privacy)
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
    if result.correlations:
        lines += ["", *_correlation_lines(result)]
    if result.attack is not None:
        lines += ["", *_attack_lines(result.attack)]
    return "\n".join([*lines, *_audit_lines(result.audit)])


def _privacy_lines(released: Released) -> list[str]:
    """Return what is guaranteed, and how much the noise may change the numbers above."""

    def shares(values: Iterable[float]) -> str:
        return ", ".join(dict.fromkeys(f"{x:.3g}" for x in values))

    def largest(values: Sequence[float | None]) -> str:
        return "unknown" if None in values else f"{max(x for x in values if x is not None):.2g}"

    given = released.guarantees
    return [
        f"privacy: ε = {shares(each['epsilon'] for each in given)}, δ = {shares(each['delta'] for each in given)}, "
        f"μ = {shares(each['mu'] for each in given)}; largest standard errors because of the noise: "
        f"v(D_i) {largest(released.values_stderr)}, α {largest(released.alpha_stderr)}, "
        f"r_i {largest(released.rewards_stderr)}"
    ]


def _correlation_lines(result: Result) -> list[str]:
    r"""Return a row for each metric with its correlations with $\alpha$ and $\beta$: mean ± standard error."""

    def shown(entry: MeanCorrelation | None) -> str:
        if entry is None or entry.mean is None:
            return "n/a"
        return f"{entry.mean:+.3f}" + ("" if entry.sem is None else f" ± {entry.sem:.3f}")

    rows = [["correlation of", "with α", "with β"]]
    for name, entry in result.correlations.items():
        rows.append([name, shown(entry), shown(result.beta_correlations.get(name))])
    return aligned_lines(rows)


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

    scores = list(gains.by_beta[0].scores) if gains.by_beta else []
    rows = [["β", "|G_i|", "v(D_i∪G_i)", *(score.replace("_", " ") for score in scores), "others' v, mean", "worst"]]
    for entry in gains.by_beta:
        rows.append(
            [
                f"{entry.beta:g}",
                f"{entry.size_honest} -> {entry.size}",
                both(entry.value_honest, entry.value),
                *(both(entry.scores_honest[score], entry.scores[score]) for score in scores),
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
