"""Tests of membership inference: what leaks is found, what does not leak is not, and bad input has a reason."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cgm.data.holdout import match_parties
from cgm.evaluation.entries import AttackResult, MetricRow, Missing, RewardAudit
from cgm.evaluation.privacy.attacks import ATTACKS, Target, neighbour_distances
from cgm.evaluation.privacy.base import NoAudit, audit_rows
from cgm.evaluation.privacy.intervals import auc, true_positive_rate
from cgm.evaluation.privacy.membership import ROUNDING, Copies, Membership
from cgm.generators.kde import KDE


def draw(n: int, d: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_name(entry: RewardAudit) -> dict:
    return {attack.name: attack for attack in entry.attacks}


@pytest.mark.parametrize("d", [2, 8])
def test_a_kde_of_bandwidth_zero_leaks_everything(d):
    parties, held_out = [draw(150, d, 1), draw(200, d, 2), draw(200, d, 3)], draw(400, d, 4)
    pool = KDE(1e-9).fit(torch.cat(parties[1:]), 0).sample(8000, 0)  # each row about twenty times
    (entry,) = Membership().audit(parties, [held_out], [(0, 1.0, pool)], seed=0)
    assert (entry.members, entry.non_members, entry.reason) == (400, 400, None)
    assert (entry.copies, entry.copies_held_out) == (8000, 0)
    assert entry.nearest_share == 1.0
    assert entry.chance == 0.5
    attacks = by_name(entry)
    for name in ("nearest", "density_ratio", "neighbourhood"):
        assert attacks[name].auc > 0.99
        assert attacks[name].tpr > 0.95
        assert attacks[name].tpr_low > 0.9
    assert attacks[entry.strongest].auc == max(attack.auc for attack in entry.attacks)


def test_a_wider_bandwidth_leaks_less():
    parties, held_out = [draw(150, 4, 1), draw(400, 4, 2)], draw(400, 4, 4)
    found = []
    for bandwidth in (0.01, 0.1, 0.3, 1.0):
        pool = KDE(bandwidth).fit(parties[1], 0).sample(2000, 0)
        (entry,) = Membership().audit(parties, [held_out], [(0, 1.0, pool)], seed=0)
        assert entry.copies == 0
        found.append(by_name(entry)["nearest"].auc)
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.95
    assert found[-1] < 0.6


def test_independent_points_leak_nothing():
    """Intervals of the AUC contain 0.5, and those of the rate contain 0.01, as often as they promise."""

    names, repetitions = tuple(ATTACKS), 60
    audit = Membership(max_rows=150)
    covered, copies, shares = dict.fromkeys(names, 0), 0, []
    rates = dict.fromkeys(names, 0)
    for seed in range(repetitions):
        x = draw(100 + 150 + 150 + 200, 3, seed)
        own, members, held_out, reward = x[:100], x[100:250], x[250:400], x[400:]
        (entry,) = audit.audit([own, members], [held_out], [(0, 1.0, reward)], seed)
        copies += entry.copies + entry.copies_held_out
        shares.append(entry.nearest_share)
        for name, attack in by_name(entry).items():
            covered[name] += attack.auc_low <= 0.5 <= attack.auc_high
            rates[name] += attack.tpr_low <= 0.01 <= attack.tpr_high
    least = repetitions * 0.95 - 3 * math.sqrt(repetitions * 0.95 * 0.05)
    assert min(covered.values()) >= least
    assert min(rates.values()) >= least
    assert copies == 0
    assert abs(np.mean(shares) - 0.5) < 4 * np.std(shares) / math.sqrt(repetitions)


def test_numbers_from_plain_computations():
    parties, held_out = [draw(50, 2, 1), draw(60, 2, 2), draw(70, 2, 3)], [draw(30, 2, k) for k in (4, 5, 6)]
    reward = torch.cat([draw(40, 2, 7), parties[0][:5], parties[1][:9], held_out[2][:4], held_out[1][:2]])
    audit = Membership(false_positive_rate=0.1, confidence=0.9)
    (entry,) = audit.audit(parties, held_out, [(1, math.inf, reward)], seed=3)
    members = torch.cat([parties[0], parties[2]]).numpy()
    others = torch.cat([held_out[0], held_out[2]]).numpy()
    assert (entry.party, entry.beta, entry.members, entry.non_members) == (1, math.inf, 120, 60)
    assert (entry.copies, entry.copies_held_out) == (5, 4)  # own rows and own held-out rows do not count
    assert entry.chance == 120 / 180
    inside, outside = cdist(reward, members).min(1), cdist(reward, others).min(1)
    assert entry.nearest_share == np.mean(inside < outside)
    rows, own = np.concatenate([members, others]), parties[1].numpy()
    g = reward.numpy()
    target = Target(rows, g, own, neighbour_distances(g, rows), neighbour_distances(own, rows))
    for attack in entry.attacks[:3]:
        scores = np.round(ATTACKS[attack.name](target, 0), 9)  # the origin differs
        assert (attack.auc, attack.auc_low, attack.auc_high) == pytest.approx(auc(scores[:120], scores[120:], 0.9))
        rate = true_positive_rate(scores[:120], scores[120:], 0.1, 0.9)
        assert (attack.tpr, attack.tpr_low, attack.tpr_high) == pytest.approx(rate)


def test_one_held_out_set_serves_all_parties():
    parties, rows = [draw(50, 2, 1), draw(60, 2, 2)], draw(80, 2, 3)
    rewards = [(0, 1.0, draw(30, 2, 4)), (1, 1.0, draw(30, 2, 5))]
    shared = Membership().audit(parties, [rows], rewards, seed=0)
    assert [entry.non_members for entry in shared] == [80, 80]
    assert Membership().audit(parties, [rows, rows], rewards, seed=0) == shared


def test_rows_are_a_part_of_all_and_the_same_for_each_beta():
    parties, held_out = [draw(50, 2, 1), draw(5000, 2, 2)], [draw(3000, 2, 3)]
    reward = draw(300, 2, 4)
    audit = Membership(max_rows=200)
    a, b = audit.audit(parties, held_out, [(0, 1.0, reward), (0, 2.0, reward)], seed=0)
    assert (a.members, a.non_members, a.chance) == (200, 200, 0.5)
    assert dataclasses.replace(b, beta=1.0) == a
    (other,) = audit.audit(parties, held_out, [(0, 1.0, reward)], seed=1)
    assert other.attacks != a.attacks
    copied = parties[1][:500]  # copies are counted among all rows, not only among those that are scored
    assert audit.audit(parties, held_out, [(0, 1.0, copied)], seed=0)[0].copies == 500


def test_equal_rows_are_no_evidence():
    """Discrete data: members and others have the same rows, so that ties must not favour members."""

    random = torch.Generator().manual_seed(0)
    x = torch.randint(0, 4, (2000, 2), generator=random).double()
    (entry,) = Membership().audit([x[:500], x[500:1000]], [x[1000:1500]], [(0, 1.0, x[1500:])], seed=0)
    assert entry.copies == entry.copies_held_out == 500
    assert abs(entry.nearest_share - 0.5) < 0.2  # 16 different rows
    for attack in entry.attacks:
        assert attack.auc_low <= 0.5 <= attack.auc_high


def test_held_out_rows_need_the_same_shares_of_classes():
    """A reward of independent points seems to leak if members and others differ in their classes, and not otherwise."""

    rng = np.random.default_rng(0)

    def of_classes(y: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=(len(y), 2))) + 3 * y[:, None]

    labels = [torch.arange(500) % 10 // 9, 1 - torch.arange(500) % 10 // 9]  # 90 % and 10 % of class 0
    test = torch.arange(2000) % 2
    parties, rows, reward = [of_classes(y) for y in labels], of_classes(test), of_classes(test[:400])
    matched = [rows[chosen] for chosen in match_parties(test, labels, 0)]
    for held_out, leaks in (([rows], True), (matched, False)):
        (entry,) = Membership().audit(parties, held_out, [(0, 1.0, reward)], seed=0)
        density = by_name(entry)["density_ratio"]
        assert (density.auc_low > 0.6) == leaks
        assert leaks or density.auc_low <= 0.5 <= density.auc_high


def test_what_cannot_be_audited_has_a_reason():
    for parties, held_out, reward, reason in [
        ([5, 5], [5], 0, "no point was accepted"),
        ([5], [5], 5, "there are no other parties"),
        ([0, 5], [5], 5, "the party has no rows of its own"),
        ([5, 1], [5], 5, "1 rows of other parties, at least 2 are needed"),
        ([5, 0], [5], 5, "0 rows of other parties, at least 2 are needed"),
        ([5, 5], [], 5, "0 held-out rows, at least 2 are needed"),
        ([5, 5], [0], 5, "0 held-out rows, at least 2 are needed"),
        ([5, 5], [5, 1], 5, "1 held-out rows, at least 2 are needed"),
    ]:
        sets = [[draw(n, 2, k) for k, n in enumerate(sizes)] for sizes in (parties, held_out)]
        (entry,) = Membership().audit(*sets, [(0, 1.0, draw(reward))], seed=0)
        assert entry.reason == reason
        assert entry.attacks == []


def test_the_smallest_sets_have_numbers():
    for parties, held_out, reward in [([1, 2], [2], 1), ([2, 2], [0, 2], 1), ([1, 30], [2], 3)]:
        sets = [[draw(n, 2, k) for k, n in enumerate(sizes)] for sizes in (parties, held_out)]
        (entry,) = Membership().audit(*sets, [(0, 1.0, draw(reward))], seed=0)
        assert entry.reason is None
        assert [attack.name for attack in entry.attacks] == list(ATTACKS)


def test_invalid_input_is_refused():
    for parties, held_out, rewards, message in [
        ([], [], [], "audit: there are no parties"),
        (draw(5), [], [], r"audit: parties has the shape \(5, 2\), expected a list"),
        ([draw(5)] * 2, draw(5), [], r"audit: held_out has the shape \(5, 2\), expected a list"),
        ([draw(5)] * 3, [draw(5)] * 2, [], "audit: 2 sets of held-out rows for 3 parties; expected one for each"),
        ([draw(5)] * 2, [draw(5)], [(2, 1.0, draw(5))], "audit: a reward is for party 2 .*, but there are 2 parties"),
        ([draw(5), draw(5, 3)], [], [], r"audit: party 2: points of shape \(3,\) where \(2,\) is expected"),
        ([draw(5)] * 2, [draw(5) / 0], [], "audit: held-out rows 1: row 0 holds NaN or infinity"),
        ([draw(5)], [], [(0, 2.0, draw(5, 3))], r"audit: reward of party 1, beta=2: points of shape \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            Membership().audit(parties, held_out, rewards, seed=0)


def test_each_attack_is_named_once():
    with pytest.raises(ValueError, match=r"audit\.attacks=.*: expected each attack once"):
        Membership(attacks=["nearest", "nearest"])
    with pytest.raises(ValueError, match=r"audit\.attacks=.*: expected .*one of nearest, density_ratio"):
        Membership(attacks=["psychic"])


def test_attacks_can_be_chosen():
    audit = Membership(attacks=["classifier", "nearest"])
    assert audit == Membership(attacks=("classifier", "nearest"))
    (entry,) = audit.audit([draw(30), draw(30, 2, 1)], [draw(30, 2, 2)], [(0, 1.0, draw(30, 2, 3))], seed=0)
    assert [attack.name for attack in entry.attacks] == ["classifier", "nearest"]


grids = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12).map(
    lambda rows: np.array(rows, dtype=float).reshape(-1, 2)
)


@given(st.lists(grids, min_size=1, max_size=4), grids)
def test_counts_from_plain_loops(sets, points):
    copies = Copies(sets)
    groups = [[s] for s in range(len(sets))] + [list(range(len(sets))), []]
    expected = [sum(any((x == row).all() for s in group for row in sets[s]) for x in points) for group in groups]
    assert copies.count(points, *groups) == expected


def test_equal_up_to_rounding():
    rng = np.random.default_rng(0)
    for d in (1, 4, 30):
        rows = rng.normal(size=(500, d)) * np.geomspace(1e-3, 1e3, d)
        single = rows.astype(np.float32).astype(np.float64)
        shifted = rows[:100] + 10 * ROUNDING * rows.std(0)
        assert Copies([rows]).count(single, [0]) == [500]
        if d > 1:
            assert Copies([rows]).count(shifted, [0]) == [0]
        assert Copies([rows[:0], rows]).count(rows[:7], [0], [1]) == [0, 7]


def test_constant_dimensions_and_many_equal_rows():
    rows = np.zeros((20_000, 3))
    assert Copies([rows, rows + 1]).count(np.repeat(rows[:1], 5000, axis=0), [0], [1]) == [5000, 0]


def test_a_row_for_each_number():
    attacks = [AttackResult("a", 0.7, 0.6, 0.8, 0.1, 0.0, 0.2), AttackResult("b", 0.5, 0.4, 0.6, 0.01, 0.0, 0.1)]
    entries = [
        RewardAudit(2, 8.0, 10, 20, attacks, "a", 3, 1, 0.4, 1 / 3),
        RewardAudit(0, 1.0, 10, 0, [], None, None, None, None, None, "why"),
    ]
    numbers = {"auc_a": 0.7, "tpr_a": 0.1, "auc_b": 0.5, "tpr_b": 0.01}
    numbers |= {"copies": 3, "copies_held_out": 1, "nearest_share": 0.4}
    expected = [MetricRow(2, 8.0, name, value) for name, value in numbers.items()]
    assert audit_rows(entries) == (expected, [Missing(0, 1.0, "audit", "why")])
    assert audit_rows([]) == ([], [])


def test_without_an_audit_there_are_no_entries():
    x = torch.zeros(3, 2)
    assert NoAudit().audit([x, x], [x], [(0, 1.0, x)], seed=0) == []
