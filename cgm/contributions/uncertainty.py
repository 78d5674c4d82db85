r"""Standard errors of values and contributions over rows: what other rows of the same kind would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.utils.shown import Shown, counted
from cgm.valuation.bounds import MAX_PARTIES
from cgm.valuation.valuation import Valuation

if TYPE_CHECKING:
    import pandas as pd

KERNEL_ROWS = 4000  # rows of all blocks together, of which the second moments of the kernel are computed
MIN_ROWS = 4  # rows of a block that U-centring requires
MAX_BLOCKS = 200  # blocks for which these second moments are computed


@dataclass(frozen=True, repr=False)
class Uncertainty(Shown):
    r"""Standard errors over the rows of the parties and of the pool.

    `Contributions.stderr` is another error, that of sampled permutations.

    Attributes:
        v: The standard errors of $v(D_i)$, of shape $(n)$, float64.
        phi: The standard errors of $\phi_i$, of shape $(n)$; `None` if they are unknown, as are all of the following.
        differences: The standard errors of $\phi_i - \phi_j$, of shape $(n, n)$.
        to_largest: $\phi_i - \max_{j \neq i} \phi_j$, the distance of a contribution to the largest of the others, of
            shape $(n)$: negative, but for the party with the largest contribution.
        to_largest_stderr: Their standard errors. Where several of the others have nearly the largest contribution,
            it is the largest of the standard errors of the differences from them.
        reason: Why the errors of contributions are unknown; empty if they are known.
    """

    v: torch.Tensor
    phi: torch.Tensor | None = None
    differences: torch.Tensor | None = None
    to_largest: torch.Tensor | None = None
    to_largest_stderr: torch.Tensor | None = None
    reason: str = ""

    def to_frame(self) -> pd.DataFrame:
        r"""Return the standard errors as a table of pandas, a row for each party.

        The columns are `party`, `v_stderr` and, if they are known, `phi_stderr`, `to_largest`, `to_largest_stderr`.
        """

        import pandas as pd

        errors = {
            "v_stderr": self.v,
            "phi_stderr": self.phi,
            "to_largest": self.to_largest,
            "to_largest_stderr": self.to_largest_stderr,
        }
        of_parties = {name: x.numpy() for name, x in errors.items() if x is not None and len(x) == len(self.v)}
        return pd.DataFrame({"party": range(len(self.v)), **of_parties})

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        return f"Uncertainty: standard errors over rows, {counted(len(self.v), 'party')}", self.to_frame(), self.reason

    def not_distinguished(
        self, phi: torch.Tensor, errors: float = 2.0, sampling: torch.Tensor | None = None
    ) -> list[tuple[int, int]]:
        r"""List the pairs of parties (from 0) whose contributions cannot be told apart.

        Arguments:
            phi: The contributions $\phi_i$, of shape $(n)$.
            errors: The number of standard errors up to which a difference counts as none.
            sampling: The sampling errors of $\phi_i$, of shape $(n)$, which are added to those over rows.

        Returns:
            The pairs $i < j$ with $|\phi_i - \phi_j|$ up to this number of standard errors; none, if all are unknown.
        """

        variance = torch.zeros_like(phi) if sampling is None else sampling**2
        if self.differences is None and not variance.any():
            return []
        over_rows = 0 if self.differences is None else self.differences
        near = (phi[:, None] - phi).abs() <= errors * (variance[:, None] + variance + over_rows**2).sqrt()
        return [(i, j) for i in range(len(phi)) for j in range(i + 1, len(phi)) if near[i, j]]


def standard_errors(valuation: Valuation, contribution: Contribution, contributions: Contributions) -> Uncertainty:
    r"""Compute the standard errors of values and contributions over rows by the jackknife, in $O(t n^2)$.

    All rows are considered drawn independently, those of a party from its distribution, and those of the pool from the
    generator's, which is considered fixed. What is estimated is the standard error of $v(D_i)$ and $\phi_i$ as
    estimates of their means over such draws.

    **Deletion.** Values are linear in $a$ and $B$, and semivalues $\phi$ are linear in values. Without a row $x$ of
    block $k$, $N_k$ and $t$ are smaller by 1, $B_{kb}$ by $R[x, b]$, and $a$ by sums of $R[x, \cdot]$. So $\phi_j$
    without $x$ is $\text{const} - 2 \sum_b W_{kb} R[x, b]$, with the same coefficients $W_{kb}$ for all rows of a
    block, and its variance over the rows $x$ is that of a linear form of $R[x, \cdot]$: exactly that of $\phi_j$
    computed again without each of the rows.

    **Second order.** $v$ and $\phi$ are quadratic in the empirical distributions of the blocks. With the variance
    $\sigma_1^2$ of their linear part and $\sigma_2^2$ of their quadratic part, the jackknife has the mean $\sigma_1^2 +
    2 \sigma_2^2$ (Efron and Stein, 1981): it is too large where $\sigma_1$ is small, as for the differences of parties
    with the same distribution. The quadratic part is $\sum W_{kl} \tilde k(x, y)$ over pairs of rows, with the kernel
    centred in both arguments, so that its variance follows from $\mathbb{E} \tilde k(x, y)^2$ of each pair of blocks,
    which is estimated from a part of the rows. It is subtracted once. The result is at least $\sigma_2^2$.

    The errors of contributions are unknown for more than 20 parties, and for contributions that are not semivalues, see
    `Contribution.coalition_weights`. With 200 parties or more, the second order is not subtracted: the errors of $v$
    are upper bounds then.

    Arguments:
        valuation: The valuation, with its block sums.
        contribution: The contribution concept.
        contributions: The contributions.

    References:
        The Jackknife Estimate of Variance (Efron and Stein, 1981).

    Example:
        >>> from cgm.contributions import Shapley
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> random = torch.Generator().manual_seed(0)
        >>> parties = [torch.randn(50, 2, generator=random) + shift for shift in (0.0, 0.0, 2.0)]
        >>> game = Valuation(SquaredExponential(1.0), parties, torch.randn(200, 2, generator=random))
        >>> contributions = Shapley().compute(game)
        >>> standard_errors(game, Shapley(), contributions).not_distinguished(contributions.phi)
        [(0, 1)]
    """

    n = valuation.n
    v = _jackknife(valuation, None, [valuation] * n)
    weights = contribution.coalition_weights(n)
    if n > MAX_PARTIES:
        return Uncertainty(v, reason=f"{n} parties have too many coalitions; at most {MAX_PARTIES} are possible")
    if weights is None:
        return Uncertainty(
            v, reason=f"{type(contribution).__name__} states no weights of coalitions (coalition_weights)"
        )

    games = valuation.contribution_games()
    left, right = np.triu_indices(n, 1)
    contrasts = np.concatenate([np.eye(n), np.eye(n)[left] - np.eye(n)[right]])
    errors = _jackknife(valuation, weights.numpy(), games * (n if len(games) == 1 else 1), contrasts)
    differences = torch.zeros(n, n, dtype=torch.float64)
    differences[left, right] = differences[right, left] = errors[n:]
    return Uncertainty(v, errors[:n], differences, *_to_largest(contributions.phi, differences))


def _to_largest(phi: torch.Tensor, differences: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the distances to the largest of the other contributions, and their standard errors; 0 for one party."""

    n = len(phi)
    if n == 1:
        return torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    others = phi.repeat(n, 1).fill_diagonal_(-torch.inf)
    largest, j = others.max(1)
    near = (largest[:, None] - others) <= 2 * differences[j]  # (n, n): whether a party may have the largest, too
    return phi - largest, torch.where(near, differences, 0.0).amax(1)


def _jackknife(
    valuation: Valuation, weights: np.ndarray | None, games: Sequence[Valuation], contrasts: np.ndarray | None = None
) -> torch.Tensor:
    r"""Compute standard errors over rows.

    Arguments:
        valuation: The valuation.
        weights: The weights $p_c$ of the semivalue $\phi$, of shape $(n)$; `None` for the values $v(D_i)$.
        games: The games of the parties' contributions, with their references.
        contrasts: Linear combinations of $\phi$, of shape $(m, n)$; $\phi$ itself, if `None`.

    Returns:
        The standard errors of the combinations, of shape $(m)$.
    """

    n = valuation.n
    full = np.array(valuation.sizes, dtype=np.float64)
    reference = np.zeros((n, n + 1))  # whether a block is in the reference of φ_i's game
    for i, game in enumerate(games):
        reference[i, list(game.reference_blocks)] = 1

    def coefficients(k: int, sizes: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """Compute the coefficients W_kb of the contrasts, of shape (m, n + 1)."""

        linear = np.pad(linear, ((0, 0), (0, 1)))  # the pool is in no coalition
        quadratic = np.pad(_quadratic(k, sizes[:n], weights), ((0, 0), (0, 1)))
        both = reference[:, k, None] * linear + linear[:, k, None] * reference
        w = both / (reference @ sizes)[:, None] - quadratic
        return w if contrasts is None else contrasts @ w

    linear = _linear(full[:n], weights)
    kappa = _second_moments(valuation)
    jackknife, excess, second = np.zeros((3, n if contrasts is None else len(contrasts)))
    for k, rows in enumerate(valuation.sums.split(valuation.sizes)):
        size = full[k]
        w = coefficients(k, full, linear)
        pairs = np.where(np.arange(n + 1) == k, size - 1, full) * kappa[k]  # other rows y of x in each block
        second += 2 * size * (w**2 @ pairs)
        if size == 1:
            continue  # a pool of one point
        fewer = full - (np.arange(n + 1) == k)
        w = coefficients(k, fewer, linear if k == n else _linear(fewer[:n], weights))
        r = rows.cpu().numpy()
        triangle = np.asarray(np.linalg.qr(r - r.mean(0), mode="r"))  # with the Gram matrix of the centred rows
        jackknife += 4 * (size - 1) / size * ((w @ triangle.transpose()) ** 2).sum(1)
        pairs = np.where(np.arange(n + 1) == k, size - 2, full) * kappa[k]
        excess += 4 * (size - 1) ** 2 / size * (w**2 @ pairs)
    return torch.from_numpy(np.sqrt(np.maximum(jackknife - excess + second, second)))


def _linear(sizes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    r"""Compute semivalues of the games with the values $1 / s_C$ for coalitions with $i$, and 0 for others.

    $s_C$ is the number of points of a coalition. With $p_{-1} = p_n = 0$,

    .. math:: \phi_j = \sum_{C \ni j} (p_{|C| - 1} + p_{|C|}) \, v(C) - \sum_C p_{|C|} \, v(C)

    Arguments:
        sizes: The numbers of points of the parties, of shape $(n)$.
        weights: As in `_jackknife`; without weights, the values $v(\{j\})$ take the place of $\phi_j$.

    Returns:
        The semivalue of party $j$ in the game of $i$, of shape $(n, n)$ (j, i).
    """

    if weights is None:
        return np.diag(1 / sizes)
    size, p, p_before = _by_coalition(sizes, weights)
    return pair_sums((p + p_before) / size) - single_sums(p / size)


def _quadratic(k: int, sizes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    r"""Compute semivalues of the games with the values $1 / s_C^2$ for coalitions with $k$ and $i$, see `_linear`.

    They are 0 if $k = n$ is the pool.
    """

    n = len(sizes)
    result = np.zeros((n, n))
    if k == n:
        return result
    if weights is None:
        result[k, k] = 1 / sizes[k] ** 2
        return result

    size, p, p_before = (x.reshape(-1, 2, 2**k)[:, 1].ravel() for x in _by_coalition(sizes, weights))  # those with k
    with_j, over_all = (p + p_before) / size**2, p / size**2
    others = np.delete(np.arange(n), k)
    pairs = pair_sums(with_j)
    result[np.ix_(others, others)] = pairs - single_sums(over_all)
    result[k, others] = pairs.diagonal() - single_sums(over_all)
    result[others, k] = pairs.diagonal() - over_all.sum()
    result[k, k] = with_j.sum() - over_all.sum()
    return result


def _by_coalition(sizes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return $s_C$, $p_{|C|}$ and $p_{|C| - 1}$ of all coalitions, each of shape $(2^n)$."""

    size, count = np.zeros(1), np.zeros(1, dtype=np.int64)
    for points in sizes:
        size, count = np.concatenate([size, size + points]), np.concatenate([count, count + 1])
    size[0] = np.inf  # the empty coalition has the value 0
    p = np.append(weights, 0.0)
    return size, p[count], np.roll(p, 1)[count]


def single_sums(values: np.ndarray) -> np.ndarray:
    """Compute the sums over all coalitions of each party, of shape (n), see `pair_sums`."""

    sums = []
    while len(values) > 1:  # the party of the highest bit
        without, joined = values.reshape(2, -1)
        sums.append(joined.sum())
        values = without + joined
    return np.array(sums[::-1])


def pair_sums(values: np.ndarray) -> np.ndarray:
    """Compute the sums over all coalitions that both parties are members of, in O(2^n).

    Arguments:
        values: A value for each coalition, of shape (2^n); party i is bit i of a coalition's number.

    Returns:
        The sums, of shape (n, n); on the diagonal, those over the coalitions of one party.
    """

    n = len(values).bit_length() - 1
    sums = np.zeros((n, n))
    for i in reversed(range(n)):  # coalitions of the parties 0 to i, summed over all others
        without, joined = values.reshape(2, -1)
        sums[i, i] = joined.sum()
        sums[i, :i] = sums[:i, i] = single_sums(joined)
        values = without + joined
    return sums


def _second_moments(valuation: Valuation) -> np.ndarray:
    r"""Estimate the means of $\tilde k(x, y)^2$ over rows of all pairs of blocks, of shape $(n + 1, n + 1)$.

    $\tilde k$ is the kernel, centred over the distributions of the blocks. The estimates are unbiased: the interaction
    mean square of a two-way layout for different blocks, and the U-centred matrix of a distance covariance for the same
    block. They are 0, so that nothing is subtracted from the jackknife, for blocks of fewer than 4 rows, and for more
    than 200 blocks.

    References:
        Partial Distance Correlation with Methods for Dissimilarities (Székely and Rizzo, 2014).
    """

    blocks = len(valuation.sizes)
    kappa = np.zeros((blocks, blocks))
    if blocks > MAX_BLOCKS:
        return kappa
    limit = KERNEL_ROWS // blocks
    rng = np.random.default_rng(0)
    parts = [valuation.points[valuation.block(b)] for b in range(blocks)]
    parts = [x[np.sort(rng.permutation(len(x))[:limit])].cpu() for x in parts]
    for i, x in enumerate(parts):
        for j in range(i + 1):
            y = parts[j]
            if len(x) < MIN_ROWS or len(y) < MIN_ROWS:
                continue
            k = valuation.kernel(x, y).double().numpy()
            if i == j:
                m = len(x)
                np.fill_diagonal(k, 0)
                rows = k.sum(0) / (m - 2)
                k += k.sum() / ((m - 1) * (m - 2)) - rows - rows[:, None]
                np.fill_diagonal(k, 0)
                kappa[i, i] = max((k**2).sum() / (m * (m - 3)), 0.0)
            else:
                k += k.mean() - k.mean(0) - k.mean(1)[:, None]
                kappa[i, j] = kappa[j, i] = (k**2).sum() / ((len(x) - 1) * (len(y) - 1))
    return kappa
