"""What leaves a party's rows in a settlement of tables: constants, identifiers, levels, numbers, order of rows."""

import csv
import json
import logging

import numpy as np
import pandas as pd
import pytest

import cgm
from cgm.data.tables.columns import OTHER
from cgm.evaluation.privacy import NoAudit
from cgm.generators import KDE, Copula
from cgm.settlements.tables import spread
from tests.data.tables.test_identifiers import iban

FAST = {"synthetic_size": 300, "sensitivity": False, "seed": 1, "audit": NoAudit()}


def bank(seed, n=60):
    random = np.random.default_rng(seed)
    region = random.choice(["North", "South", "East"], n, p=[0.5, 0.3, 0.2])
    return pd.DataFrame(
        {
            "age": random.integers(20, 70, n),
            "income": random.integers(100, 9_000, n // 3).repeat(3),  # of one party alone, and each three times
            "amount": random.normal(2000, 600, n).round(2),
            "region": region,
        }
    ).sample(frac=1, random_state=seed, ignore_index=True)


def banks(**columns):
    tables = {name: bank(seed) for seed, name in enumerate("abc")}
    for k, table in enumerate(tables.values()):
        for name, make in columns.items():
            table[name] = make(k, len(table)) if callable(make) else make
    return tables


def only_one(settlement, party, column):
    """Return the values of a column that exactly one other party has."""

    parts = [set(table[column].dropna()) for table in settlement.tables]
    others = [part for i, part in enumerate(parts) if i != party]
    return {x for part in others for x in part if sum(x in part for part in parts) == 1}


def rewards(settlement):
    return [settlement.reward_table(i, settlement.recommended[i]) for i in range(len(settlement.names))]


def test_constants_are_repeated_as_they_were_written(tmp_path):
    constants = {
        "text": "yes", "date": "31.12.2024", "either": "01/02/2024", "truth": "true", "number": "1.50", "whole": "-5",
        "power": "1e3", "formula": "=1+1", "zeros": "007", "typed": 2.5, "typed truth": True,
        "typed date": pd.Timestamp("2024-01-05"),
    }  # fmt: skip
    settlement = cgm.settle(banks(**constants), **FAST)
    settlement.write(tmp_path / "out")
    written = {**constants, "typed": "2.5", "typed truth": "True", "typed date": "2024-01-05", "formula": "'=1+1"}
    for name in "abc":
        with (tmp_path / "out" / "parties" / name / "reward.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert all({column: row[column] for column in constants} == written for row in rows)
    (reward, *_) = rewards(settlement)
    for column, value in {
        "number": "1.50",
        "typed": 2.5,
        "whole": "-5",
        "typed date": pd.Timestamp("2024-01-05"),
    }.items():
        assert (reward[column] == value).all()


def test_columns_that_are_nearly_constant():
    """A column that is constant in one party, constant but for gaps or for a few rows, or of rare levels alone."""

    tables = banks(
        one=lambda k, n: 1.5 if k == 0 else np.arange(n) % 5 / 2,
        gaps=lambda k, n: np.where(np.arange(n) % 3 == k, None, "x").astype(object),
        few=lambda k, n: np.where((np.arange(n) < 2) & (k == 0), "y", "x"),
        rare=lambda k, n: [f"level {j // 3}-{k}" for j in range(n)],
    )
    settlement = cgm.settle(tables, **FAST)
    assert {column.name for column in settlement.schema.columns} == {"age", "income", "amount", "region", "one", "gaps"}
    assert settlement.schema.dropped["few"].startswith("one level is left: 2 levels have too few rows")
    assert settlement.schema.dropped["rare"].startswith("one level is left: 60 levels have too few rows")
    assert all(set(reward["gaps"].dropna()) == {"x"} for reward in rewards(settlement))


@pytest.mark.parametrize("generator", [Copula(), KDE()], ids=["copula", "kde"])
def test_no_iban_of_another_party_is_in_a_reward(generator, tmp_path):
    tables = banks(account=lambda k, n: [iban(1000 * k + j // 3) for j in range(n)])
    settlement = cgm.settle(tables, generator=generator, **FAST)
    assert settlement.schema.dropped["account"] == "identifier: IBANs; keep=[account] values it all the same"
    assert all("account" not in reward for reward in rewards(settlement))

    settlement.write(tmp_path / "out")
    result = json.loads((tmp_path / "out" / "mediator" / "result.json").read_text())
    assert result["dropped"] == dict(settlement.schema.dropped)
    assert f"column account is left out: {result['dropped']['account']}" in result["warnings"]
    assert "account" in (tmp_path / "out" / "report.html").read_text().split('id="left-out"')[1]
    for name in "abc":
        folder = tmp_path / "out" / "parties" / name
        assert json.loads((folder / "certificate.json").read_text())["left_out"] == ["account"]
        assert "Columns left out: account." in (folder / "README.txt").read_text()
        assert "<bdi>account</bdi>" in (folder / "certificate.html").read_text()
        assert not any("DE" in path.read_text() for path in folder.iterdir())

    # a mediator that keeps the column: no level has five rows
    kept = cgm.settle(tables, keep=["account"], generator=generator, **FAST)
    assert kept.schema.dropped["account"].startswith(("one level is left", "free text"))


def test_a_reward_has_other_where_rare_levels_are_pooled(caplog):
    def towns(k, n):
        return [["Rome", "Oslo", "Bern"][j % 3] if j % 4 else f"only {k}" for j in range(n)]

    settlement = cgm.settle(banks(town=towns), **FAST)
    (column,) = [column for column in settlement.schema.columns if column.name == "town"]
    assert set(column.levels) == {"Rome", "Oslo", "Bern", OTHER}
    for reward in rewards(settlement):
        assert set(reward["town"]) == {"Rome", "Oslo", "Bern", OTHER}  # a level as any other, written so
        assert 0.1 < (reward["town"] == OTHER).mean() < 0.45
    warning = "column town: 3 levels of one party each became (other); disclose=[levels] lets levels of one party leave"
    assert warning in settlement.warnings
    assert warning in caplog.messages
    # the rows are valued by the same levels
    codes = settlement.schema.to_codes(settlement.tables[0])[:, -1]
    assert (codes == column.levels.index(OTHER)).sum() == (settlement.tables[0]["town"] == "only 0").sum()
    disclosed = cgm.settle(banks(town=towns), disclose=["levels"], **FAST)
    assert any("only 1" in set(reward["town"]) for reward in rewards(disclosed))


def test_one_party_alone_keeps_all_levels_and_ranges():
    table = banks(town=lambda k, n: ["Bern"] * (n - 1) + ["Rome"])["a"]
    settlement = cgm.settle({"a": table}, held_out=0, **FAST)
    columns = {column.name: column for column in settlement.schema.columns}
    assert columns["age"].maximum == table["age"].max()
    assert set(columns["town"].levels) == {"Bern", "Rome"}


def test_numbers_of_one_party_are_not_repeated():
    tables = banks()
    tables["b"].loc[0, "income"] = 1_000_000
    settlement = cgm.settle(tables, **FAST)
    for party, reward in enumerate(rewards(settlement)):
        secret = only_one(settlement, party, "income")
        assert reward["income"].max() < 10_000
        assert reward["income"].isin(secret).mean() < 0.03  # by chance: 40 of 9,000 numbers
    frequent = settlement.pool_table["income"].value_counts()
    assert frequent.iloc[2] <= 5  # but for the ends of the range, no number is frequent


def test_numbers_are_spread_between_their_neighbours():
    random = np.random.default_rng(0)
    numbers = np.array([0, 0, 0, 10, 20, 20, 90.0])
    drawn = np.stack([spread(numbers, np.array([0.0]), random) for _ in range(2000)])
    assert (drawn[:, :3] == 0).all()
    for place, (low, high) in {3: (0, 20), 4: (10, 90), 5: (10, 90), 6: (20, 90)}.items():
        x = drawn[:, place]
        assert low <= x.min() < low + 2 < high - 2 < x.max() <= high
        assert x.mean() == pytest.approx((low + high) / 2, rel=0.05)
    single = np.array([1.0, 3.0, 7.0])
    assert spread(single, np.array([]), random) is single


def test_rows_of_rewards_are_shuffled(tmp_path):
    settlement = cgm.settle(banks(), **FAST)
    for (party, beta), reward in settlement.drawn.items():
        rows, accepted = settlement.rows(party, beta), reward.indices.numpy()
        assert sorted(rows) == sorted(accepted)
        assert not np.array_equal(rows, accepted)
        assert np.array_equal(rows, settlement.rows(party, beta))
    settlement.write(tmp_path / "out")
    listed = pd.read_csv(tmp_path / "out" / "mediator" / "rewards.csv")
    pool = pd.read_csv(tmp_path / "out" / "mediator" / "pool.csv")
    rows = listed[(listed["party"] == 0) & (listed["beta"] == settlement.recommended[0])]["pool_row"]
    reward = pd.read_csv(tmp_path / "out" / "parties" / "a" / "reward.csv")
    pd.testing.assert_frame_equal(pool.iloc[rows][list(reward.columns)].reset_index(drop=True), reward)


def test_rewards_that_repeat_rows_of_others_are_told(caplog):
    tables = {name: table[["region"]].assign(kind=table["age"] % 3 > 0) for name, table in banks().items()}
    with caplog.at_level(logging.WARNING):
        settlement = cgm.settle(tables, **{**FAST, "audit": cgm.evaluation.privacy.Membership(attacks=["nearest"])})
    rewarded = [entry for entry in settlement.audits if entry.beta == settlement.recommended[0]]
    for entry in rewarded:
        size, name = settlement.find(entry.party, entry.beta).size, settlement.names[entry.party]
        assert entry.copies == size
        (told,) = [x for x in settlement.warnings if f"that {name} receives equal rows of other parties" in x]
        assert told.startswith(f"{size} of the {size} rows")
        assert told.endswith(
            "in few columns of categories rows are equal by chance, otherwise drop=[...] or another generator helps"
        )
        assert told in caplog.messages
    assert not any("party 1" in message for message in caplog.messages)


def test_codes_between_levels_are_rounded():
    """A copula draws codes between levels if no level occurs twice."""

    tables = {name: pd.DataFrame({"x": np.arange(12.0) ** 2, "y": [f"{name}{k}" for k in range(12)]}) for name in "ab"}
    settings = {"keep": ["y"], "categorical": ["y"], "min_count": 1, "disclose": ["levels"], "rare": 0, "held_out": 0}
    settlement = cgm.settle(tables, **settings, **FAST)
    counts = settlement.pool_table["y"].value_counts()
    assert len(counts) == 24
    assert counts.max() < 4 * counts.mean()  # not all at the first level


def test_settings_that_contradict_each_other_are_refused():
    for settings, message in [
        ({"keep": ["age"], "drop": ["age"]}, "keep=age: the same column is in drop or identifiers"),
        ({"keep": ["ages"]}, "keep=ages: there is no such column"),
        ({"identifiers": "age"}, r"identifiers=age: expected a list of columns"),
        ({"min_count": 0}, "min_count=0"),
        ({"disclose": ["all"]}, "disclose=all: expected one of names"),
    ]:
        with pytest.raises(ValueError, match=message):
            cgm.settle(banks(), **FAST | settings)
