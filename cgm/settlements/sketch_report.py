"""The report of a settlement of sketches for the mediator, in the form of that of tables: one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import Markup

from cgm.privacy.accounting import UNIT
from cgm.privacy.valuation import ERRORS
from cgm.records.html import inline_svg, render
from cgm.utils.shown import counted
from cgm.utils.text import printable

if TYPE_CHECKING:
    from cgm.settlements.sketches import SketchSettlement

TEMPLATE = Path(__file__).parent / "templates" / "sketches.html"
STATES = {True: "holds", False: "FAILS", None: "not resolved"}
PUBLIC = (
    "the schema: columns, ranges, levels, scales, kernel, length-scale, landmarks, δ",
    "the names of the parties, their numbers of rows and their ε",
)


class Section(NamedTuple):
    """A section of the report.

    Attributes:
        title: Its title.
        head: The names of its table's columns, separated by |; a colon marks a column of text.
        rows: The rows of the table.
        texts: The paragraphs below the table.
        figure: A figure, or nothing.
        is_text: Whether all cells are text.
    """

    title: str
    head: str = ""
    rows: Sequence[Sequence[str]] = ()
    texts: Sequence[str] = ()
    figure: Markup | str = ""
    is_text: bool = False


def report(settlement: SketchSettlement) -> bytes:
    """Return the report of a settlement of sketches, HTML."""

    game = settlement.game
    grand = ERRORS * game._error(np.ones(game.n, dtype=bool))
    lead = (
        f"{settlement.date}; {counted(game.n, 'party')}; {settlement.seen}. v(N) = "
        f"{game.grand_value:.4f} ± {grand:.4f}. The synthetic pool has {game.sizes[-1]:,} points, "
        f"{settlement.follows()}. For the mediator only: parties receive certificates with their own numbers."
    )
    sections = [_numbers(settlement), _guarantees(settlement), _incentives(settlement), _method(settlement)]
    return render(TEMPLATE, lead=lead, sections=sections, warnings=settlement.warnings)


def _numbers(settlement: SketchSettlement) -> Section:
    """Show values, contributions and rewards."""

    def cell(value: float, error: float) -> str:
        return f"{value:.4f} ± {ERRORS * error:.4f}"

    frame = settlement.to_frame()
    has_sizes = "size" in frame  # not if they follow from exact rows
    rows = [
        [row["name"], f"{row['rows']:,}", cell(row["value"], row["value_stderr"]),
         cell(row["alpha"], row["alpha_stderr"]), cell(row["reward"], row["reward_stderr"]),
         *([f"{row['size']:,}"] if has_sizes else [])]
        for row in frame.to_dict("records")
    ]  # fmt: skip
    texts = [
        "± are two standard errors because of the noise: of v by formula, of α and r from draws of it. They do not say "
        "how much the rows themselves vary by chance."
    ]
    head = ":Party|Rows|Value v(D_i)|Contribution α|Promised value r" + "|Points of the reward" * has_sizes
    return Section("Values and rewards", head, rows, texts, _figure(settlement) if has_sizes else "")


def _figure(settlement: SketchSettlement) -> Markup:
    """Draw values, as in the report of tables."""

    from cgm.settlements.figures import draw_values

    limits = settlement.game.with_synthetic.tolist()
    parties = [
        {"name": name, "own_data": reward.start, "value_reached": reward.value, "limit": limit}
        for name, reward, limit in zip(settlement.names, settlement.drawn, limits, strict=True)
    ]
    described = "; ".join(
        f"{each['name']}: {each['own_data']:.3g}, {each['value_reached']:.3g}, {each['limit']:.3g}" for each in parties
    )
    return inline_svg(draw_values(parties), "values", "Values of the parties", printable(described))


def _guarantees(settlement: SketchSettlement) -> Section:
    """Show what is guaranteed to each party."""

    rows = []
    for sketch in settlement.sketches:
        given = sketch.guarantee
        rows.append(
            [sketch.party, f"{sketch.epsilon:g}", f"{sketch.schema.delta:g}", f"{given.mu:.3g}",
             f"{100 * given.true_positives(0.01):.2g} %", f"{given.auc:.3f}", f"{100 * sketch.relative_noise:.2g} %"]
        )  # fmt: skip
    texts = [
        f"The unit is {UNIT}. No attack on this report, {settlement.covered}, or anything else that is computed from "
        "the sketches has higher rates, whatever the attacker knows, if the rows of a party have no other release. "
        "Noise: of the mean embedding, as a share of its largest possible norm. "
        f"Public are: {'; '.join(settlement.public)}."
    ]
    head = ":Party|ε|δ|μ|Largest true positive rate at 1 % false positives|Largest AUC|Noise"
    return Section("What is guaranteed", head, rows, texts)


def _incentives(settlement: SketchSettlement) -> Section:
    """Show which incentives hold."""

    rows = [[name, STATES[entry.holds], str(entry.note)] for name, entry in settlement.incentives.items()]
    texts = [
        "An incentive holds or fails if its margin is beyond two standard errors. Rewards that exhaust a bound, as "
        "often in R2 and R6, cannot be resolved."
    ]
    return Section("Incentives", ":Incentive|:State|:Margin", rows, texts, is_text=True)


def _method(settlement: SketchSettlement) -> Section:
    """Say how values were computed, and who signed the sketches."""

    schema, game = settlement.schema, settlement.game
    of_class = "" if schema.label is None else f", and 0 for two rows that differ in {schema.label}, their class"
    bias = "subtracted" if settlement.settings.price == "none" else "not subtracted, so that values fall with privacy"
    texts = [
        f"Schema {schema.digest}; kernel {game.kernel!r}{of_class}; {game.dimensions:,} features, which miss "
        f"{100 * game.missed:.2g} % of the weight of a point of the pool. The bias of the noise is {bias}.",
        *settlement.more(),
    ]
    return Section("Method", texts=texts)


def signatures(settlement: SketchSettlement) -> str:
    """Say who signed the sketches."""

    signed = [f"{each.party} by {each.public_key}" for each in settlement.sketches if each.signature]
    others = [each.party for each in settlement.sketches if not each.signature]
    if not signed:
        return "No sketch is signed: that they come from the parties whose names they have was not verified."
    given = (
        "given for them" if settlement.with_keys else "that they name themselves, which were not compared with others"
    )
    rest = f" Not signed: {', '.join(others)}." if others else ""
    return f"Signed sketches, by the keys {given}: {'; '.join(signed)}.{rest}"
