r"""Draws each party's reward by weighted sampling (Sec. 4.2, Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .mmd import biased, unbiased
from .progress import progress
from .threads import workers
from .valuation import Valuation

TILE = 4096  # points of G that are looked at together: (chains, TILE) doubles stay in the cache
ROUNDING = 1e-13  # Δ's that differ by this share of k* or less are equal but for rounding
NEARLY = 1e-12  # a target that is missed by this share of itself, a rounding error, is reached


@dataclass(frozen=True)
class Chain:
    r"""Holds the reward $G_i$ that was drawn for a party at an inverse temperature.

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
        r"""Tells $v(D_i \cup G_i)$."""

        return float(self.values[-1]) if len(self.values) else self.start

    @property
    def increasing(self) -> float | None:
        """Tells the share of accepted points that raised v; `None` if none was accepted."""

        if len(self.values) == 0:
            return None
        before = torch.cat([self.values.new_tensor([self.start]), self.values[:-1]])
        return float((self.values > before).double().mean())


@dataclass(frozen=True)
class WeightedSampling:
    r"""Holds how rewards are drawn; the arguments are those of `sample_rewards`."""

    betas: Sequence[float] = (1.0, 2.0, 4.0, 8.0)
    patience: float | None = 0.1

    def __post_init__(self) -> None:
        """Refuses settings that are out of range."""

        try:
            object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        except (TypeError, ValueError):
            raise ValueError(f"sampling.betas={self.betas!r}: must be a list of numbers, like [1,2,4,8]") from None
        if not self.betas or any(not beta >= 0 for beta in self.betas):
            raise ValueError(
                f"sampling.betas={list(self.betas)}: must be a list of numbers that are not negative (inf is allowed)"
            )
        if len(set(self.betas)) != len(self.betas):
            raise ValueError(f"sampling.betas={list(self.betas)}: the same β stands there twice")
        if self.patience is not None and not 0 < self.patience <= 1:
            raise ValueError(
                f"sampling.patience={self.patience}: must be a share of |G|, above 0 and at most 1, "
                "or null for no limit"
            )

    def draw(self, valuation: Valuation, targets: Tensor, seed: int) -> list[Chain]:
        """Draws the parties' rewards, see `sample_rewards`."""

        return sample_rewards(valuation, targets, self.betas, seed, self.patience)


def sample_rewards(
    valuation: Valuation,
    targets: Sequence[float] | Tensor,
    betas: Sequence[float],
    seed: int,
    patience: float | None = 0.1,
) -> list[Chain]:
    r"""Draws points from $G$ for each party and each $\beta$, until $v(D_i \cup G_i)$ reaches the target.

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

    Chains advance together, in one batch for each core. Each has a random stream of its own, made from the
    seed, the party and $\beta$, and goes the same way alone as among others.

    Arguments:
        valuation: The valuation that holds the parties' points and $G$.
        targets: The reward values $r_i$, of shape $(n)$; one that is infinite asks for all of $G$.
        betas: The inverse temperatures $\beta \geq 0$, none twice.
        seed: The seed, not negative.
        patience: A chain gives up after this share of $|G|$ accepted points without a new best value. Never, if
            `None`.

    Returns:
        One `Chain` for each party and $\beta$: party by party, in the order of `betas`.

    Raises:
        ValueError: If a setting is out of its range.
    """

    betas = WeightedSampling(betas, patience).betas  # refuses what is out of range
    targets = [float(r) for r in targets]
    if len(targets) != valuation.n:
        raise ValueError(f"targets: there are {len(targets)} for {valuation.n} parties")
    if any(math.isnan(r) for r in targets):
        raise ValueError(f"targets: {targets} holds NaN")
    if seed < 0:
        raise ValueError(f"seed={seed}: must not be negative")

    jobs = [(party, beta) for party in range(valuation.n) for beta in betas]
    # on a processor a batch of chains for each core, on an accelerator a single one
    batches = 1 if valuation.points.is_cuda else min(torch.get_num_threads(), len(jobs))
    with workers() as pool, progress(len(jobs), "sampling (chains)") as bar:

        def run(jobs: list[tuple[int, float]]) -> list[Chain]:
            state = _State(valuation, jobs, targets, seed, patience)
            while len(state.active):
                bar.update(state.retire())
                if len(state.active):
                    state.accept(state.draw())
            return [state.chain(c) for c in range(len(jobs))]

        chains = [c for batch in pool.map(run, (jobs[k::batches] for k in range(batches))) for c in batch]

    order = {job: k for k, job in enumerate(jobs)}
    return sorted(chains, key=lambda chain: order[chain.party, chain.beta])


class _State:
    """Advances chains; row c of its arrays belongs to job c, and `active` lists the jobs that go on."""

    def __init__(
        self,
        valuation: Valuation,
        jobs: list[tuple[int, float]],
        targets: list[float],
        seed: int,
        patience: float | None,
    ) -> None:
        self.valuation, self.jobs = valuation, jobs
        self.kernel, device = valuation.kernel, valuation.points.device
        self.size = len(valuation.synthetic)
        self.patience = math.inf if patience is None else max(1, round(patience * self.size))

        # G in columns, in units of the length-scale, padded with dead points to whole tiles: a row of a tile then
        # begins and ends at a vector's edge however many chains there are, and rounds alike
        tile = min(TILE, 64 * math.ceil(self.size / 64))
        padded = tile * math.ceil(self.size / tile)
        self.tiles = [slice(start, start + tile) for start in range(0, padded, tile)]
        self.g = torch.zeros(valuation.points.shape[1], padded, dtype=torch.float64, device=device)
        self.g[:, : self.size] = valuation.synthetic.T / self.kernel.lengthscale
        rows = valuation.sums[valuation.block(valuation.n)]  # (|G|, n + 1)
        self.a = torch.zeros(padded, dtype=torch.float64, device=device)
        self.a[: self.size] = rows.sum(1)
        self.mean_a = self.a / valuation.t

        # u of a point that is not to be drawn is inf, so that h is -inf and its weight 0
        party = [i for i, _ in jobs]
        self.u = torch.full((len(jobs), padded), torch.inf, dtype=torch.float64, device=device)
        for row, i in zip(self.u, party, strict=True):
            row[: self.size] = rows[:, i]

        self.ss = valuation.b.diagonal()[party].numpy().copy()  # the kernel's sums over S x S, S x T
        self.st = valuation.a[party].numpy().copy()
        self.s = np.array([valuation.sizes[i] for i in party])
        self.start = self._value()
        self.best, self.since = self.start.copy(), np.zeros(len(jobs), dtype=np.int64)
        self.target = np.array([targets[i] for i in party])
        self.beta = torch.tensor([beta for _, beta in jobs], dtype=torch.float64, device=device)
        self.rngs = [np.random.default_rng([seed, i, int(np.float64(beta).view(np.uint64))]) for i, beta in jobs]
        self.indices: list[list[int]] = [[] for _ in jobs]
        self.values: list[list[float]] = [[] for _ in jobs]
        self.active = np.arange(len(jobs))

    def _value(self) -> np.ndarray:
        return 2 * self.st / (self.s * self.valuation.t) - self.ss / self.s**2

    def _reached(self) -> np.ndarray:
        return self._value() >= self.target - NEARLY * np.abs(np.nan_to_num(self.target))

    def retire(self) -> int:
        """Takes out the chains that have come to an end, and counts them."""

        used = np.array([len(self.indices[c]) for c in self.active])
        ended = self._reached()[self.active] | (used == self.size) | (self.since[self.active] >= self.patience)
        if ended.any():
            keep = ~ended
            self.u = self.u[torch.from_numpy(keep).to(self.u.device)]
            self.active = self.active[keep]
        return int(ended.sum())

    def draw(self) -> np.ndarray:
        """Draws a point of G for each active chain, by its probability."""

        m = self.u.new_tensor(self.s[self.active] + 1)[:, None]  # (c, 1)
        beta = self.beta[torch.from_numpy(self.active)][:, None]

        def h(tile: slice) -> Tensor:  # (c, TILE)
            return self.mean_a[tile] - self.u[:, tile] / m

        noise = ROUNDING * self.kernel.diagonal
        low, high = [], []
        for tile in self.tiles:
            gain = h(tile)
            high.append(gain.amax(1))
            low.append(torch.where(gain == -torch.inf, torch.inf, gain).amin(1))
        low, high = torch.stack(low, 1).amin(1, True), torch.stack(high, 1).amax(1, True)  # (c, 1)

        # exp(β (h - max) / (max - min)): the softmax of β Δ̄ but for a factor, and never above 1. The least scale
        # keeps β = 0 from making 0 · inf of a dead point, the greatest one a huge β from making inf · 0 of the best;
        # they change no other weight
        scale = torch.where(high - low > noise, beta / (high - low), 0).clamp(min=1e-200, max=1e300)

        def weights(gain: Tensor) -> Tensor:
            w = ((gain - high) * scale).exp_()
            return torch.where(beta == torch.inf, (gain >= high - noise).double(), w) if greedy else w

        greedy = bool((beta == torch.inf).any())
        mass = torch.stack([weights(h(tile)).sum(1) for tile in self.tiles], 1).cpu().numpy().cumsum(1)

        # the inverse of the distribution function: first the tile, then the point in it
        uniform = np.array([self.rngs[c].random() for c in self.active])
        level = uniform * mass[:, -1]
        chosen = (mass <= level[:, None]).sum(1)  # (c), tiles
        level -= np.where(chosen > 0, np.take_along_axis(mass, np.maximum(chosen - 1, 0)[:, None], 1)[:, 0], 0)
        width = self.tiles[0].stop
        columns = torch.from_numpy(chosen)[:, None] * width + torch.arange(width)  # (c, TILE)
        columns = columns.to(self.u.device)
        gain = self.mean_a[columns] - self.u.gather(1, columns) / m
        mass = weights(gain).cpu().numpy().cumsum(1)
        level = np.minimum(level, np.nextafter(mass[:, -1], 0))  # rounding must not lead past the end
        return chosen * width + (mass <= level[:, None]).sum(1)

    def accept(self, x: np.ndarray) -> None:
        """Adds a point to each active chain, and brings its sums up to date."""

        rows, points = torch.arange(len(x), device=self.u.device), torch.from_numpy(x).to(self.u.device)
        u = self.u[rows, points].cpu().numpy()
        # S x S grows by the new point with S, twice, and with itself
        self.ss[self.active] += 2 * u + self.kernel.diagonal
        self.st[self.active] += self.a[points].cpu().numpy()
        self.s[self.active] += 1

        self.u[rows, points] = torch.inf
        new = self.g[:, points][:, :, None]  # (d, c, 1)
        for tile in self.tiles:
            # by differences, one dimension at a time: a matrix product may round each chain another way as
            # chains come and go
            q = (new[0] - self.g[0, tile]).square_()  # (c, TILE)
            for j in range(1, len(self.g)):
                difference = new[j] - self.g[j, tile]
                q.addcmul_(difference, difference)
            self.u[:, tile] += self.kernel.profile(q)

        value = self._value()
        better = value > self.best
        self.since = np.where(better, 0, self.since + 1)
        self.best = np.maximum(self.best, value)
        for c, index in zip(self.active, x, strict=True):
            self.indices[c].append(int(index))
            self.values[c].append(float(value[c]))

    def chain(self, c: int) -> Chain:
        """Puts together what a chain has drawn."""

        v = self.valuation
        (party, beta), s = self.jobs[c], int(self.s[c])
        ss, st = float(self.ss[c]), float(self.st[c])
        return Chain(
            party=party,
            beta=beta,
            target=float(self.target[c]),
            indices=torch.tensor(self.indices[c], dtype=torch.int64),
            values=torch.tensor(self.values[c], dtype=torch.float64),
            start=float(self.start[c]),
            reached=bool(self._reached()[c]),
            mmd2_biased=biased(ss, st, v.total, s, v.t),
            mmd2_unbiased=unbiased(ss, st, v.total, s, v.t, v.kernel.diagonal),
        )
