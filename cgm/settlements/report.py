r"""The report of a settlement for the mediator: one HTML file without scripts, links to other files or rows of data.

Each section shows numbers of the view of the settlement, or what a function here makes of them; the template
`report.html` lays them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from cgm.records.html import inline_svg, label, render
from cgm.records.settings import flatten
from cgm.settlements.figures import (
    MAX_PANELS,
    Comparison,
    compare,
    draw_columns,
    draw_images,
    draw_plane,
    draw_values,
)
from cgm.settlements.settlement import PartySettlement
from cgm.settlements.view import INCENTIVES, describe, threat_model
from cgm.utils.text import number

TEMPLATES = Path(__file__).parent / "templates"
MAX_FIGURES = 96  # panels of columns in a report, over all parties
MAX_COLUMNS, MIN_COLUMNS = 8, 2  # panels for a party
MAX_LISTED = 40  # columns in a party's table
CLOSE = 2.0  # standard errors: two contributions that differ by less cannot be told apart


def report(settlement: PartySettlement, seed: int = 0) -> bytes:
    """Return the report of a settlement, a page in UTF-8.

    Arguments:
        settlement: The settlement.
        seed: The seed of the figure of rewards in the plane.
    """

    view, show = describe(settlement), images if settlement.schema is None else columns
    return render(
        TEMPLATES / "report.html",
        view=view,
        parties=parties(view),
        values=values(view),
        precision=precision(view),
        sensitivity=sensitivity(view),
        incentives=INCENTIVES,
        unknown=unknown(view),
        plane=plane(settlement, seed),
        distributions=[show(settlement, party) for party in range(len(settlement.names))],
        threat_model=threat_model(view["unit"]),
        audits=audits(view),
        settings=flatten(view["settings"]),
    )


def parties(view: dict[str, Any]) -> list[dict[str, Any]]:
    r"""Return the numbers of each party with its rewards, one for each $\beta$, and the recommended one."""

    rewards = [[x for x in view["sampling"] if x["party"] == i] for i in range(len(view["parties"]))]
    return [
        party | {"rewards": drawn, "best": next(x for x in drawn if x["beta"] == party["recommended"])}
        for party, drawn in zip(view["parties"], rewards, strict=True)
    ]


def values(view: dict[str, Any]) -> str:
    """Return the figure of values and rewards."""

    numbers = (
        f"{label(party['name'])}: own data {number(party['own_data'])}, reward {number(party['reward'])}, "
        f"limit {number(party['limit'])}"
        for party in view["parties"]
    )
    title = "Reward values between own data and the limit"
    return inline_svg(draw_values(view["parties"]), "values", title, "; ".join(numbers))


def precision(view: dict[str, Any]) -> dict[str, Any]:
    """Return whether the contributions are exact, and which neighbours in their order cannot be told apart."""

    order = sorted(view["parties"], key=lambda party: -party["contribution"])
    exact = not any(party["contribution_stderr"] for party in order)
    close = []
    for one, other in pairwise(order):
        error = math.hypot(one["contribution_stderr"], other["contribution_stderr"])
        if not exact and one["contribution"] - other["contribution"] < CLOSE * error:
            close.append((one["name"], other["name"]))
    return {"exact": exact, "close": close}


def sensitivity(view: dict[str, Any]) -> list[dict[str, Any]]:
    r"""Return each party's $\alpha$ with the other settings, the largest change, and whether the order changes."""

    def order(alpha: Sequence[float]) -> list[int]:
        return sorted(range(len(alpha)), key=lambda i: -alpha[i])

    used = [party["alpha"] for party in view["parties"]]
    return [
        {
            "name": name,
            "alpha": alpha,
            "change": max(abs(a - b) for a, b in zip(alpha, used, strict=True)),
            "same_order": order(alpha) == order(used),
        }
        for name, alpha in view["sensitivity"].items()
    ]


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
    reward = settlement.reward_table(party, settlement.recommended[party])
    tables = [settlement.tables[party], reward, settlement.pool_table]
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


def audits(view: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the privacy audits with the strongest attack of each, the one with the most successful attack first."""

    shown = []
    for audit in view["audits"]:
        strongest = next((attack for attack in audit["attacks"] if attack["name"] == audit["strongest"]), None)
        shown.append(audit | {"name": view["parties"][audit["party"]]["name"], "attack": strongest})
    return sorted(shown, key=lambda audit: -audit["attack"]["auc"] if audit["attack"] else 1)
