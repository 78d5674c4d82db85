"""Tests of the study of length-scales: deals, a settlement, the report from its records."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments.lengthscales.__main__ import RUNS
from experiments.lengthscales.deals import DEALS, SIZES, Table, deal
from experiments.lengthscales.report import closed, following, of, ratios, write_report
from experiments.lengthscales.study import NAMES, settle


def make_table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 2)).round(3)
    label = np.where(x[:, 0] + 0.5 * random.normal(size=240) > 0, "yes", "no")
    return pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "kind": random.choice(["a", "b"], 240), "label": label})


TABLE = Table("made", make_table, "label", "x", "none")


@pytest.mark.parametrize("how", DEALS)
def test_rows_are_dealt_once(how):
    table = make_table()
    parties = deal(table, how, "label", "x", seed=1)
    assert len(parties) == len(SIZES)
    rows = pd.concat(parties)
    if how == "same":
        assert all(party.equals(parties[0]) for party in parties)
        return
    assert not rows.duplicated().any()
    if how == "coverage":
        all_thirds, first_two, last = (party["x"] for party in parties)
        low, high = table["x"].quantile([0.65, 0.68])
        assert last.min() >= low
        assert first_two.max() <= high
        assert all_thirds.max() > high
        assert max(map(len, parties)) - min(map(len, parties)) <= 2
        return
    assert len(rows) == len(table)
    shares = [len(party) / len(table) for party in parties]
    expected = SIZES if how in ("size", "mixed") else (1 / 3,) * 3
    assert shares == pytest.approx(expected, abs=0.1)


def test_parties_prefer_a_third_of_a_column():
    table = make_table()
    parties = deal(table, "column", "label", "x", seed=3)
    means = [party["x"].mean() for party in parties]
    assert means == sorted(means)
    assert means[2] - means[0] > 0.5


@pytest.mark.slow
def test_the_report_from_the_records(tmp_path):
    names = ("sum of scales", "median")
    with (tmp_path / RUNS).open("w") as file:
        for how in ("random", "mixed", "coverage"):
            for record in settle(TABLE, how, 0, "all", names, size=400):
                file.write(json.dumps(record) + "\n")
    records = [json.loads(line) for line in (tmp_path / RUNS).read_text().splitlines()]
    assert {record["candidate"] for record in records} == set(names) < set(NAMES)
    (random,) = of(records, candidate="sum of scales", deal="random", scheme="gain")
    rows = random["rows"]["8"]
    assert ratios([random], 8) == [max(rows) / min(rows)]
    mixed = of(records, candidate="sum of scales", deal="mixed")
    entries = [e for e in mixed[0]["accuracy"] if e["classifier"] == "logistic" and e["beta"] == 8]
    way = sum(entry["pooled"] - entry["own"] for entry in entries)
    share = closed(mixed, "logistic", 8)
    assert share is None if way <= 0 else share == sum(e["reward"] - e["own"] for e in entries) / way
    pairs, right, _ = following(records)
    assert right == pairs
    text = write_report(tmp_path, tmp_path / RUNS).read_text()
    assert "{" not in text
    assert (tmp_path / "criteria.png").is_file()
