r"""What the choice of a length-scale means for the differences between parties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from cgm.contributions.base import Contribution
from cgm.contributions.games import compute_contributions
from cgm.rewards.base import Scheme
from cgm.valuation.kernels.base import RULES, Kernel, Lengthscale
from cgm.valuation.lengthscale import LengthscaleSearch
from cgm.valuation.monotone import MAX_PARTIES, negative_increments
from cgm.valuation.references.base import Reference
from cgm.valuation.rules import resolve_lengthscale
from cgm.valuation.valuation import Valuation


class LengthscaleSpread(NamedTuple):
    r"""Differences between parties with one length-scale.

    What could not be computed is `None`.

    Attributes:
        rule: The rule, or the length-scale as it was given.
        lengthscale: The length-scale $\ell$.
        negative: The share of negative changes of $v$, see `negative_increments`; `None` for more than 20 parties.
        alpha: $\max_i \alpha_i - \min_i \alpha_i$.
        reward: $\max_i r_i - \min_i r_i$.
        reason: Why numbers are missing; empty if none is.
    """

    rule: Lengthscale
    lengthscale: float | None = None
    negative: float | None = None
    alpha: float | None = None
    reward: float | None = None
    reason: str = ""


def compare_lengthscales(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    contribution: Contribution,
    scheme: Scheme,
    rules: Sequence[Lengthscale] = RULES,
    search: LengthscaleSearch | None = None,
    reference: Reference | None = None,
    seed: int = 0,
) -> list[LengthscaleSpread]:
    r"""Compute how much contributions and reward values differ between parties, for several length-scales.

    Each costs a search for the length-scale, where there is one, and a pass over the kernel. No rewards are drawn.

    Arguments:
        kernel: The kernel, with any length-scale.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        contribution: The contribution concept.
        scheme: The scheme of the reward values.
        rules: The length-scales: rules or numbers.
        search: The range of the searches; the default range, if `None`.
        reference: The reference that values are compared with; all data, if `None`.
        seed: The seed of the contributions.

    Example:
        >>> import torch
        >>> from cgm.contributions import Shapley
        >>> from cgm.rewards import ShapleyFair
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> random = torch.Generator().manual_seed(0)
        >>> parties = [torch.randn(30, 2, generator=random) + shift for shift in (0.0, 1.0, 3.0)]
        >>> pool = torch.cat([torch.randn(100, 2, generator=random) + shift for shift in (0.0, 1.0, 3.0)])
        >>> rows = compare_lengthscales(SquaredExponential(), parties, pool, Shapley(), ShapleyFair())
        >>> [row.rule for row in rows]
        ['fit', 'fit_monotone', 'median']
    """

    def spread(rule: Lengthscale) -> LengthscaleSpread:
        found = LengthscaleSpread(rule)
        try:
            resolved = resolve_lengthscale(kernel.with_lengthscale(rule), parties, synthetic, search, reference)
            found = found._replace(lengthscale=resolved.numeric_lengthscale)
            game = Valuation(resolved, parties, synthetic, reference=reference)
            if game.n <= MAX_PARTIES:
                found = found._replace(negative=negative_increments(game).share)
            contributions = compute_contributions(contribution, game, seed)
            found = found._replace(alpha=float(contributions.alpha.max() - contributions.alpha.min()))
            return found._replace(reward=scheme.solve(contributions, game, game.with_synthetic).spread)
        except ValueError as error:  # no such length-scale, no positive contribution, or no feasible rewards
            return found._replace(reason=str(error))

    return [spread(rule) for rule in rules]
