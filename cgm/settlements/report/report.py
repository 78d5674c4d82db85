r"""The report of a settlement for the mediator: one HTML file without scripts, links to other files or rows of data."""

from __future__ import annotations

from typing import Any

from cgm.settlements.report.columns import Comparison, compare, draw_columns
from cgm.settlements.report.contents import describe
from cgm.settlements.report.figures import MAX_PANELS, draw_images, draw_plane, draw_values
from cgm.settlements.report.page import render
from cgm.settlements.report.svg import figure_style, inline_svg, label
from cgm.settlements.report.words import beta_name, number
from cgm.settlements.settlement import PartySettlement

MAX_FIGURES = 96  # panels of columns in a report, over all parties
MAX_COLUMNS, MIN_COLUMNS = 8, 2  # panels for a party
MAX_LISTED = 40  # columns in a party's table


def report(settlement: PartySettlement, seed: int = 0) -> bytes:
    """Return the report of a settlement, a page in UTF-8.

    Arguments:
        settlement: The settlement.
        seed: The seed of the figure of rewards in the plane.
    """

    content = describe(settlement)
    with figure_style():
        values = inline_svg(
            draw_values(settlement),
            "values",
            "Reward values between own data and the limit",
            "; ".join(
                f"{label(party['name'])}: own data {number(party['own'])}, reward {number(party['reward'])}, "
                f"limit {number(party['limit'])}"
                for party in content["parties"]
            ),
        )
        figure, kind = draw_plane(settlement, seed)
        plane = inline_svg(
            figure,
            "plane",
            "Own data and rewards in the plane",
            f"One panel for each party: its {content['unit']} and those of its reward as points, over the pool."
            + " The tables of columns below compare them in numbers." * bool(content["columns"]),
        )
        show = _images if settlement.schema is None else _columns
        columns = [show(settlement, party) for party in range(len(settlement.names))]

    return render(
        "report",
        **content,
        values=values,
        plane=plane,
        plane_kind=kind,
        plane_parties=min(len(settlement.names), MAX_PANELS),
        distributions=columns,
    )


def _images(settlement: PartySettlement, party: int) -> dict[str, Any]:
    """Return some images of a party's reward."""

    beta, name = settlement.recommended[party], settlement.names[party]
    figure = inline_svg(
        draw_images(settlement.reward_table(party, beta)),
        f"images-{party + 1}",
        f"Images of the reward of {name}",
        "Some of its synthetic images, side by side",
    )
    return {"name": name, "beta": beta_name(beta), "figure": figure}


def _columns(settlement: PartySettlement, party: int) -> dict[str, Any]:
    """Return the table and the figure of a party's columns, those that differ most first."""

    beta, name = settlement.recommended[party], settlement.names[party]
    tables = [settlement.tables[party], settlement.reward_table(party, beta), settlement.pool_table]
    schema = settlement.schema
    assert schema is not None
    found: list[Comparison] = [compare(column, tables) for column in schema.columns]
    found.sort(key=lambda comparison: -comparison.difference)
    drawn = found[: max(MIN_COLUMNS, min(MAX_COLUMNS, MAX_FIGURES // len(settlement.names)))]
    figure = inline_svg(
        draw_columns(drawn),
        f"columns-{party + 1}",
        f"Columns of {name}: own data, reward and synthetic pool",
        "Histograms and bars of the columns that differ most: "
        + "; ".join(f"{label(x.name)}: own data {x.summaries[0]}, reward {x.summaries[1]}" for x in drawn),
    )

    return {
        "name": name,
        "beta": beta_name(beta),
        "figure": figure,
        "drawn": len(drawn),
        "columns": found[:MAX_LISTED],
        "left_out": len(found) - len(found[:MAX_LISTED]),
    }
