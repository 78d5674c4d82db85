"""Audits as rows of the table of metrics."""

from __future__ import annotations

from collections.abc import Sequence

from cgm.evaluation.entries import MetricRow, Missing, RewardAudit


def audit_rows(entries: Sequence[RewardAudit]) -> tuple[list[MetricRow], list[Missing]]:
    """Return the numbers of audits as metrics, and an entry for each reward without numbers.

    The metrics are `auc_...` and `tpr_...` of each attack, `copies`, `copies_held_out` and `nearest_share`.
    """

    rows, missing = [], []
    for entry in entries:
        if entry.reason is not None:
            missing.append(Missing(entry.party, entry.beta, "audit", entry.reason))
            continue
        numbers: dict[str, float | None] = {}
        for attack in entry.attacks:
            numbers |= {f"auc_{attack.name}": attack.auc, f"tpr_{attack.name}": attack.tpr}
        numbers |= {name: getattr(entry, name) for name in ("copies", "copies_held_out", "nearest_share")}
        rows += [MetricRow(entry.party, entry.beta, name, value) for name, value in numbers.items()]

    return rows, missing
