r"""Entries of an evaluation, as `result.json` and `metrics.csv` list them.

Parties are numbered from 0. A value that could not be computed is `None`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class MetricRow(NamedTuple):
    r"""The value of a metric for a party and an inverse temperature.

    Attributes:
        party: The party.
        beta: The inverse temperature $\beta$.
        metric: The name of the metric.
        value: Its value.
    """

    party: int
    beta: float
    metric: str
    value: float | None


@dataclass(frozen=True)
class Missing:
    r"""A value that could not be computed.

    Attributes:
        party: The party.
        beta: The inverse temperature $\beta$.
        metric: The name of the metric.
        reason: Why there is no value.
    """

    party: int
    beta: float
    metric: str
    reason: str


@dataclass(frozen=True)
class Accuracy:
    r"""The accuracies of a downstream task for one reward.

    Attributes:
        party: The party.
        beta: The inverse temperature $\beta$.
        accuracy: The accuracy after training on $D_i \cup G_i$.
        accuracy_before: The accuracy after training on $D_i$.
        reason: Why an accuracy is `None`; `None` if there are both.
    """

    party: int
    beta: float
    accuracy: float | None
    accuracy_before: float | None
    reason: str | None


@dataclass(frozen=True)
class Change:
    r"""A number of a party, when it is honest and when it attacks.

    Attributes:
        honest: The number when it is honest.
        total: The sum over its identities when it attacks.
        max: The maximum over its identities.
    """

    honest: float
    total: float
    max: float


@dataclass(frozen=True, kw_only=True)
class BetaGain:
    r"""What an attacker and the others end up with, for one inverse temperature.

    Values are those of the honest game, whose reference $T$ and length-scale the attack does not change. $D_i$ is
    always honest data; $G_a$ is the union of the rewards that the attacker's identities receive.

    Attributes:
        beta: The inverse temperature $\beta$.
        size_honest, size: $|G_i|$ and $|G_a|$.
        value_honest, value: $v(D_i \cup G_i)$ and $v(D_i \cup G_a)$.
        accuracy_honest, accuracy: The accuracies of the downstream task after training on these.
        reason: Why an accuracy is `None`; `None` if there are both.
        others: For each other party the change of $v(D_j \cup G_j)$ by the attack, negative if it is harmed.
        others_mean, others_worst: Their mean and minimum; `None` if there are no other parties.
    """

    beta: float
    size_honest: int
    size: int
    value_honest: float
    value: float
    accuracy_honest: float | None
    accuracy: float | None
    reason: str | None
    others: list[float]
    others_mean: float | None
    others_worst: float | None


@dataclass(frozen=True, kw_only=True)
class AttackGains:
    r"""What an attack changes.

    Attributes:
        name: The name of the attack.
        party: The attacker.
        identities: The parties of the attacked settlement that are the attacker.
        alpha: Its contribution $\alpha$.
        reward: Its reward value $r$.
        by_beta: What it and the others end up with, for each $\beta$.
    """

    name: str
    party: int
    identities: list[int]
    alpha: Change
    reward: Change
    by_beta: list[BetaGain]


@dataclass(frozen=True)
class AttackResult:
    r"""How well an attack tells members from non-members by their scores.

    Attributes:
        name: The name of the attack.
        auc: The area under the ROC curve.
        auc_low, auc_high: The ends of its confidence interval.
        tpr: The share of members that are found at the false positive rate of the audit.
        tpr_low, tpr_high: The ends of its confidence interval.
    """

    name: str
    auc: float
    auc_low: float
    auc_high: float
    tpr: float
    tpr_low: float
    tpr_high: float


@dataclass(frozen=True)
class GuessResult:
    r"""How often guesses about cells of other parties are right.

    Attributes:
        name: The name of the attack.
        column: The column that is guessed: its name, or its number from 1; `None` if the attack is about all.
        guesses: The number of guesses with the reward.
        rate: The share of them that is right.
        without: The share that is right without the reward, with the attacker's own data in its place.
        held_out: The share that is right for held-out rows, or by predicates made of them.
        excess_low, excess_high: The ends of the confidence interval of `rate` - `held_out`.
    """

    name: str
    column: str | None
    guesses: int
    rate: float
    without: float
    held_out: float
    excess_low: float
    excess_high: float


@dataclass(frozen=True)
class RewardAudit:
    r"""What a reward reveals about the rows of the other parties.

    Attributes:
        party: The party that receives the reward.
        beta: The inverse temperature $\beta$.
        members: The number of rows of other parties that were scored.
        non_members: The number of held-out rows that were scored.
        attacks: The attacks.
        strongest: The name of the attack with the largest AUC, which is too large on average because it was chosen.
        copies: The number of points of the reward that equal a row of another party, up to rounding.
        copies_held_out: The number of points that equal a held-out row.
        nearest_share: The share of points whose nearest scored row is a member.
        chance: What that share would be by chance, the share of members among the scored rows.
        reason: Why there are no numbers; `None` if there are.
        guesses: The attacks on cells; empty if none were made.
        cells: The number of cells of the reward.
        foreign_cells: The number of cells with a value that exactly one party has in this column, another one.
    """

    party: int
    beta: float
    members: int
    non_members: int
    attacks: list[AttackResult]
    strongest: str | None
    copies: int | None
    copies_held_out: int | None
    nearest_share: float | None
    chance: float | None
    reason: str | None = None
    guesses: list[GuessResult] = field(default_factory=list)
    cells: int | None = None
    foreign_cells: int | None = None


@dataclass(frozen=True, kw_only=True)
class MeanCorrelation:
    r"""The mean of correlations.

    Attributes:
        mean: The mean of the correlations that exist.
        sem: Its standard error; `None` if there are fewer than two.
        n: The number of correlations that exist.
        reasons: Why others do not.
    """

    mean: float | None
    sem: float | None
    n: int
    reasons: list[str]


@dataclass(frozen=True, kw_only=True)
class MeanOverBetas(MeanCorrelation):
    r"""The mean over $\beta$ of the correlations of the parties' $\alpha_i$ with their metrics.

    Attributes:
        by_beta: The correlation for each $\beta$.
    """

    by_beta: list[float | None]


@dataclass(frozen=True, kw_only=True)
class MeanOverParties(MeanCorrelation):
    r"""The mean over parties of the correlations of $\beta$ with a party's metrics.

    Attributes:
        by_party: The correlation for each party.
    """

    by_party: list[float | None]


@dataclass(frozen=True, kw_only=True)
class AlphaCorrelation(MeanOverBetas):
    r"""Pearson's correlation of a metric with $\alpha$.

    Attributes:
        spearman: Spearman's correlation.
    """

    spearman: MeanOverBetas


@dataclass(frozen=True, kw_only=True)
class BetaCorrelation(MeanOverParties):
    r"""Pearson's correlation of a metric with $\beta$.

    Attributes:
        spearman: Spearman's correlation.
    """

    spearman: MeanOverParties
