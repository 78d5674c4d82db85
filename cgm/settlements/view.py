r"""A settlement as plain data, and the incentives in words: what report, certificates and `result.json` choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from cgm.data.tables.files import Source
from cgm.evaluation.entries import Scores
from cgm.records.result import scores_beside
from cgm.settlements.settlement import PartySettlement
from cgm.utils.plain import plain, versions
from cgm.utils.text import number


def describe(settlement: PartySettlement) -> dict[str, Any]:
    """Return the view of a settlement: all its numbers and settings, unrounded, as JSON holds them.

    Parties are numbered from 0. `plain` says how settings and infinite numbers are written.

    Arguments:
        settlement: The settlement.
    """

    contributions, rewards, game = settlement.contributions, settlement.rewards, settlement.game
    uncertainty, alpha_stderr = settlement.uncertainty, settlement.alpha_stderr
    parties = [
        {
            "name": name,
            **_source(settlement.sources[i]),
            "rows_valued": len(settlement.tables[i]),
            "rows_held_out": len(settlement.held_out[i]) if len(settlement.held_out) else 0,
            "own_data": game.party_values[i],
            "contribution": contributions.phi[i],
            "contribution_stderr": contributions.stderr[i],
            "alpha": contributions.alpha[i],
            "alpha_stderr": None if alpha_stderr is None else alpha_stderr[i],
            "reward": rewards.values[i],
            "target": delivered.target,
            "value_reached": delivered.value,
            "share_of_gain": delivered.share_of_gain,
            "rows_received": delivered.size,
            "lower": rewards.lower[i],
            "limit": rewards.upper[i],
            "recommended": delivered.beta,
        }
        for i, (name, delivered) in enumerate(zip(settlement.names, settlement.delivered, strict=True))
    ]
    sampling = [
        {
            "party": reward.party,
            "beta": reward.beta,
            "rows": reward.size,
            "promised": reward.promised,
            "target": reward.target,
            "value": reward.value,
            "checked": reward.checked,
            "checked_error": reward.checked_error,
            "share_of_gain": reward.share_of_gain,
            "reached": reward.reached,
        }
        for reward in settlement.drawn.values()
    ]
    return plain(
        {
            "format": "cgm settlement 2",
            "date": settlement.date,
            "parties": parties,
            "grand_value": game.grand_value,
            "synthetic_size": len(settlement.pool.points),
            "kernel": {"name": type(game.kernel).__name__, "lengthscale": game.kernel.lengthscale},
            "approximation": plain(settlement.approximation, classes=False),
            "samples": settlement.samples,
            "contributions": {"method": contributions.method, "details": contributions.details},
            "uncertainty": {
                "over": "rows",
                **plain(uncertainty, classes=False),
                "not_distinguished": settlement.not_distinguished,
            },
            "scheme": {"name": rewards.name, **rewards.details},
            "incentives": plain(settlement.incentives, classes=False),
            "target_incentives": plain(settlement.target_incentives, classes=False),
            "sampling": sampling,
            "sensitivity": plain(settlement.sensitivity, classes=False),
            "accuracies": [scores_beside(plain(entry, classes=False), Scores) for entry in settlement.accuracies],
            "audits": settlement.audits,
            "warnings": settlement.warnings,
            "seconds": settlement.seconds,
            "versions": versions(),
            "unit": settlement.unit,
            "columns": 0 if settlement.schema is None else len(settlement.schema.columns),
            "dropped": {} if settlement.schema is None else dict(settlement.schema.dropped),
            "features": type(settlement.features).__name__,
            "settings": settlement.settings,
        }
    )


def values_in_words(approximation: Mapping[str, Any] | None, unit: str = "rows") -> str:
    """Return how values were computed, and how exact they are.

    Arguments:
        approximation: The approximation, as a view has it; `None` for exact values.
        unit: What the data consists of.
    """

    if approximation is None:
        return f"Values are computed from all pairs of {unit}."
    size = f"{approximation['size']:,}"
    ways = {
        "nufft": f"from sums over a grid of {size} frequencies",
        "nystrom": f"from the likeness of all {unit} to {size} of them, the landmarks",
        "hybrid": f"from all pairs with {unit} of parties, and for pairs within the pool from {size} landmarks in it",
    }
    errors = (number(approximation[key], 2) for key in ("value_error", "alpha_error"))
    return (
        f"Values are computed {ways[approximation['method']]}, in place of all pairs of {unit}: they differ by up "
        f"to {next(errors)} from those of all pairs, and α by up to {next(errors)} (99 % intervals, from the "
        f"exact sums of some {unit})."
    )


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


EXTENTS = (  # of the AUC of an attack whose interval is above 0.5
    (0.6, "seems slightly better than guessing"),
    (0.75, "seems better than guessing: the reward may give something away about the data of others"),
    (2.0, "is much better than guessing: the reward gives away which data of others was used"),
)


def attack_in_words(attack: Mapping[str, Any], unit: str = "rows") -> str:
    """Return what the AUC of an attack means.

    Arguments:
        attack: The attack, as a view has it; or with rates in steps and, in place of its interval, whether it was shown
            to be `better` than guessing.
        unit: What the data consists of.
    """

    a = "an" if unit == "images" else "a"
    text = (
        f"Shown {a} {unit[:-1]} of another party that was used and one that was kept apart, the strongest attack picks "
        f"the used one in {{}} of 100 cases{{}}; guessing picks it in 50"
    )
    if "auc_low" in attack:
        low, high = (100 * attack[key] for key in ("auc_low", "auc_high"))
        text = text.format(number(100 * attack["auc"], 2), f" (95 % interval {number(low, 2)} to {number(high, 2)})")
        better = low > 50
    else:
        text, better = text.format(f"about {number(100 * attack['auc'], 2)}", ""), attack["better"]
    if not better:
        return f"{text}. The attack was not shown to be better than guessing."
    extent = next(words for limit, words in EXTENTS if attack["auc"] < limit)
    return f"{text}. The attack {extent}."


def guess_in_words(guess: Mapping[str, Any]) -> str:
    """Return what an attack on cells found out.

    Arguments:
        guess: The attack, as a view has it; or with rates in steps and, in place of its interval, whether the reward
            gives away more than rows that were kept apart, `better`.
    """

    is_coarse = "excess_low" not in guess
    rate, without, held_out = (_cases(guess[key], is_coarse) for key in ("rate", "without", "held_out"))
    if guess["column"] is not None:
        text = (
            f"Knowing all other cells of a row of another party, the attacker guesses {guess['column']} right in "
            f"{rate} of 100 cases; without the reward in {without}, and for rows that were kept apart in {held_out}"
        )
    else:
        of = "one column" if "one_column" in guess["name"] else "several columns"
        text = (
            f"Of 100 conditions on {of} that the attacker makes of the reward, {rate} hold for exactly one row of the "
            f"others; made of its own data {without}, and of rows that were kept apart {held_out}"
        )
    better = guess["better"] if is_coarse else guess["excess_low"] > 0
    shown = "gives away more than" if better else "was not shown to give away more than"
    return f"{text}. The reward {shown} rows that were kept apart."


def _cases(rate: float, is_coarse: bool) -> str:
    """Return a rate as a number of 100 cases, of one in steps of 0.05 what it stands for."""

    if not is_coarse:
        return number(100 * rate, 2)
    ends = {0: "fewer than 3", 100: "more than 97"}
    return ends.get(round(100 * rate), f"about {number(100 * rate, 2)}")


def strongest_guesses(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the most successful attack on cells of each name, compared with what held-out rows give."""

    names = dict.fromkeys(guess["name"] for guess in audit["guesses"])
    of = {name: [guess for guess in audit["guesses"] if guess["name"] == name] for name in names}
    return [max(guesses, key=lambda guess: guess["excess_low"]) for guesses in of.values()]


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


def _source(source: Source) -> dict[str, Any]:
    """Return where a party's data came from; how it writes cells is in its own file."""

    names = [field.name for field in fields(source) if field.name not in ("forms", "dtypes")]
    return {name: getattr(source, name) for name in names}
