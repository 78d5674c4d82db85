r"""The least core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.valuation.game import Game

MAX_PARTIES = 20
CUTS = 100  # coalitions that may be added at once
ROUNDS = 1000
TOLERANCE = 1e-11  # the rounding error of the values of coalitions, as a share of the largest absolute value


@dataclass(frozen=True)
class LeastCore(Contribution):
    r"""The point of the least core that is nearest to equal shares.

    Contributions are in the core if no coalition has a larger value than its members have together. The least core
    minimises the largest excess of a coalition,

    .. math:: e^* = \min_\phi \max_{\emptyset \neq C \subsetneq N} v_c(C) - \sum_{i \in C} \phi_i
        \quad \text{subject to} \quad \sum_{i \in N} \phi_i = v_c(N)

    It may have several points; the one with the smallest $\sum_i \phi_i^2$ is unique, and equal for symmetric parties.
    The core is empty if $e^* > 0$; a party that adds nothing may then get up to $e^*$.

    Both problems are solved exactly, for at most 20 parties, by constraint generation: a linear (then a quadratic)
    program with some of the $2^n - 2$ coalitions, to which those with the largest excess are added until there is no
    larger one. The details are `excess`, $e^*$ (`None` for one party), and `coalitions`, the number of coalitions in
    the programs.

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
    """Compute the point of the least core nearest to equal shares, its largest excess, and the number of coalitions.

    Arguments:
        values: The coalition values, of shape (2^n), at most 1 in absolute value.
        n: The number of parties, at least 2.
    """

    grand, bits = values[-1], np.arange(n)
    single = 2**bits
    coalitions = np.concatenate([single, 2**n - 1 - single]) if n > 2 else single

    def generate(solve: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
        """Solve for the coalitions so far and add those with a larger excess, until there are none."""

        nonlocal coalitions
        for _ in range(ROUNDS):
            phi, excess = solve((coalitions[:, None] >> bits) & 1, values[coalitions])
            phi += (grand - phi.sum()) / n
            sums = np.zeros(1)
            for share in phi:
                sums = np.concatenate([sums, sums + share])  # (2^n)
            excesses = values - sums
            excesses[[0, -1]] = -np.inf  # the empty and the grand coalition
            largest = float(excesses.max())
            excesses[coalitions] = -np.inf
            larger = np.flatnonzero(excesses > excess + TOLERANCE)
            if len(larger) == 0:
                return phi, largest
            if len(larger) > CUTS:
                larger = larger[np.argpartition(-excesses[larger], CUTS)[:CUTS]]
            coalitions = np.concatenate([coalitions, larger])
        raise RuntimeError(f"contribution=least_core: not solved after {ROUNDS} rounds")

    _, excess = generate(lambda members, v: _smallest_excess(members, v, grand))
    phi, _ = generate(lambda members, v: (_nearest_to_equal(members, v - excess, grand), excess))

    return phi, excess, len(coalitions)


def _smallest_excess(members: np.ndarray, values: np.ndarray, grand: float) -> tuple[np.ndarray, float]:
    r"""Compute $\phi$ with the smallest $e$ such that $\sum_{i \in C} \phi_i + e \geq v_c(C)$ for some coalitions.

    Arguments:
        members: Whether a party is a member of a coalition, of shape $(m, n)$.
        values: Their values, of shape $(m)$.
        grand: The sum of $\phi$.
    """

    m, n = members.shape
    solution = scipy.optimize.linprog(
        np.append(np.zeros(n), 1),
        A_ub=-np.column_stack([members, np.ones(m)]),
        b_ub=-values,
        A_eq=np.append(np.ones(n), 0)[None],
        b_eq=[grand],
        bounds=(None, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},  # the smallest allowed
    )
    if solution.status != 0:
        raise RuntimeError(f"contribution=least_core: the linear program was not solved: {solution.message}")
    return solution.x[:-1], solution.x[-1]


def _nearest_to_equal(members: np.ndarray, least: np.ndarray, grand: float) -> np.ndarray:
    r"""Compute the smallest $\phi$, by $\sum_i \phi_i^2$, with $\sum_{i \in C} \phi_i \geq l_C$ for some coalitions.

    With $\phi_i = v_c(N) / n + y_i$ and $\sum_i y_i = 0$, $\|y\|$ is minimised subject to $M y \geq d$,
    $d_C = l_C - |C| v_c(N) / n$, where the rows of $M$ are those of `members` minus their means. With the solution $u$
    of the nonnegative least squares problem $\min_{u \geq 0} \|M^\top u\|^2 + (d^\top u - 1)^2$, the solution is
    $y = M^\top u / (1 - d^\top u)$, so that $u_C > 0$ for coalitions with $M_C y = d_C$ only. Since the least core has
    no interior, rounding errors may leave no solution: $u$ is computed for slightly smaller $d$, and then the smallest
    $y$ that satisfies these equations.

    Arguments:
        members: Whether a party is a member of a coalition, of shape $(m, n)$.
        least: The bounds $l_C$, of shape $(m)$.
        grand: The sum of $\phi$.

    References:
        Solving Least Squares Problems (Lawson and Hanson, 1974), Chapter 23.
    """

    m, n = members.shape
    rows = members - members.mean(1, keepdims=True)
    d = least - members.sum(1) * grand / n
    u, _ = scipy.optimize.nnls(np.vstack([rows.T, d - TOLERANCE]), np.append(np.zeros(n), 1), maxiter=100 * m)
    y = np.linalg.lstsq(rows[u > 0], d[u > 0], rcond=1e-10)[0]

    return grand / n + y
