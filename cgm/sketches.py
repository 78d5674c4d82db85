r"""What follows from sketches: values, contributions, reward values and incentives, with standard errors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch

from cgm.contributions.base import Contribution, Contributions, compute_contributions
from cgm.contributions.semivalues import Shapley
from cgm.mediator import with_names
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import SketchSchema
from cgm.privacy.sketch import Sketch, check_sketches
from cgm.privacy.valuation import ERRORS, PRICES, SketchValuation
from cgm.rewards.incentives import Incentive, Incentives, check_incentives
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme, Rewards, Scheme
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import limited, timed
from cgm.utils.settings import Choice, Integer, Settings
from cgm.utils.shown import Shown, counted
from cgm.utils.text import printable
from cgm.valuation.valuation import Valuation

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MIN_SIZE, MAX_SIZE = 3_000, 100_000  # of a pool, at first
GROWTH, TIMES = 2.0, 4  # of a pool for which there are no rewards
AGREED = 0.95  # share of the draws that must say the same of an incentive
ROUNDING = 1e-12  # standard errors of a margin that does not depend on the noise
ROUNDED = 1e-9  # share of a margin, so that one that is at its limit is not beyond it
DRAWS = 100  # of noise, from which standard errors are computed
DRAWS_OF_MANY = 20  # of noise, for more parties than
MANY = 12
MISSED = 0.05  # share of the weight of a point of the pool that features may miss without a warning


@dataclass(frozen=True)
class SketchComputation(Settings):
    r"""Computes what follows from sketches.

    Bounds of rewards may cross by as much as R2, that no reward is above $v(D_i \cup G)$, is not resolved: by two
    standard errors of its margin, the smallest of all parties. What is below the noise cannot be asked for.

    Arguments:
        contribution: How the value of all data is shared.
        scheme: How contributions become reward values.
        sampling: How rewards are drawn.
        pool: How the synthetic pool is fitted to the sketches.
        synthetic_size: The size of $G$. `None`: twice as many points as the parties have rows, from 3,000 to 100,000.
        price: `"none"`: noise costs a party nothing in expectation; `"bias"`: values fall with privacy.
        draws: The number of draws of noise from which standard errors are computed.
        seed: The seed of the pool and of sampling; the noise of sketches has none.
    """

    section = ""

    contribution: Contribution = field(default_factory=Shapley)
    scheme: Scheme = field(default_factory=ShapleyFair)
    sampling: WeightedSampling = field(default_factory=lambda: WeightedSampling((4.0,), tolerance=0.05))
    pool: ParticleFit = field(default_factory=ParticleFit)
    synthetic_size: Annotated[int, Integer(min=1)] | None = None
    price: Annotated[str, Choice(PRICES)] = "none"
    draws: Annotated[int, Integer(min=2)] | None = None
    seed: Annotated[int, Integer(min=0)] = 0

    @limited(1)  # sums, and so all numbers, depend on the number of threads
    def compute(
        self,
        sketches: Sequence[Sketch],
        sizes: Sequence[int] | None = None,
        pool: Callable[[int], torch.Tensor] | None = None,
    ) -> SketchNumbers:
        """Compute values, contributions, reward values and incentives, with standard errors.

        Arguments:
            sketches: The sketches.
            sizes: The sizes of G to try, one after the other. `None`: from `synthetic_size` on, four times.
            pool: Draws G of some size, without regard to the noise. `None`: G follows the sketches.

        Raises:
            ValueError: If they do not belong together, or if no party has a positive contribution.
            InfeasibleScheme: If no rewards fit their bounds, however large G.
        """

        check_sketches(sketches)
        rows, warnings = sum(sketch.rows for sketch in sketches), list[str]()
        names = [printable(sketch.party) for sketch in sketches]
        if sizes is None:
            first = self.synthetic_size or min(max(2 * rows, MIN_SIZE), MAX_SIZE)
            sizes = [int(first * GROWTH**k) for k in range(TIMES)]
        value = self._values_of(sketches, pool)
        for k, size in enumerate(sizes):
            with timed("valuation"):
                game = value(size)
            contributions = self._contribute(game)
            with timed("errors"):
                draws = game.draws(self.draws or (DRAWS_OF_MANY if game.n > MANY else DRAWS), self.seed)
                margin = _margin(torch.stack([drawn.with_synthetic for drawn in draws]))
            try:
                with timed("scheme"):
                    rewards = self.scheme.solve(contributions, game, game.with_synthetic + margin)
                break
            except InfeasibleScheme as error:
                if k == len(sizes) - 1:
                    raise
                message = f"{error}; G grows from {size:,} to {sizes[k + 1]:,} points"
                warnings.append(with_names(message, names))
                log.warning(warnings[-1])
        with timed("errors"):
            errors, incentives = self._errors(game, contributions, rewards, draws, margin)
        few = _warn_of_draws(len(draws), errors)
        of_parties = [*contributions.warnings, *rewards.warnings]
        warnings += [with_names(message, names) for message in of_parties]
        warnings += [*few, *_warn(game, contributions, errors)]
        return SketchNumbers(self, tuple(sketches), game, contributions, rewards, incentives, errors, warnings)

    def _values_of(
        self, sketches: Sequence[Sketch], pool: Callable[[int], torch.Tensor] | None
    ) -> Callable[[int], SketchValuation]:
        """Return what computes the values with a pool of some size."""

        with timed("generator"):
            if pool is None:
                particles = self.pool.fit(sketches, stream_seed(self.seed, Stream.SAMPLE_POOL))
                return lambda size: particles.value(size, self.price)
            return lambda size: SketchValuation(sketches, pool(size), self.price)

    def _contribute(self, game: Valuation) -> Contributions:
        with timed("contributions"):
            return compute_contributions(self.contribution, game, stream_seed(self.seed, Stream.CONTRIBUTIONS))

    def _errors(
        self,
        game: SketchValuation,
        contributions: Contributions,
        rewards: Rewards,
        draws: Sequence[SketchValuation],
        margin: torch.Tensor,
    ) -> tuple[dict[str, torch.Tensor], Incentives]:
        """Compute standard errors from draws of noise, and which incentives hold beyond two of them."""

        results: dict[str, list[torch.Tensor]] = {"phi": [], "alpha": [], "rewards": []}
        checks: dict[str, list[Incentive]] = {}
        for drawn in draws:
            try:
                shares = compute_contributions(self.contribution, drawn, stream_seed(self.seed, Stream.CONTRIBUTIONS))
            except ValueError:  # with this noise, nobody contributes
                continue
            results["phi"].append(shares.phi)
            results["alpha"].append(shares.alpha)
            with contextlib.suppress(InfeasibleScheme):  # with this noise, there are no rewards
                results["rewards"].append(self.scheme.solve(shares, drawn, drawn.with_synthetic + margin).values)
            for name, entry in check_incentives(replace(rewards, upper=drawn.with_synthetic), shares, drawn).items():
                checks.setdefault(name, []).append(entry)
        errors = {name: _deviation(values, game.n) for name, values in results.items()}
        errors["counts"] = torch.tensor([len(results["alpha"]), len(results["rewards"])])
        errors["values"] = game.party_errors
        errors["with_synthetic"] = _deviation([drawn.with_synthetic for drawn in draws], game.n)
        stated = check_incentives(replace(rewards, upper=game.with_synthetic), contributions, game)
        resolved = Incentives({name: _resolved(entry, checks.get(name, [])) for name, entry in stated.items()})
        parts = [resolved[name].holds for name in ("F1", "F2", "F3")]
        fair = False if False in parts else None if None in parts else True
        resolved["R5"] = replace(resolved["R5"], holds=fair)
        slack = resolved["R2"].slack
        if resolved["R2"].holds is False and slack is not None and -slack <= float(margin.max()):
            resolved["R2"] = replace(resolved["R2"], holds=None)  # by no more than bounds may cross
        return errors, resolved


@dataclass(frozen=True, repr=False, eq=False)
class SketchNumbers(Shown):
    r"""What follows from sketches.

    Attributes:
        settings: The settings.
        sketches: The sketches.
        game: The valuation.
        contributions: The contributions $\phi$ and $\alpha$.
        rewards: The reward values $r_i$ and their bounds.
        incentives: Which incentives hold beyond two standard errors, which fail, and which are not resolved.
        errors: Standard errors of `values` $v(D_i)$, by formula, and of `phi`, `alpha`, `rewards` and `with_synthetic`
            from draws of noise, each of shape $(n)$. `counts`: how many draws had contributions, and rewards.
        warnings: What the user should know.
    """

    settings: SketchComputation
    sketches: Sequence[Sketch]
    game: SketchValuation
    contributions: Contributions
    rewards: Rewards
    incentives: Incentives
    errors: Mapping[str, torch.Tensor]
    warnings: Sequence[str]

    @property
    def schema(self) -> SketchSchema:
        """The public schema."""

        return self.sketches[0].schema

    @property
    def names(self) -> list[str]:
        """The names of the parties."""

        return self.game.names

    def to_frame(self) -> pd.DataFrame:
        r"""Return a table of pandas, a row for each party; `_stderr` are standard errors because of the noise."""

        import pandas as pd

        shown = {
            "value": (self.game.party_values, self.errors["values"]),
            "alpha": (self.contributions.alpha, self.errors["alpha"]),
            "reward": (self.rewards.values, self.errors["rewards"]),
        }
        frame = pd.DataFrame({"name": self.names, "rows": self.game.sizes[:-1]})
        frame["epsilon"] = [sketch.epsilon for sketch in self.sketches]
        for name, (values, errors) in shown.items():
            frame[name], frame[f"{name}_stderr"] = values.numpy(), errors.numpy()
        return frame

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        head = f"{type(self).__name__}: {counted(self.game.n, 'party')}, |G| = {self.game.sizes[-1]:,}"
        return f"{head}, v(N) = {self.game.grand_value:.4g}", self.to_frame(), " ".join(self.warnings)


def _deviation(values: Sequence[torch.Tensor], n: int) -> torch.Tensor:
    """Return the standard deviations of draws, of shape (n); infinite if there are too few."""

    return torch.stack([*values]).std(0) if len(values) > 1 else torch.full((n,), torch.inf, dtype=torch.float64)


def _margin(upper: torch.Tensor) -> torch.Tensor:
    r"""Return by how much bounds may cross, of shape (n): multiples of the standard errors of $v(D_i \cup G)$.

    R2 has the margin $\min_i v(D_i \cup G) - r_i$. If all $r_i$ are above their bounds by the same number of standard
    errors, the margin varies as the smallest of n deviations: the number is two of its standard errors. For independent
    errors of three parties it is 1.5, of ten 1.2; for errors that move together it is 2.

    Arguments:
        upper: Draws of $v(D_i \cup G)$, of shape (draws, n).
    """

    errors = upper.std(0)
    units = (upper - upper.mean(0)) / torch.where(errors > 0, errors, 1.0)
    return ERRORS * (1 - ROUNDED) * float(units.amin(1).std()) * errors


def _resolved(entry: Incentive, drawn: Sequence[Incentive]) -> Incentive:
    """Return an incentive with one of three results: holds, fails, or not resolved.

    It holds or fails if its margin is beyond two standard errors, and if it does in 95 % of the draws as well: F3 is
    about those pairs of parties that can be compared, which are others with other noise.
    """

    slacks = [each.slack for each in drawn if each.slack is not None]
    if entry.slack is None or len(slacks) < 2:
        return replace(entry, holds=None)
    error = float(np.std(slacks, ddof=1))
    agree = np.mean([each.holds == entry.holds for each in drawn]) >= AGREED
    beyond = abs(entry.slack) > ERRORS * error or error < ROUNDING
    holds = entry.holds if agree and beyond else None
    return Incentive(holds, entry.slack, f"{entry.slack:.4g} ± {ERRORS * error:.2g}: {entry.note}")


def _warn_of_draws(count: int, errors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return a warning, which is logged, if there are draws of noise without contributions or rewards."""

    contributions, rewards = errors["counts"].tolist()
    if rewards == count:
        return []
    message = (
        f"of {count} draws of noise, {count - contributions} have no positive contribution and {count - rewards} no "
        "rewards that fit their bounds: standard errors are those of the others, and too small"
    )
    log.warning(message)
    return [message]


def _warn(game: SketchValuation, contributions: Contributions, errors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return warnings, which are logged."""

    names, found = game.names, []
    unclear = [names[i] for i, alpha in enumerate(contributions.alpha) if ERRORS * errors["alpha"][i] > alpha / 2]
    if unclear:
        found.append(
            f"of {', '.join(map(printable, unclear))}, α is known to no better than a half of it: more rows, a larger "
            "ε, or a larger length-scale help"
        )
    if game.missed > MISSED:
        found.append(
            f"the features miss {100 * game.missed:.2g} % of the weight of a point of the pool: more landmarks, "
            "landmarks nearer to the data, or a larger length-scale help"
        )
    if (game.party_values < 0).any():
        found.append("some values v(D_i) are negative; a larger length-scale makes them positive")
    for message in found:
        log.warning(message)
    return found
