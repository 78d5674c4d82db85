r"""From the parties' data to their rewards: Sections 2 to 4.2 of the paper, in order."""

from __future__ import annotations

import copy
import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from cgm.contributions.base import Contribution, Contributions, compute_contributions
from cgm.contributions.semivalues import Shapley
from cgm.data.features.autoencoder import Automatic
from cgm.data.features.base import Features, transform_parts
from cgm.generators.base import Generator
from cgm.generators.kde import KDE
from cgm.generators.pool import Pool, draw_pool, embed_pool
from cgm.networks.classifier import Classifier
from cgm.rewards.incentives import Incentive, check_incentives
from cgm.rewards.sampling import Chain, WeightedSampling
from cgm.rewards.schemes import InfeasibleScheme, Rewards, Scheme, ShapleyFair
from cgm.utils.checks import check_instance, check_integer, check_number, check_parties, check_values
from cgm.utils.random import stream_seed
from cgm.utils.run import Clock, check_device, resolve_device, training_on
from cgm.utils.sharing import data_of, settings_of, shared
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.lengthscale import LengthscaleSearch, resolve_lengthscale
from cgm.valuation.mmd import check_precision
from cgm.valuation.references import AllReference, Reference
from cgm.valuation.valuation import Valuation

log = logging.getLogger(__name__)

FIT_FEATURES, FIT_GENERATOR, SAMPLE_POOL, CONTRIBUTIONS, EMBED = range(5)  # streams that a seed is split into


@dataclass(frozen=True)
class Settlement:
    r"""What a mediator computes for the parties.

    Attributes:
        pool: The synthetic pool $G$.
        features: The features in which data is valued, fitted.
        game: The valuation of $T = D_1 \cup \dots \cup D_n \cup G$.
        contributions: The contributions $\phi$ and $\alpha$.
        rewards: The reward values $r_i$ and their bounds.
        incentives: Which incentives the rewards hold.
        chains: For each party and $\beta$, the rows of $G$ that are its reward $G_i$, in order of acceptance.
        warnings: What the user should know.
        seconds: The seconds that each step took.
    """

    pool: Pool
    features: Features
    game: Valuation
    contributions: Contributions
    rewards: Rewards
    incentives: Mapping[str, Incentive]
    chains: Sequence[Chain]
    warnings: Sequence[str]
    seconds: Mapping[str, float]

    @property
    def parties(self) -> list[torch.Tensor]:
        """The parties' points in the features, each of shape $(N_i, d)$, float64."""

        return [self.game.party(i).cpu() for i in range(self.game.n)]

    def reward(self, party: int, beta: float) -> torch.Tensor:
        r"""Return the reward $G_i$ of a party (from 0) at an inverse temperature, of shape $(|G_i|, d)$.

        Raises:
            ValueError: If no such reward was drawn.
        """

        return self.pool.points[self.chain(party, beta).indices]

    def chain(self, party: int, beta: float) -> Chain:
        r"""Return how the reward $G_i$ of a party (from 0) at an inverse temperature was drawn.

        Raises:
            ValueError: If no such reward was drawn.
        """

        for chain in self.chains:
            if (chain.party, chain.beta) == (party, beta):
                return chain
        betas = ", ".join(f"{beta:g}" for beta in dict.fromkeys(chain.beta for chain in self.chains))
        raise ValueError(f"reward: party={party}, beta={beta:g}; there are parties 0 to {self.game.n - 1}, β {betas}")


@dataclass(frozen=True)
class Mediator:
    r"""Turns the data of several parties into fair rewards of synthetic data.

    It needs points only: no labels, no split, no downstream task.

    Arguments:
        generator: Is fitted to the pooled data, and draws the synthetic pool $G$.
        features: Reduces points or images to the $d$ dimensions that are valued; `Automatic` chooses by the data.
        kernel: The kernel $k$ of the valuation.
        contribution: How the value of all data is shared.
        scheme: How contributions become reward values.
        sampling: How rewards are drawn.
        reference: The data that values are compared with.
        kernel_search: The range in which a length-scale is searched.
        precision: The arithmetic of the kernel's values on $G \times G$, see `Valuation`.
        synthetic_size: The size of $G$.
        growth: The factor by which $G$ grows while no rewards fit their bounds (Sec. 4.1).
        max_growth: The largest size that $G$ may grow to, as a multiple of `synthetic_size`.
        device: Where the kernel's sums are computed and an MMD-GAN is trained, `"cpu"`, `"cuda"`, `"cuda:1"` for the
            second GPU, or `"auto"` for `"cuda"` if there is one.
        cache: A folder where features and pools of images are kept for the next run, or `False`. Each use is logged.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> parties = [torch.randn(50, 2) + shift for shift in (0.0, 1.0, 2.0)]
        >>> settlement = Mediator(synthetic_size=500).settle(parties, seed=0)
        >>> settlement.rewards.values.shape, settlement.reward(party=0, beta=8).shape[1]
        (torch.Size([3]), 2)
    """

    generator: Generator = field(default_factory=KDE)
    features: Features | Automatic = field(default_factory=Automatic)
    kernel: Kernel = field(default_factory=lambda: SquaredExponential("fit"))
    contribution: Contribution = field(default_factory=Shapley)
    scheme: Scheme = field(default_factory=ShapleyFair)
    sampling: WeightedSampling = field(default_factory=WeightedSampling)
    reference: Reference = field(default_factory=AllReference)
    kernel_search: LengthscaleSearch = field(default_factory=LengthscaleSearch)
    precision: str = "auto"
    synthetic_size: int = 10_000
    growth: float = 2.0
    max_growth: float = 8.0
    device: str = "cpu"
    cache: str | Literal[False] = False

    def __post_init__(self) -> None:
        check_instance("generator", self.generator, Generator)
        check_instance("features", self.features, Features, Automatic)
        check_instance("kernel", self.kernel, Kernel)
        check_instance("contribution", self.contribution, Contribution)
        check_instance("scheme", self.scheme, Scheme)
        check_instance("sampling", self.sampling, WeightedSampling)
        check_instance("reference", self.reference, Reference)
        check_instance("kernel_search", self.kernel_search, LengthscaleSearch)
        check_precision(self.precision)
        check_integer("synthetic_size", self.synthetic_size, min=1)
        check_number("growth", self.growth, min=1, open_min=True)
        check_number("max_growth", self.max_growth, min=1)
        if self.cache is not False and not (isinstance(self.cache, str) and self.cache):
            raise ValueError(f"cache={self.cache!r}: expected the path of a folder, or false")
        check_device(self.device)

    def settle(
        self,
        parties: Sequence[torch.Tensor],
        seed: int = 0,
        classifier: Classifier | None = None,
        fitted: Features | None = None,
    ) -> Settlement:
        r"""Compute the rewards of the parties.

        Arguments:
            parties: The data $D_1, \dots, D_n$: points of shape $(N_i, D)$ or images of shape $(N_i, C, H, W)$.
            seed: The seed of everything random.
            classifier: Labels the images of $G$ while they are in memory, as `pool.labels`. For evaluation only: no
                step of the settlement reads them.
            fitted: Fitted features in place of the mediator's own, such as those of another settlement, whose values
                can then be compared.

        Raises:
            ValueError: If the data cannot be valued, or if no party has a positive contribution.
            InfeasibleScheme: If no rewards fit their bounds, however large $G$.
        """

        check_integer("seed", seed, min=0)
        resolve_device(self.device)  # an error before any long work
        clock, warnings = Clock(), []

        def warn(message: str) -> None:
            warnings.append(message)
            log.warning(message)

        # Sec. 2: the parties' data in the features, and the generator fitted to all of it
        check_parties(parties)
        features, cache = self._choose_features(parties[0]) if fitted is None else fitted, self.cache or None
        fit_seed = stream_seed(seed, FIT_FEATURES) if fitted is None else None
        x = list(parties)
        key: tuple[Hashable, ...] = (settings_of(self.features), fitted, seed, data_of(parties))
        if not features.joint:
            with clock("features"):
                features, x = shared("features", key, partial(_reduce, features, x, fit_seed, cache))
        key = settings_of(self.generator), *key
        with clock("generator"):
            pooled = torch.cat(x).flatten(1) if self.generator.space == "features" else torch.cat(list(parties))
            fit = partial(_fit, self.generator, pooled, stream_seed(seed, FIT_GENERATOR), self.device)
            generator = shared("generator", key, fit)
        raw = x if features.joint else []
        joint_images = features.joint and generator.space == "data"
        width = x[0].shape[1] if joint_images else x[0].flatten(1).shape[1]
        del parties, pooled, fit  # up to a gigabyte of images, which is not needed any more

        sizes = self._sizes()
        for size in sizes:
            own = size, classifier and classifier.fingerprint(), *key
            with clock("pool"):
                first, pool_seed = None if features.joint else features, stream_seed(seed, SAMPLE_POOL)
                draw = partial(draw_pool, generator, first, size, pool_seed, width, classifier, cache)
                pool = shared("pool", own, draw)
            if features.joint:  # the pool takes part in the fit: another pool, another fit
                with clock("features"):
                    embed = partial(_embed, features, raw, pool, fit_seed, cache)
                    features, x, pool = shared("joint features", own, embed)
            # Sec. 3 and 5: the values of all coalitions
            game = self._value(x, pool, own, clock)
            # Sec. 4: the contributions
            with clock("contributions"):
                contributions = compute_contributions(self.contribution, game, stream_seed(seed, CONTRIBUTIONS))
            # Sec. 4.1: the reward values; G grows while there are none
            try:
                with clock("scheme"):
                    rewards = self.scheme.solve(contributions, game, game.with_synthetic)
                check_instance("scheme: the result of solve", rewards, Rewards)
                check_values("scheme: reward values", rewards.values, game.n)
                break
            except InfeasibleScheme as error:
                if size == sizes[-1]:
                    raise InfeasibleScheme(
                        f"{error} (tried up to synthetic_size={size}, max_growth={self.max_growth:g})"
                    ) from error
                again = ", and the features are fitted again" if features.joint and fitted is None else ""
                warn(f"{error}; G grows from {size} points{again}")
        incentives = check_incentives(rewards, contributions, game)

        for message in (*contributions.warnings, *rewards.warnings):
            warn(message)
        numbers = {name: value for name, value in rewards.details.items() if isinstance(value, float)}
        log.info(
            "α = %s%s",
            [round(float(a), 4) for a in contributions.alpha],
            "".join(f", {name} = {value:.6g}" for name, value in numbers.items()),
        )

        # Sec. 4.2: the rewards themselves
        with clock("sampling"):
            chains = self.sampling.draw(game, rewards.values, seed)
        for chain in chains:
            if not chain.reached:
                warn(
                    f"party {chain.party + 1}, β={chain.beta:g}: stopped at v = {chain.value:.6g} after "
                    f"{len(chain.indices)} points, before it reached r_i = {chain.target:.6g}"
                )

        return Settlement(
            pool, features, game, contributions, rewards, incentives, chains, warnings, dict(clock.seconds)
        )

    def _choose_features(self, x: torch.Tensor) -> Features:
        """Return the features for data like x, not fitted."""

        features = self.features.choose(x) if isinstance(self.features, Automatic) else self.features

        return copy.copy(features)  # the settlement keeps its own fit

    def _sizes(self) -> list[int]:
        """List the sizes of G to try, one after the other."""

        sizes = [self.synthetic_size]
        while max(sizes[-1] * self.growth, sizes[-1] + 1) <= self.max_growth * self.synthetic_size:
            sizes.append(max(int(sizes[-1] * self.growth), sizes[-1] + 1))
        return sizes

    def _value(self, parties: Sequence[torch.Tensor], pool: Pool, key: Hashable, clock: Clock) -> Valuation:
        """Choose the length-scale and compute the kernel's sums."""

        *x, g = (points.to(resolve_device(self.device)) for points in (*parties, pool.points))
        own = (self.device, settings_of(self.kernel), settings_of(self.kernel_search), key)
        with clock("lengthscale"):
            search = partial(resolve_lengthscale, self.kernel, x, g, self.kernel_search, self.reference)
            kernel = shared("lengthscale", (self.reference.blocks(len(x)), own), search)
        with clock("valuation"):
            value = partial(Valuation, kernel, x, g, self.precision, self.reference)
            game = shared("valuation", (settings_of(self.reference), self.precision, own), value)
        log.info("length-scale %.6g, v(N) = %.6g, t = %d", kernel.lengthscale, game.grand_value, len(game.points))
        return game


def _fit(generator: Generator, x: torch.Tensor, seed: int, device: str) -> Generator:
    """Fit a generator and return it."""

    with training_on(resolve_device(device)):
        generator.fit(x, seed)
    return generator


def _reduce(
    features: Features, parties: Sequence[torch.Tensor], seed: int | None, cache: str | None
) -> tuple[Features, list[torch.Tensor]]:
    """Fit the features, if there is a seed, and map the parties' data to them."""

    if seed is not None:
        features.fit(torch.cat(list(parties)), seed)
    x = transform_parts(features, parties, cache)
    check_parties(x)
    return features, x


def _embed(
    features: Features, parties: Sequence[torch.Tensor], pool: Pool, seed: int | None, cache: str | None
) -> tuple[Features, list[torch.Tensor], Pool]:
    """Map the parties' data and the pool together to features, which are fitted if there is a seed."""

    features = features if seed is None else copy.copy(features)  # an earlier fit may be in use elsewhere
    x, pool = embed_pool(features, parties, pool, seed, cache)
    check_parties(x, pool.points)
    return features, x, pool
