"""Tests of the headline numbers of a run, and of the number that a search optimises."""

import dataclasses
import math

import pytest

from cgm.evaluation.entries import Scores
from cgm.records.headline import ATTACK, HEADLINE, check_objective, headline, objective_value
from tests.records.results import alpha_correlation, make_gains, make_result, make_rewards
from tests.scores import accuracies

RESULT = make_result(
    t=100,
    scheme=make_rewards([0.5, 0.5, 0.625], v_star=0.53, rho=0.75),
    correlations={"size": alpha_correlation(0.9), "accuracy": alpha_correlation(None)},
    downstream=[
        accuracies(0, 1.0, 0.75, 0.5, None),
        accuracies(1, 1.0, 0.5, 0.5, None),
        accuracies(2, 1.0, 0.25, None, "why"),
        accuracies(3, 1.0, None, None, "why"),
    ],
)


def test_headline():
    assert headline(RESULT) == {
        "v_star": 0.53,
        "rho": 0.75,
        "spread": 0.125,
        "t": 100,
        "lengthscale": 0.25,
        "correlation_size": 0.9,
        "correlation_accuracy": None,
        "beta_correlation_size": -0.8,
        "accuracy": 0.5,
        "accuracy_gain": 0.125,
        **dict.fromkeys(ATTACK),
        "seconds": 1.5,
        "warnings": 1,
    }
    assert {name for name in headline(RESULT) if "correlation" not in name} == set(HEADLINE)


def test_headline_of_a_scheme_without_v_star_and_rho_and_of_no_accuracies():
    scheme = make_rewards([0.5] * 3, levels=[1, 2])
    numbers = headline(dataclasses.replace(RESULT, scheme=scheme, downstream=[]))
    assert [numbers[name] for name in ("v_star", "rho", "accuracy", "accuracy_gain")] == [None] * 4
    assert math.isnan(objective_value(dataclasses.replace(RESULT, scheme=scheme), "v_star"))


def test_gains_of_an_attack_are_means_over_betas():
    gains = make_gains(betas=(1.0, 8.0))
    first = dataclasses.replace(gains.by_beta[0], value=0.75, size=40, others_worst=-0.5, others_mean=-0.3125)
    result = dataclasses.replace(RESULT, attack=dataclasses.replace(gains, by_beta=[first, gains.by_beta[1]]))
    numbers = headline(result)
    assert {name: numbers[name] for name in ATTACK} == {
        "attack_gain_alpha": 0.25,
        "attack_gain_alpha_max": 0.0,
        "attack_gain_reward": 0.125,
        "attack_gain_reward_max": 0.0,
        "attack_gain_size": 25,
        "attack_gain_value": 0.15625,
        "attack_gain_accuracy": 0.25,
        "attack_others_mean": -0.1875,
        "attack_others_worst": -0.5,
    }
    assert objective_value(result, "attack_gain_value") == 0.15625
    assert objective_value(result, "attack.alpha.total") == 0.75
    assert math.isnan(objective_value(RESULT, "attack_gain_value"))


def test_gains_that_could_not_be_computed_are_none():
    gains = make_gains(scores={"accuracy": None}, reason="why", others=[], others_mean=None, others_worst=None)
    numbers = headline(dataclasses.replace(RESULT, attack=gains))
    assert [name for name in ATTACK if numbers[name] is None] == [
        "attack_gain_accuracy",
        "attack_others_mean",
        "attack_others_worst",
    ]


def test_objectives_by_name_and_by_path():
    assert objective_value(RESULT, "v_star") == objective_value(RESULT, "scheme.v_star") == 0.53
    assert objective_value(RESULT, "seconds") == 1.5
    assert objective_value(RESULT, "seconds.data") == 1.0
    assert objective_value(RESULT, "correlation_size") == objective_value(RESULT, "correlations.size.mean") == 0.9
    assert objective_value(RESULT, "incentives.R2.slack") == 0.2
    assert math.isnan(objective_value(RESULT, "correlations.accuracy.mean"))
    assert math.isnan(objective_value(dataclasses.replace(RESULT, downstream=[]), "accuracy_gain"))


def test_what_is_not_a_number_of_the_run_is_refused():
    for objective, message in (
        ("scheme.v", r"objective=scheme\.v: no 'v' in scheme; there are name, rewards, rho, spread, v_star$"),
        ("scheme.rho.x", r"no 'x' in scheme\.rho; that is not a section"),
        (
            "nothing",
            "objective=nothing: no 'nothing' in result.json; there are approximation, attack, ",
        ),
        ("correlations.size", "is not a number, but dict"),
        ("kernel.name", "is not a number, but str"),
        ("incentives.R1.holds", "is not a number, but bool"),
    ):
        with pytest.raises(ValueError, match=message):
            objective_value(RESULT, objective)


def test_objectives_are_checked_before_a_run():
    for objective in (
        *headline(RESULT),
        "scheme.v_star",
        "correlations.size.spearman.mean",
        "incentives.R1.slack",
        "attack_gain_value",
        "attack.reward.max",
    ):
        check_objective(objective, ["accuracy"])
    for objective in ("f1", "f1_gain", "attack_gain_f1", "accuracy_gain"):
        check_objective(objective, ["f1"])
    for objective in ("", "v", "scheme", "correlation_", "settings.seed", "schema.v_star", "f1_gain"):
        with pytest.raises(ValueError, match=rf"objective={objective}: expected a column of runs\.csv \(v_star, "):
            check_objective(objective, ["accuracy"])


def test_objectives_of_what_is_not_measured():
    for objective in ("correlations.neg_kid.mean", "beta_correlation_neg_kid", "correlation_neg_kid"):
        check_objective(objective, [], ["neg_kid", "size"])
        with pytest.raises(ValueError, match=f"objective={objective}: neg_kid is not measured; there are recall, size"):
            check_objective(objective, [], ["recall", "size"])
        assert math.isnan(objective_value(RESULT, objective))
    check_objective("correlations.size.sem", [], ["recall", "size"])


def test_headline_of_other_scores():
    rewards = [Scores(0, 1.0, {"f1": 0.5, "r2": None}, {"f1": 0.25, "r2": 0.5}, "why")]
    gains = make_gains(betas=(1.0,), scores={"f1": 0.75}, scores_honest={"f1": 0.25})
    numbers = headline(dataclasses.replace(RESULT, downstream=rewards, attack=gains))
    names = ("f1", "f1_gain", "r2", "r2_gain", "accuracy", "accuracy_gain", "attack_gain_f1", "attack_gain_accuracy")
    assert [numbers[name] for name in names] == [0.5, 0.25, None, None, None, None, 0.5, None]
