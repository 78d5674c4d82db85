"""Other implementations of what cgm computes: straightforward ones, the authors' way, other packages.

All are written as a careful user would write them, without tricks and without waste. Packages are imported where they
are needed, since all of them are optional.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch

from cgm.utils.run import workers
from cgm.valuation.kernels import Kernel
from cgm.valuation.valuation import Valuation

ROWS = 256  # rows of a kernel matrix that are computed at once
CACHED = 2**16  # float32 numbers that fit into the cache of a core


def sklearn_sums(x: torch.Tensor, lengthscale: float) -> torch.Tensor:
    r"""Sum the squared exponential kernel of each point with all points by scikit-learn, some rows at a time.

    Arguments:
        x: Points, of shape $(t, d)$.
        lengthscale: The length-scale $\ell$.

    Returns:
        The sums, of shape $(t)$, float64.
    """

    from sklearn.metrics.pairwise import rbf_kernel

    points, gamma = x.numpy(), 0.5 / lengthscale**2
    rows = [points[i : i + ROWS] for i in range(0, len(points), ROWS)]
    return torch.from_numpy(np.concatenate([rbf_kernel(some, points, gamma).sum(1, dtype=np.float64) for some in rows]))


def keops_sums(x: torch.Tensor, lengthscale: float) -> torch.Tensor:
    """Compute the same as `sklearn_sums` by KeOps on the CPU, which compiles the reduction at its first use."""

    from pykeops.torch import LazyTensor

    scaled = (x / lengthscale).contiguous()
    differences = LazyTensor(scaled[:, None, :]) - LazyTensor(scaled[None, :, :])
    return (-0.5 * (differences**2).sum(-1)).exp().sum(1)[:, 0].double()


def cdist_sums(x: torch.Tensor, lengthscale: float) -> torch.Tensor:
    """Compute the same as `sklearn_sums` by `torch.cdist`, some rows at a time, on every core."""

    def rows(some: torch.Tensor) -> torch.Tensor:
        return torch.cdist(some, x).square_().mul_(-0.5 / lengthscale**2).exp_().sum(1, dtype=torch.float64)

    with workers() as threads:
        return torch.cat(list(threads.map(rows, x.split(ROWS))))


def exponentials(count: int) -> None:
    """Compute powers of two in float32, in place and in the cache, on every core: a lower bound for kernel sums.

    Arguments:
        count: The number of powers.
    """

    def some(n: int) -> None:
        numbers = torch.full((CACHED,), -0.5)
        for _ in range(n):
            torch.exp2(numbers, out=numbers)

    with workers() as threads:
        tiles = math.ceil(count / CACHED)
        tasks = min(tiles, 16)
        list(threads.map(some, [tiles // tasks + (k < tiles % tasks) for k in range(tasks)]))


def plain_probabilities(
    a: torch.Tensor, u: torch.Tensor, s: int, t: int, taken: torch.Tensor, beta: float
) -> torch.Tensor:
    r"""Compute the probabilities of Algorithm 1 from cached sums of the kernel, for a finite $\beta$.

    Arguments:
        a: $a_x = \sum_{x' \in T} k(x, x')$, of shape $(|G|)$.
        u: $u_x = \sum_{x' \in S} k(x, x')$, of shape $(|G|)$.
        s: $|S|$.
        t: $|T|$.
        taken: Whether a point is in $G_i$, of shape $(|G|)$, bool.
        beta: The inverse temperature $\beta$.

    Returns:
        $p(x)$, of shape $(|G|)$.
    """

    h = a / t - u / (s + 1)  # 2 h / (s + 1) equals Δ up to a constant
    high, low = h.masked_fill(taken, -math.inf).max(), h.masked_fill(taken, math.inf).min()
    scale = beta / (high - low).clamp(min=1e-300)  # equal gains have equal probabilities

    return torch.softmax(h.sub_(high).mul_(scale).masked_fill_(taken, -math.inf), 0)


def plain_chain(valuation: Valuation, party: int, beta: float, points: int, seed: int) -> list[int]:
    r"""Draw points of $G$ for a party by the straightforward loop: sums are kept, a point adds one row of the kernel.

    Arguments:
        valuation: The valuation, with a squared exponential kernel.
        party: The party, from 0.
        beta: The inverse temperature $\beta$, finite.
        points: The number of points to draw.
        seed: The seed.

    Returns:
        The rows of $G$, in order of acceptance.
    """

    g, gamma = valuation.synthetic, 0.5 / float(valuation.kernel.lengthscale) ** 2
    sums = valuation.sums[valuation.block(valuation.n)]
    a, u = sums.sum(1), sums[:, party].clone()
    taken = torch.zeros(len(g), dtype=torch.bool)
    random = torch.Generator().manual_seed(seed)
    indices = []
    for k in range(points):
        p = plain_probabilities(a, u, valuation.sizes[party] + k, valuation.t, taken, beta)
        total = p.cumsum(0)  # faster than torch.multinomial
        x = int(torch.searchsorted(total, total[-1] * torch.rand(1, generator=random, dtype=torch.float64), right=True))
        indices.append(x)
        taken[x] = True
        u += (g - g[x]).square_().sum(1).mul_(-gamma).exp_()  # faster than torch.cdist

    return indices


def plain_chains(valuation: Valuation, betas: Sequence[float], points: int, side_by_side: bool) -> int:
    """Draw points for each party and β by the straightforward loop.

    Arguments:
        valuation: The valuation, with a squared exponential kernel.
        betas: The inverse temperatures β.
        points: The number of points to draw for each.
        side_by_side: Whether each core computes its own chains, or all cores work on the same operation.

    Returns:
        The number of points drawn.
    """

    jobs = [(valuation, party, beta, points, 0) for beta in betas for party in range(valuation.n)]
    if side_by_side:
        with workers() as threads:
            return sum(len(chain) for chain in threads.map(plain_chain, *zip(*jobs, strict=True)))

    return sum(len(plain_chain(*job)) for job in jobs)


def authors_gains(
    kernel: Kernel, s: torch.Tensor, t: torch.Tensor, candidates: torch.Tensor, ss: float, st: float
) -> torch.Tensor:
    r"""Compute $\Delta_x = v(S \cup \{x\}) - v(S)$ as the authors' program does at each step: from the points alone.

    The kernel of every candidate with all of $S$ and all of $T$ is computed again: $|G| (s + t)$ evaluations, shared
    among the cores.

    Arguments:
        kernel: The kernel $k$.
        s: $S$, of shape $(s, d)$.
        t: $T$, of shape $(t, d)$.
        candidates: The points $x$, of shape $(N, d)$.
        ss, st: The kernel's sums over $S \times S$ and $S \times T$.

    Returns:
        The gains, of shape $(N)$.
    """

    def rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return kernel(x, s).sum(1), kernel(x, t).sum(1)

    with workers() as threads:
        u, a = (torch.cat(parts) for parts in zip(*threads.map(rows, candidates.split(ROWS)), strict=True))
    m = len(s) + 1
    before = 2 * st / (len(s) * len(t)) - ss / len(s) ** 2

    return 2 * (st + a) / (m * len(t)) - (ss + 2 * u + kernel.diagonal) / m**2 - before


def coalition_value(valuation: Valuation, members: np.ndarray) -> np.ndarray:
    r"""Compute $v_c$ of coalitions from $a$ and $B$; that of the empty one is 0.

    Arguments:
        valuation: The valuation that holds them.
        members: Whether a party is a member, of shape (coalitions, n), bool.

    Returns:
        The values, of shape (coalitions).
    """

    x = members.astype(np.float64)
    size = np.maximum(x @ np.asarray(valuation.sizes[:-1], dtype=np.float64), 1)
    return 2 * (x @ valuation.a.numpy()) / (size * valuation.t) - ((x @ valuation.b.numpy()) * x).sum(1) / size**2


def shapiq_values(valuation: Valuation, index: str = "SV") -> np.ndarray:
    """Compute exact contributions by shapiq's `ExactComputer`, of shape (n).

    Arguments:
        valuation: The valuation that holds the game.
        index: shapiq's name of the concept: `"SV"`, `"BV"` (Banzhaf) or `"ELC"` (egalitarian least core).
    """

    from shapiq import ExactComputer

    computer = ExactComputer(lambda members: coalition_value(valuation, members), valuation.n)
    return np.asarray(computer(cast(Any, index)).get_n_order_values(1))  # of its literal type


def pydvl_values(valuation: Valuation, permutations: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimate Shapley values by pyDVL's permutation sampler.

    Arguments:
        valuation: The valuation that holds the game.
        permutations: The number of permutations to draw.
        seed: The seed.

    Returns:
        The estimates and their standard errors, each of shape (n).
    """

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its warnings about other packages
        from pydvl.valuation import PermutationSampler, ShapleyValuation
        from pydvl.valuation.games import Game
        from pydvl.valuation.stopping import MinUpdates

        a, b, sizes = valuation.a.numpy(), valuation.b.numpy(), np.asarray(valuation.sizes[:-1])

        class Coalitions(Game):
            def _score(self, x: np.ndarray) -> float:
                members = x[:, 0].astype(int)
                size = sizes[members].sum()
                return 2 * a[members].sum() / (size * valuation.t) - b[np.ix_(members, members)].sum() / size**2

        game = Coalitions(valuation.n)
        sampler = PermutationSampler(seed=seed)
        result = ShapleyValuation(game.u, sampler, MinUpdates(permutations), progress=False).fit(game.data).result

    order = np.argsort(result.indices)
    return np.asarray(result.values)[order], np.asarray(result.stderr)[order]
