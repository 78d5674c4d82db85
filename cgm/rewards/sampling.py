r"""Weighted sampling of rewards (Sec. 4.2, Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch

from cgm.engines import engine_for
from cgm.rewards import steps
from cgm.utils.checks import check_integer
from cgm.utils.convert import to_numbers
from cgm.utils.plain import NOT_WRITTEN
from cgm.utils.run import progress
from cgm.utils.settings import Number, Settings
from cgm.valuation.kernels import squared_exponential_rates
from cgm.valuation.mmd import biased, unbiased
from cgm.valuation.valuation import Valuation

ROUNDING = 1e-13  # values of Δ that differ by at most this share of k* are equal up to rounding
CHUNK = 1000  # points that are accepted in one call of compiled code, which cannot be interrupted
NEARLY = 1e-8  # a target counts as reached if at most this share of it is missing: the error of float32 tiles


@dataclass(frozen=True)
class Reward:
    r"""The reward $G_i$ of a party for one inverse temperature.

    `result.json` has its numbers, but not the attributes from `indices` to `upper`: a reward that is read from it has
    no points, and NaN for the others: `metrics.csv` has the MMD, and the result has $r_i$ and $v(D_i \cup G)$.

    Attributes:
        party: The party $i$, from 0.
        beta: The inverse temperature $\beta$.
        size: $|G_i|$.
        target: The value that it was drawn to, which is $r_i$, or less with a tolerance, see `WeightedSampling`.
        start: $v(D_i)$.
        value: $v(D_i \cup G_i)$.
        reached: Whether $v(D_i \cup G_i)$ is at least the target.
        increasing: The share of accepted points that increased v; `None` if no point was accepted.
        checked: $v(D_i \cup G_i)$ by exact sums of the kernel, if those of the valuation are approximate, see
            `cgm.rewards.errors`; otherwise `None`.
        checked_error: The half width of its interval; 0, if it is exact.
        indices: The rows of $G$ in $G_i$, in order of acceptance, of shape $(|G_i|)$, int64.
        values: $v(D_i \cup G_i)$ after each accepted point, of shape $(|G_i|)$, float64.
        mmd2_biased, mmd2_unbiased: The estimates of the squared MMD of $D_i \cup G_i$ and $T$, equation (1); $T$ is all
            data, whatever the reference of the values.
        promised: The reward value $r_i$.
        upper: The value $v(D_i \cup G)$ with all of $G$.
    """

    party: int
    beta: float
    size: int
    target: float
    start: float
    value: float
    reached: bool
    increasing: float | None
    indices: torch.Tensor = field(
        default_factory=lambda: torch.empty(0, dtype=torch.int64), metadata=NOT_WRITTEN, repr=False
    )
    values: torch.Tensor = field(
        default_factory=lambda: torch.empty(0, dtype=torch.float64), metadata=NOT_WRITTEN, repr=False
    )
    mmd2_biased: float = field(default=math.nan, metadata=NOT_WRITTEN)
    mmd2_unbiased: float = field(default=math.nan, metadata=NOT_WRITTEN)
    promised: float = field(default=math.nan, metadata=NOT_WRITTEN)
    upper: float = field(default=math.nan, metadata=NOT_WRITTEN)
    checked: float | None = None
    checked_error: float | None = None

    @property
    def share_of_gain(self) -> float:
        r"""The share of the possible gain, $(v(D_i \cup G_i) - v(D_i)) / (v(D_i \cup G) - v(D_i))$.

        It is 1 where nothing can be gained, $v(D_i \cup G) \leq v(D_i)$ up to rounding.
        """

        possible = self.upper - self.start
        return (self.value - self.start) / possible if possible > NEARLY * abs(self.upper) else 1.0


def increasing_share(start: float, values: torch.Tensor) -> float | None:
    """Compute the share of accepted points that increased v; `None` if no point was accepted.

    Arguments:
        start: v before the first point.
        values: v after each point, of shape (|G_i|).
    """

    before = torch.cat([values.new_tensor([start]), values[:-1]])
    return float((values > before).double().mean()) if len(values) else None


@dataclass(frozen=True)
class WeightedSampling(Settings):
    r"""Weighted sampling of rewards from $G$, until $v(D_i \cup G_i)$ reaches the reward value.

    With $S = D_i \cup G_i$, each step draws a point $x \in G \setminus G_i$ with probability

    .. math::
        p(x) \propto \exp(\beta \bar\Delta_x), \qquad
        \bar\Delta_x = \frac{\Delta_x - \min \Delta}{\max \Delta - \min \Delta}, \qquad
        \Delta_x = v(S \cup \{x\}) - v(S)

    $\beta = 0$ draws uniformly; $\beta = \infty$ draws a point with the largest $\Delta_x$, uniformly among them if
    there are several. If all $\Delta_x$ are equal, so are the probabilities. Sampling ends when the target is
    reached, when $G$ has no more points, or when `patience` is exhausted. With the tolerance $\tau$, the target is

    .. math:: \min \{r_i, \; v(D_i) + (1 - \tau) (v(D_i \cup G) - v(D_i))\}

    so that nobody is drawn beyond the share $1 - \tau$ of what all of $G$ would add. The last hundredth of this way
    takes most of the points, and rather follows the noise of $T$ than its distribution.

    With $a_x = \sum_{x' \in T} k(x, x')$, $u_x = \sum_{x' \in S} k(x, x')$ and $m = |S| + 1$, equation (2) gives

    .. math:: v(S \cup \{x\}) = \frac{2 (\Sigma_{ST} + a_x)}{m t} - \frac{\Sigma_{SS} + 2 u_x + k^*}{m^2},
        \qquad \Delta_x = \frac{2}{m} h_x + \text{const}, \qquad h_x = \frac{a_x}{t} - \frac{u_x}{m}

    so that $\bar\Delta$ can be computed from $h$ instead of $\Delta$. Another reference takes the place of $T$.
    Accepting $x$ changes $u$ by one kernel row, $k(\cdot, x)$. The module `cgm.rewards.steps` documents how
    most of this row is computed later, for many accepted points at once, and $x$ is still drawn from $p$ exactly.

    Rewards are drawn in parallel, one on each core. Each has its own random stream, derived from the seed, the party
    and $\beta$, so that it does not depend on the other rewards. All computations are on the CPU, also if the valuation
    is on another device. Memory: $|G|$ numbers for each party and each core. The squared exponential kernel and
    sums of it are compiled; the rows of all other kernels are computed by `profile`, at every step, which takes several
    times as long.

    Arguments:
        betas: The inverse temperatures $\beta \geq 0$, all different; infinity is greedy.
        patience: Sampling ends after this share of $|G|$ accepted points without a new best value. No limit, if `None`.
        tolerance: The tolerance $\tau$, the share of a party's possible gain that a complete reward may miss.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Section 4.2, Algorithm 1.
    """

    section = "sampling"
    betas: Sequence[float] = (1.0, 2.0, 4.0, 8.0)
    patience: Annotated[float, Number(min=0, max=1, open_min=True)] | None = 0.1
    tolerance: Annotated[float, Number(min=0, max=1, open_max=True)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        except (TypeError, ValueError):
            raise ValueError(
                f"sampling.betas={self.betas!r}: expected a list of numbers, for example [1,2,4,8]"
            ) from None
        if not self.betas or any(not beta >= 0 for beta in self.betas):
            raise ValueError(
                f"sampling.betas={list(self.betas)}: expected a list of non-negative numbers (inf is allowed)"
            )
        if len(set(self.betas)) != len(self.betas):
            raise ValueError(f"sampling.betas={list(self.betas)}: expected different numbers, got the same β twice")

    def targets(self, valuation: Valuation, values: torch.Tensor) -> torch.Tensor:
        r"""Compute the values that rewards are drawn to; $r_i$ itself, if the tolerance is 0.

        Arguments:
            valuation: The valuation of the parties' points and $G$.
            values: The reward values $r_i$, of shape $(n)$.
        """

        values = to_numbers(values, "targets")
        if self.tolerance == 0:
            return values
        own = valuation.party_values
        gain = (valuation.with_synthetic - own).clamp(min=0)
        return torch.minimum(values, own + (1 - self.tolerance) * gain)

    def draw(
        self,
        valuation: Valuation,
        values: Sequence[float] | torch.Tensor,
        seed: int,
        parties: Sequence[int] | None = None,
    ) -> list[Reward]:
        r"""Draw a reward for each party and each $\beta$.

        Arguments:
            valuation: The valuation of the parties' points and $G$.
            values: The reward values $r_i$, of shape $(n)$; with the tolerance 0, $\infty$ is never reached.
            seed: The seed of the random streams, not negative.
            parties: The parties, from 0, that rewards are drawn for. `None`: all.

        Returns:
            One `Reward` for each party and $\beta$: party by party, in the order of `betas`.

        Raises:
            ValueError: If an argument is out of range, or if the kernel returns values that are not finite.
        """

        promised = [float(r) for r in values]
        if len(promised) != valuation.n:
            raise ValueError(f"targets: expected one for each party, got {len(promised)} for {valuation.n} parties")
        if any(math.isnan(r) for r in promised):
            raise ValueError(f"targets={promised}: contains NaN")
        check_integer("seed", seed, min=0)
        targets = self.targets(valuation, torch.tensor(promised, dtype=torch.float64)).tolist()

        # chains with a low β are long: they are started first, so that no core is the only busy one at the end
        parties = range(valuation.n) if parties is None else parties
        jobs = [(party, beta) for beta in sorted(self.betas) for party in parties]
        arrays = PoolArrays(valuation)
        engine = engine_for(len(arrays.order) ** 2)
        tasks = ((party, beta, seed, targets[party], promised[party], self.patience) for party, beta in jobs)
        chains = {}
        with progress(len(jobs), "sampling (chains)") as bar:
            for job, chain in zip(jobs, engine.map(run_chain, arrays, tasks, ahead=len(jobs)), strict=True):
                chains[job] = chain
                bar.update()

        return [chains[party, beta] for party in parties for beta in self.betas]


def sample_rewards(
    valuation: Valuation,
    targets: Sequence[float] | torch.Tensor,
    betas: Sequence[float],
    seed: int,
    patience: float | None = WeightedSampling.patience,
) -> list[Reward]:
    """Draw the rewards of the parties, see `WeightedSampling`."""

    return WeightedSampling(betas, patience).draw(valuation, targets, seed)


class PoolArrays:
    r"""The arrays that all chains read. Points of $G$ are in the order of `cgm.rewards.steps.order_by_blocks`.

    Attributes:
        order: The rows of the points in $G$, of shape $(|G|)$.
        sums: The block sums of $G$'s points, of shape $(|G|, n + 1)$.
        pool: $G$ and its sums, see `cgm.rewards.steps.Pool`.
        compiled: Whether the kernel is computed by compiled code: a sum of squared exponential kernels.
    """

    def __init__(self, valuation: Valuation) -> None:
        self.valuation, self.kernel = valuation, valuation.kernel
        rates = squared_exponential_rates(self.kernel)
        self.compiled = len(rates) > 0
        g = (valuation.synthetic.cpu() / self.kernel.numeric_lengthscale).numpy()
        self.order = steps.order_by_blocks(g)
        self.sums = valuation.sums[valuation.block(valuation.n)].cpu().numpy()[self.order]
        a = np.take(self.sums, valuation.reference_blocks, axis=1).sum(1)
        self.pool = steps.make_pool(np.ascontiguousarray(g[self.order].T), a, valuation.t, self.sums.sum(1), rates)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.pool = steps.Pool(*map(np.array, self.pool))  # compiled code is that for arrays that are not read-only


def run_chain(
    arrays: PoolArrays, party: int, beta: float, seed: int, target: float, promised: float, patience: float | None
) -> Reward:
    """Draw the reward of a party, a task of an engine; see `Draws`."""

    return Draws(arrays, party, beta, seed).run(target, promised, patience)


class Draws:
    r"""The state of a chain while points are added to $G_i$. Points are numbered as in `PoolArrays`.

    Attributes:
        totals: The size of $S = D_i \cup G_i$, and the sums of the kernel over $S \times S$, $S \times$ reference, and
            $S \times T$.
        sums: The sums $u_x$ and their bounds, see `cgm.rewards.steps.Sums`.
        recent: The number of points that were accepted since all of `sums` was brought up to date.
        accepted: The points in $G_i$, in order of acceptance.
        values: $v(S)$ after each accepted point.
        start: $v(S)$ before the first one.
    """

    def __init__(self, arrays: PoolArrays, party: int, beta: float, seed: int) -> None:
        valuation = arrays.valuation
        self.arrays, self.party, self.beta = arrays, party, beta
        self.rng = np.random.default_rng([seed, party, int(np.float64(beta).view(np.uint64))])
        sums = (valuation.b[party, party], valuation.a[party], valuation.with_all[party])
        self.totals = np.array([valuation.sizes[party], *map(float, sums)])
        self.accepted: list[int] = []
        self.values: list[float] = []
        self.recent = 0
        self.start = self.value
        self.sums = steps.make_sums(arrays.pool, arrays.sums[:, party].copy(), self.m)

    @property
    def m(self) -> int:
        """The size of $S$ with one more point."""

        return int(self.totals[0]) + 1

    @property
    def value(self) -> float:
        """The value $v(S)$."""

        return steps.value(self.totals, self.arrays.valuation.t)

    @property
    def noise(self) -> float:
        r"""The differences of $h$ that are rounding errors."""

        return ROUNDING * self.arrays.kernel.diagonal

    def draw(self) -> int:
        """Draw a point of $G$ with probability $p(x)$."""

        x = steps.draw(self.rng, self.arrays.pool, self.sums, self.recent, self.m, self.beta, self.noise)
        if x < 0:
            raise self._not_finite()
        return x

    def accept(self, x: int) -> None:
        """Add a point of $G$ to $G_i$ and update the sums."""

        arrays, kernel, pool = self.arrays, self.arrays.kernel, self.arrays.pool
        u = steps.sum_at(x, pool, self.sums, self.recent)
        self.accepted.append(x)
        self.values.append(steps.add_to_totals(x, u, kernel.diagonal, pool, self.totals, arrays.valuation.t))

        self.sums.u[x] = math.inf  # has probability 0 from now on
        if arrays.compiled:
            self.recent = steps.add_point(x, pool, self.sums, self.recent, self.m)
        else:
            k = kernel.profile(torch.from_numpy(steps.squared_distances(pool.g, pool.g[:, x].copy())))
            steps.add_kernel_row(k.double().numpy(), pool, self.sums, self.m)

    def accept_until(self, points: Sequence[int], target: float) -> None:
        r"""Add given points of $G$ in their order, until the target is reached."""

        for x in points:
            if self.value >= _enough(target):
                return
            self.accept(x)

    def advance(self, target: float, limit: int) -> None:
        """Draw and accept points until the target is reached, or up to a number of points."""

        if not self.arrays.compiled:
            self.accept(self.draw())
            return

        points, values = np.empty(limit, dtype=np.int64), np.empty(limit)
        t = self.arrays.valuation.t
        accepted, self.recent = steps.advance(
            self.rng,
            self.arrays.pool,
            self.sums,
            self.totals,
            self.recent,
            t,
            self.beta,
            self.noise,
            target,
            points,
            values,
        )
        if accepted < 0:
            raise self._not_finite()
        self.accepted += points[:accepted].tolist()
        self.values += values[:accepted].tolist()

    def _not_finite(self) -> ValueError:
        return ValueError(f"kernel: {self.arrays.kernel.name}.profile gives values that are not finite")

    def run(self, target: float, promised: float, patience: float | None) -> Reward:
        """Accept points until the target is reached, $G$ has no more points, or `patience` is exhausted."""

        valuation, size = self.arrays.valuation, len(self.arrays.order)
        enough = _enough(target)
        limit = size if patience is None else max(1, round(patience * size))
        best = self.value
        since = 0  # accepted points since the last new best value
        while self.value < enough and len(self.accepted) < size and since < limit:
            before = len(self.values)
            self.advance(enough, min(CHUNK, size - before, limit - since))
            for v in self.values[before:]:
                since = 0 if v > best else since + 1
                best = max(best, v)

        t = sum(valuation.sizes)  # compared with T, whatever the reference
        s, ss, _, with_all = self.totals.tolist()
        sums = (ss, with_all, valuation.total)
        values = torch.tensor(self.values, dtype=torch.float64)
        return Reward(
            party=self.party,
            beta=self.beta,
            size=len(values),
            target=target,
            start=self.start,
            value=self.values[-1] if self.values else self.start,
            reached=self.value >= enough,
            increasing=increasing_share(self.start, values),
            indices=torch.from_numpy(self.arrays.order[np.array(self.accepted, dtype=np.int64)]),
            values=values,
            mmd2_biased=biased(*sums, int(s), t),
            mmd2_unbiased=unbiased(*sums, int(s), t, valuation.kernel.diagonal),
            promised=promised,
            upper=float(valuation.with_synthetic[self.party]),
        )


def _enough(target: float) -> float:
    """Return the value from which a target counts as reached."""

    return target - NEARLY * abs(target) if math.isfinite(target) else target
