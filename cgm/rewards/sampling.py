r"""Rewards drawn by weighted sampling (Sec. 4.2, Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cgm.rewards import steps
from cgm.utils.checks import check_integer, check_number
from cgm.utils.progress import progress
from cgm.utils.threads import workers
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.mmd import biased, unbiased
from cgm.valuation.valuation import Valuation

ROUNDING = 1e-13  # Δ's that differ by this share of k* or less are equal but for rounding
NEARLY = 1e-8  # a target that is missed by this share of itself, what float32 tiles may cost, is reached


@dataclass(frozen=True)
class Chain:
    r"""The reward $G_i$ drawn for a party at an inverse temperature.

    Attributes:
        party: The party $i$, from 0.
        beta: The inverse temperature $\beta$.
        target: The reward value $r_i$.
        indices: The rows of $G$ that are $G_i$, in order of acceptance, of shape $(|G_i|)$, int64.
        values: $v(D_i \cup G_i)$ after each accepted point, of shape $(|G_i|)$, float64.
        start: $v(D_i)$.
        reached: Whether $v(D_i \cup G_i) \geq r_i$.
        mmd2_biased, mmd2_unbiased: The squared MMD of $D_i \cup G_i$ and $T$, equation (1).
    """

    party: int
    beta: float
    target: float
    indices: Tensor
    values: Tensor
    start: float
    reached: bool
    mmd2_biased: float
    mmd2_unbiased: float

    @property
    def value(self) -> float:
        r"""The value $v(D_i \cup G_i)$."""

        return float(self.values[-1]) if len(self.values) else self.start

    @property
    def increasing(self) -> float | None:
        """The share of accepted points that raised v; `None` if none was accepted."""

        if len(self.values) == 0:
            return None
        before = torch.cat([self.values.new_tensor([self.start]), self.values[:-1]])
        return float((self.values > before).double().mean())


@dataclass(frozen=True)
class WeightedSampling:
    r"""Weighted sampling of rewards from $G$, until $v(D_i \cup G_i)$ reaches the reward value.

    With $S = D_i \cup G_i$, each step takes a point $x \in G \setminus G_i$ with probability

    .. math::
        p(x) \propto \exp(\beta \bar\Delta_x), \qquad
        \bar\Delta_x = \frac{\Delta_x - \min \Delta}{\max \Delta - \min \Delta}, \qquad
        \Delta_x = v(S \cup \{x\}) - v(S)

    $\beta = 0$ draws uniformly; $\beta = \infty$ takes a point with the greatest $\Delta_x$, any of them if there
    are several. If all $\Delta_x$ are equal, so are the probabilities. A chain stops when it reaches its target,
    when it has used up $G$, or when it runs out of patience.

    With $a_x = \sum_{x' \in T} k(x, x')$, $u_x = \sum_{x' \in S} k(x, x')$ and $m = |S| + 1$, equation (2) gives

    .. math:: v(S \cup \{x\}) = \frac{2 (\Sigma_{ST} + a_x)}{m t} - \frac{\Sigma_{SS} + 2 u_x + k^*}{m^2},
        \qquad \Delta_x = \frac{2}{m} h_x + \text{const}, \qquad h_x = \frac{a_x}{t} - \frac{u_x}{m}

    so that $h$ has the same $\bar\Delta$ as $\Delta$. Accepting $x$ changes $u$ by one kernel row, $k(\cdot, x)$.
    `cgm.steps` explains how a step goes through $G$ only once, and still draws from $p$ exactly.

    Chains run side by side, one on each core. Each has a random stream of its own, made from the seed, the party
    and $\beta$, and goes the same way alone as among others. All this runs on the processor, wherever the valuation
    is. Memory: $|G|$ numbers for each party and each core. The squared exponential kernel is compiled; the rows of
    any other one come from its `profile`, which takes up to three times as long.

    Arguments:
        betas: The inverse temperatures $\beta \geq 0$, all different; infinity is greedy.
        patience: A chain stops after this share of $|G|$ accepted points without a new best value. Never, if `None`.

    Raises:
        ValueError: If a setting is out of range.
    """

    betas: Sequence[float] = (1.0, 2.0, 4.0, 8.0)
    patience: float | None = 0.1

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        except (TypeError, ValueError):
            raise ValueError(f"sampling.betas={self.betas!r}: expected a list of numbers, like [1,2,4,8]") from None
        if not self.betas or any(not beta >= 0 for beta in self.betas):
            raise ValueError(
                f"sampling.betas={list(self.betas)}: expected a list of non-negative numbers (inf is allowed)"
            )
        if len(set(self.betas)) != len(self.betas):
            raise ValueError(f"sampling.betas={list(self.betas)}: contains the same β twice")
        check_number("sampling.patience", self.patience, min=0, max=1, open_min=True, optional=True)

    def draw(self, valuation: Valuation, targets: Sequence[float] | Tensor, seed: int) -> list[Chain]:
        r"""Draw a reward for each party and each $\beta$.

        Arguments:
            valuation: The valuation that holds the parties' points and $G$.
            targets: The reward values $r_i$, of shape $(n)$; an infinite one asks for all of $G$.
            seed: The seed, not negative.

        Returns:
            One `Chain` for each party and $\beta$: party by party, in the order of `betas`.

        Raises:
            ValueError: If an argument is out of range, or if the kernel returns values that are not finite.
        """

        targets = [float(r) for r in targets]
        if len(targets) != valuation.n:
            raise ValueError(f"targets: there are {len(targets)} for {valuation.n} parties")
        if any(math.isnan(r) for r in targets):
            raise ValueError(f"targets: {targets} contains NaN")
        check_integer("seed", seed, min=0)

        # a low β makes long chains: these first, so that no core is left alone with one at the end
        jobs = [(party, beta) for beta in sorted(self.betas) for party in range(valuation.n)]
        pool = _Pool(valuation)
        with workers() as threads, progress(len(jobs), "sampling (chains)") as bar:

            def run(job: tuple[int, float]) -> Chain:
                reward = _Reward(pool, *job, seed)
                chain = reward.grow(targets[reward.party], self.patience)
                bar.update()
                return chain

            chains = dict(zip(jobs, threads.map(run, jobs), strict=True))

        return [chains[party, beta] for party in range(valuation.n) for beta in self.betas]


def sample_rewards(
    valuation: Valuation,
    targets: Sequence[float] | Tensor,
    betas: Sequence[float],
    seed: int,
    patience: float | None = WeightedSampling.patience,
) -> list[Chain]:
    """Draw the parties' rewards in one call, see `WeightedSampling`."""

    return WeightedSampling(betas, patience).draw(valuation, targets, seed)


class _Pool:
    """What all chains read: G and its sums, as arrays."""

    def __init__(self, valuation: Valuation) -> None:
        self.valuation, self.kernel = valuation, valuation.kernel
        # one that is derived from it may have another profile
        self.squared_exponential = type(self.kernel) is SquaredExponential
        self.g = np.ascontiguousarray((valuation.synthetic.cpu() / self.kernel.lengthscale).T.numpy())  # (d, |G|)
        self.sums = valuation.sums[valuation.block(valuation.n)].cpu().numpy()  # (|G|, n + 1)
        self.a = self.sums.sum(1)
        self.mean_a = self.a / valuation.t


class _Reward:
    """G_i, grown one point at a time."""

    def __init__(self, pool: _Pool, party: int, beta: float, seed: int) -> None:
        self.pool, self.party, self.beta = pool, party, beta
        self.rng = np.random.default_rng([seed, party, int(np.float64(beta).view(np.uint64))])
        self.ss = float(pool.valuation.b[party, party])  # the kernel's sums over S x S, S x T
        self.st = float(pool.valuation.a[party])
        self.s = pool.valuation.sizes[party]
        self.indices: list[int] = []
        self.values: list[float] = []
        self.u = pool.sums[:, party].copy()
        blocks = math.ceil(len(self.u) / steps.BLOCK)
        self.greatest, self.least = np.empty(blocks), np.empty(blocks)
        steps.add_kernel_row(np.zeros_like(self.u), *self._sums())

    def _sums(self) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
        return self.pool.mean_a, self.u, self.s + 1, self.greatest, self.least

    @property
    def value(self) -> float:
        return 2 * self.st / (self.s * self.pool.valuation.t) - self.ss / self.s**2

    def draw(self) -> int:
        """Draw a point of G by its probability."""

        kernel = self.pool.kernel
        x = steps.draw(self.rng, *self._sums(), self.beta, ROUNDING * kernel.diagonal)
        if x < 0:
            raise ValueError(f"kernel: {kernel.name}.profile gives values that are not finite")
        return x

    def accept(self, x: int) -> None:
        """Add a point of G and update the sums."""

        pool = self.pool
        # S x S grows by the new point with S, twice, and with itself
        self.ss += 2 * float(self.u[x]) + pool.kernel.diagonal
        self.st += float(pool.a[x])
        self.s += 1
        self.indices.append(x)
        self.values.append(self.value)

        self.u[x] = math.inf  # not to be drawn again
        y = pool.g[:, x].copy()
        if pool.squared_exponential:
            steps.add_squared_exponential(pool.g, y, *self._sums())
        else:
            k = pool.kernel.profile(torch.from_numpy(steps.squared_distances(pool.g, y)))
            steps.add_kernel_row(k.double().numpy(), *self._sums())

    def grow(self, target: float, patience: float | None) -> Chain:
        """Accept points until the target is reached, G is used up, or patience is lost."""

        valuation = self.pool.valuation
        enough = target - NEARLY * abs(target) if math.isfinite(target) else target
        patience = math.inf if patience is None else max(1, round(patience * len(self.u)))
        start = best = self.value
        since = 0
        while self.value < enough and len(self.indices) < len(self.u) and since < patience:
            self.accept(self.draw())
            since = 0 if self.value > best else since + 1
            best = max(best, self.value)

        return Chain(
            party=self.party,
            beta=self.beta,
            target=target,
            indices=torch.tensor(self.indices, dtype=torch.int64),
            values=torch.tensor(self.values, dtype=torch.float64),
            start=start,
            reached=self.value >= enough,
            mmd2_biased=biased(self.ss, self.st, valuation.total, self.s, valuation.t),
            mmd2_unbiased=unbiased(self.ss, self.st, valuation.total, self.s, valuation.t, valuation.kernel.diagonal),
        )
