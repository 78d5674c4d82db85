r"""The valuation of sketches: values of all coalitions without anyone's rows, unbiased, with their standard errors.

With the noisy sums $\tilde S_i = S_i + z_i$, $z_i \sim N(0, c_i^2 I_D)$, all block sums of a `Valuation` are inner
products, and all but one are unbiased: $E \langle \tilde S_i, \tilde S_i \rangle = B_{ii} + D c_i^2$. With this
subtracted, $v(C)$ loses its bias

.. math:: D \Bigl(\sum_{i \in C} c_i^2\Bigr) \Bigl(\frac{2}{N_C t} - \frac{1}{N_C^2}\Bigr)

and with $a = 2 / (N_C t) - 1 / N_C^2$, $b = 2 / (N_C t)$, $q_C = \sum_{i \in C} c_i^2$ and
$q_O = \sum_{i \notin C} c_i^2$, its variance is

.. math:: q_C \left\| \frac{2 (\mu_T - \mu_C)}{N_C} + \frac{2 \mu_C}{t} \right\|^2 + \frac{4 \|\mu_C\|^2}{t^2} q_O
    + D (2 a^2 q_C^2 + b^2 q_C q_O)

Both hold for a pool that does not follow the noise. A pool that is fitted to the sketches does, so that
$\langle \tilde S_i, S_G \rangle$ has a bias as well, which `Particles` measures by repeating the fit. If the pool's sum
follows the noise by $A \sum_j z_j$, $\langle z_i, S_G \rangle$ has the mean $c_i^2 \operatorname{tr} A$, and its
variance grows by that of $\rho \langle z_i, \sum_j z_j \rangle$ with $D \rho^2 = \operatorname{tr} A^2$, the response
of the pool: $2 / (N_C t)$ in $a$ and $b$ becomes $(1 + \rho) \, 2 / (N_C t)$, and draws of noise have the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from cgm.privacy.features import ROWS
from cgm.privacy.sketch import Sketch, check_sketches
from cgm.utils.checks import check_choice, check_integer, check_points
from cgm.utils.random import Stream, stream_seed
from cgm.valuation.embedding import EmbeddedSums
from cgm.valuation.mmd import block_sums, cross_sums
from cgm.valuation.valuation import Valuation

DRAWS = 200  # of noise, from which standard errors are computed
ERRORS = 2.0  # standard errors that an interval reaches to each side
PRICES = ("none", "bias")
Price = Literal["none", "bias"]
MAX_EXACT = 20_000  # points of a pool up to which its own sums are exact, and not those of the embedding


class SketchValuation(Valuation):
    r"""The game of the MMD from sketches of the parties, in place of their rows.

    It has the attributes of `Valuation`, but the points of parties: `points` and `sums` are those of $G$ alone. Sums
    over $G \times G$ are exact for up to 20,000 points; the others are those of the embedding, without the part of the
    kernel that its features miss.

    Arguments:
        sketches: A sketch of each party, all by the same schema.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        price: `"none"`: the bias of the noise is subtracted, so that noise costs a party nothing in expectation;
            `"bias"`: it is not, so that the value of a coalition falls with privacy, if it has less than half of the
            points: the pool should have as many points as all parties.
        followed: How far the pool follows the noise, $E \langle z_i, S_G \rangle$ of each party, of shape $(n)$, which
            is subtracted; see `Particles`. `None`: it does not.
        response: The response $\rho$ of the pool to the noise, see above.

    Attributes:
        sketches: The sketches.
        noise: The standard deviations $c_i$ of the noise, of shape $(n)$.
        dimensions: The number of dimensions $D$ of the noise.

    Raises:
        ValueError: If the sketches do not belong together, or if the points have another width.

    References:
        Equation (2); Incentives in Private Collaborative Machine Learning (Sim et al., 2023), for the price of privacy
    """

    def __init__(
        self,
        sketches: Sequence[Sketch],
        synthetic: torch.Tensor,
        price: str = "none",
        followed: torch.Tensor | None = None,
        response: float = 0.0,
    ) -> None:
        check_sketches(sketches)
        check_choice("privacy.price", price, PRICES)
        schema = sketches[0].schema
        synthetic = check_points(synthetic, "synthetic pool (synthetic_size)", schema.dimensions).cpu().double()
        self.price, self.kernel, self.points, self.followed = price, schema.kernel, synthetic, followed
        self.response = response
        self.dimensions, self.method, self.modes, self._missing = schema.embedding.width, "sketches", None, None
        self._of_pool = len(synthetic) * schema.embedding.mean(synthetic)  # (D)
        if len(synthetic) <= MAX_EXACT:
            self._inside = block_sums(self.kernel, synthetic, [len(synthetic)]).double()  # (|G|, 1)
        else:
            self._inside = EmbeddedSums(schema.embedding, synthetic, [len(synthetic)]).of_points()
        self._use(sketches)

    def with_sketches(self, sketches: Sequence[Sketch]) -> SketchValuation:
        """Return the valuation of other sketches by the same schema, with the same pool."""

        check_sketches(sketches)
        if sketches[0].schema.digest != self.sketches[0].schema.digest:
            raise ValueError("sketches: by another schema than those of the valuation")
        game = copy.copy(self)
        game._use(sketches)
        return game

    def with_rows(self, party: int, points: torch.Tensor) -> SketchValuation:
        r"""Return the valuation with the rows of one party in place of its sketch.

        Sums over pairs of its rows, and over them and $G$, are exact; those with other parties are of the features of
        its rows and of the sketches of the others. It is for the reward of this party alone: nothing that follows from
        it may reach anybody else.

        Arguments:
            party: The party, from 0.
            points: Its rows as the schema encodes them, of shape $(N_i, d)$.

        Raises:
            ValueError: If there is no such party, or if it has another number of rows.
        """

        check_integer("party", party, 0, self.n - 1)
        rows = check_points(points, "rows", self.points.shape[1]).cpu().double()
        if len(rows) != self.sizes[party]:
            raise ValueError(f"rows: {len(rows)}, but the sketch of {self.names[party]} is of {self.sizes[party]}")
        embedding = self.sketches[0].schema.embedding
        own = embedding.totals(rows, [len(rows)])[0]
        game = copy.copy(self)
        game.sums, game.noise = self.sums.clone(), self.noise.clone()
        game.sums[:, party] = cross_sums(self.kernel, self.points, rows).double()
        game.noise[party] = 0.0
        with_others = torch.stack([sketch.sums for sketch in self.sketches]) @ own
        inside = block_sums(self.kernel, rows, [len(rows)]).double().sum()
        line = torch.cat([with_others, game.sums[:, party].sum()[None]])
        line[party] = inside
        for name in ("_unbiased", "_rows"):
            gram = getattr(self, name).clone()
            gram[party], gram[:, party] = line, line
            setattr(game, name, gram)
        game._set(game._rows)
        return game

    def without_noise(self, parties: Sequence[torch.Tensor]) -> SketchValuation:
        """Return the valuation of the features of rows, without noise: what the features alone miss of the kernel.

        Arguments:
            parties: The rows of all parties as the schema encodes them. The result is as private as they are.
        """

        game = copy.copy(self)
        game.followed, game.noise = None, torch.zeros_like(self.noise)
        game._sum(torch.cat([self.sketches[0].schema.embedding.totals(x, [len(x)]) for x in parties]))
        return game

    def _use(self, sketches: Sequence[Sketch]) -> None:
        """Compute all sums with sketches."""

        self.sketches = tuple(sketches)
        self.noise = torch.tensor([sketch.noise for sketch in sketches], dtype=torch.float64)
        self.sizes = [*(sketch.rows for sketch in sketches), len(self.points)]
        self._sum(torch.stack([sketch.sums for sketch in sketches]))

    def _sum(self, totals: torch.Tensor) -> None:
        """Compute all sums from the noisy sums of the parties' features, of shape (n, D)."""

        of_points = self.sketches[0].schema.embedding.inner(self.points, totals)
        self.sums = torch.cat([of_points, self._inside], 1)
        everything = torch.cat([totals, self._of_pool[None]])
        gram = everything @ everything.T
        gram[-1, -1] = self._inside.sum()
        bias = torch.zeros(self.n + 1, self.n + 1, dtype=torch.float64)
        bias[range(self.n), range(self.n)] = self.dimensions * self.noise**2
        if self.followed is not None:
            bias[:-1, -1] = bias[-1, :-1] = self.followed
            self.sums[:, :-1] -= self.followed / len(self.points)
        self._unbiased = gram - bias
        self._set(self._unbiased if self.price == "none" else gram)

    def _set(self, rows: torch.Tensor) -> None:
        """Use block sums, of shape (n + 1, n + 1)."""

        self._rows, self._b = rows, (rows + rows.T) / 2
        self._compare_with(self.reference.blocks(self.n))

    @property
    def missed(self) -> float:
        r"""The share of the weight $k(x, x)$ of the pool's points that the features miss, on average."""

        embedding = self.sketches[0].schema.embedding
        some = self.points[: 10 * ROWS]
        inside = torch.cat([embedding.transform(part).square().sum(1) for part in some.split(ROWS)])
        return max(0.0, 1 - float(inside.mean()) / self.kernel.diagonal)

    @property
    def names(self) -> list[str]:
        """The names of the parties."""

        return [sketch.party for sketch in self.sketches]

    def block(self, i: int) -> slice:
        """Return the rows of `points` with those of $G$, if i = n.

        Raises:
            ValueError: If i is a party, of whose rows nothing is known.
        """

        if i != self.n:
            raise ValueError(f"party {i + 1}: a sketch has no rows")
        return slice(0, self.sizes[-1])

    @property
    def real(self) -> slice:
        """Nothing: the parties' points are not known."""

        raise ValueError("sketches have no rows, which this needs: choose another contribution, such as shapley")

    @property
    def reference_points(self) -> torch.Tensor:
        """Nothing: the parties' points are not known."""

        raise ValueError("a valuation of sketches has no points of the parties; use value(points)")

    def value(self, points: torch.Tensor) -> float:
        r"""Compute $v(S)$ of any set of points, of shape $(s, d)$: for example of a party's own rows, at home."""

        s = check_points(points, "value: points", self.points.shape[1]).cpu().double()
        embedding = self.sketches[0].schema.embedding
        of_parties = torch.stack([sketch.sums for sketch in self.sketches]).sum(0)[None]
        st = float(embedding.inner(s, of_parties).sum() + self.kernel(s, self.points).sum())
        ss = float(block_sums(self.kernel, s, [len(s)]).sum())
        return 2 * st / (len(s) * self.t) - ss / len(s) ** 2

    def coalition_errors(self) -> torch.Tensor:
        r"""Compute the standard errors of $v_c$ of all $2^n$ coalitions, by formula, from norms without their bias.

        Returns:
            The standard errors, of shape $(2^n)$, float64; that of the empty coalition is 0.
        """

        members = np.array([[c >> i & 1 for i in range(self.n)] for c in range(2**self.n)], dtype=bool)
        return torch.tensor([self._error(row) for row in members], dtype=torch.float64)

    @property
    def party_errors(self) -> torch.Tensor:
        r"""The standard errors of $v(D_i)$, of shape $(n)$."""

        return torch.tensor([self._error(row) for row in np.eye(self.n, dtype=bool)], dtype=torch.float64)

    def _error(self, members: np.ndarray) -> float:
        """Compute the standard error of the value of a coalition, from its members as truth values of shape (n)."""

        if not members.any():
            return 0.0
        size, t = float(np.array(self.sizes[:-1])[members].sum()), float(self.t)
        square = self.noise.numpy() ** 2
        inside, outside = square[members].sum(), square[~members].sum()
        # 2 (μ_T - μ_C) / N_C + 2 μ_C / t, as coefficients of the sums S_1, .., S_n, S_G
        coalition = np.append(members, False) / size
        vector = 2 * (1 / t - coalition) / size + 2 * coalition / t
        gram = self._unbiased.numpy()
        first = max(float(vector @ gram @ vector), 0.0)
        second = 4 / t**2 * max(float(coalition @ gram @ coalition), 0.0)
        b = (1 + self.response) * 2 / (size * t)
        a = b - 1 / size**2
        quadratic = self.dimensions * (2 * a**2 * inside**2 + b**2 * inside * outside)
        return math.sqrt(inside * first + outside * second + quadratic)

    def draws(self, count: int = DRAWS, seed: int = 0) -> list[SketchValuation]:
        r"""Draw games like this one from other noise: what might have come out, if this one were without error.

        Norms without bias stand for the true ones. The points of $G$ are not drawn again, but their sums with the noise
        are, as if they had been fitted to it: see the response of the pool.

        Arguments:
            count: How many.
            seed: The seed of these draws, which has nothing to do with the noise of releases.
        """

        check_integer("draws", count, min=2)
        random = np.random.default_rng(stream_seed(seed, Stream.SKETCH_DRAWS))
        values, vectors = np.linalg.eigh(self._unbiased.numpy())
        truth = vectors * np.sqrt(np.maximum(values, 0))  # coordinates of S_1, .., S_n, S_G in n + 1 dimensions
        exact = truth @ truth.T
        padded = np.pad(truth, ((0, 0), (0, max(self.dimensions - self.n - 1, 0))))
        games = []
        for _ in range(count):
            noisy = padded.copy()
            noise = self.noise.numpy()[:, None] * random.standard_normal((self.n, padded.shape[1]))
            noisy[:-1] += noise
            gram = noisy @ noisy.T
            follows = self.response * (noise @ noise.sum(0) - padded.shape[1] * self.noise.numpy() ** 2)
            gram[:-1, -1] += follows
            gram[-1, :-1] += follows
            if self.price == "none":
                gram[np.arange(self.n), np.arange(self.n)] -= padded.shape[1] * self.noise.numpy() ** 2
            game = copy.copy(self)
            base = self._rows.numpy() + gram - exact
            if self.price == "bias":  # `_rows` has the bias already, and so has `gram`
                base[np.arange(self.n), np.arange(self.n)] -= padded.shape[1] * self.noise.numpy() ** 2
            game._set(torch.from_numpy(base))
            games.append(game)
        return games

    def standard_errors(
        self, statistic: Callable[[Valuation], torch.Tensor], count: int = DRAWS, seed: int = 0
    ) -> torch.Tensor:
        r"""Compute standard errors of what follows from the values, such as $\alpha$, from draws of the noise.

        Arguments:
            statistic: Computes numbers of a valuation.
            count: The number of draws.
            seed: Their seed.
        """

        results = torch.stack([statistic(game) for game in self.draws(count, seed)]).double()
        return results.std(0)

    def half_widths(self, statistic: Callable[[Valuation], torch.Tensor]) -> torch.Tensor:
        """Compute two standard errors of what follows from the values, see `standard_errors`."""

        return ERRORS * self.standard_errors(statistic)
