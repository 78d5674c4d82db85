r"""The least core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.valuation.game import Game

MAX_PARTIES = 20
CUTS = 100  # coalitions that may be added at once
ROUNDS = 10_000
TOLERANCE = 1e-12  # the rounding error of the values of coalitions, as a share of the largest absolute value
INDEPENDENT = 1e-9  # the rounding error of what coalitions' members, which are integers, are combined from


@dataclass(frozen=True)
class LeastCore(Contribution):
    r"""The point of the least core that is nearest to equal shares.

    Contributions are in the core if no coalition has a larger value than its members have together. The least core
    minimises the largest excess of a coalition,

    .. math:: e^* = \min_\phi \max_{\emptyset \neq C \subsetneq N} v_c(C) - \sum_{i \in C} \phi_i
        \quad \text{subject to} \quad \sum_{i \in N} \phi_i = v_c(N)

    It may have several points; the one with the smallest $\sum_i \phi_i^2$ is unique, and equal for symmetric parties.
    The core is empty if $e^* > 0$. A party $i$ that adds nothing gets nothing, at any point: without it, a positive
    $\phi_i$ could be spread over the others, or a negative one deducted from them, and all excesses that determine a
    positive $e^*$ would be smaller; the excesses of $\{i\}$ and $N \setminus \{i\}$ exclude both for $e^* \leq 0$.

    The point is computed for at most 20 parties, up to rounding errors, by constraint generation: for some of the
    $2^n - 2$ coalitions, to which those with the largest excess are added until there is no larger one. The details
    are `excess`, $e^*$ (`None` for one party), and `coalitions`, the number of coalitions that were needed.

    Raises:
        ValueError: If there are more than 20 parties.

    References:
        The Nucleolus of a Characteristic Function Game (Schmeidler, 1969); If You Like Shapley Then You'll Love the
        Core (Yan and Procaccia, 2021).

    Example:
        >>> from cgm.valuation import TableGame
        >>> result = LeastCore().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0)
        >>> result.phi.round(decimals=9), round(result.details["excess"], 9)
        (tensor([2., 3.], dtype=torch.float64), -1.0)
    """

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the point of the least core, see `Contribution.compute`."""

        if game.n > MAX_PARTIES:
            raise ValueError(
                f"contribution=least_core: {game.n} parties have 2^{game.n} coalitions; expected at most {MAX_PARTIES} "
                "parties, use contribution=shapley"
            )
        if game.n == 1:
            return Contributions.of([game.grand_value], "exact", details={"excess": None, "coalitions": 0})

        values = game.coalition_values().numpy()
        scale = float(np.abs(values).max()) or 1.0
        phi, excess, coalitions = _least_core(values / scale, game.n)
        details = {"excess": scale * excess, "coalitions": coalitions}
        return Contributions.of(torch.from_numpy(scale * phi), "exact", details=details)


def _least_core(values: np.ndarray, n: int) -> tuple[np.ndarray, float, int]:
    r"""Compute the point of the least core nearest to equal shares, its largest excess, and the number of coalitions.

    For a given $e$, the nearest point is the smallest $y_i = \phi_i - v_c(N) / n$ with $\sum_i y_i = 0$ and
    $\sum_{i \in C} \phi_i \geq v_c(C) - e$ for all $C$. If there is none, some coalitions are balanced: with some
    weights $\lambda_C \geq 0$ of sum 1, all parties are members equally often. The mean excess of these coalitions is
    the same for all $\phi$, so that $e^*$ is at least this mean, which replaces $e$. It increases from the largest mean
    of a coalition and its complement to $e^*$, because there are finitely many minimal balanced collections.

    Arguments:
        values: The coalition values, of shape (2^n), at most 1 in absolute value.
        n: The number of parties, at least 2.
    """

    share, bits = values[-1] / n, np.arange(n)
    excess = float((values + values[::-1])[1:-1].max() - values[-1]) / 2
    coalitions = np.unique(np.concatenate([2**bits, 2**n - 1 - 2**bits]))
    active: list[int] = []
    for _ in range(ROUNDS):
        members = (coalitions[:, None] >> bits) & 1
        equal = values[coalitions] - members.sum(1) * share  # the excesses of equal shares
        y, weights, active = _nearest(members - members.mean(1, keepdims=True), equal - excess, active)
        if y is None:
            excess = float(weights @ equal / weights.sum())
            continue
        sums = np.zeros(1)
        for phi in share + y:
            sums = np.concatenate([sums, sums + phi])  # (2^n)
        larger = values - sums - excess
        larger[[0, -1, *coalitions]] = -np.inf  # the empty and the grand coalition, and those so far
        new = np.flatnonzero(larger > TOLERANCE)
        if len(new) == 0:
            return share + y, excess, len(coalitions)
        if len(new) > CUTS:
            new = new[np.argpartition(-larger[new], CUTS)[:CUTS]]
        coalitions = np.concatenate([coalitions, new])
    raise RuntimeError(f"contribution=least_core: not solved after {ROUNDS} rounds")


def _nearest(
    rows: np.ndarray, bounds: np.ndarray, active: list[int]
) -> tuple[np.ndarray | None, np.ndarray, list[int]]:
    r"""Compute the smallest $y$, by $\|y\|$, with $A y \geq b$.

    The dual active set method: $y = A^\top u$ with multipliers $u \geq 0$ of linearly independent active rows, for
    which $A y = b$. The row that is violated most joins them; a row whose multiplier would become negative leaves them.
    $\|y\|$ increases with every row that joins, so that no set of active rows occurs twice. As the active rows alone
    determine $y$ and $u$, rounding errors of earlier steps have no effect.

    Arguments:
        rows: The rows of $A$, of shape $(m, n)$.
        bounds: $b$, of shape $(m)$.
        active: The first active rows, used if their multipliers are not negative; linearly independent.

    Returns:
        $y$, of shape $(n)$, its multipliers, of shape $(m)$, and the active rows. If there is no solution, `None` in
        place of $y$, and in place of the multipliers weights $\lambda \geq 0$ with $A^\top \lambda = 0$ and
        $b^\top \lambda > 0$, which prove it.

    References:
        A Numerically Stable Dual Method for Solving Strictly Convex Quadratic Programs (Goldfarb and Idnani, 1983).
    """

    inverse = np.linalg.pinv(rows[active])  # (n, active rows): y = inverse b, u = inverseᵀ y
    y = inverse @ bounds[active]
    if (inverse.T @ y < 0).any():
        active, inverse, y = [], inverse[:, :0], np.zeros(rows.shape[1])
    active, u = list(active), np.zeros(len(rows))
    u[active] = inverse.T @ y
    for _ in range(ROUNDS):
        violated = bounds - rows @ y
        violated[active] = 0
        new = int(violated.argmax())
        if violated[new] <= TOLERANCE:
            return y, u, active
        while True:
            slope = inverse.T @ rows[new]  # u of the active rows decreases by slope as u of the new one increases by 1
            direction = rows[new] - slope @ rows[active]
            length = float(direction @ direction)
            full = float(bounds[new] - rows[new] @ y) / length if length > INDEPENDENT else np.inf
            steps = [(u[j] / r, j) for j, r in zip(active, slope, strict=True) if r > INDEPENDENT]
            step, leaving = min(steps, default=(np.inf, -1))
            if step == full == np.inf:
                weights = np.zeros(len(rows))
                weights[active], weights[new] = np.maximum(-slope, 0), 1
                return None, weights, active
            if full <= step:
                break
            u[active] -= step * slope
            if length > INDEPENDENT:
                y = y + step * direction
            u[leaving] = 0
            active.remove(leaving)
            inverse = np.linalg.pinv(rows[active])
        active.append(new)
        inverse = np.linalg.pinv(rows[active])
        y = inverse @ bounds[active]
        u[active] = np.maximum(inverse.T @ y, 0)
    raise RuntimeError(f"contribution=least_core: no point after {ROUNDS} steps")
