"""Tests of the numbers of a settlement that people read, against plain computations."""

import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from cgm.contributions.uncertainty import Uncertainty
from cgm.evaluation.privacy import NoAudit
from cgm.rewards import EqualRewards, Gain, MaxWelfare, ShapleyFair, WeightedSampling
from cgm.settlements import TableMediator
from cgm.settlements.folder import mediator_files
from cgm.settlements.report import broken, sensitivity, tolerance
from cgm.settlements.settlement import Variant, name_groups
from cgm.settlements.view import EXTENTS, attack_in_words, describe
from tests.settlements.settled_tables import attack, redrawn, settle

TOLERANCE = WeightedSampling((1.0, 4.0, 8.0), tolerance=0.05)
GAIN = {"scheme": Gain(), "sampling": TOLERANCE}


def value(settlement, points: torch.Tensor) -> float:
    """Compute a value from full kernel matrices."""

    kernel, t = settlement.game.kernel, torch.cat([*settlement.parties, settlement.pool.points])
    return float(2 * kernel(points, t).mean() - kernel(points, points).mean())


@pytest.mark.parametrize(
    "scheme", [Gain(), ShapleyFair(), EqualRewards(), MaxWelfare()], ids=lambda s: type(s).__name__
)
def test_numbers_of_a_party(scheme):
    settlement = settle(scheme=scheme, sampling=TOLERANCE)
    view = json.loads(mediator_files(settlement)["result.json"])
    for i, party in enumerate(view["parties"]):
        own = value(settlement, settlement.parties[i])
        limit = value(settlement, torch.cat([settlement.parties[i], settlement.pool.points]))
        reached = value(settlement, torch.cat([settlement.parties[i], settlement.reward(i, 8.0)]))
        assert party["share_of_gain"] == pytest.approx((reached - own) / (limit - own), abs=1e-6)
        assert party["value_reached"] == pytest.approx(reached, abs=1e-9)
        assert party["target"] == pytest.approx(min(party["reward"], own + 0.95 * (limit - own)), abs=1e-9)
        assert party["rows_received"] == len(settlement.reward_table(i, 8.0))
        for entry in (entry for entry in view["sampling"] if entry["party"] == i):
            points = torch.cat([settlement.parties[i], settlement.reward(i, entry["beta"])])
            assert entry["share_of_gain"] == pytest.approx((value(settlement, points) - own) / (limit - own), abs=1e-6)
            assert (entry["promised"], entry["target"]) == (party["reward"], party["target"])

    cut = [p["target"] < p["reward"] for p in view["parties"]]
    assert tolerance(view) == (pytest.approx(0.05, abs=1e-9) if any(cut) else None)
    rewards = settlement.rewards
    assert view["scheme"] == {"name": rewards.name, **rewards.details}
    errors = settlement.uncertainty
    assert view["uncertainty"] == {
        "over": "rows",
        "v": errors.v.tolist(),
        "phi": errors.phi.tolist(),
        "differences": errors.differences.tolist(),
        "to_largest": errors.to_largest.tolist(),
        "to_largest_stderr": errors.to_largest_stderr.tolist(),
        "reason": "",
        "not_distinguished": [list(group) for group in settlement.not_distinguished],
    }


def test_the_error_of_alpha_is_that_of_the_distance_to_the_largest():
    settlement = settle()
    phi, errors = settlement.contributions.phi.tolist(), settlement.uncertainty
    largest = max(phi)
    for i, party in enumerate(describe(settlement)["parties"]):
        j = max((k for k in range(3) if k != i), key=phi.__getitem__)
        near = [k for k in range(3) if k != i and phi[j] - phi[k] <= 2 * float(errors.differences[j, k])]
        expected = max(float(errors.differences[i, k]) for k in near) / largest
        assert party["alpha_stderr"] == pytest.approx(expected, rel=1e-12)


def with_errors(phi: list[float], differences: list[list[float]] | None, stderr: float = 0.0):
    """Make a settlement with some contributions and standard errors."""

    settlement = settle(tuple("ABCD"))
    contributions = replace(
        settlement.contributions,
        phi=torch.tensor(phi, dtype=torch.float64),
        alpha=torch.tensor(phi, dtype=torch.float64) / max(phi),
        stderr=torch.full((4,), stderr, dtype=torch.float64),
    )
    matrix = None if differences is None else torch.tensor(differences, dtype=torch.float64)
    return replace(settlement, contributions=contributions, uncertainty=Uncertainty(torch.zeros(4), None, matrix))


def test_parties_that_cannot_be_told_apart():
    random = np.random.default_rng(0)
    for _ in range(200):
        phi = random.uniform(0.1, 1, 4).round(1).tolist()  # with ties
        errors = random.uniform(0, 0.3, (4, 4))
        errors = (np.triu(errors, 1) + np.triu(errors, 1).T).tolist()
        groups = with_errors(phi, errors).not_distinguished
        near = {frozenset(p) for p in combinations(range(4), 2) if abs(phi[p[0]] - phi[p[1]]) <= 2 * errors[p[0]][p[1]]}
        assert {frozenset(pair) for group in groups for pair in combinations(group, 2)} == near
        assert not any(set(a) < set(b) for a in groups for b in groups)
        assert all(list(group) == sorted(group, key=lambda i: -phi[i]) for group in groups)


def test_sampling_errors_count_as_well():
    phi = [1.0, 0.9, 0.5, 0.4]
    zeros = [[0.0] * 4] * 4
    for differences in (None, zeros):
        assert with_errors(phi, differences).not_distinguished == []
        assert with_errors(phi, differences, stderr=0.04).not_distinguished == [(0, 1), (2, 3)]
        assert with_errors(phi, differences, stderr=0.03).not_distinguished == []
    assert with_errors([1.0] * 4, None).not_distinguished == []  # errors are unknown
    assert with_errors([1.0] * 4, zeros).not_distinguished == [(0, 1, 2, 3)]


def test_groups_in_words():
    names = ["A", "B", "C"]
    assert name_groups([], names) == ""
    assert name_groups([(0, 2, 1)], names) == "The contributions of A, C and B cannot be told apart."
    expected = "The contributions of A and B cannot be told apart, nor can those of B and C."
    assert name_groups([(0, 1), (1, 2)], names) == expected


def test_the_printed_table():
    settlement = settle(**GAIN)
    head, *lines = settlement.table().splitlines()
    assert re.split(r"  +", head.strip()) == ["party", "rows", "v(D_i)", "α ± error", "gain", "rows β=8", "β=1, 4"]
    for i, line in enumerate(lines[:3]):
        reward = settlement.drawn[i, 8.0]
        name, rows, own, alpha, gain, size, others = re.split(r"  +", line.strip())
        assert (name, rows, size) == (settlement.names[i], str(len(settlement.tables[i])), str(len(reward.indices)))
        assert float(own) == pytest.approx(float(settlement.game.party_values[i]), abs=5e-5)
        alpha, error = map(float, alpha.split(" ± "))
        assert alpha == pytest.approx(float(settlement.contributions.alpha[i]), abs=5e-5)
        assert error == pytest.approx(float(settlement.alpha_stderr[i]), rel=0.05)
        assert float(gain.removesuffix(" %")) == pytest.approx(100 * reward.share_of_gain, abs=0.05)
        assert others == ", ".join(str(len(settlement.drawn[i, beta].indices)) for beta in (1.0, 4.0))
    assert "*" not in settlement.table()

    different = replace(redrawn(settlement, 1, reached=False), recommended=(8.0, 1.0, 8.0))
    head, *lines = different.table().splitlines()
    assert re.search(r"gain +rows +β=1, 4, 8$", head)
    assert f"{len(settlement.drawn[1, 1.0].indices)}* (β=1)" in lines[1]
    assert lines[-1] == "* stopped before v(D_i ∪ G_i) reached its target"
    single = settle(**GAIN | {"sampling": WeightedSampling((8.0,))})
    assert single.table().splitlines()[0].endswith("rows β=8")
    tied = "The contributions of A, B, C and D cannot be told apart."
    assert tied in with_errors([1.0] * 4, [[0.0] * 4] * 4).table()
    unknown = replace(settlement, uncertainty=Uncertainty(torch.zeros(3), reason="no semivalue"))
    assert "±" not in unknown.table()
    assert "the standard errors of contributions are unknown: no semivalue" in unknown.table()


def test_changes_with_other_settings_are_printed():
    alpha = settle().contributions.alpha.tolist()
    other = [alpha[0], alpha[1] - 0.5, alpha[2]]
    text = replace(settle(), sensitivity={"another seed": Variant(other)}).table()
    assert f"with another seed, α of South Bank is {other[1]:.2f}" in text


def test_what_other_settings_change():
    settlement = with_errors([1.0, 0.9, 0.5, 0.4], [[0.0, 0.1, 0, 0], [0.1, 0, 0, 0], [0.0] * 4, [0.0] * 4])
    shares = [r.share_of_gain for r in settlement.delivered]
    variants = {
        "ties": Variant([0.9, 1.0, 0.5, 0.4], [share - 0.1 for share in shares], [1, 2, 3, 4]),
        "order": Variant([1.0, 0.4, 0.5, 0.4], reason="no rewards fit"),
    }
    ties, order = sensitivity(describe(replace(settlement, sensitivity=variants)))
    assert (ties["same_order"], order["same_order"]) == (True, False)  # A and B cannot be told apart, B and C can
    assert ties["change"] == pytest.approx(0.1)
    assert order["change"] == pytest.approx(0.5)
    assert ties["change_of_share"] == pytest.approx(0.1)
    assert (order["change_of_share"], order["reason"]) == (None, "no rewards fit")


def test_what_a_target_breaks():
    settlement = settle(**GAIN)
    view = describe(settlement)
    assert view["incentives"]["R3"]["holds"]
    (r3,) = (entry for entry in broken(view) if entry["name"] == "R3")
    targets = [min(r.promised, r.start + 0.95 * (r.upper - r.start)) for r in settlement.delivered]
    missed = float(settlement.rewards.v_star) - max(targets)
    assert r3["missed"] == pytest.approx(missed, abs=1e-12)
    assert r3["share"] == pytest.approx(missed / max(r.upper - r.start for r in settlement.delivered), abs=1e-9)
    for entry in broken(view):
        assert view["target_incentives"][entry["name"]]["holds"] is False
    assert broken(describe(settle())) == []
    assert describe(settle())["target_incentives"] == describe(settle())["incentives"]


def test_attacks_in_words():
    """The AUC is the probability that a member has a larger score than a non-member."""

    for auc, low, words in [
        (0.53, 0.47, "not shown to be better than guessing"),
        (0.55, 0.51, EXTENTS[0][1]),
        (0.7, 0.65, EXTENTS[1][1]),
        (1.0, 0.99, EXTENTS[2][1]),
    ]:
        result = {"auc": auc, "auc_low": low, "auc_high": 1.0}
        text = attack_in_words(result)
        assert f"picks the used one in {100 * auc:.0f} of 100 cases (95 % interval {100 * low:.0f} to 100)" in text
        assert words in text
    assert "Shown an image of another party" in attack_in_words(vars(attack("nearest", 0.5)), "images")


@pytest.mark.parametrize(
    ("apart", "settings", "untested", "expected"),
    [
        ((40, 40, 40), {}, "", ""),
        ((40, 40, 40), {}, "no test", "120 rows are held out for checks: no test; a larger share than"),
        ((10, 9, 8), {}, "", "27 rows are held out for checks: the privacy audit is imprecise (95 % intervals"),
        ((10, 9, 8), {"audit": NoAudit()}, "", ""),
        ((0, 0, 0), {}, "", "0 rows are held out for checks: rewards cannot be audited for privacy"),
        ((3,), {}, "", ""),
    ],
)  # fmt: skip
def test_few_rows_that_are_held_out(apart, settings, untested, expected, caplog):
    masks = {str(i): np.arange(100) >= count for i, count in enumerate(apart)}
    warnings = TableMediator(**settings).warn_of_few(masks, untested)
    assert len(warnings) == bool(expected)
    assert caplog.messages == warnings
    assert all(warning.startswith(expected) for warning in warnings)
    if "imprecise" in expected:  # the party with 10 rows is attacked with the 17 others
        uniform = np.random.default_rng(0).random((20_000, 17))  # ranks of their scores among those of many members
        assert f"about ± {1.96 * uniform.mean(1).std():.1g})" in warnings[0]
