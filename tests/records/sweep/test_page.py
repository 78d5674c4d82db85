"""Tests of the page of a sweep."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cgm.records.sweep.page import write_page
from tests.records.sweep.grids import grid, table

EVIL = "<script>alert('x')</script>&\"'"


class Page(HTMLParser):
    """The tags, links, images and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def named(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def runs():
    return grid(lambda own: own["a"] + 0.1 * own["seed"], a=[1, 2], seed=[0, 1])


def test_the_page_has_tables_and_figures_with_alternative_texts(runs, tmp_path):
    assert write_page(table(runs), tmp_path) == ["sweep.html", "figures/"]
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    page = Page(text)
    (image,) = page.named("img")  # t is the same in all runs
    assert image["alt"].startswith("v_star by a: means from 1.05 to 2.05")
    svg = base64.b64decode(image["src"].removeprefix("data:image/svg+xml;base64,")).decode()
    assert svg.rstrip().endswith("</svg>")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["v_star.pdf", "v_star.png"]
    assert "<code>t</code> = 100" in text
    assert re.search(r'<td>1</td><td class="number">2</td><td class="number">1.05 ± 0.05</td>', text)
    assert re.search(r'data-key="1.1">1.1</td><td class="path"><a href="run1/">run1</a>', text)
    assert "none failed" in text
    assert "no warnings, and G did not grow" in text


def test_the_page_needs_no_network_and_runs_its_own_script_only(runs, tmp_path):
    write_page(table(runs), tmp_path)
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not [tag for tag, own in page.tags for key in ("href", "src") if re.match(r"https?:|//", own.get(key) or "")]
    assert not re.search(r"@import|url\(", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (own["content"] for own in page.named("meta") if own.get("http-equiv") == "Content-Security-Policy")
    assert policy == (f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'")


def test_failed_jobs_have_their_messages(runs, tmp_path):
    (tmp_path / "bad 1").mkdir()
    (tmp_path / "bad 1" / "error.json").write_text(json.dumps({"message": "seed=-1: no"}))
    failed = {"bad 1": "seed=-1:\nno", "bad2": "seed=-1: no", "cut": "no result.json"}
    write_page(table(runs, **failed), tmp_path)
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "4 failed" not in text
    assert "3 failed, cut off or damaged" in text
    first = r'rowspan="2">seed=-1: no</td><td class="path"></td><td class="path"><a href="bad%201/error.json">bad 1</a>'
    assert re.search(first + r"</td>" + r'</tr>\s*<tr><td class="path"></td><td class="path">bad2</td></tr>', text)
    assert text.count("seed=-1: no<") == 1


def test_failed_jobs_have_their_settings(tmp_path):
    runs = grid(lambda own: own["size"], size=[600, 1500])
    overrides = {run.name: {"size": str(run.settings["size"]), "split.points": "100", "seed": "0"} for run in runs}
    overrides["bad1"] = {"size": "300", "split.points": "2000", "seed": "0"}
    overrides["bad2"] = {"size": "600", "split.points": "2000", "seed": "0"}
    shown = replace(table(runs, bad1="no", bad2="no"), overrides=overrides)

    def varies() -> list[tuple[str, str]]:
        write_page(shown, tmp_path)
        text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
        assert re.search(r'<td class="path">size=300 split.points=2000.*?</td><td class="path">bad1</td>', text)
        found = re.findall(r"<dt><code>(.*?)</code></dt>\s*<dd>(.*?)</dd>", text)
        return [(name, re.sub("<.*?>", "", values)) for name, values in found]

    assert varies() == [("size", "600 · 1500")]


def test_growth_and_warnings_are_listed(runs, tmp_path):
    runs[0].settings["synthetic_size"] = runs[1].settings["synthetic_size"] = 1000
    runs[0] = replace(runs[0], synthetic_size=4000, warnings=["G grows", "party 2"])
    runs[1] = replace(runs[1], synthetic_size=1000)
    write_page(table(runs), tmp_path)
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "1 with warnings or a larger G" in text
    assert '<td class="path">run0</td><td>1,000 to 4,000</td>' in text
    assert "<li>G grows</li><li>party 2</li>" in text
    assert '<td class="path">run1</td>' not in text


def test_text_from_outside_is_escaped(tmp_path):
    runs = grid(lambda own: len(own["path"]), path=[EVIL, "x"], seed=[0, 1])
    runs[0] = replace(runs[0], name=f"{EVIL}/run", warnings=[EVIL])
    runs[0].numbers[EVIL] = 1.0
    runs[1].numbers[EVIL] = 2.0
    folder = tmp_path / "<b>"
    write_page(table(runs, **{EVIL: EVIL}), folder)
    text = (folder / "sweep.html").read_text(encoding="utf-8")
    assert text.count("<script>") == 1
    assert "<b>" not in text
    assert html.escape(EVIL, quote=False)[:20] in text
    assert len(list((folder / "figures").glob("*.png"))) == 2  # the name of a metric is no path


def test_the_same_runs_give_the_same_page(runs, tmp_path):
    for name in ("a", "b"):
        write_page(table(runs), tmp_path / name / "sweep")
    one, other = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_asked_numbers_come_first_even_if_they_are_the_same_everywhere(runs, tmp_path):
    write_page(table(runs), tmp_path, ["t"])
    page = Page((tmp_path / "sweep.html").read_text(encoding="utf-8"))
    assert [own["id"] for own in page.named("figure")] == ["t", "v_star"]


@pytest.mark.parametrize("n", [0, 1])
def test_without_several_runs_there_is_no_figure(runs, tmp_path, n):
    assert write_page(table(runs[:n], bad="seed=-1: no"), tmp_path) == ["sweep.html"]
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "seed=-1: no" in text
    assert "<img" not in text
    assert "Means over seeds" not in text  # of one run each


def test_numbers_of_a_search_are_short_and_sorted_by_all_their_digits(tmp_path):
    write_page(table(grid(lambda own: own["a"], a=[0.123456789, 0.1234567891])), tmp_path)
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert '<td data-key="0.123456789">0.123457</td>' in text
    assert "Means over seeds" not in text
