"""Tests of the report: it is complete, one file, accessible, and takes nothing from outside for HTML."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest
import torch

from cgm.data.tables.files import Source
from cgm.data.tables.schema import Schema
from cgm.rewards import EqualRewards, Gain, MaxWelfare, Proportional, Spread, WeightedSampling
from cgm.rewards.incentives import Incentive
from cgm.settlements.report import RULES, broken, report, tolerance
from cgm.settlements.settlement import Variant
from cgm.settlements.view import INCENTIVES, describe
from cgm.utils.text import number, percent
from tests.settlements.settled_tables import EVIL, SCHEMA, column, redrawn, settle

VOID = {"meta", "link", "br", "img", "input", "use", "hr"}


class Page(HTMLParser):
    """The tags and the text of a page, and whether every tag is closed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
        self.text += " " if tag in ("td", "th", "br") else ""

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> bytes:
    return report(settle())


@pytest.fixture(scope="module")
def parsed(page) -> Page:
    return Page(page)


def plain_text(page: bytes) -> str:
    return " ".join(Page(page).text.split())


def test_the_report_has_the_numbers_of_all_parties(page):
    text, settlement = plain_text(page), settle()
    for i, name in enumerate(settlement.names):
        reward = number(float(settlement.rewards.values[i]), 6)
        rows = {beta: len(settlement.drawn[i, beta].indices) for beta in settlement.betas}
        alpha, error = float(settlement.contributions.alpha[i]), float(settlement.alpha_stderr[i])
        alpha = f"{number(alpha, 3)} ± {number(error, 2)}"
        share = percent(settlement.drawn[i, 8.0].share_of_gain)
        auc = f"{0.51 + 0.01 * i:.2g}"
        assert f"{name} {60 + 7 * i} {alpha} {share} {rows[8.0]} {auc} " in text
        assert (
            f"{name} receives {rows[8.0]} rows, which add {share} of what all synthetic data would add to its" in text
        )
        assert re.search(rf"{name} {5 + i} [\d.]+± [\d.]+ {reward}", text)
        errors = settlement.uncertainty
        numbers = [settlement.contributions.phi, errors.phi, errors.to_largest, errors.to_largest_stderr]
        cells = [number(float(x[i]), digits) for x, digits in zip(numbers, (4, 2, 3, 2), strict=True)]
        assert f"{name} {' '.join(cells)} {alpha}" in text
        assert f"{1201 + i:,} rows" in text  # with another length-scale
        assert f"{rows[8.0]} rows, recommended" in text
        assert f"{rows[1.0]} rows" in text
        assert f"Columns of {name}" in text
        assert f"{name} 8 nearest distance {0.51 + 0.01 * i:.3g}" in text
    for words in INCENTIVES.values():
        assert words.statement in text
    assert "length-scale × 0.5" in text
    assert "75.3 %" in text
    assert "No rewards with another seed: no such rewards" in text
    assert "There are no numbers for 1 rewards that nobody receives: no rows were kept apart" in text
    assert "the strongest attack picks the used one in 53 of 100 cases (95 % interval 49 to 57)" in text
    assert "that of West Bank. No delivered reward repeats a row of another party" in text
    assert "All conditions, R1 to R6, hold" in text
    assert "0.78 0.81 0.03" in text
    assert "computed exactly" in text


def test_the_report_is_one_file_without_scripts(page, parsed):
    assert len(page) < 1_000_000
    assert not {"script", "link", "iframe", "object", "img"} & {tag for tag, _ in parsed.tags}
    for tag, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, attributes)
    assert not re.search(rb"@import|url\((?!#)", page)
    assert "default-src 'none'" in parsed.all("meta")[2]["content"]


def test_the_report_is_accessible(page, parsed):
    assert parsed.all("html") == [{"lang": "en"}]
    assert not parsed.open
    headings = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = parsed.all("svg")
    assert len(figures) == 3 + 3
    for figure in figures:
        assert figure["role"] == "img"
        assert set(figure["aria-labelledby"].split()) <= set(ids)
    links = [attributes["href"][1:] for attributes in parsed.all("a")]
    assert set(links) <= set(ids)
    used = re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', page.decode())
    assert set(used) <= set(ids)
    assert all("scope" in cell for cell in parsed.all("th"))
    assert len(parsed.all("th")) > 50


def luminance(color: str) -> float:
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_enough_contrast(page):
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", page.decode()))
    for ink in (colors["ink"], colors["quiet"], colors["accent"], "#0b5394"):
        for ground in ("#ffffff", colors["tint"], colors["mark"]):
            assert (luminance(ground) + 0.05) / (luminance(ink) + 0.05) >= 4.5, (ink, ground)
    assert set(re.findall(r"[^-]color: (?:var\(--(\w+)\)|(#\w+))", page.decode())) <= {
        ("ink", ""), ("quiet", ""), ("accent", ""), ("", "#0b5394"),
    }  # fmt: skip


def test_the_same_settlement_gives_the_same_report(page):
    assert report(settle()) == page


def test_nothing_from_outside_is_html():
    bad = f'"><img src=x onerror=alert(1)>{EVIL}\x00\u202e$x_'
    table = {"income": bad}
    schema = Schema(tuple(replace(each, name=table.get(each.name, each.name)) for each in SCHEMA.columns))
    settlement = settle()
    settlement = replace(
        settlement,
        names=(bad, EVIL, "$\\frac{1}{0}$"),
        schema=schema,
        tables=tuple(x.rename(columns=table) for x in settlement.tables),
        pool_table=settlement.pool_table.rename(columns=table),
        settings={bad: EVIL},
        warnings=[EVIL],
        sensitivity={EVIL: Variant([1.0, 0.5, 0.2], reason=EVIL)},
        sources=(Source(EVIL, EVIL),) * 3,
    )
    parsed = Page(report(settlement))
    assert not {"script", "img", "b"} & {tag for tag, _ in parsed.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert not parsed.open
    assert EVIL in parsed.text


def test_no_row_of_the_data_is_in_the_report(page):
    for table in (*settle().tables, settle().pool_table):
        for x in table["income"].head(20):
            assert f"{x:.6f}"[:8].encode() not in page


def test_what_is_missing_is_said():
    settlement = replace(settle(), audits=[], accuracies=[], sensitivity={}, held_out=())
    unknown = settlement.incentives | {"R6": Incentive(None, None, "too many coalitions")}
    text = plain_text(report(replace(settlement, incentives=unknown, warnings=["party 2 was left out"])))
    for gap in (
        "no privacy audit was made",
        "no downstream task was evaluated",
        "no other settings were tried",
        "The incentives R6 (stability)",
        "Why it is not known: too many coalitions",
        "party 2 was left out",
    ):
        assert gap in text
    assert "Models trained" not in text


def test_violations_and_estimates_are_marked():
    settlement = redrawn(settle(), 0, reached=False)
    contributions = replace(settlement.contributions, stderr=0.1 * settlement.contributions.phi, method="permutations")
    broken = settlement.incentives | {"R5": Incentive(False, -0.25, "")}
    text = plain_text(report(replace(settlement, contributions=contributions, incentives=broken)))
    assert "does not hold −0.25" in text
    assert text.count("r not reached") == 1 + 3
    assert "stopped early" in text
    assert "The contributions are also estimates (method: permutations)" in text
    assert "The contributions of West Bank, South Bank and North Bank cannot be told apart" in text
    sampling = number(0.1 * float(settlement.contributions.phi[0]), 2)
    assert f"The standard errors of this sampling are North Bank {sampling}, South Bank" in text


def test_a_report_of_many_parties_and_columns_is_small():
    settlement = settle(tuple(f"Party {i}" for i in range(12)), rows=20)
    names = [f"column {k}" for k in range(40)]

    def widen(table: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({name: table["income" if k % 2 else "city"] for k, name in enumerate(names)})

    schema = Schema(tuple(column(name, "numeric" if k % 2 else "categorical") for k, name in enumerate(names)))
    settlement = replace(
        settlement, schema=schema, tables=tuple(map(widen, settlement.tables)), pool_table=widen(settlement.pool_table)
    )
    page = report(settlement)
    assert len(page) < 3_000_000
    assert b"The 8 columns that differ most" in page


def test_a_reward_without_rows_is_reported():
    none = torch.empty(0, dtype=torch.int64)
    text = plain_text(report(redrawn(settle(), 1, size=0, indices=none, values=none.double())))
    assert "0 rows, recommended" in text
    assert "no rows" in text


def test_a_report_of_one_party_and_of_more_than_twenty():
    text = plain_text(report(settle(("Only Bank",))))
    assert "1 party pooled 60 rows" in text
    assert "There is one party" in text
    settlement = settle(tuple(f"Party {i}" for i in range(22)), rows=12)
    assert settlement.alpha_stderr is None
    text = plain_text(report(settlement))
    rows = [settlement.drawn[i, 8.0].size for i in range(22)]
    shares = [settlement.drawn[i, 8.0].share_of_gain for i in range(22)]
    assert f"Parties receive {min(rows)} to {max(rows)} rows, which add {percent(min(shares))} to" in text
    assert text.index("Parties receive") < text.index("Party 3")  # the summary is on the first screen
    assert "are not known: 22 parties have too many coalitions" in text
    assert "R5 (fairness)" in text


@pytest.mark.parametrize("scheme", [Gain(), EqualRewards(), MaxWelfare(), Spread(), Proportional()], ids=repr)
def test_targets_and_reasons(scheme):
    settlement = settle(scheme=scheme, sampling=WeightedSampling((8.0,), tolerance=0.05))
    text = plain_text(report(settlement))
    view = describe(settlement)
    assert RULES[settlement.rewards.name].reason in text
    assert ("Rewards are complete at 95 % of the possible gain" in text) == (tolerance(view) is not None)
    for entry in broken(view):
        missed = f", missed by {number(entry['missed'], 2)} ({percent(entry['share'])} of the largest possible gain)"
        assert f"{entry['name']} {entry['title'].lower()}{missed}" in text
    if tolerance(view) is not None:
        assert "R3 weak efficiency, missed by" in text
        for i, party in enumerate(view["parties"]):
            numbers = (party[key] for key in ("reward", "target", "value_reached", "limit"))
            assert (
                f"{' '.join(number(x, 6) for x in numbers)} {percent(settlement.drawn[i, 8.0].share_of_gain)}" in text
            )


def test_audits_of_alternatives_that_parties_receive():
    settlement = settle()
    text = plain_text(report(settlement, alternatives=True))
    assert "There are no numbers for the reward of North Bank: no rows were kept apart" in text
    assert "nobody receives" not in text
    none = [replace(audit, attacks=[], strongest=None, reason="no rows") for audit in settlement.audits[:3]]
    text = plain_text(report(replace(settlement, audits=none)))
    assert "How private Not known: no rows" in text
    assert "There are no numbers for the rewards of North Bank, South Bank, West Bank: no rows" in text
    assert text.count("no rows.") == 2
    copied = [replace(settlement.audits[0], copies=3)]
    assert "3 rows of rewards are copies of rows of other parties" in plain_text(
        report(replace(settlement, audits=copied))
    )
