"""Tests of what results show of themselves, and of their tables."""

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch

import cgm.api
from cgm.contributions.base import Contributions
from cgm.data.attacks import Attacked
from cgm.data.datasets.base import Dataset
from cgm.data.tables.schema import Schema, infer_schema
from cgm.evaluation.entries import AttackResult, MetricRow, RewardAudit
from cgm.evaluation.metrics.base import PointSet
from cgm.evaluation.tasks.base import LabelledReward
from cgm.experiment import Experiment
from cgm.generators.gaussian_mixture import GaussianMixture
from cgm.generators.pool import Pool
from cgm.mediator import Settlement
from cgm.privacy.pool import ParticleFit, Particles
from cgm.records.record import Record, write_metrics
from cgm.records.sweep.load import Sweep
from cgm.rewards.incentives import Incentive, Incentives
from cgm.rewards.schemes.base import Rewards
from cgm.settlements.images import ImageMediator
from cgm.settlements.settlement import PartySettlement, Variant
from cgm.settlements.tables import TableMediator
from cgm.settlements.verification import Verification
from cgm.utils.settings import Settings
from cgm.utils.shown import ROWS, WIDTH, Shown, brief
from cgm.valuation.kernels import SquaredExponential
from tests.records.results import INF, make_record, make_result, make_settlement
from tests.records.sweep.grids import grid, table
from tests.scores import accuracies

NAMES = ("north", "<script>alert(1)</script> $x$ \x1b[31m", "a party whose name is far too long for a table of results")
BETAS = (1.0, 8.0)


@pytest.fixture(scope="module")
def settlement() -> Settlement:
    return make_settlement(BETAS)


@pytest.fixture(scope="module")
def party_settlement(settlement) -> PartySettlement:
    tables = [pd.DataFrame({"<i>age</i>": [30, 40, 30, 50] * 5}) for _ in NAMES]
    attack = AttackResult("nearest", 0.6, 0.5, 0.7, 0.1, 0.05, 0.2)
    return PartySettlement(
        **{field.name: getattr(settlement, field.name) for field in fields(settlement)} | {"names": NAMES},
        tables=tables,
        held_out=[],
        pool_table=pd.DataFrame({"<i>age</i>": [30] * 200}),
        schema=infer_schema(dict(zip(NAMES, tables, strict=True)))[0],
        recommended=[8.0] * 3,
        audits=[RewardAudit(1, 8.0, 40, 20, [attack], "nearest", 0, 0, 0.5, 0.5)],
        accuracies=[accuracies(0, 8.0, 0.75, 0.5, None)],
        sensitivity={"seed 1": Variant([1.0, 0.5, 0.5])},
        settings={"seed": 0},
        sources=[],
    )


@pytest.fixture
def results(settlement, party_settlement, tmp_path) -> list[object]:
    """An object of each class that users get, with many parties and points."""

    x, y = torch.zeros(500, 3), torch.zeros(500, dtype=torch.int64)
    result = make_result(50, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, INF])
    notes = dict.fromkeys((f"R{k}" for k in range(1, 7)), Incentive(False, -0.5, "a note " * 30))
    runs = grid(
        lambda settings: 0.5, scheme=["fair", "stable"], seed=range(20), dataset__a_setting_of_a_long_name=[1, 2]
    )
    return [
        settlement,
        party_settlement,
        Record(result, [MetricRow(0, 1.0, "my_metric", 0.5)], tmp_path),
        result,
        result.contributions,
        result.scheme,
        result.incentives,
        Incentives(notes),
        result.sampling[0],
        *settlement.drawn.values(),
        settlement.uncertainty,
        settlement.pool,
        settlement.game,
        settlement.plot,
        party_settlement.schema,
        Sweep(tmp_path, table(runs, **{f"run{k}": "an error " * 50 for k in range(40)})),
        Sweep(tmp_path, table([], run0="an error")),
        Verification(tuple(f"FAILED  file {k} {'was changed ' * 20}" for k in range(30)), False),
        Dataset("mine", x, y, x, y, tuple(map(str, range(100)))),
        Attacked([x] * 30, [y] * 30, (0,)),
        LabelledReward(0, 1.0, x, y),
        PointSet(x, y, y == 0, 1, SquaredExponential(1.0), y),
        Pool(x, torch.zeros(500, 1, 8, 8)),
        Particles(ParticleFit(), (), x, ((x, x),) * 8, 0),
        Experiment(),
        TableMediator(),
        ImageMediator(),
    ]


def test_no_text_of_a_result_is_long(results):
    for x in results:
        text = repr(x)
        lines = text.split("\n")
        assert len(text) <= 2_500, (type(x), text)
        assert len(lines) <= ROWS + 5, text
        if len(lines) > 1:
            assert max(map(len, lines)) <= WIDTH, text
        assert "tensor(" not in text


def test_objects_of_public_classes_have_short_texts(results):
    """Walk over the classes of `cgm.api`: each that holds tensors, tables or other objects is in `results`."""

    shown = {type(x) for x in results}
    large = {"torch.Tensor", "list[torch.Tensor]", "pd.DataFrame", "Sequence[Any]", "Mapping", "Result", "Valuation"}
    for name in cgm.api.__all__:
        kind = getattr(cgm.api, name)
        if not isinstance(kind, type) or issubclass(kind, Settings) or not hasattr(kind, "__annotations__"):
            continue
        types = " ".join(map(str, kind.__annotations__.values()))
        if any(each in types for each in large) and not getattr(kind, "__abstractmethods__", None):
            assert kind in shown or kind.__repr__ is Shown.__repr__ or kind is Variant, name


def test_a_page_shows_tables_whose_texts_are_escaped(results, party_settlement):
    for x in results:
        if isinstance(x, Shown):
            page = x._repr_html_()
            assert page.count("<table") <= 1
            assert re.search(r"(background|color)\s*:", page) is None  # a dark page stays dark
            assert len(page) < 30_000
    page = party_settlement._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$" in page
    assert "<script" not in page
    assert "\x1b" not in page + repr(party_settlement)
    assert "mathjax_ignore" in page  # $x$ is no formula
    assert "&lt;i&gt;age&lt;/i&gt;" in party_settlement.schema._repr_html_()
    assert "<i>" not in party_settlement.schema._repr_html_()


def test_what_a_text_says(settlement, party_settlement):
    head, columns, *rows, foot = repr(settlement).split("\n")
    assert head.startswith("Settlement: 3 parties, |G| = 200, v(N) = ")
    assert head.endswith("kernel squared_exponential, length-scale 1")
    assert columns.split() == ["party", "points", "alpha", "own_value", "reward_value", "size", "β=1", "size", "β=8"]
    assert [row.split()[:2] for row in rows] == [["1", "20"], ["2", "20"], ["3", "20"]]
    assert foot.startswith("incentives: R1, R2, ")
    assert "F4 unknown" in foot
    assert "north" in repr(party_settlement)
    assert repr(make_record()).startswith(
        "Record: digits, equal_disjoint, kde, shapley, shapley_fair; 2 parties, |G| = "
    )
    assert repr(make_record()).endswith("incentives: R1, R2, R3, R4, R5 and R6 held; 1 warning")
    failed = Verification(("ok      fine", "FAILED  reward.csv was changed"), False)
    assert repr(failed).startswith("Verification: 1 of 2 findings FAILED\n")
    assert failed.to_frame()["state"].tolist() == ["FAILED", "ok"]
    assert failed.to_frame()["finding"].tolist() == ["reward.csv was changed", "fine"]


def test_settings_show_what_differs_from_the_defaults():
    assert repr(Experiment()) == "Experiment()"
    assert repr(Experiment(seed=2, generator=GaussianMixture(3))) == (
        "Experiment(generator=GaussianMixture(components=3), seed=2)"
    )


def test_the_table_of_a_record():
    rows = [
        MetricRow(0, 1.0, "size", 3),
        MetricRow(0, 1.0, "my_metric", 0.25),
        MetricRow(1, 8.0, "my_metric", None),
        MetricRow(1, 8.0, "alpha", 2),
    ]
    result = make_result(2, [1.0, 8.0])
    record = make_record(result, rows)
    frame = record.to_frame()
    assert list(frame) == (
        [
            "party",
            "beta",
            "points",
            "alpha",
            "own_value",
            "reward_value",
            "value",
            "size",
            "reached",
            "my_metric",
            "metric_alpha",
        ]
    )
    assert frame["party"].tolist() == [0, 0, 1, 1]
    assert frame["beta"].tolist() == [1.0, 8.0, 1.0, 8.0]
    for k, reward in enumerate(result.sampling):
        row = frame.iloc[k]
        assert row["alpha"] == float(result.contributions.alpha[reward.party])
        assert row["own_value"] == float(result.values.party[reward.party])
        assert row["reward_value"] == float(result.scheme.values[reward.party])
        assert (row["value"], row["size"], row["points"], row["reached"]) == (reward.value, reward.size, 60, True)
    assert frame["my_metric"].tolist()[0] == 0.25
    assert frame["my_metric"].isna().tolist() == [False, True, True, True]
    assert frame["metric_alpha"].tolist()[3] == 2
    assert frame["size"].dtype == frame["points"].dtype == np.int64


def test_a_record_has_the_columns_of_its_file(tmp_path):
    names = ["size", "value", "increasing", "neg_mmd2_unbiased", "accuracy"]
    rows = [MetricRow(i, beta, name, 0.5) for i in range(2) for beta in (1.0, 8.0) for name in names]
    record = make_record(make_result(2, [1.0, 8.0]), rows)
    in_file = {row["metric"] for row in csv.DictReader(io.StringIO(write_metrics(record.metrics)))}
    assert in_file <= set(record.to_frame().columns)


def test_tables_of_contributions_rewards_and_incentives(settlement):
    contributions = Contributions.of([1.0, 2.0], "exact")
    assert contributions.to_frame().to_dict("list") == {
        "party": [0, 1],
        "phi": [1.0, 2.0],
        "alpha": [0.5, 1.0],
        "stderr": [0.0, 0.0],
    }
    rewards = Rewards(*torch.tensor([[0.5, 1.0], [0.25, 0.5], [0.75, 1.0]], dtype=torch.float64))
    assert list(rewards.to_frame()) == ["party", "reward_value", "lower", "upper"]
    assert rewards.to_frame()["lower"].tolist() == [0.25, 0.5]
    incentives = Incentives(
        {"R1": Incentive(True, 0.5, "a"), "R2": Incentive(False, -1, "b"), "F4": Incentive(None, None, "")}
    )
    assert incentives.summary() == "R1 held; R2 NOT held; F4 unknown"
    frame = incentives.to_frame()
    assert frame["holds"].tolist() == [True, False, None]
    assert frame["slack"].tolist()[:2] == [0.5, -1]
    assert math.isnan(frame["slack"][2])
    errors = settlement.uncertainty.to_frame()
    assert list(errors) == ["party", "v_stderr", "phi_stderr", "to_largest", "to_largest_stderr"]
    assert errors["v_stderr"].tolist() == settlement.uncertainty.v.tolist()


def test_the_table_of_a_settlement(settlement, party_settlement):
    frame = settlement.to_frame()
    assert len(frame) == 6
    assert frame["neg_mmd2_unbiased"].tolist() == [-reward.mmd2_unbiased for reward in settlement.drawn.values()]
    assert frame["own_value"].tolist() == [float(settlement.game.party_values[i]) for i in (0, 0, 1, 1, 2, 2)]
    named = party_settlement.to_frame()
    assert named["name"].tolist() == [name for name in NAMES for _ in BETAS]
    pd.testing.assert_frame_equal(named[list(frame.drop(columns="name"))], frame.drop(columns="name"))
    assert frame["name"].tolist() == ["party 1", "party 1", "party 2", "party 2", "party 3", "party 3"]
    assert named["recommended"].tolist() == [False, True] * 3
    assert named["accuracy"].tolist()[1] == 0.75
    assert named["accuracy_before"].tolist()[1] == 0.5
    assert named["auc_nearest"].isna().tolist() == [True, True, True, False, True, True]


def test_a_settlement_without_rewards_has_a_table(settlement):
    empty = replace(settlement, drawn={})
    assert empty.to_frame().empty
    assert repr(empty).startswith("Settlement: 3 parties")


def test_the_table_of_a_schema():
    schema, _ = infer_schema({"a": pd.DataFrame({"age": [1, 2, 3] * 10, "job": list("xyz") * 10, "all": ["k"] * 30})})
    frame = replace(schema, dropped={"id": "different in each row"}).to_frame()
    assert list(frame) == ["column", "kind", "missing", "values"]
    assert frame["column"].tolist() == ["age", "job", "all", "id"]
    assert frame["kind"].tolist()[-1] == "dropped"
    assert frame["values"].tolist()[1] == "x, y, z"
    assert isinstance(schema, Schema)


def test_brief_texts_name_shapes():
    assert (
        brief(Pool(torch.zeros(3, 2), torch.zeros(0, 1, 8, 8)))
        == "Pool(points=Tensor(3, 2), images=Tensor(0, 1, 8, 8))"
    )
    attacked = Attacked([torch.zeros(k, 2) for k in range(5)], [], (0, 4))
    assert repr(attacked) == (
        "Attacked(parties=[Tensor(0, 2), Tensor(1, 2), Tensor(2, 2), ...], labels=[], identities=(0, 4))"
    )


def completions(namespace: dict[str, object], text: str) -> Iterator[str]:
    """Yield what IPython offers on Tab, or Python's own prompt without IPython."""

    try:
        from IPython.core.completer import IPCompleter, provisionalcompleter
    except ImportError:
        from rlcompleter import Completer

        completer = Completer(namespace)
        yield from itertools.takewhile(bool, (completer.complete(text, k) for k in itertools.count()))
        return
    with provisionalcompleter():
        for completion in IPCompleter(namespace=namespace).completions(text, len(text)):
            yield completion.text.lstrip(".")


def test_tab_offers_all_attributes_of_a_loaded_record(tmp_path):
    make_record().save(tmp_path)
    (tmp_path / "rewards.npz").unlink()  # also without the arrays
    record = Record.load(tmp_path)
    expected = {"result", "metrics", "pool", "rewards", "table", "to_frame", "plot", "save"}
    assert expected <= set(dir(record))
    offered = {name.split(".")[-1].rstrip("()") for name in completions({"record": record}, "record.")}
    assert expected <= offered
    assert "rewards" in {name.split(".")[-1].rstrip("()") for name in completions({"plot": record.plot}, "plot.")}
