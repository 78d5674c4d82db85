r"""From the parties' data to their rewards: Sections 2 to 4.2 of the paper, in order."""

from __future__ import annotations

import copy
import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from warnings import warn

import torch

from cgm.contributions.base import Contribution, Contributions, compute_contributions
from cgm.contributions.semivalues import Shapley
from cgm.contributions.uncertainty import Uncertainty, standard_errors
from cgm.data.features.autoencoder import Automatic
from cgm.data.features.base import Features, transform_parts
from cgm.engines import Engine, Threads
from cgm.generators.base import Generator
from cgm.generators.kde import KDE
from cgm.generators.pool import Pool, draw_pool, embed_pool
from cgm.rewards.candidates import drawn_from
from cgm.rewards.errors import check_rewards, warn_of_points, warn_of_stops, warn_of_values
from cgm.rewards.frames import party_frame, reward_frame, states_line
from cgm.rewards.incentives import Incentives, check_incentives
from cgm.rewards.sampling import Reward, WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme, Rewards, Scheme
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.utils.checks import check_instance, check_integer, check_parties, check_pool, check_values, party_number
from cgm.utils.convert import numbered, parties_by_name
from cgm.utils.plain import NOT_WRITTEN, snake
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import Clock, check_device, resolve_device, timed, training_on
from cgm.utils.settings import Choice, Integer, Number, Settings, Text
from cgm.utils.shown import Shown, brief, counted
from cgm.utils.text import aligned_lines, choice_error, printable
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.lengthscale import LengthscaleSearch, resolve_lengthscale
from cgm.valuation.method import METHODS, Approximation, ValuationMethod
from cgm.valuation.mmd import PRECISIONS
from cgm.valuation.references import AllReference, Reference
from cgm.valuation.valuation import Valuation

if TYPE_CHECKING:
    import pandas as pd

    from cgm.figures.plots import Plots, Points
    from cgm.figures.rewards import Outcome

log = logging.getLogger(__name__)

Parties: TypeAlias = Mapping[str, Any] | Iterable[Any]  # what `cgm.utils.convert` takes
MIN_SIZE = 3_000  # of a pool whose size follows from the data
MAX_SIZE = 1_000_000  # that it grows to: some GiB
SMALLER = 1 / 16  # share of their error with which values are computed again that decide whether there are rewards


@dataclass(frozen=True)
class Fitted:
    r"""The fitted features and generator (Sec. 2).

    Attributes:
        features: The features in which data is valued, fitted; those that are fitted to $T$ as a whole are fitted with
            the pool.
        generator: The generator, fitted.
        parties: The parties' data in the features, each of shape $(N_i, d)$; as it was given, if the features are
            fitted with the pool.
        refit: Whether features that are fitted with the pool are fitted again for each pool.
    """

    features: Features
    generator: Generator
    parties: Sequence[torch.Tensor]
    refit: bool

    def __repr__(self) -> str:
        return brief(self)


@dataclass(frozen=True)
class Pooled:
    r"""The data that is valued: $T = D_1 \cup \dots \cup D_n \cup G$.

    Attributes:
        parties: The parties' points $D_i$ in the features, each of shape $(N_i, d)$, float64.
        pool: The synthetic pool $G$.
        features: The features, fitted.
        generator: The generator, fitted.
    """

    parties: Sequence[torch.Tensor]
    pool: Pool
    features: Features
    generator: Generator

    def __repr__(self) -> str:
        return brief(self)


@dataclass(frozen=True, repr=False)
class Settlement(Shown):
    r"""What a mediator computes for the parties.

    Attributes:
        pool: The synthetic pool $G$.
        features: The features in which data is valued, fitted.
        generator: The generator of the pool, fitted.
        game: The valuation of $T = D_1 \cup \dots \cup D_n \cup G$.
        contributions: The contributions $\phi$ and $\alpha$.
        uncertainty: The standard errors of $v(D_i)$ and $\phi_i$ over rows.
        rewards: The reward values $r_i$ and their bounds.
        incentives: Which incentives the reward values $r_i$ hold.
        target_incentives: Which incentives the targets hold that rewards are drawn to, see `WeightedSampling`; the same
            as of $r_i$, if the tolerance is 0.
        drawn: The rewards $G_i$ by party (from 0) and $\beta$.
        warnings: What the user should know.
        seconds: The seconds that each step took.
        names: The names of the parties: those that they were given with, or else `party 1`, `party 2`, ...
    """

    pool: Pool
    features: Features
    generator: Generator
    game: Valuation
    contributions: Contributions
    uncertainty: Uncertainty
    rewards: Rewards
    incentives: Incentives
    target_incentives: Incentives
    drawn: Mapping[tuple[int, float], Reward]
    warnings: Sequence[str]
    seconds: Mapping[str, float]
    names: Sequence[str]

    @property
    def parties(self) -> list[torch.Tensor]:
        """The parties' points in the features, each of shape $(N_i, d)$, float64."""

        return [self.game.party(i).cpu() for i in range(self.game.n)]

    @property
    def betas(self) -> list[float]:
        r"""The inverse temperatures $\beta$ of the rewards."""

        return list(dict.fromkeys(beta for _, beta in self.drawn))

    @property
    def chains(self) -> list[Reward]:
        """The rewards as a list; deprecated, see `drawn`."""

        warn("Settlement.chains is now list(Settlement.drawn.values())", DeprecationWarning, stacklevel=2)
        return list(self.drawn.values())

    def number(self, party: int | str) -> int:
        """Return the number of a party, from 0, that is given by its name or by this number.

        Raises:
            ValueError: If there is no such party.
        """

        return party_number(party, self.names)

    def reward(self, party: int | str, beta: float) -> torch.Tensor:
        r"""Return the reward $G_i$ of a party at an inverse temperature, of shape $(|G_i|, d)$.

        Arguments:
            party: The party, from 0, or its name.
            beta: The inverse temperature.

        Raises:
            ValueError: If no such reward was drawn.
        """

        return self.pool.points[self.find(party, beta).indices]

    def find(self, party: int | str, beta: float) -> Reward:
        r"""Return how the reward $G_i$ of a party, from 0 or by its name, at an inverse temperature was drawn.

        Raises:
            ValueError: If no such reward was drawn.
        """

        party = self.number(party)
        if (party, beta) not in self.drawn:
            betas = ", ".join(f"{beta:g}" for beta in self.betas)
            given = f"{beta:g}" if isinstance(beta, int | float) else beta
            raise ValueError(f"beta={given}: {self.names[party]} has no such reward; expected one of {betas}")
        return self.drawn[party, beta]

    @property
    def plot(self) -> Plots:
        """Figures that are drawn into axes: `plot.rewards()`, `plot.values()` and `plot.embedding()`."""

        from cgm.figures.plots import Plots  # matplotlib, which takes a second to import

        return Plots(self._outcome(), self._points)

    def to_frame(self) -> pd.DataFrame:
        r"""Return the rewards as a table of pandas, a row for each party and $\beta$.

        The columns are those of `Record.to_frame`, with `name` after `party`, but only with the metrics that are known
        without an evaluation: `increasing` and `neg_mmd2_unbiased`.
        """

        drawn, points = list(self.drawn.values()), self.game.sizes[:-1]
        frame = reward_frame(drawn, points, self.game.party_values, self.contributions, self.rewards)
        frame.insert(1, "name", [self.names[reward.party] for reward in drawn])
        metrics = {
            "increasing": [reward.increasing for reward in drawn],
            "neg_mmd2_unbiased": [-reward.mmd2_unbiased for reward in drawn],
        }
        return frame.assign(**metrics).astype(dict.fromkeys(metrics, float))

    def table(self) -> str:
        """Return the headline numbers as a short table, a row for each party."""

        betas = self.betas
        rows = [["party", "points", "α", "v(D_i)", "r_i", "v(D_i∪G)", *(f"|G_i| β={beta:g}" for beta in betas)]]
        columns = self.contributions.alpha, self.game.party_values, self.rewards.values, self.rewards.upper
        for i, numbers in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            drawn = [self.drawn[i, beta] for beta in betas]
            sizes = [f"{reward.size}{'' if reward.reached else '*'}" for reward in drawn]
            rows.append([printable(self.names[i]), str(self.game.sizes[i]), *(f"{x:.4f}" for x in numbers), *sizes])
        lines = aligned_lines(rows)
        if not all(reward.reached for reward in self.drawn.values()):
            lines.append("* stopped before v(D_i ∪ G_i) reached its target")
        return "\n".join([*lines, states_line(self.incentives, self.warnings)])

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        kernel, pool = self.game.kernel, len(self.pool.points)
        value = self.game.grand_value
        head = f"{type(self).__name__}: {counted(self.game.n, 'party')}, |G| = {pool:,}, v(N) = {value:.4g}"
        name = f"kernel {snake(type(kernel).__name__)}, length-scale {kernel.lengthscale:.4g}"
        return f"{head}, {name}", party_frame(self.to_frame()), states_line(self.incentives, self.warnings)

    def _outcome(self) -> Outcome:
        from cgm.figures.rewards import Outcome  # matplotlib

        values, alpha, size = self.game.party_values, self.contributions.alpha, len(self.pool.points)
        return Outcome(list(self.drawn.values()), self.rewards, values, self.game.grand_value, alpha, size, self.names)

    def _points(self) -> Points:
        from cgm.figures.plots import Points  # matplotlib

        rewards = {key: reward.indices for key, reward in self.drawn.items()}
        return Points(self.pool.points, rewards, self.parties, self.pool.images)


@dataclass(frozen=True)
class MediatorSettings(Settings):
    r"""The settings of a mediator.

    Arguments:
        generator: Is fitted to the pooled data, and draws the synthetic pool $G$.
        features: Reduces points or images to the $d$ dimensions that are valued; `Automatic` chooses by the data.
        kernel: The kernel $k$ of the valuation.
        contribution: How the value of all data is shared.
        scheme: How contributions become reward values.
        sampling: How rewards are drawn.
        reference: The data that values are compared with.
        kernel_search: The range in which a length-scale is searched.
        valuation: How the sums of the kernel are computed: exactly, or in linear time with a measured error; or the
            name of the method.
        precision: The arithmetic of the kernel's values on $G \times G$, see `Valuation`.
        synthetic_size: The size of $G$. `None`: as many points as the parties have, but at least 3,000. A pool that is
            much smaller cannot be worth what all data is, and one of a few hundred points gives rewards that depend on
            its draw.
        candidates: The number of points of $G$, its first ones, that rewards are drawn from at most: each accepted
            point takes time in proportion. Values, bounds and targets are those of all of $G$. `None`: all.
        growth: The factor by which $G$ grows while no rewards fit their bounds (Sec. 4.1).
        max_growth: The largest size that $G$ may grow to, as a multiple of `synthetic_size`.
        device: Where the kernel's sums are computed and an MMD-GAN is trained, `"cpu"`, `"cuda"`, `"cuda:1"` for the
            second GPU, or `"auto"` for `"cuda"` if there is one.
        engine: Where tasks of the run are computed: threads, processes, or a cluster. No number depends on it.
        cache: A folder where features and pools of images, and pools of networks, are kept for the next run, or
            `False`. Each use is logged. Nothing that a class from outside of cgm makes is kept: its code may change.

    Raises:
        ValueError: If a setting is out of range.
    """

    generator: Generator = field(default_factory=KDE)
    features: Features | Automatic = field(default_factory=Automatic)
    kernel: Kernel = field(default_factory=lambda: SquaredExponential("fit"))
    contribution: Contribution = field(default_factory=Shapley)
    scheme: Scheme = field(default_factory=ShapleyFair)
    sampling: WeightedSampling = field(default_factory=WeightedSampling)
    reference: Reference = field(default_factory=AllReference)
    kernel_search: LengthscaleSearch = field(default_factory=LengthscaleSearch)
    valuation: ValuationMethod = field(default_factory=ValuationMethod)
    precision: Annotated[str, Choice(PRECISIONS)] = "auto"
    synthetic_size: Annotated[int, Integer(min=1)] | None = 10_000
    candidates: Annotated[int, Integer(min=1)] | None = None
    growth: Annotated[float, Number(min=1, open_min=True)] = 2.0
    max_growth: Annotated[float, Number(min=1)] = 8.0
    device: str = "cpu"
    engine: Engine = field(default_factory=Threads, metadata=NOT_WRITTEN)
    cache: Annotated[str, Text(path=True)] | Literal[False] = False

    def __post_init__(self) -> None:
        if isinstance(self.valuation, str):
            if self.valuation not in METHODS:
                raise ValueError(choice_error(f"valuation={self.valuation}", self.valuation, METHODS))
            object.__setattr__(self, "valuation", ValuationMethod(self.valuation))
        super().__post_init__()
        check_device(self.device)
        self.valuation.check_possible(self.kernel)

    def choose_features(self, x: torch.Tensor) -> Features:
        """Return the features for data like x, not fitted."""

        return self.features.choose(x) if isinstance(self.features, Automatic) else self.features

    def mediator(self, **changes: Any) -> Mediator:
        """Return a mediator with these settings, but for some changes."""

        settings = {setting.name: getattr(self, setting.name) for setting in fields(MediatorSettings)}
        return Mediator(**{**settings, **changes})


@dataclass(frozen=True)
class Mediator(MediatorSettings):
    r"""Turns the data of several parties into fair rewards of synthetic data.

    It needs points only: no labels, no split, no downstream task. `settle` is the paper in one page; each of its steps
    is a method that can be called alone, such as `value` and `contribute` for the contributions with another kernel.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> parties = [torch.randn(50, 2) + shift for shift in (0.0, 1.0, 2.0)]
        >>> settlement = Mediator(synthetic_size=500).settle(parties, seed=0)
        >>> settlement.rewards.values.shape, settlement.reward(party=0, beta=8).shape[1]
        (torch.Size([3]), 2)
    """

    def settle(self, parties: Parties, seed: int = 0, features: Features | None = None) -> Settlement:
        r"""Compute the rewards of the parties.

        Arguments:
            parties: The data $D_1, \dots, D_n$: points of shape $(N_i, D)$ or images of shape $(N_i, C, H, W)$, as
                tensors, numpy arrays, data frames or lists of rows, see `cgm.utils.convert`; a list of them, or a
                dictionary from the names of the parties.
            seed: The seed of everything random.
            features: Fitted features in place of the mediator's, such as those of another settlement, whose values can
                then be compared.

        Raises:
            ValueError: If the data cannot be valued, or if no party has a positive contribution.
            InfeasibleScheme: If no rewards fit their bounds, however large $G$.
        """

        names = list(parties_by_name(parties))
        points = check_parties(parties)
        with naming(names), self.engine.running():
            settlement = self._settle(points, seed, features)
        warnings = [with_names(warning, names) for warning in settlement.warnings]
        return replace(settlement, warnings=warnings, names=tuple(names))

    def _settle(self, parties: Sequence[torch.Tensor], seed: int, features: Features | None) -> Settlement:
        """Compute the rewards of parties without names."""

        sizes = self.sizes(rows := sum(map(len, parties)))
        warnings = [_warn_of_size(sizes, rows)] if sizes[0] < rows else []
        with Clock() as clock:
            fitted = self.fit(parties, seed, features)  # Sec. 2: features and generator
            warnings.extend(fitted.generator.warnings)
            for size in sizes:
                pooled = self.pool(fitted, size, seed)  # the synthetic pool G
                game = self.value(pooled)  # Sec. 3 and 5: the values of all coalitions
                if self._at_lower_end(game.kernel) and size == sizes[0]:
                    warnings.append(self._warn_of_lengthscale())
                if self._is_open(game, seed):
                    game = self._value_again(pooled, game)
                contributions = self.contribute(game, seed)  # Sec. 4: φ and α
                try:
                    settlement = self.reward(pooled, game, contributions, seed)  # Sec. 4.1 and 4.2: r_i and G_i
                    warnings.extend(_warn_of_error(game, self.valuation))
                    break
                except InfeasibleScheme as error:  # G grows
                    again = fitted.features.joint and fitted.refit
                    warnings.append(self._grow(with_error(error, game, self.valuation), size, sizes, rows, again))
        return replace(settlement, warnings=[*warnings, *settlement.warnings], seconds=clock.seconds)

    def sizes(self, rows: int = 0) -> list[int]:
        """List the sizes of $G$ to try, one after the other.

        Arguments:
            rows: The number of points of all parties.
        """

        first = max(rows, MIN_SIZE) if self.synthetic_size is None else self.synthetic_size
        sizes, last = [first], self.max_growth * first
        if self.synthetic_size is None:
            last = min(last, max(first, MAX_SIZE))
        while max(sizes[-1] * self.growth, sizes[-1] + 1) <= last:
            sizes.append(max(int(sizes[-1] * self.growth), sizes[-1] + 1))
        return sizes

    def fit(self, parties: Parties, seed: int, features: Features | None = None) -> Fitted:
        """Fit the features and the generator to the pooled data (Sec. 2).

        Arguments:
            parties: The parties' data, see `settle`.
            seed: The seed of everything random.
            features: Fitted features in place of the mediator's.

        Raises:
            ValueError: If the data cannot be valued.
        """

        check_integer("seed", seed, min=0)
        resolve_device(self.device)  # an error before any long work
        given = check_parties(parties)
        x, refit = given, features is None
        if features is None:
            features = copy.copy(self.choose_features(x[0]))  # the settlement keeps its fit
            features.prepare()
        images = given[0].dim() == 4
        if images and features.joint and features.images_only and self.generator.space == "features":
            raise ValueError(
                f"generator={snake(type(self.generator).__name__)}: makes no images, which features.fit_to=all needs; "
                "use generator=mmd_gan, vae or flow_matching, or features.fit_to=parties"
            )
        if not features.joint:
            with timed("features"):
                if refit:
                    features.fit(torch.cat(x), stream_seed(seed, Stream.FIT_FEATURES))
                x = check_parties(transform_parts(features, x, self.cache or None))
            self.valuation.check_possible(self.kernel, x[0].flatten(1).shape[1])
        with timed("generator"), training_on(resolve_device(self.device)):
            in_features = self.generator.space == "features"
            pooled = torch.cat(x).flatten(1) if in_features else torch.cat(given)
            generator = copy.copy(self.generator)
            begin = time.perf_counter()
            log.info("generator: fitting %s to %d points", snake(type(generator).__name__), len(pooled))
            generator.fit(pooled, stream_seed(seed, Stream.FIT_GENERATOR))
            log.info("generator: fitted in %.1f s", time.perf_counter() - begin)

        return Fitted(features, generator, x, refit)

    def pool(self, fitted: Fitted, size: int, seed: int) -> Pooled:
        r"""Draw the synthetic pool $G$; features that are fitted to $T$ as a whole are fitted.

        Arguments:
            fitted: The fitted features and generator.
            size: The size of $G$.
            seed: The seed of everything random.
        """

        features, generator, x, cache = fitted.features, fitted.generator, fitted.parties, self.cache or None
        joint_images = features.joint and generator.space == "data"
        width = x[0].shape[1] if joint_images else x[0].flatten(1).shape[1]
        with timed("pool"):
            of_pool = None if features.joint else features
            pool = draw_pool(generator, of_pool, size, stream_seed(seed, Stream.SAMPLE_POOL), width, cache)
        if features.joint:  # the pool takes part in the fit: another pool, another fit
            with timed("features"):
                features = copy.copy(features) if fitted.refit else features
                fit_seed = stream_seed(seed, Stream.FIT_FEATURES) if fitted.refit else None
                x, pool = embed_pool(features, x, pool, fit_seed, cache)
                check_pool(pool.points, check_parties(x))

        return Pooled(x, pool, features, generator)

    def value(self, pooled: Pooled) -> Valuation:
        r"""Choose the length-scale and compute the values $v$ of all coalitions (Sec. 3 and 5)."""

        *x, g = (points.to(resolve_device(self.device)) for points in (*pooled.parties, pooled.pool.points))
        with self.engine.running(), timed("lengthscale"):
            kernel = resolve_lengthscale(self.kernel, x, g, self.kernel_search, self.reference, self.valuation)
        with self.engine.running(), timed("valuation"):
            game = Valuation(kernel, x, g, self.precision, self.reference, method=self.valuation)
        log.info(
            "length-scale %.6g, v(N) = %.6g, t = %d%s",
            kernel.lengthscale,
            game.grand_value,
            len(game.points),
            "" if game.modes is None else f", {game.method}: errors of v up to {game.error:.2g}",
        )
        return game

    def _is_open(self, game: Valuation, seed: int) -> bool:
        """Return whether there are rewards only if the approximate values are changed by no more than their errors."""

        if game.method not in ("hybrid", "nystrom"):
            return False
        contributions, found = self.contribute(game, seed), []
        for more in (0.0, 2 * game.error):
            try:
                self.scheme.solve(contributions, game, game.with_synthetic + more)
                found.append(True)
            except InfeasibleScheme:
                found.append(False)
        return found == [False, True]

    def _value_again(self, pooled: Pooled, game: Valuation) -> Valuation:
        """Compute values with smaller errors."""

        method = replace(self.valuation, tolerance=SMALLER * game.error / abs(game.grand_value))
        log.info(
            "bounds of reward values cross by less than the errors of values, %.2g, which are computed again with "
            "valuation.tolerance=%.2g",
            game.error,
            method.tolerance,
        )
        return replace(self, kernel=game.kernel, valuation=method).value(pooled)

    def approximation(self, game: Valuation, seed: int) -> Approximation | None:
        r"""Return the errors of the values and of $\alpha$, if the valuation is approximate."""

        if game.modes is None:
            return None
        error = float(game.half_widths(lambda game: self.contribute(game, seed).alpha).max())
        log.info("%s: errors of v up to %.2g, of α up to %.2g", game.method, game.error, error)
        return Approximation(game.method, game.modes, game.error, error)

    def contribute(self, game: Valuation, seed: int) -> Contributions:
        r"""Compute the contributions $\phi$ and $\alpha$ (Sec. 4)."""

        with timed("contributions"):
            return compute_contributions(self.contribution, game, stream_seed(seed, Stream.CONTRIBUTIONS))

    def reward(self, pooled: Pooled, game: Valuation, contributions: Contributions, seed: int) -> Settlement:
        r"""Compute the reward values $r_i$ (Sec. 4.1) and draw the rewards $G_i$ (Sec. 4.2).

        Raises:
            InfeasibleScheme: If no reward values fit their bounds.
        """

        with self.engine.running(), timed("valuation"):
            _ = game.sums  # of points, which values did not need
        with timed("contributions"):
            uncertainty = standard_errors(game, self.contribution, contributions)
        with timed("scheme"):
            rewards = self.scheme.solve(contributions, game, game.with_synthetic)
        check_instance("scheme: the result of solve", rewards, Rewards)
        check_values("scheme: reward values", rewards.values, game.n)
        rewards = replace(rewards, name=snake(type(self.scheme).__name__))
        incentives = check_incentives(rewards, contributions, game)
        numbers = {name: value for name, value in rewards.details.items() if isinstance(value, float)}
        alpha = [round(float(a), 4) for a in contributions.alpha]
        log.info("α = %s%s", alpha, "".join(f", {name} = {value:.6g}" for name, value in numbers.items()))
        for message in (*contributions.warnings, *rewards.warnings):
            log.warning(message)

        targets = self.sampling.targets(game, rewards.values)
        of_targets = incentives
        if not torch.equal(targets, rewards.values):
            of_targets = check_incentives(replace(rewards, values=targets), contributions, game)

        with self.engine.running(), timed("sampling"):
            drawn = self.sampling.draw(drawn_from(game, self.candidates), rewards.values, seed)
            drawn = check_rewards(game, drawn)
            inexact = [*warn_of_points(game, rewards.values), *warn_of_values(game, drawn)]
        limited = self.candidates is not None and self.candidates < game.sizes[-1]
        more = f"; more than candidates={self.candidates} may help" if limited else ""
        unreached = warn_of_stops(drawn, more)
        for message in (*unreached, *inexact):
            log.warning(message)

        return Settlement(
            pooled.pool,
            pooled.features,
            pooled.generator,
            game,
            contributions,
            uncertainty,
            rewards,
            incentives,
            of_targets,
            {(reward.party, reward.beta): reward for reward in drawn},
            [*contributions.warnings, *rewards.warnings, *unreached, *inexact],
            {},
            numbered(game.n),
        )

    def _at_lower_end(self, kernel: Kernel) -> bool:
        """Return whether the length-scale was searched, and the smallest one that can be found is the result."""

        is_searched = self.kernel.lengthscale in ("fit", "fit_monotone")
        return is_searched and kernel.numeric_lengthscale <= self.kernel_search.grid(1)

    def _warn_of_lengthscale(self) -> str:
        """Return a warning, which is logged, that smaller length-scales were not searched."""

        message = (
            f"kernel.lengthscale={self.kernel.lengthscale}: all parties have values v(D_i) >= 0 even at the smallest "
            f"length-scale, kernel_search.low={self.kernel_search.low:g}; if the distances of points are not much "
            "larger, all data looks alike and contributions mean little: decrease it, or rescale the data"
        )
        log.warning(message)
        return message

    def _grow(self, error: InfeasibleScheme, size: int, sizes: Sequence[int], rows: int, refit: bool) -> str:
        """Return a warning that $G$ grows, or raise the error if it cannot."""

        if size == sizes[-1]:
            tried = f"tried up to synthetic_size={size}, max_growth={self.max_growth:g}"
            if size < rows:
                raise InfeasibleScheme(
                    f"synthetic_size={sizes[0]}: G has too few points, at most {size}, where the parties have {rows}; "
                    f"say synthetic_size={rows} or more ({tried}: {error})"
                ) from error
            raise InfeasibleScheme(f"{error} ({tried})") from error
        larger = sizes[sizes.index(size) + 1]
        again = ", and the features are fitted again" if refit else ""
        message = f"G grows from {size} to {larger} points{again}"
        if size == sizes[0]:  # the reason is said once
            message = f"{error}; {message}, and up to {sizes[-1]} if necessary"
        log.warning(message)
        return message


def with_names(message: str, names: Sequence[str]) -> str:
    """Return a message that knows parties by their numbers, from 1, with their names."""

    def name(match: re.Match[str]) -> str:
        return names[number - 1] if 1 <= (number := int(match[1])) <= len(names) else match[0]

    return re.sub(r"\bparty (\d+)\b", name, message)


@contextmanager
def naming(names: Sequence[str]) -> Iterator[None]:
    """Let errors and the log, which know parties by their numbers, name them. Others may settle in other threads."""

    thread = threading.get_ident()

    def rename(record: logging.LogRecord) -> bool:
        if record.thread == thread:
            record.msg, record.args = with_names(record.getMessage(), names), ()
        return True

    log.addFilter(rename)
    try:
        yield
    except ValueError as error:
        message = with_names(str(error), names)
        if message == str(error):
            raise
        kind = InfeasibleScheme if isinstance(error, InfeasibleScheme) else ValueError
        raise kind(message) from error
    finally:
        log.removeFilter(rename)


def _warn_of_error(game: Valuation, settings: ValuationMethod) -> list[str]:
    """Return a warning, which is logged, if values with landmarks are less exact than they should be."""

    if game.method not in ("hybrid", "nystrom") or (error := game.error) <= settings.tolerance * abs(game.grand_value):
        return []
    message = (
        f"valuation.method={game.method}: with {game.modes:,} landmarks, the most that are used, values have errors of "
        f"up to {error:.2g}, more than valuation.tolerance={settings.tolerance:g} of v(N) = {game.grand_value:.4g}; "
        "say valuation.method=exact, or a larger tolerance"
    )
    log.warning(message)
    return [message]


def with_error(error: InfeasibleScheme, game: Valuation, settings: ValuationMethod) -> InfeasibleScheme:
    """Return an error that bounds cross, which says that values are approximate, if they are."""

    if game.method not in ("hybrid", "nystrom"):
        return error
    return InfeasibleScheme(
        f"{error} (values are approximate, with errors of up to {game.error:.2g}; a smaller "
        f"valuation.tolerance than {settings.tolerance:g} may help as well)"
    )


def _warn_of_size(sizes: Sequence[int], rows: int) -> str:
    """Return a warning, which is logged before any work, that $G$ may be too small for any rewards."""

    grows = f" and grows up to {sizes[-1]}" if len(sizes) > 1 else ""
    message = (
        f"synthetic_size={sizes[0]}: G has {sizes[0]} points{grows}, and the parties {rows}; D_i ∪ G can hardly be "
        f"worth as much as all data then, and there may be no rewards; say synthetic_size={rows} or more"
    )
    log.warning(message)
    return message
