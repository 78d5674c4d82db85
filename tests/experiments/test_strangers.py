"""Tests of the program that settles real tables: deals by category, and the log."""

import numpy as np
import pandas as pd
import pytest

from experiments import strangers
from experiments.strangers import LOG, NAMES, deal_by_category, main


def make_table(n: int = 90) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": random.normal(size=n).round(2),
            "kind": random.choice(["a", "b", "c", "d", None], n),
            "flag": random.choice(["yes", "no"], n),
        }
    )


def test_no_two_parties_share_a_level():
    parties, column = deal_by_category(make_table())
    assert column == "kind"
    levels = [set(party["kind"].fillna("(missing)")) for party in parties]
    assert len(set().union(*levels)) == sum(map(len, levels)) == 5
    assert sum(map(len, parties)) == 90
    assert min(map(len, parties)) >= 15


def test_parties_share_no_range_of_a_number_where_there_are_no_levels():
    parties, column = deal_by_category(make_table().drop(columns="kind"))
    assert column == "x"
    assert parties[0]["x"].max() <= parties[1]["x"].min() <= parties[1]["x"].max() <= parties[2]["x"].min()


def test_the_log_has_what_came_of_each_settlement(tmp_path, monkeypatch, capsys):
    outcomes = [
        {"outcome": "settled", "message": "a | b " + 300 * "x ", "kinds": {"numeric": 2, "left out": 1}},
        {"outcome": "refused", "message": "north: has 6 rows, at least 10 are needed"},
    ]
    monkeypatch.setattr(strangers, "load", lambda name: make_table())
    monkeypatch.setattr(strangers, "settle", lambda files: outcomes.pop())
    main(["--tables", NAMES[0], "--folder", str(tmp_path)])
    main(["--tables", NAMES[0], "--folder", str(tmp_path)])  # nothing is repeated
    text = (tmp_path / LOG).read_text()
    assert "2 settlements of three parties, 1 refused, 1 settled" in text
    (settled,) = (line for line in text.splitlines() if "| settled |" in line)
    assert "2n 1-" in settled
    assert "a \\| b" in settled
    assert settled.endswith("x ... |")
    (refused,) = (line for line in text.splitlines() if "| refused |" in line)
    assert refused.endswith("| north: has 6 rows, at least 10 are needed |")


@pytest.mark.slow
def test_a_table_is_settled(tmp_path, monkeypatch):
    monkeypatch.setattr(strangers, "load", lambda name: make_table())
    record = strangers.run(NAMES[0], "random")
    assert record["outcome"] == "settled", record
    assert record["rows"] == [30, 30, 30]
