r"""Rewards of points with `privacy=release`: all that reaches other parties follows from one sketch of each party.

What is computed of a party's rows, and who may have it:

- one noisy sum of features, which is $(\varepsilon, \delta)$-private: everybody. Values, contributions, reward values,
  incentives, standard errors, the pool and its size follow from these sums and from public rows alone;
- the party's own reward, which stops by its exact rows and the sketches of the others: the party alone.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from cgm.contributions.base import compute_contributions
from cgm.contributions.pointwise import Pointwise
from cgm.contributions.uncertainty import Uncertainty
from cgm.data.features.base import Features, transform_parts
from cgm.data.features.network import NetworkFeatures
from cgm.data.tables.columns import NumericColumn
from cgm.data.tables.schema import Schema
from cgm.generators.base import Generator
from cgm.generators.mean_embedding import MeanEmbedding
from cgm.generators.pool import Pool
from cgm.mediator import Mediator, MediatorSettings, Pooled, Settlement
from cgm.privacy.features import check_not_negative
from cgm.privacy.pool import ParticleFit
from cgm.privacy.release import NO_REPLAY, Release, guarantee_of
from cgm.privacy.schema import SketchSchema
from cgm.privacy.sketch import Sketch
from cgm.privacy.valuation import SketchValuation
from cgm.rewards.candidates import drawn_from
from cgm.rewards.errors import warn_of_stops
from cgm.rewards.sampling import Reward, WeightedSampling
from cgm.sketches import SketchComputation, SketchNumbers
from cgm.utils.plain import snake
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import limited, timed
from cgm.utils.text import listed, printable
from cgm.valuation.kernels import Kernel
from cgm.valuation.lengthscale import LengthscaleSearch, median_distance, resolve_lengthscale
from cgm.valuation.mmd import biased, block_sums, unbiased
from cgm.valuation.references import AllReference
from cgm.valuation.valuation import Valuation, value_from_sums

log = logging.getLogger(__name__)

DIGITS = 6  # of numbers that are fitted to public rows
PUBLIC = (
    "the public rows: features, scales, length-scale, ranges and landmarks are fitted to them",
    "the names of the parties, their numbers of rows and their ε",
    "all settings",
)


@dataclass(frozen=True, eq=False)
class Released:
    r"""What is guaranteed to the parties of a run with `privacy=release`, and what the guarantee costs.

    Attributes:
        guarantees: What is guaranteed to each party, see `guarantee_of`.
        public: What was public, in words.
        public_rows: The number of public rows.
        schema: The digest of the public schema.
        dimensions: The number of dimensions of the noise.
        missed: The share of the weight of a point of the pool that the features miss.
        price: Whether the bias of the noise is left in the values, see `Release`.
        replay: Why the run cannot be repeated.
        values_stderr, phi_stderr, alpha_stderr, rewards_stderr: For each party the standard error because of the
            noise; `None` if it is unknown.
        values_exact, alpha_exact: $v(D_i)$ and $\alpha$ of the rows themselves with the same pool. Not private: for
            studies. `None` if nobody contributes.
        alpha_features: $\alpha$ of the features of the rows without noise. Not private.
    """

    guarantees: list[dict[str, Any]]
    public: list[str]
    public_rows: int
    schema: str
    dimensions: int
    missed: float
    price: str
    replay: str
    values_stderr: list[float | None]
    phi_stderr: list[float | None]
    alpha_stderr: list[float | None]
    rewards_stderr: list[float | None]
    values_exact: list[float]
    alpha_exact: list[float] | None
    alpha_features: list[float] | None


def check_release(settings: MediatorSettings, privacy: Release) -> None:
    """Check that nothing of a mediator is fitted to the rows of parties.

    Raises:
        ValueError: If something is, or needs the rows; the message says what to give instead.
    """

    said = "with privacy=release"
    if privacy.pool == "sketches" and not isinstance(settings.generator, MeanEmbedding):
        raise ValueError(
            f"generator={snake(type(settings.generator).__name__)}: would be fitted to the parties' rows; {said} say "
            "generator=mean_embedding, which follows the sketches, or privacy.pool=public, which fits any generator to "
            "the public rows"
        )
    if privacy.pool == "sketches" and isinstance(generator := settings.generator, MeanEmbedding):
        if generator.pretrained is not None:
            raise ValueError(f"generator.pretrained={generator.pretrained}: {said} say privacy.pool=public")
        if generator.jitter != MeanEmbedding.jitter:
            raise ValueError(
                f"generator.jitter={generator.jitter}: {said} it is {ParticleFit.jitter} length-scales; leave it out"
            )
    if isinstance(settings.features, Features) and settings.features.joint:
        raise ValueError(
            f"features={snake(type(settings.features).__name__)}: would be fitted to the parties' rows and the pool; "
            f"{said} say features.fit_to=parties, which is then fitted to the public rows, or other features"
        )
    if not isinstance(settings.reference, AllReference):
        name = snake(type(settings.reference).__name__).removesuffix("_reference")
        raise ValueError(f"reference={name}: {said} values are compared with all data; say reference=all")
    if isinstance(settings.contribution, Pointwise):
        raise ValueError(f"contribution=pointwise: needs the rows themselves; {said} say contribution=shapley")
    check_not_negative(settings.kernel)


def computation(
    settings: MediatorSettings, privacy: Release, seed: int, sampling: WeightedSampling | None = None
) -> SketchComputation:
    """Return what computes values and reward values from sketches, with the settings of a mediator.

    Arguments:
        settings: The settings of the mediator.
        privacy: Those of the release.
        seed: The seed of everything random but the noise.
        sampling: How rewards are drawn. `None`: as the mediator's.
    """

    fit = ParticleFit()
    if isinstance(settings.generator, MeanEmbedding):
        fit = ParticleFit(particles=settings.generator.particles, steps=settings.generator.steps)
    return SketchComputation(
        settings.contribution,
        settings.scheme,
        sampling or settings.sampling,
        fit,
        price=privacy.price,
        draws=privacy.draws,
        seed=seed,
    )


def warn_of_delta(sketches: Sequence[Sketch]) -> list[str]:
    """Return a warning, if δ is not below one divided by the number of rows of each party."""

    delta = sketches[0].schema.delta
    names = [printable(sketch.party) for sketch in sketches if delta * sketch.rows >= 1]
    return [f"privacy.delta={delta:g}: not below one divided by the number of rows of {listed(names)}"] if names else []


@limited(1)  # sums, and so all numbers, depend on the number of threads
def own_rewards(
    numbers: SketchNumbers, party: int, rows: torch.Tensor, candidates: int | None = None
) -> tuple[SketchValuation, list[Reward]]:
    r"""Draw the rewards of a party, which stop by its exact rows and the sketches of the others: for this party alone.

    Arguments:
        numbers: What follows from the sketches.
        party: The party, from 0.
        rows: Its rows as the schema encodes them, of shape (N, d).
        candidates: The number of points of G that rewards are drawn from at most. `None`: all.

    Returns:
        The valuation with its rows in place of its sketch, and a reward for each β.
    """

    settings, game = numbers.settings, numbers.game.with_rows(party, rows)
    drawn = settings.sampling.draw(drawn_from(game, candidates), numbers.rewards.values, settings.seed, [party])
    return game, drawn


def settle_points(
    mediator: Mediator,
    privacy: Release,
    parties: Sequence[torch.Tensor],
    public: torch.Tensor,
    parts: Sequence[torch.Tensor],
    seed: int,
) -> tuple[Settlement, SketchNumbers, Released]:
    r"""Compute the rewards of parties from sketches of their rows.

    Arguments:
        mediator: The mediator. Its generator and features are fitted to public rows alone.
        privacy: The settings of the release.
        parties: The parties' rows, each of shape $(N_i, D)$ or $(N_i, C, H, W)$.
        public: Public rows.
        parts: Public rows that stand for those of the parties where a length-scale is fitted, and last for $G$, each of
            such a shape; may be empty.
        seed: The seed of everything random but the noise, which has none.

    Returns:
        The settlement, whose `game` is that of the rows themselves, for evaluation; what follows from the sketches;
        and what is guaranteed, for the record.

    Raises:
        ValueError: If the data cannot be valued.
        InfeasibleScheme: If no rewards fit their bounds, however large $G$.
    """

    check_release(mediator, privacy)
    epsilons = privacy.epsilons(len(parties))
    names = [f"party {i + 1}" for i in range(len(parties))]
    warnings: list[str] = []
    features = copy.copy(mediator.choose_features(public))
    with timed("features"):
        features.fit(public, stream_seed(seed, Stream.FIT_FEATURES))
        if _uses_weights(features, mediator.generator, privacy):
            warnings.append(
                "weights of networks were trained before, on rows that the guarantee does not cover; where rows of the "
                "parties are among them, it holds for what is released beyond the weights"
            )
        cache = mediator.cache or None
        x = transform_parts(features, parties, cache)
        z, *of_parts = transform_parts(features, [public, *parts], cache)
    with timed("lengthscale"):
        kernel = public_kernel(mediator.kernel, z, of_parts, mediator.kernel_search)
    schema, origin = schema_of_points(z, kernel, privacy, seed)
    if len(schema.landmarks) < privacy.landmarks:  # type: ignore[arg-type]  # there are landmarks
        warnings.append(f"privacy.landmarks={privacy.landmarks}: there are {len(z)} public rows, all are landmarks")
    rows = [points - origin for points in x]
    with timed("sketches"):
        drawn = [
            Sketch.of_points(schema, points, name, epsilon)
            for points, name, epsilon in zip(rows, names, epsilons, strict=True)
        ]
    warnings += warn_of_delta(drawn)
    for message in warnings:
        log.warning(message)
    pool = None
    generator: Generator = copy.copy(mediator.generator)
    if privacy.pool == "public":
        fitted = mediator.fit([public], seed, features)
        generator = fitted.generator

        def pool(size: int) -> torch.Tensor:
            return mediator.pool(fitted, size, seed).pool.points.double() - origin

    sizes = mediator.sizes(sum(map(len, parties)))
    numbers = computation(mediator, privacy, seed).compute(drawn, sizes, pool)
    with timed("sampling"):
        rewards = [
            reward for i in range(len(rows)) for reward in own_rewards(numbers, i, rows[i], mediator.candidates)[1]
        ]
    points = Pool(numbers.game.points + origin, torch.empty(0, 1, 1, 1, dtype=torch.uint8))
    exact = replace(mediator, kernel=kernel).value(Pooled(x, points, features, generator))
    settlement = Settlement(
        points,
        features,
        generator,
        exact,
        numbers.contributions,
        Uncertainty(numbers.errors["values"], reason="standard errors are those because of the noise"),
        replace(numbers.rewards, name=snake(type(mediator.scheme).__name__)),
        numbers.incentives,
        numbers.incentives,
        {(reward.party, reward.beta): _measured(reward, exact) for reward in rewards},
        [*warnings, *numbers.warnings, *warn_of_stops(rewards), *_warn_of_less(rewards)],
        {},
        names,
    )
    return settlement, numbers, _released(settlement, numbers, rows, len(public), privacy, seed)


def _warn_of_less(rewards: Sequence[Reward]) -> list[str]:
    """Return a warning for each party that was promised less than its rows are worth, which follows from its rows."""

    return [
        f"party {reward.party + 1}: its rows are worth v(D_i) = {reward.start:.6g}, more than r_i = "
        f"{reward.promised:.6g}, because of the noise: its reward is empty"
        for reward in {reward.party: reward for reward in rewards}.values()
        if reward.size == 0 and reward.start > reward.promised
    ]


def _uses_weights(features: Features, generator: Generator, privacy: Release) -> bool:
    """Return whether fitted features or the generator are weights that were trained before."""

    if privacy.pool == "public" and getattr(generator, "pretrained", None) not in (None, False):
        return True
    loaded = isinstance(features, NetworkFeatures) and features.report is None
    return loaded or getattr(features, "of", "pixels") != "pixels"


def _measured(reward: Reward, game: Valuation) -> Reward:
    """Return a reward with its value and its MMD by the rows of all parties, for evaluation.

    Arguments:
        reward: The reward.
        game: The valuation of the rows.
    """

    rows, party = reward.indices + game.real.stop, reward.party
    sums, g = game.sums[rows].cpu(), game.points[rows].cpu()
    own, size = float(game.b[party, party]), game.sizes[party] + reward.size
    inside = float(block_sums(game.kernel, g, [len(g)]).sum()) if len(g) else 0.0
    pairs = own + 2 * float(sums[:, party].sum()) + inside
    with_all = float(game.with_all[party]) + float(sums.sum())
    t = len(game.points)
    return replace(
        reward,
        mmd2_biased=biased(pairs, with_all, game.total, size, t),
        mmd2_unbiased=unbiased(pairs, with_all, game.total, size, t, game.kernel.diagonal),
        checked=float(value_from_sums(with_all, pairs, size, t)),
        checked_error=0.0,
    )


def _released(
    settlement: Settlement,
    numbers: SketchNumbers,
    rows: Sequence[torch.Tensor],
    public_rows: int,
    privacy: Release,
    seed: int,
) -> Released:
    """Return what is guaranteed, and what the guarantee costs."""

    contribution, stream = numbers.settings.contribution, stream_seed(seed, Stream.CONTRIBUTIONS)

    def alpha(game: Valuation) -> list[float] | None:
        try:
            return compute_contributions(contribution, game, stream).alpha.tolist()
        except ValueError:  # nobody contributes
            return None

    def errors(name: str) -> list[float | None]:
        return [x if math.isfinite(x) else None for x in numbers.errors[name].tolist()]

    game = numbers.game
    return Released(
        guarantees=[guarantee_of(sketch) for sketch in numbers.sketches],
        public=list(PUBLIC),
        public_rows=public_rows,
        schema=numbers.schema.digest,
        dimensions=game.dimensions,
        missed=game.missed,
        price=privacy.price,
        replay=NO_REPLAY,
        values_stderr=errors("values"),
        phi_stderr=errors("phi"),
        alpha_stderr=errors("alpha"),
        rewards_stderr=errors("rewards"),
        values_exact=settlement.game.party_values.tolist(),
        alpha_exact=alpha(settlement.game),
        alpha_features=alpha(game.without_noise(rows)),
    )


def public_kernel(
    kernel: Kernel, public: torch.Tensor, parts: Sequence[torch.Tensor], search: LengthscaleSearch
) -> Kernel:
    """Return a kernel with a number as its length-scale, which follows from public rows.

    Arguments:
        kernel: The kernel.
        public: Public rows in the features, of shape (M, d).
        parts: Parts of them that stand for the rows of the parties, and last for G; may be empty.
        search: The range of the search of `fit` and `fit_monotone`.

    Raises:
        ValueError: If a rule needs rows of parties, and there are none that stand for them.
    """

    rule = kernel.lengthscale
    if not isinstance(rule, str):
        return kernel
    if rule == "median":
        found = median_distance(public)
    elif parts:
        found = resolve_lengthscale(kernel, list(parts[:-1]), parts[-1], search).numeric_lengthscale
    else:
        raise ValueError(
            f"kernel.lengthscale={rule}: would be fitted to the parties' rows; with privacy=release say median, which "
            "is that of the public rows, or a number"
        )
    return kernel.with_lengthscale(_rounded(found))


def schema_of_points(
    public: torch.Tensor, kernel: Kernel, privacy: Release, seed: int
) -> tuple[SketchSchema, torch.Tensor]:
    r"""Return the public schema of points, and the origin to subtract from them.

    Landmarks are public rows, and the pool lies within their ranges; rows of parties may lie anywhere, since their
    features are bounded.

    Arguments:
        public: Public rows in the features, of shape (M, d).
        kernel: The kernel, with a number as its length-scale.
        privacy: The settings of the release.
        seed: The seed by which landmarks are chosen.

    Raises:
        ValueError: If a column of the public rows is constant.
    """

    ends = torch.stack([public.amin(0), public.amax(0), public.quantile(0.5, 0)]).double()
    if (ends[0] == ends[1]).any():
        column = int((ends[0] == ends[1]).nonzero()[0, 0])
        raise ValueError(f"privacy.public: column {column + 1} of the features is the same in all public rows")
    ends = torch.tensor([[_rounded(x) for x in line] for line in ends.tolist()], dtype=torch.float64)
    columns = Schema(
        tuple(
            NumericColumn(f"x{k + 1}", minimum=low, maximum=high, median=min(max(middle, low), high))
            for k, (low, high, middle) in enumerate(ends.T.tolist())
        ),
        {},
    )
    random = torch.Generator().manual_seed(stream_seed(seed, Stream.LANDMARKS))
    chosen = torch.randperm(len(public), generator=random)[: privacy.landmarks]
    landmarks = public[chosen].double() - ends[0]
    scales = {column.name: 1.0 for column in columns.columns}
    return SketchSchema(columns, scales, kernel, landmarks, privacy.delta), ends[0]


def standardised(public: torch.Tensor, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    r"""Return points (N, D) in units of the standard deviations of public rows, from their means; images as they are.

    If a dataset was scaled by all of its rows, this undoes it, but for rounding errors.

    Arguments:
        public: The public rows, of shape (M, D) or (M, C, H, W).
        parts: Rows of such a shape.
    """

    if public.dim() != 2:
        return list(parts)
    mean, scale = public.double().mean(0), public.double().std(0)
    return [(x.double() - mean) / torch.where(scale > 0, scale, 1.0) for x in parts]


def _rounded(x: float) -> float:
    return float(f"{x:.{DIGITS}g}")
