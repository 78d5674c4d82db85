"""Tests of the layout of result.json: what is written is read back, and nothing else is accepted."""

import copy
import dataclasses
import inspect
import json
import math
import re

import pytest
import torch

from cgm.contributions.base import Contributions
from cgm.evaluation import entries
from cgm.evaluation.entries import AttackResult, RewardAudit, Scores
from cgm.records import result as module
from cgm.records.result import SCHEMA, Result
from cgm.rewards.incentives import Incentive
from cgm.rewards.sampling import Reward
from cgm.rewards.schemes.base import Rewards
from cgm.valuation.bounds import KernelBounds
from tests.records.results import alpha_correlation, make_gains, make_result, make_rewards

INF = math.inf
KEYS = {
    "schema",
    "dataset",
    "split",
    "generator",
    "features",
    "reference",
    "labeller",
    "seed",
    "n_parties",
    "classes",
    "points_per_party",
    "dimensions",
    "t",
    "synthetic_size",
    "kernel",
    "values",
    "contributions",
    "scheme",
    "incentives",
    "sampling",
    "correlations",
    "beta_correlations",
    "distances",
    "downstream",
    "audit",
    "missing",
    "warnings",
    "settings",
    "seconds",
    "memory",
    "versions",
    "approximation",
    "privacy",
    "attack",
}
DATACLASSES = [
    kind
    for part in (module, entries)
    for kind in vars(part).values()
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind)
]


def test_every_key_is_written_and_read_back():
    result = make_result(betas=(0.0, 0.12345678901234566, INF))
    assert Result.loads(result.dumps()) == result
    content = json.loads(result.dumps())
    assert set(content) == KEYS
    assert content["schema"] == SCHEMA
    assert content["scheme"] == {
        "name": "shapley_fair",
        "rewards": result.scheme.values.tolist(),
        "spread": result.scheme.spread,
        "v_star": result.scheme.details["v_star"],
        "rho": 0.1,
    }
    assert set(content["contributions"]) == {"name", "phi", "alpha", "stderr", "method", "details"}
    assert content["contributions"]["alpha"] == result.contributions.alpha.tolist()
    assert content["contributions"]["details"] == {"permutations": 7}
    assert set(content["sampling"][0]) == {
        "party",
        "beta",
        "size",
        "target",
        "start",
        "value",
        "reached",
        "increasing",
        "checked",
        "checked_error",
    }
    correlation = {"mean", "sem", "n", "by_beta", "reasons"}
    assert set(content["correlations"]["size"]) == correlation | {"spearman"}
    assert set(content["correlations"]["size"]["spearman"]) == correlation
    assert set(content["beta_correlations"]["size"]) == {"mean", "sem", "n", "by_party", "reasons", "spearman"}
    assert "créancé ∪ β" in result.dumps()  # not escaped


def test_what_is_read_are_the_objects_that_a_run_computes():
    result = make_result()
    back = Result.loads(result.dumps())
    for name in ("values", "contributions", "scheme", "incentives", "kernel"):
        assert type(getattr(back, name)) is type(getattr(result, name))
    for tensor in (back.values.party, back.contributions.phi, back.scheme.values, back.scheme.lower):
        assert (tensor.dtype, tensor.shape) == (torch.float64, (3,))
    assert torch.equal(back.scheme.upper, back.values.upper)
    assert back.sampling[0].size == result.sampling[0].size
    assert len(back.sampling[0].indices) == 0
    assert back.incentives == result.incentives


def test_results_are_shown_in_a_line():
    assert repr(make_result(50)) == (
        "Result(dataset='digits', split='equal_disjoint', generator='kde', seed=0, n_parties=50, synthetic_size=12345)"
    )
    assert make_result() != make_result(t=5)
    assert make_result() != "digits"


def test_results_without_increments_are_read():
    content = make_result().to_json()
    assert content["values"]["increments"] == {"negative": 0.25, "smallest": -0.01}
    del content["values"]["increments"]
    assert Result.from_json(content).values.increments is None


def test_results_without_a_reference_compare_with_all_data():
    content = make_result().to_json()
    del content["reference"]
    assert Result.from_json(content).reference == "all"
    assert Result.from_json(content | {"reference": "pool"}).reference == "pool"


def test_every_key_is_documented():
    assert {Result, Contributions, Rewards, Reward, Incentive, KernelBounds, AttackResult} <= set(DATACLASSES)
    for kind in DATACLASSES:
        documented = "".join(inspect.getdoc(base) or "" for base in kind.__mro__ if dataclasses.is_dataclass(base))
        for field in dataclasses.fields(kind):
            assert re.search(rf"^\s*(\w+, )*{field.name}(, \w+)*: ", documented, re.M), (kind, field.name)


def test_infinity_is_read_back_where_numbers_are_declared():
    result = make_result(2, [INF])
    target = dataclasses.replace(result.sampling[1], target=-INF)
    settings = {"betas": ["inf"], "name": "inf"}
    result = dataclasses.replace(
        result,
        sampling=[result.sampling[0], target],
        classes=["inf", "-inf"],
        settings=settings,
        correlations={"size": alpha_correlation(INF, None, [None])},
    )
    content = json.loads(result.dumps())
    assert content["sampling"][0]["beta"] == content["downstream"][0]["beta"] == "inf"
    assert content["sampling"][1]["target"] == "-inf"
    back = Result.loads(result.dumps())
    assert back == result
    assert back.sampling[1].beta == back.missing[0].beta == INF
    assert back.sampling[1].target == -INF
    assert back.correlations["size"].mean == INF
    assert back.classes == ["inf", "-inf"]
    assert back.settings == settings


def test_nan_is_not_written():
    result = make_result()
    result.values.party[0] = math.nan
    with pytest.raises(ValueError, match="JSON"):
        result.dumps()


def test_a_scheme_may_report_anything():
    result = make_result(scheme=make_rewards([0.5] * 3, levels=[1, [2]], why=None, fair=True))
    back = Result.loads(result.dumps())
    assert back == result
    assert [back.scheme.number(name) for name in ("v_star", "rho", "levels", "why", "fair")] == [None] * 5
    bare = make_result(scheme=make_rewards([0.5] * 3))
    assert Result.loads(bare.dumps()) == bare
    assert make_result().scheme.number("rho") == 0.1


def test_details_have_names_of_their_own():
    with pytest.raises(ValueError, match=r"scheme: details: rewards, spread are keys of every scheme"):
        make_rewards([0.5], rewards=[1.0], spread=1.0, rho=1.0)


def test_gains_of_an_attack_are_written_and_read_back():
    result = make_result(attack=make_gains(betas=(1.0, INF)))
    assert Result.loads(result.dumps()) == result
    content = json.loads(result.dumps())["attack"]
    assert set(content) == {"name", "party", "identities", "alpha", "reward", "by_beta"}
    assert content["alpha"] == {"honest": 0.5, "total": 0.75, "max": 0.5}
    assert [entry["beta"] for entry in content["by_beta"]] == [1.0, "inf"]
    del content["by_beta"][1]["value"]
    with pytest.raises(ValueError, match=r"missing required field `value` - at `\$\.attack\.by_beta\[1\]`"):
        Result.from_json(result.to_json() | {"attack": content})


def test_scores_are_written_beside_the_other_keys():
    entry = Scores(1, 8.0, {"f1": 0.5, "r2": None}, {"f1": 0.25, "r2": None}, "why")
    gains = make_gains(betas=(1.0,), scores={"f1": 0.75}, scores_honest={"f1": 0.25})
    result = make_result(downstream=[entry], attack=gains)
    content = json.loads(result.dumps())
    assert content["downstream"] == [
        {"party": 1, "beta": 8.0, "f1": 0.5, "f1_before": 0.25, "r2": None, "r2_before": None, "reason": "why"}
    ]
    assert (content["attack"]["by_beta"][0]["f1"], content["attack"]["by_beta"][0]["f1_honest"]) == (0.75, 0.25)
    back = Result.loads(result.dumps())
    assert back == result
    assert back.downstream == [entry]
    assert (back.downstream[0].accuracy, back.downstream[0].accuracy_before) == (None, None)
    assert back.attack.by_beta == gains.by_beta


def test_records_from_before_attacks_are_read():
    content = make_result().to_json()
    assert content.pop("attack") is None
    assert Result.from_json(content) == make_result()


def test_an_audit_is_read_back_and_may_be_absent():
    attack = AttackResult("nearest", 0.7, 0.6, 0.8, 0.1, 0.0, 0.2)
    audit = [
        RewardAudit(0, INF, 10, 20, [attack], "nearest", 3, 0, 0.4, 1 / 3),
        RewardAudit(1, 1.0, 10, 0, [], None, None, None, None, None, "why"),
    ]
    result = make_result(audit=audit)
    assert Result.loads(result.dumps()) == result
    content = json.loads(make_result().dumps())
    assert content.pop("audit") == []
    assert Result.from_json(content) == make_result()  # a record of before there were audits


def test_keys_of_later_versions_are_ignored():
    content = make_result().to_json()
    content["more"] = content["values"]["more"] = {"x": 1}
    assert Result.from_json(content) == make_result()


def test_what_is_not_a_result_is_refused():
    for content in ([], 1, None, "x", {}, {"name": "x"}):
        with pytest.raises(ValueError, match="not a result of cgm, or one of a version before schemas were numbered"):
            Result.from_json(content)
    for schema in (SCHEMA - 1, SCHEMA + 1, "2", None):
        with pytest.raises(ValueError, match=rf"schema {schema}, but this version of cgm reads schema {SCHEMA}"):
            Result.from_json(make_result().to_json() | {"schema": schema})
    for text in ("", "{", '{"schema": 2', "\x00"):
        with pytest.raises(ValueError, match=r"line 1 column \d"):
            Result.loads(text)


MISSING = object()


DAMAGED = [
    (["t"], MISSING, "Object missing required field `t`"),
    (["scheme"], MISSING, "Object missing required field `scheme`"),
    (["scheme", "rewards"], MISSING, r"missing required field `values` - at `\$\.scheme`"),
    (["sampling", 1, "value"], MISSING, r"missing required field `value` - at `\$\.sampling\[1\]`"),
    (["correlations", "size", "spearman", "n"], MISSING, r"field `n` - at `\$\.correlations\[\.\.\.\]\.spearman`"),
    (["t"], "many", r"Expected `int`, got `str` - at `\$\.t`"),
    (["t"], 2.5, r"Expected `int`, got `float` - at `\$\.t`"),
    (["t"], True, r"Expected `int`, got `bool` - at `\$\.t`"),
    (["scheme"], None, r"Expected `object`, got `null` - at `\$\.scheme`"),
    (["scheme", "name"], 5, r"Expected `str`, got `int` - at `\$\.scheme\.name`"),
    (["scheme", "rewards", 1], 5.0e400, r"scheme: reward values: expected finite numbers.* - at `\$\.scheme`"),
    (["contributions", "phi"], None, r"expected a list of numbers - at `\$\.contributions\.phi`"),
    (["values", "lower", 1], "low", r"expected a list of numbers - at `\$\.values\.lower`"),
    (["values", "upper"], [0.5], r"scheme: upper bounds: has shape \(1,\) where \(3,\) is expected"),
    (["values", "grand"], None, r"Expected `float`, got `null` - at `\$\.values\.grand`"),
    (["sampling", 0, "reached"], 1, r"Expected `bool`, got `int` - at `\$\.sampling\[0\]\.reached`"),
    (["sampling", 0, "size"], "inf", r"Expected `int`, got `str` - at `\$\.sampling\[0\]\.size`"),
    (["settings"], None, r"Expected `object`, got `null` - at `\$\.settings`"),
    (["downstream", 2, "accuracy"], [], r"got `array` - at `\$\.downstream\[2\]\.accuracy`"),
    (["downstream", 1, "accuracy_before"], MISSING, r"field `accuracy_before` - at `\$\.downstream\[1\]`"),
    (["downstream", 1, "f1"], 0.5, r"field `f1_before` - at `\$\.downstream\[1\]`"),
]


def test_a_missing_key_or_a_wrong_type_is_refused_with_its_path():
    for path, value, message in DAMAGED:
        content = copy.deepcopy(make_result().to_json())
        *parents, key = path
        section = content
        for parent in parents:
            section = section[parent]
        if value is MISSING:
            del section[key]
        else:
            section[key] = value
        with pytest.raises(ValueError, match=message):
            Result.from_json(content)


def test_numbers_that_no_run_has_are_refused():
    content = make_result().to_json()
    sampling = content["sampling"]
    for changes, message in [
        ({"n_parties": -5}, "n_parties=-5: expected an integer >= 1"),
        ({"n_parties": 4}, "has 3 numbers for 4 parties"),
        ({"seed": -1}, "seed=-1: expected an integer >= 0"),
        ({"dimensions": 0}, "dimensions=0: expected an integer >= 1"),
        ({"t": 0}, "t=0: expected an integer >= 1"),
        ({"synthetic_size": -1}, "synthetic_size=-1: expected an integer >= 0"),
        ({"points_per_party": [1, 0, 1]}, r"points_per_party=\[1, 0, 1\]: expected integers >= 1"),
        ({"values": content["values"] | {"party": [0.0]}}, r"values\.party: has 1 numbers for 3 parties"),
        ({"sampling": [sampling[0] | {"party": 3}]}, "sampling: party 3, beta .*: there are parties 0 to 2"),
        ({"sampling": [sampling[0] | {"party": -1}]}, "sampling: party -1"),
        ({"sampling": [sampling[0] | {"size": 10**9}]}, "sampling: size 1000000000 of"),
        ({"sampling": [sampling[0] | {"size": -1}]}, "sampling: size -1 of"),
    ]:
        with pytest.raises(ValueError, match=message):
            Result.from_json(content | changes)
    for constant in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match=f"{constant} is not a number that a result has"):
            Result.loads(json.dumps(content).replace('"seed": ', f'"seconds": {{"x": {constant}}}, "seed": '))


def test_correlations_that_there_are_not_are_named():
    content = make_result().to_json()
    for section in ("correlations", "beta_correlations"):
        content[section]["neg_mmd2_unbiased"] = content[section]["size"]
    result = Result.from_json(content)
    for correlations in (result.correlations, result.beta_correlations):
        with pytest.raises(KeyError, match=r"no such correlation; .*; did you mean neg_mmd2_unbiased"):
            correlations["mmd2_unbiased"]
        assert correlations.get("mmd2_unbiased") is None
