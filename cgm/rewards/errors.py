r"""Values of rewards checked by exact sums of the kernel, where those of the valuation are approximate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from cgm.rewards.sampling import NEARLY, Reward
from cgm.valuation.method import WIDTH
from cgm.valuation.mmd import cross_sums
from cgm.valuation.valuation import Valuation

MAX_PAIRS = 1e8  # of a reward's points with those of T that are computed for its check
MAX_PAIRS_NUFFT = 1e7  # by Fourier grids, whose errors are those of rounding
MIN_ROWS = 32  # of its points that are checked in any case
MAX_SHARE = 0.01  # of the spread of reward values that the error of a point's mean kernel value may have


def check_rewards(game: Valuation, drawn: Sequence[Reward]) -> list[Reward]:
    r"""Compute $v(D_i \cup G_i)$ of each reward again, with exact sums of the kernel; nothing, if they are exact.

    With the errors $\delta$ of a point's sums with the reference $Q$ and with $D_i$, the value of
    $S = D_i \cup G_i$ lacks

    .. math:: \frac{1}{s} \sum_{x \in S} \left( \frac{2}{|Q|} \delta_{x Q}
        - \frac{1}{s} \delta_{x D_i} (1 + [x \in G_i]) \right)

    as the sums over $G_i \times G_i$ are exact. It is the mean over all of $S$ if that takes up to 1e8 kernel
    evaluations (1e7 for `"nufft"`), and otherwise over as many points of $S$ as can be checked with these, at least
    32, chosen at random; the error is then $4$ standard errors.

    Arguments:
        game: The valuation.
        drawn: The rewards.

    Returns:
        The rewards, with `checked` and `checked_error`.
    """

    if game.modes is None:
        return list(drawn)
    limit = MAX_PAIRS_NUFFT if game.method == "nufft" else MAX_PAIRS
    points, real, rows = game.points.cpu(), game.real.stop, max(MIN_ROWS, int(limit) // len(game.points))
    chosen = []
    for reward in drawn:
        own = game.block(reward.party)
        s = torch.cat([torch.arange(own.start, own.stop), real + reward.indices])
        chosen.append(s[torch.randperm(len(s), generator=torch.Generator().manual_seed(0))[:rows]])

    def check(reward: Reward, x: torch.Tensor, lacks: torch.Tensor) -> Reward:
        s = game.sizes[reward.party] + reward.size
        twice = 1 + (x >= real).double()
        each = 2 * lacks[:, list(game.reference_blocks)].sum(1) / game.t - twice * lacks[:, reward.party] / s
        i, own = reward.party, game.sums[game.block(reward.party)].sum(0).cpu()
        # sums over pairs of blocks, which the value is computed from, have other rounding errors than those of points
        linear, quadratic = own[list(game.reference_blocks)].sum() - game.a[i], own[i] - game.b[i, i]
        rounding = float(2 * linear / (s * game.t) - quadratic / s**2)
        error = 0.0
        if len(x) < s:
            error = WIDTH * float(each.std()) * math.sqrt((1 - len(x) / s) / len(x))
        return replace(reward, checked=reward.value + rounding + float(each.mean()), checked_error=error)

    x = torch.cat(chosen)
    lacks = torch.stack([cross_sums(game.kernel, points[x], points[game.block(b)]) for b in range(game.n + 1)], 1)
    lacks -= game.sums[x.to(game.sums.device)].cpu()
    return [check(*each) for each in zip(drawn, chosen, lacks.split([len(part) for part in chosen]), strict=True)]


def warn_of_stops(drawn: Sequence[Reward], more: str = "") -> list[str]:
    """Return a warning for each reward that did not reach its target.

    Arguments:
        drawn: The rewards.
        more: What may help, for the end of each warning.
    """

    return [
        f"party {reward.party + 1}, β={reward.beta:g}: stopped at v = {reward.value:.6g} after {reward.size:,} points, "
        f"before it reached {'r_i' if reward.target == reward.promised else 'its target'} = {reward.target:.6g}{more}"
        for reward in drawn
        if not reward.reached
    ]


def warn_of_values(game: Valuation, drawn: Sequence[Reward]) -> list[str]:
    """Return a warning for each reward that reached its target by approximate sums, but not by exact ones.

    What is missing must be more than the error of the check and a share of 1e-8 of the target.
    """

    return [
        f"party {reward.party + 1}, β={reward.beta:g}: v(D_i ∪ G_i) is {reward.checked:.6g} ± "
        f"{reward.checked_error:.2g} by exact sums of the kernel, below its target {reward.target:.6g}; "
        f"valuation.method={game.method} gave {reward.value:.6g}; say a smaller valuation.tolerance, or "
        "valuation.method=exact"
        for reward in drawn
        if reward.checked is not None
        and reward.checked_error is not None
        and reward.reached
        and reward.target - reward.checked > reward.checked_error + NEARLY * abs(reward.target)
    ]


def warn_of_points(game: Valuation, values: torch.Tensor) -> list[str]:
    r"""Return a warning, if points of $G$ have sums $a_x / t$ with errors above 1 % of the spread of reward values.

    Points are then drawn by these errors rather than by what they add.

    Arguments:
        game: The valuation.
        values: The reward values $r_i$, of shape $(n)$.
    """

    spread = float(values.max() - values.min())
    if game.modes is None or spread <= NEARLY * abs(game.grand_value):
        return []
    points, random = game.points.cpu(), torch.Generator().manual_seed(0)
    rows = game.real.stop + torch.randperm(game.sizes[-1], generator=random)[:MIN_ROWS]
    exact = cross_sums(game.kernel, points[rows], game.reference_points.cpu())
    approximate = game.sums[rows.to(game.sums.device)][:, list(game.reference_blocks)].sum(1).cpu()
    error = float((exact - approximate).square().mean().sqrt()) / game.t
    if error <= MAX_SHARE * spread:
        return []
    return [
        f"valuation.method={game.method}: a point's mean kernel value with all data has an error of {error:.2g}, more "
        f"than 1 % of the spread {spread:.3g} of the reward values; points are drawn by this error, too; say a smaller "
        "valuation.tolerance, or valuation.method=exact"
    ]
