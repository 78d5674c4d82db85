r"""Semivalues: means of marginal contributions that depend on the size of the coalition joined (Dubey et al., 1981).

A semivalue is given by the probabilities $w_0, \dots, w_{n - 1}$ of the sizes,

.. math:: \phi_i = \sum_{c = 0}^{n - 1} w_c \binom{n - 1}{c}^{-1}
    \sum_{C \not\ni i, |C| = c} v_c(C \cup \{i\}) - v_c(C)

so that $w_c = 1 / n$ gives the Shapley values.
"""

from __future__ import annotations

import numpy as np
import torch

from cgm.contributions.base import Contributions
from cgm.contributions.coalitions import Draw
from cgm.contributions.equal_sizes import mean_gains
from cgm.utils.checks import check_choice, check_integer, check_number
from cgm.valuation.game import Game
from cgm.valuation.valuation import Valuation

METHODS = ("auto", "exact", "equal_sizes", "sampled")
MAX_AUTO = 20  # parties up to which method="auto" computes all 2^n coalition values
MAX_EXACT = 24  # parties up to which method="exact" is possible: 0.85 GB of memory


def semivalue(
    game: Game,
    shares: np.ndarray,
    draw: Draw,
    name: str,
    method: str,
    tolerance: float,
    max_coalitions: int,
    seed: int,
) -> Contributions:
    r"""Compute a semivalue of the parties.

    Arguments:
        game: The game with the values $v_c$.
        shares: The probabilities $w_c$ of the sizes $|C| = 0, \dots, n - 1$, of shape $(n)$.
        draw: Draws the probabilities of members, see `semivalue_sampled`.
        name: The name of the semivalue, for warnings.
        method: The method of computation, one of `METHODS`.
        tolerance, max_coalitions: When sampling stops, see `semivalue_sampled`.
        seed: The seed of the coalitions, if any are sampled.

    Raises:
        ValueError: If the method does not apply, or if no party has a positive contribution.
    """

    from cgm.contributions.coalitions import semivalue_sampled

    method = choose_method(method, game)
    if method == "exact":
        weights = torch.from_numpy(shares) * inverse_binomials(game.n)
        return Contributions.of(semivalue_exact(game.coalition_values(), weights), method)

    assert isinstance(game, Valuation)  # checked by `choose_method`
    if method == "equal_sizes":
        gains = mean_gains(game.a.numpy(), game.b.numpy(), game.sizes[0], game.t)
        return Contributions.of(torch.from_numpy(shares @ gains), method)

    phi, stderr, coalitions = semivalue_sampled(game, shares, draw, tolerance, max_coalitions, seed)
    warnings = missed_tolerance(f"{name}: after contribution.max_coalitions={coalitions}", phi, stderr, tolerance)
    return Contributions.of(phi, method, stderr, {"coalitions": coalitions}, warnings)


def check_settings(method: str, tolerance: float, max_name: str, max_value: int) -> None:
    """Check the settings that all semivalues have.

    Raises:
        ValueError: If a setting is out of range.
    """

    check_choice("contribution.method", method, METHODS)
    check_number("contribution.tolerance", tolerance, min=0)
    check_integer(f"contribution.{max_name}", max_value, min=4)


def choose_method(method: str, game: Game) -> str:
    """Replace the method "auto" by one that applies to a game, and check any other one.

    Arguments:
        method: One of `METHODS`.
        game: The game.

    Raises:
        ValueError: If the method does not apply.
    """

    sizes: set[int] = set(game.sizes[:-1]) if isinstance(game, Valuation) else set()
    if method == "auto":
        method = "exact" if game.n <= MAX_AUTO else "equal_sizes" if len(sizes) == 1 else "sampled"

    if method == "exact":
        if game.n > MAX_EXACT:
            raise ValueError(
                f"contribution.method=exact: {game.n} parties have 2^{game.n} coalitions; expected at most "
                f"{MAX_EXACT} parties, use contribution.method=auto"
            )
    elif not isinstance(game, Valuation):
        raise ValueError(
            f"contribution.method={method}: expected a Valuation, got {type(game).__name__}; other games require "
            f"contribution.method=exact, for at most {MAX_EXACT} parties"
        )
    elif method == "equal_sizes" and len(sizes) > 1:
        raise ValueError("contribution.method=equal_sizes: the parties differ in size, use contribution.method=auto")

    return method


def missed_tolerance(what: str, phi: torch.Tensor, stderr: torch.Tensor, tolerance: float) -> tuple[str, ...]:
    """Return a warning if the largest standard error is above the tolerance.

    Arguments:
        what: What was computed, and how long.
        phi, stderr: The estimates and their standard errors.
        tolerance: The tolerance, as a share of the largest absolute estimate.
    """

    error, limit = float(stderr.max()), tolerance * float(phi.abs().max())
    if error <= limit:
        return ()
    return (
        f"{what} the largest standard error is {error:.3g}, above {limit:.3g} (contribution.tolerance={tolerance:g})",
    )


def inverse_binomials(n: int) -> torch.Tensor:
    r"""Compute $\binom{n - 1}{c}^{-1}$ for $c = 0, \dots, n - 1$, of shape $(n)$, float64."""

    inverse = torch.ones(n, dtype=torch.float64)
    for c in range(1, n):
        inverse[c] = inverse[c - 1] * c / (n - c)
    return inverse


def semivalue_exact(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    r"""Compute a semivalue from the values of all coalitions.

    .. math:: \phi_i = \sum_{C \not\ni i} p_{|C|} [v_c(C \cup \{i\}) - v_c(C)]

    Arguments:
        values: The coalition values $v_c$, of shape $(2^n)$; the bits of $c$ are the members of coalition number $c$.
        weights: The weights $p_0, \dots, p_{n - 1}$ of a coalition of each size, of shape $(n)$.

    Returns:
        The semivalue, of shape $(n)$, float64.
    """

    n = len(weights)
    size = torch.zeros(1, dtype=torch.int64)
    for _ in range(n - 1):
        size = torch.cat([size, size + 1])  # (2^(n - 1)), the sizes |C| of the coalitions of the other parties
    weight = weights[size]

    phi = torch.empty(n, dtype=torch.float64)
    for i in range(n):
        pairs = values.double().reshape(-1, 2, 2**i)  # without and with i
        phi[i] = ((pairs[:, 1] - pairs[:, 0]).flatten() * weight).sum()

    return phi
