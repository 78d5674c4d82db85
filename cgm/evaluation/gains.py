r"""What an attack gains its party, and what it costs the others.

An attacked settlement values data against a reference $T$ that the attack itself has changed. What the attacker ends up
with is therefore valued in the honest game: its reference $T$, its length-scale, its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TypeAlias

import torch

from cgm.evaluation.entries import AttackGains, BetaGain, Change, Scores
from cgm.evaluation.labelled import NO_LABELS, Labelled
from cgm.evaluation.tasks.base import LabelledReward, Task
from cgm.mediator import Settlement
from cgm.valuation.mmd import block_sums, cross_sums
from cgm.valuation.valuation import Valuation

LabelledPoints: TypeAlias = "tuple[int, float, torch.Tensor, torch.Tensor | None]"  # party, β, points, classes


def measure_gains(
    name: str,
    identities: Sequence[int],
    honest: Settlement,
    attacked: Settlement,
    classes: Sequence[torch.Tensor],
    labels: tuple[torch.Tensor | None, torch.Tensor | None],
    task: Task,
    test: Labelled,
) -> AttackGains:
    r"""Compare an attacked settlement with the honest one.

    Arguments:
        name: The name of the attack.
        identities: The parties of the attacked settlement, from 0, that are the attacker. The first is in the
            attacker's own place; all other parties have the same number in both settlements.
        honest: The settlement of the honest data.
        attacked: The settlement of the attacked data, in the features of the honest one.
        classes: The classes of the honest parties' points, each of shape $(N_i)$.
        labels: The classes of the points of the honest and of the attacked pool, each of shape $(|G|)$; `None` if they
            have none.
        task: The downstream task; not run if there are no labels.
        test: Held-out points in the features, of shape $(M, d)$, and their classes.

    Raises:
        ValueError: If the settlements are not in the same features.
    """

    if attacked.features is not honest.features:
        raise ValueError("gains: the settlements have features of their own, in which values cannot be compared")

    i, n = identities[0], honest.game.n
    others = [j for j in range(n) if j != i]
    betas, before = honest.betas, honest.drawn
    after = {key: reward.indices for key, reward in attacked.drawn.items()}
    for beta in betas:  # G_a is a set: identities may receive the same points
        after[i, beta] = torch.cat([after[a, beta] for a in identities]).unique()

    keys = [(j, beta) for beta in betas for j in (i, *others)]
    pool = attacked.pool.points
    found = true_values(honest.game, pool, [(j, after[j, beta]) for j, beta in keys])
    value = dict(zip(keys, found, strict=True))
    rewards: list[LabelledPoints] = []
    for beta in betas:
        for x, y, rows in (
            (honest.pool.points, labels[0], before[i, beta].indices),
            (pool, labels[1], after[i, beta]),
        ):
            rewards.append((i, beta, x[rows], None if y is None else y[rows]))
    scores = _scores(rewards, list(zip(honest.parties, classes, strict=True)), task, test)

    gains = []
    for beta, with_honest, with_attack in zip(betas, scores[::2], scores[1::2], strict=True):
        changes = [value[j, beta] - before[j, beta].value for j in others]
        reasons = {entry.reason for entry in (with_honest, with_attack) if None in entry.after.values()}
        gains.append(
            BetaGain(
                beta=beta,
                size_honest=len(before[i, beta].indices),
                size=len(after[i, beta]),
                value_honest=before[i, beta].value,
                value=value[i, beta],
                scores_honest=with_honest.after,
                scores=with_attack.after,
                reason="; ".join(sorted(reason or "no reason given" for reason in reasons)) or None,
                others=changes,
                others_mean=fmean(changes) if changes else None,
                others_worst=min(changes, default=None),
            )
        )

    return AttackGains(
        name=name,
        party=i,
        identities=list(identities),
        alpha=_change(honest.contributions.alpha, attacked.contributions.alpha, identities),
        reward=_change(honest.rewards.values, attacked.rewards.values, identities),
        by_beta=gains,
    )


def true_values(game: Valuation, pool: torch.Tensor, rewards: Sequence[tuple[int, torch.Tensor]]) -> list[float]:
    r"""Compute the values $v(D_i \cup G_a)$ of parties' data with points of another pool than the game's.

    With $a_x = \sum_{x' \in T} k(x, x')$, where $T$ is the reference, and $S = D_i \cup G_a$, equation (2) is

    .. math:: v(S) = \frac{2}{s t} \Big(a_i + \sum_{x \in G_a} a_x\Big) - \frac{1}{s^2} \sum_{x, x' \in S} k(x, x')

    A point that several rewards have in common costs $t$ kernel evaluations once.

    Arguments:
        game: The game, with its parties' data $D_i$, reference and kernel.
        pool: The points of the other pool, of shape $(M, d)$.
        rewards: Each the number of a party, from 0, and the rows of the pool that are $G_a$; there may be none.

    Returns:
        A value for each reward.
    """

    pool = pool.to(game.points)
    used = torch.cat([torch.empty(0, dtype=torch.int64), *(rows for _, rows in rewards)]).unique()
    a = pool.new_zeros(len(pool))
    if len(used):
        a[used] = cross_sums(game.kernel, pool[used], game.reference_points, "auto")

    values = []
    for party, rows in rewards:
        s = torch.cat([game.party(party), pool[rows]])  # (s, d)
        st = float(game.a[party]) + float(a[rows].sum())
        ss = float(block_sums(game.kernel, s, [len(s)], "auto").sum())
        values.append(2 * st / (len(s) * game.t) - ss / len(s) ** 2)

    return values


def _change(honest: torch.Tensor, attacked: torch.Tensor, identities: Sequence[int]) -> Change:
    of_attacker = attacked[list(identities)]
    return Change(float(honest[identities[0]]), float(of_attacker.sum()), float(of_attacker.max()))


def _scores(rewards: Sequence[LabelledPoints], parties: Sequence[Labelled], task: Task, test: Labelled) -> list[Scores]:
    """Return the scores of rewards, of which none has labels or all have."""

    labelled = [LabelledReward(i, beta, x, y) for i, beta, x, y in rewards if y is not None]
    if not labelled:
        return [Scores.missing(i, beta, task.scores, NO_LABELS) for i, beta, *_ in rewards]
    return task.evaluate(parties, labelled, test)
