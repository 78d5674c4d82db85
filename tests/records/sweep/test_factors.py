"""Tests of what varies in a sweep."""

from cgm.records.collect import Run
from cgm.records.settings import find_varying
from cgm.records.sweep.figure import find_factors
from tests.records.sweep.grids import grid


def factors(*settings: dict) -> list:
    return find_factors([Run("run", own, {}, []) for own in settings], find_varying(settings))


def test_numbers_are_sorted_by_size_and_the_seed_is_no_factor():
    settings = [{"a": a, "seed": seed, "figures": bool(seed)} for a in (10, 2.0, 9) for seed in (0, 1)]
    (factor,) = factors(*settings)
    assert (factor.name, factor.values, factor.numbers) == ("a", ("2", "9", "10"), (2.0, 9.0, 10.0))
    assert factor.of_run == (2, 2, 0, 0, 1, 1)
    assert factor.together == ()


def test_lists_of_one_number_are_numbers():
    (factor,) = factors(*({"sampling.betas": betas} for betas in ([16.0], [1], [4])))
    assert (factor.values, factor.numbers, factor.of_run) == (("1", "4", "16"), (1.0, 4.0, 16.0), (2, 0, 1))


def test_digits_that_are_not_needed_are_left_out():
    (factor,) = factors({"a": 0.1 + 0.2}, {"a": 1234567})
    assert factor.values == ("0.3", "1234567")
    (factor,) = factors({"a": 1.0000000001}, {"a": 1.0000000002})
    assert factor.values == ("1.0000000001", "1.0000000002")


def test_what_is_not_always_a_number_is_a_choice():
    for values, texts in [
        ((True, False), ("false", "true")),
        (("fit", 0.5, 2), ("0.5", "2", "fit")),
        ((None, 0.5), ("0.5", "null")),
        (([8], [1, 2]), ("[1, 2]", "[8]")),
        (("inf", 1.0), ("1", "inf")),
    ]:
        (factor,) = factors(*({"a": value} for value in values))
        assert factor.values == texts
        assert factor.numbers is None


def test_an_option_of_some_classes_is_part_of_the_choice():
    noise = [{"attack": "Noise", "attack.share": share, "n": n} for share in (0.5, 1.0) for n in (3, 5)]
    clone = [{"attack": "Clone", "n": n} for n in (3, 5)]
    attack, n = factors(*noise, *clone)
    assert attack.values == ("Clone", "Noise, share=0.5", "Noise, share=1")
    assert attack.numbers is None
    assert attack.of_run == (1, 1, 2, 2, 0, 0)
    assert n.name == "n"


def test_a_setting_that_is_not_there_has_a_value():
    (factor,) = factors({"generator": "Mine", "generator.shift": 1}, {"generator": "Mine"})
    assert factor.values == ("1", "not set")
    assert factor.numbers is None


def test_a_setting_that_follows_from_another_one_is_named_with_it():
    choices = [("A", 5, "pca"), ("B", 10, "pca"), ("C", 20, "umap")]
    settings = [{"dataset": d, "split.n": n, "features": f, "epsilon": e} for d, n, f in choices for e in (1, 2)]
    found = {factor.name: factor.together for factor in factors(*settings)}
    assert found == {"dataset": ("split.n", "features"), "epsilon": ()}


def test_random_numbers_of_a_search_are_factors_of_their_own():
    settings = [{"a": 0.1 * k, "b": 7.0 * (k * 3 % 8), "kind": "xy"[k % 2]} for k in range(8)]
    assert [factor.name for factor in factors(*settings)] == ["a", "b", "kind"]


def test_of_two_settings_that_always_change_together_one_is_kept():
    runs = grid(lambda own: float(own["a"]), a=[1, 2], seed=[0, 1])
    for run in runs:
        run.settings["b"] = -run.settings["a"]
    assert [(factor.name, factor.together) for factor in find_factors(runs, ["a", "b", "seed"])] == [("a", ("b",))]
