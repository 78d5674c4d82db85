r"""The report of a settlement for the mediator: one HTML file without scripts, links to other files or rows of data.

Each section shows numbers of the view of the settlement, or what a function here makes of them; the template
`report.html` lays them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from cgm.records.html import inline_svg, render
from cgm.records.settings import flatten
from cgm.settlements.figures import (
    MAX_PANELS,
    Comparison,
    compare,
    draw_columns,
    draw_contributions,
    draw_images,
    draw_plane,
    draw_values,
)
from cgm.settlements.party import MAX_COMPARED
from cgm.settlements.settlement import PartySettlement, name_groups
from cgm.settlements.view import (
    INCENTIVES,
    attack_in_words,
    describe,
    guess_in_words,
    strongest_guesses,
    threat_model,
    values_in_words,
)
from cgm.utils.text import label, number

TEMPLATES = Path(__file__).parent / "templates"
MAX_FIGURES = 96  # panels of columns in a report, over all parties
MAX_COLUMNS, MIN_COLUMNS = 8, 2  # panels for a party
MAX_LISTED = 40  # columns in a party's table
TO_LARGEST = ("to_largest", "to_largest_stderr")


class Rule(NamedTuple):
    """How a scheme turns contributions into rewards, in words.

    Attributes:
        formula: The formula of the reward value.
        reason: Why a party receives more or less than others.
    """

    formula: str | None
    reason: str


PROMISED = Rule(
    "r = α^ρ v*, but at least the value of own data",
    "A party that contributes more is promised a larger value, and data that is worth less is further from it.",
)
RULES = {
    "gain": Rule(
        "r = v + α^ρ (v* − v), with the value v of own data",
        "A party that contributes more is promised a larger share of what all synthetic data would add to its own.",
    ),
    "shapley_fair": PROMISED,
    "spread": PROMISED,
    "proportional": PROMISED,
    "equal_rewards": Rule(
        "r = v* for all, but at least the value of own data",
        "All parties are promised the same value, whatever they contribute; data that is worth less is further away.",
    ),
    "max_welfare": Rule(
        "r is the limit, the value of own data with all synthetic data",
        "Each party is promised all that synthetic data can add to its own, whatever it contributes.",
    ),
}


def report(settlement: PartySettlement, seed: int = 0, alternatives: bool = False) -> bytes:
    """Return the report of a settlement, a page in UTF-8.

    Arguments:
        settlement: The settlement.
        seed: The seed of the figure of rewards in the plane.
        alternatives: Whether parties receive their rewards for all β.
    """

    view, show = describe(settlement), images if settlement.schema is None else columns
    delivered, not_delivered = audits(view, alternatives)
    others = sensitivity(view)
    return render(
        TEMPLATES / "report.html",
        view=view,
        parties=parties(view),
        together=together(view),
        rule=rule(view),
        tolerance=tolerance(view),
        values=values(view),
        contributions=contributions(view),
        sensitivity=others,
        changes_of_share=[x["change_of_share"] for x in others if x["change_of_share"] is not None],
        sampled=any(party["contribution_stderr"] for party in view["parties"]),
        incentives=INCENTIVES,
        broken=broken(view),
        failed=[name for name in INCENTIVES if view["incentives"][name]["holds"] is False],
        unknown=unknown(view),
        plane=plane(settlement, seed),
        distributions=[show(settlement, party) for party in range(len(settlement.names))],
        threat_model=threat_model(view["unit"]),
        values_in_words=values_in_words(view["approximation"], view["unit"]),
        audits=delivered,
        other_audits=not_delivered,
        scores=list(settlement.accuracies[0].after) if settlement.accuracies else [],
        delivered_accuracies=[
            entry
            for entry in view["accuracies"]
            if alternatives or entry["beta"] == view["parties"][entry["party"]]["recommended"]
        ],
        copies=sum(audit["copies"] or 0 for audit in delivered),
        settings=flatten(view["settings"]),
    )


def parties(view: dict[str, Any]) -> list[dict[str, Any]]:
    r"""Return the numbers of each party with its rewards, one for each $\beta$, and the recommended one."""

    rewards = [[x for x in view["sampling"] if x["party"] == i] for i in range(len(view["parties"]))]
    errors = view["uncertainty"]
    return [
        party
        | {
            "rewards": drawn,
            "best": next(x for x in drawn if x["beta"] == party["recommended"]),
            "own_data_stderr": errors["v"][i],
            **{key: None if errors[key] is None else errors[key][i] for key in ("phi", *TO_LARGEST)},
        }
        for i, (party, drawn) in enumerate(zip(view["parties"], rewards, strict=True))
    ]


def together(view: dict[str, Any]) -> Markup:
    """Name the parties whose contributions cannot be told apart, in one sentence; empty if there are none."""

    names = [f"<bdi>{escape(party['name'])}</bdi>" for party in view["parties"]]
    return Markup(name_groups(view["uncertainty"]["not_distinguished"], names))


def rule(view: dict[str, Any]) -> Rule:
    """Return how reward values follow from contributions, and why the rows of rewards differ."""

    return RULES.get(
        view["scheme"]["name"],
        Rule(None, f"What a party is promised follows from the scheme {view['scheme']['name']}."),
    )


def tolerance(view: dict[str, Any]) -> float | None:
    """Return the share of the possible gain that complete rewards miss; `None` if all are drawn to r."""

    shares = [
        (party["target"] - party["own_data"]) / (party["limit"] - party["own_data"])
        for party in view["parties"]
        if party["target"] < party["reward"] and party["limit"] > party["own_data"]
    ]
    return 1 - min(shares) if shares else None


def values(view: dict[str, Any]) -> str:
    """Return the figure of values and rewards."""

    numbers = (
        f"{label(party['name'])}: own data {number(party['own_data'])}, with the reward "
        f"{number(party['value_reached'])}, limit {number(party['limit'])}"
        for party in view["parties"]
    )
    title = "Values between own data and the limit"
    return inline_svg(draw_values(view["parties"]), "values", title, "; ".join(numbers))


def contributions(view: dict[str, Any]) -> str:
    """Return the figure of contributions."""

    errors = view["uncertainty"]["phi"]
    numbers = (
        f"{label(party['name'])}: {number(party['contribution'])}"
        + ("" if errors is None else f" ± {number(2 * errors[i], 2)}")
        for i, party in enumerate(view["parties"])
    )
    figure = draw_contributions(view["parties"], errors)
    return inline_svg(figure, "contributions", "Contributions with their uncertainty", "; ".join(numbers))


def sensitivity(view: dict[str, Any]) -> list[dict[str, Any]]:
    r"""Return what parties have with the other settings, the largest changes, and whether their order is the same.

    Only parties count that can be told apart, since the order of others is not known in any case; `None` without any.
    """

    used = [party["alpha"] for party in view["parties"]]
    shares = [party["share_of_gain"] for party in view["parties"]]
    groups = view["uncertainty"]["not_distinguished"]

    apart = [pair for pair in combinations(range(len(used)), 2) if not any(set(pair) <= set(group) for group in groups)]

    def same_order(alpha: Sequence[float]) -> bool | None:
        return all((used[i] - used[j]) * (alpha[i] - alpha[j]) >= 0 for i, j in apart) if apart else None

    return [
        {
            "name": name,
            **variant,
            "change": max(abs(a - b) for a, b in zip(variant["alpha"], used, strict=True)),
            "change_of_share": None
            if variant["shares"] is None
            else max(abs(a - b) for a, b in zip(variant["shares"], shares, strict=True)),
            "same_order": same_order(variant["alpha"]),
        }
        for name, variant in view["sensitivity"].items()
    ]


def broken(view: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the incentives that reward values hold and targets do not, and by how much these miss them."""

    possible = max(party["limit"] - party["own_data"] for party in view["parties"])
    found = []
    for name, words in INCENTIVES.items():
        promised, target = view["incentives"][name], view["target_incentives"][name]
        if target["holds"] is False and promised["holds"] is not False:
            missed = None if target["slack"] is None else max(-target["slack"], 0.0)
            share = missed / possible if missed is not None and possible > 0 else None
            found.append({"name": name, "title": words.title, "missed": missed, "share": share})
    return found


def unknown(view: dict[str, Any]) -> list[str]:
    """Name the incentives of which it is not known whether they hold."""

    unknown = (name for name in INCENTIVES if view["incentives"][name]["holds"] is None)
    return [f"{name} ({INCENTIVES[name].title.lower()})" for name in unknown]


def plane(settlement: PartySettlement, seed: int) -> dict[str, Any]:
    """Return the figure of rewards in the plane, its kind, and the number of its parties."""

    figure, kind = draw_plane(settlement, seed)
    description = f"One panel for each party: its {settlement.unit} and those of its reward as points, over the pool."
    if settlement.schema is not None:
        description += " The tables of columns below compare them in numbers."
    svg = inline_svg(figure, "plane", "Own data and rewards in the plane", description)
    return {"figure": svg, "kind": kind, "parties": min(len(settlement.names), MAX_PANELS)}


def images(settlement: PartySettlement, party: int) -> dict[str, Any]:
    """Return the figure of some images of a party's reward."""

    figure = draw_images(settlement.reward_table(party, settlement.recommended[party]))
    title = f"Images of the reward of {settlement.names[party]}"
    return {"figure": inline_svg(figure, f"images-{party + 1}", title, "Some of its synthetic images, side by side")}


def columns(settlement: PartySettlement, party: int) -> dict[str, Any]:
    """Return the table and the figure of a party's columns, those that differ most first."""

    assert settlement.schema is not None
    reward = settlement.reward_values(party, settlement.recommended[party])
    tables = [settlement.tables[party], reward, settlement.pool_table[:MAX_COMPARED]]
    compared: list[Comparison] = [compare(column, tables) for column in settlement.schema.columns]
    compared.sort(key=lambda comparison: -comparison.difference)
    drawn = compared[: max(MIN_COLUMNS, min(MAX_COLUMNS, MAX_FIGURES // len(settlement.names)))]
    figure = inline_svg(
        draw_columns(drawn),
        f"columns-{party + 1}",
        f"Columns of {settlement.names[party]}: own data, reward and synthetic pool",
        "Histograms and bars of the columns that differ most: "
        + "; ".join(f"{label(x.name)}: own data {x.summaries[0]}, reward {x.summaries[1]}" for x in drawn),
    )
    return {"figure": figure, "drawn": len(drawn), "columns": compared[:MAX_LISTED], "all": len(compared)}


def audits(view: dict[str, Any], alternatives: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the privacy audits of the rewards that parties receive, and those of the others.

    Each has its strongest attack and what that means; the one with the most successful attack is the first.
    """

    shown = []
    for audit in view["audits"]:
        party = view["parties"][audit["party"]]
        strongest = next((attack for attack in audit["attacks"] if attack["name"] == audit["strongest"]), None)
        meaning = "" if strongest is None else attack_in_words(strongest, view["unit"])
        delivered = alternatives or audit["beta"] == party["recommended"]
        guesses = [guess | {"meaning": guess_in_words(guess)} for guess in strongest_guesses(audit)]
        shown.append(
            audit
            | {
                "name": party["name"],
                "attack": strongest,
                "meaning": meaning,
                "delivered": delivered,
                "strongest_guesses": guesses,
            }
        )
    shown.sort(key=lambda audit: -audit["attack"]["auc"] if audit["attack"] else 1)
    return [x for x in shown if x["delivered"]], [x for x in shown if not x["delivered"]]
