"""Problems that the benchmark measures: points, valuations, games, chains."""

from collections.abc import Sequence

import torch

from cgm.rewards.sampling import Reward, WeightedSampling
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.mmd import cross_sums
from cgm.valuation.valuation import Valuation


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    """Draw points from the standard normal distribution, of shape (n, d), float64."""

    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(parties: int, points: int, synthetic: int, d: int, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Draw the points of parties, each around its own centre, and a pool around all centres."""

    centres = 2 * normal(parties, d, seed)
    data = [centre + normal(points, d, seed + 1 + i) for i, centre in enumerate(centres)]
    pool = normal(synthetic, d, seed + 1 + parties) + centres[torch.arange(synthetic) % parties]

    return data, pool


def clusters(
    parties: int, points: int, synthetic: int, d: int, seed: int, count: int = 6
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Draw the points of parties, each with its own shares of the same clusters, and a pool of all clusters."""

    random, centres = torch.Generator().manual_seed(seed), 2 * normal(count, d, seed)

    def draw(n: int, shares: torch.Tensor) -> torch.Tensor:
        x = torch.randn(n, d, generator=random, dtype=torch.float64)
        return centres[torch.multinomial(shares, n, replacement=True, generator=random)] + 0.5 * x

    data = [draw(points, torch.rand(count, generator=random)) for _ in range(parties)]
    return data, draw(synthetic, torch.ones(count))


class Estimated(Valuation):
    """A `Valuation` whose sums over G are estimated from a few thousand points of G.

    The time of sampling does not depend on these numbers, and a pass over a million points would take minutes.
    """

    def __init__(
        self, kernel: Kernel, parties: Sequence[torch.Tensor], synthetic: torch.Tensor, few: int = 2000
    ) -> None:
        self.kernel = kernel
        self.points = torch.cat([*parties, synthetic])
        self.sizes = [len(x) for x in (*parties, synthetic)]
        blocks = [*parties, synthetic[:few]]
        sums = [
            cross_sums(kernel, self.points, x) * (size / len(x)) for x, size in zip(blocks, self.sizes, strict=True)
        ]
        self.sums = torch.stack(sums, 1)
        self._add_up()


def targets(valuation: Valuation, share: float) -> torch.Tensor:
    """Return rewards at a share of the way from v(D_i) to v(D_i ∪ G), of shape (n)."""

    return valuation.party_values.lerp(valuation.with_synthetic, share)


def draw(valuation: Valuation, rewards: torch.Tensor, betas: Sequence[float], seed: int) -> list[Reward]:
    """Draw rewards; a chain stops at the latest a few hundred points after its best value."""

    return WeightedSampling(betas, patience=min(1.0, 300 / valuation.sizes[-1])).draw(valuation, rewards, seed)


def small_game(n: int, seed: int, equal: bool = False) -> Valuation:
    """Make a valuation of parties with few points: 2 to 40 points each, or 2 points each."""

    sizes = [2] * n if equal else torch.randint(2, 41, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
    x = normal(sum(sizes), 2, seed).split(sizes)
    centres = normal(n, 2, seed + 1)

    return Valuation(
        SquaredExponential(2.0), [p + c for p, c in zip(x, centres, strict=True)], normal(500, 2, seed + 2)
    )


class SinglePoints(Valuation):
    """The valuation whose parties are the real points of another one. A `Valuation` itself needs two points each."""

    def __init__(self, whole: Valuation) -> None:
        m = whole.real.stop
        self.kernel, self.points = whole.kernel, whole.points
        self.sizes = [1] * m + [whole.sizes[-1]]
        x = whole.points[whole.real]
        self.sums = torch.cat([whole.kernel(whole.points, x), whole.sums[:, -1:]], 1)
        self._add_up()


def single_points(n: int, seed: int) -> tuple[Valuation, Valuation]:
    """Make a valuation of two parties with n points in total, and that of the same points as n parties."""

    x = normal(n, 2, seed)
    whole = Valuation(SquaredExponential(2.0), [x[: n // 2], x[n // 2 :]], normal(500, 2, seed + 1))
    return whole, SinglePoints(whole)
