"""Tests of audits as rows of the table of metrics."""

from cgm.evaluation.entries import AttackResult, MetricRow, Missing, RewardAudit
from cgm.evaluation.privacy.base import audit_rows


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
