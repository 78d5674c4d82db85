"""Tests of the figure of a sweep over attacks."""

import numpy as np
import pytest

from cgm.records.collect import Run
from cgm.records.figures.attack_gains import LABELS, attack_gains
from cgm.records.headline import ATTACK
from tests.drawn import whole


def run(attack: str, contribution: str, gain: float | None, seed: int = 0, **options) -> Run:
    """A run of which only the gains are known; its other gains are 1."""

    settings = {"attack": attack, "contribution": contribution, "seed": seed}
    settings |= {f"attack.{name}": value for name, value in options.items()}
    numbers = dict.fromkeys(ATTACK, None if attack == "NoAttack" else 1.0)
    return Run("run", settings, numbers | {"attack_gain_accuracy": gain}, [])


RUNS = [
    run("SplitParty", "Shapley", 0.5, identities=2),
    run("SplitParty", "Shapley", 0.25, identities=2, seed=1),
    run("SplitParty", "Banzhaf", -0.125, identities=2),
    run("NoAttack", "Shapley", None),
    run("Noise", "Shapley", -0.75, kind="uniform", share=0.5),
    run("Noise", "Banzhaf", 0.0, kind="gaussian", share=0.5),
    run("FreeRide", "Shapley", None, kind="subset"),
]


def test_cells_are_means_by_attack_and_setting():
    figure = attack_gains(RUNS, "contribution", "attack_gain_accuracy")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Banzhaf", "Shapley"]
    rows = ["free_ride", "noise, kind=gaussian", "noise, kind=uniform", "split_party"]
    assert [text.get_text() for text in axes.get_yticklabels()] == rows
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("contribution", "attack")
    assert figure.get_suptitle() == LABELS["attack_gain_accuracy"]
    expected = [[np.nan, np.nan], [0, np.nan], [np.nan, -0.75], [-0.125, 0.375]]
    (image,) = axes.images
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), expected)
    assert image.get_clim() == (-0.75, 0.75)  # symmetric about no change
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["n/a", "n/a", "+0", "n/a", "n/a", "−0.75", "−0.125", "+0.375\n± 0.12"]
    assert axes.texts[5].get_color() == "white"  # readable on a dark cell
    assert whole(figure)


def test_decimals():
    axes = attack_gains(RUNS, "contribution", "attack_gain_accuracy", decimals=2).figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["n/a", "n/a", "+0.00", "n/a", "n/a", "−0.75", "−0.12", "+0.38\n± 0.12"]


def test_numbers_are_sorted_as_numbers_and_the_column_is_no_part_of_the_row():
    runs = [run("Noise", "Shapley", 0.1 * share, share=share) for share in (0.5, 10.0, 2.0)]
    figure = attack_gains(runs, "attack.share", "attack_gain_accuracy")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0.5", "2", "10"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["noise"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["+0.05", "+0.2", "+1"]
    assert whole(figure)


def test_every_number_has_a_figure():
    for number in ATTACK:
        figure = attack_gains(RUNS[:3], "contribution", number)
        assert figure.get_suptitle() == LABELS[number]
        assert whole(figure)


def test_nothing_but_unknown_numbers():
    figure = attack_gains([RUNS[-1]], "contribution", "attack_gain_accuracy")
    assert [text.get_text() for text in figure.axes[0].texts] == ["n/a"]
    assert whole(figure)


def test_what_cannot_be_drawn_is_refused():
    for runs, columns, number, message in [
        (RUNS, "contribution", "accuracy", "number=accuracy: expected one of attack_gain_alpha, "),
        ([RUNS[3]], "contribution", "attack_gain_value", "runs: none of them has an attack"),
        ([], "contribution", "attack_gain_value", "runs: none of them has an attack"),
        (RUNS, "attack.share", "attack_gain_value", "columns=attack.share: run run has no such setting"),
    ]:
        with pytest.raises(ValueError, match=message):
            attack_gains(runs, columns, number)
