r"""Settlements of sketches: from one noisy mean embedding of each party to values, rewards and what is guaranteed."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch

from cgm.contributions.base import Contribution, Contributions, compute_contributions
from cgm.contributions.semivalues import Shapley
from cgm.privacy.accounting import RATES, UNIT
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import SketchSchema
from cgm.privacy.sketch import SUFFIX, Sketch, check_keys, check_sketches
from cgm.privacy.valuation import ERRORS, PRICES, SketchValuation
from cgm.rewards.incentives import Incentive, Incentives, check_incentives
from cgm.rewards.sampling import Reward, WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme, Rewards, Scheme
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.settlements.certificate import FORMAT, readable_json, rounded, seal
from cgm.settlements.completion import FILE as COMPLETION
from cgm.settlements.completion import SCHEMA, CompletionFile, table_bytes
from cgm.settlements.folder import CERTIFICATE, REPORT, check_folder, safe_names, write_files
from cgm.settlements.sketch_report import PUBLIC, STATES, report
from cgm.utils.files import sha256
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import Clock, limited, timed
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
ROUNDED = 1e-9  # share of a margin, so that one that is at its limit is not beyond it
ROUNDING = 1e-12  # standard errors of a margin that does not depend on the noise
DRAWS = 100  # of noise, from which standard errors are computed
DRAWS_OF_MANY = 20  # of noise, for more parties than
MANY = 12


@dataclass(frozen=True)
class SketchMediator(Settings):
    r"""Settles sketches.

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
        at_home: Whether folders of parties hold what rewards are completed by against exact rows, see
            `complete_reward`: the pool, and the total of the others' sketches. Whoever has them could also take more
            than its reward.
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
    at_home: bool = False
    seed: Annotated[int, Integer(min=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sampling.betas) != 1:
            raise ValueError(f"sampling.betas={list(self.sampling.betas)}: expected one, of the reward of each party")

    @limited(1)  # sums, and so all numbers, depend on the number of threads
    def settle(self, sketches: Sequence[Sketch], keys: Mapping[str, str] | None = None) -> SketchSettlement:
        """Settle sketches.

        Arguments:
            sketches: A sketch of each party.
            keys: The public key of each party, by which its sketch must be signed, see `check_keys`.

        Raises:
            ValueError: If they do not belong together, are not signed by `keys`, or if no party has a positive
                contribution.
            InfeasibleScheme: If no rewards fit their bounds, however large G.
        """

        check_sketches(sketches)
        if keys is not None:
            check_keys(sketches, keys)
        rows, warnings = sum(sketch.rows for sketch in sketches), list[str]()
        size = self.synthetic_size or min(max(2 * rows, MIN_SIZE), MAX_SIZE)
        with Clock() as clock:
            with timed("generator"):
                particles = self.pool.fit(sketches, stream_seed(self.seed, Stream.SAMPLE_POOL))
            for k in range(TIMES):
                with timed("valuation"):
                    game = particles.value(size, self.price)
                contributions = self._contribute(game)
                with timed("errors"):
                    draws = game.draws(self.draws or (DRAWS_OF_MANY if game.n > MANY else DRAWS), self.seed)
                    margin = _margin(torch.stack([drawn.with_synthetic for drawn in draws]))
                try:
                    with timed("scheme"):
                        rewards = self.scheme.solve(contributions, game, game.with_synthetic + margin)
                    break
                except InfeasibleScheme as error:
                    if k == TIMES - 1:
                        raise
                    warnings.append(f"{error}; G grows from {size:,} to {int(GROWTH * size):,} points")
                    log.warning(warnings[-1])
                    size = int(GROWTH * size)
            with timed("errors"):
                errors, incentives = self._errors(game, contributions, rewards, draws, margin)
            with timed("sampling"):
                drawn = self.sampling.draw(game, rewards.values, self.seed)
        few = _warn_of_draws(len(draws), errors)
        warnings += [*contributions.warnings, *rewards.warnings, *few, *_warn(game, contributions, errors, drawn)]
        found = (contributions, rewards, incentives, errors, drawn, warnings, clock.seconds)
        return SketchSettlement(self, tuple(sketches), game, *found, with_keys=keys is not None)

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
        return errors, resolved


@dataclass(frozen=True, repr=False, eq=False)
class SketchSettlement(Shown):
    r"""What a mediator computes from sketches.

    Attributes:
        settings: The settings.
        sketches: The sketches.
        game: The valuation.
        contributions: The contributions $\phi$ and $\alpha$.
        rewards: The reward values $r_i$ and their bounds.
        incentives: Which incentives hold beyond two standard errors, which fail, and which are not resolved.
        errors: Standard errors of `values` $v(D_i)$, by formula, and of `phi`, `alpha`, `rewards` and `with_synthetic`
            from draws of noise, each of shape $(n)$. `counts`: how many draws had contributions, and rewards.
        drawn: The reward of each party.
        warnings: What the user should know.
        seconds: The seconds that each step took.
        with_keys: Whether each sketch is signed by the key that was given for its party.
        date: When it was computed, in UTC.
    """

    settings: SketchMediator
    sketches: Sequence[Sketch]
    game: SketchValuation
    contributions: Contributions
    rewards: Rewards
    incentives: Incentives
    errors: Mapping[str, torch.Tensor]
    drawn: Sequence[Reward]
    warnings: Sequence[str]
    seconds: Mapping[str, float]
    with_keys: bool = False
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))

    @property
    def schema(self) -> SketchSchema:
        """The public schema."""

        return self.sketches[0].schema

    @property
    def names(self) -> list[str]:
        """The names of the parties."""

        return self.game.names

    def reward_table(self, party: int) -> pd.DataFrame:
        """Return the reward of a party, from 0, as a table with the columns of the schema, in random order."""

        order = np.random.default_rng([self.settings.seed, party]).permutation(self.drawn[party].indices.numpy())
        return self.schema.decode(self.game.synthetic[order])

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
        frame["size"] = [reward.size for reward in self.drawn]
        return frame

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        head = f"SketchSettlement: {counted(self.game.n, 'party')}, |G| = {self.game.sizes[-1]:,}"
        return f"{head}, v(N) = {self.game.grand_value:.4g}", self.to_frame(), " ".join(self.warnings)

    def guarantee(self, party: int) -> dict[str, Any]:
        """Return what is guaranteed to a party, from 0, as plain values."""

        sketch = self.sketches[party]
        given = sketch.guarantee
        return {
            "epsilon": sketch.epsilon,
            "delta": sketch.schema.delta,
            "mu": rounded(given.mu),
            "unit": UNIT,
            "max_auc": rounded(given.auc),
            "max_true_positives": {f"{rate:g}": rounded(given.true_positives(rate)) for rate in RATES},
            "in_words": given.in_words(),
            "holds_for": "all that is computed from the sketch, against everybody, if the rows have no other release",
            "public": list(PUBLIC),
            "schema": sketch.schema.digest,
        }

    def certificate(self, party: int, files: Mapping[str, bytes], name: str = "") -> dict[str, Any]:
        """Return the certificate of a party, from 0: its own numbers, what is guaranteed, and digests of its files.

        Arguments:
            party: The party.
            files: The other files of its folder.
            name: The name of the settlement, by which a party tells it from others.
        """

        numbers = self.to_frame().iloc[party].to_dict()
        names = [f"{name}{end}" for name in ("value", "alpha", "reward") for end in ("", "_stderr")]
        own = {name: rounded(float(numbers[name])) for name in names}
        states = {name: STATES[entry.holds] for name, entry in self.incentives.items()}
        return seal(
            {
                "format": FORMAT,
                "settlement": {"name": name, "date": self.date},
                "party": self.names[party],
                "parties": self.game.n,
                "data": {
                    "file": f"{safe_names([self.names[party]])[0]}{SUFFIX}",
                    "sha256": sha256(self.sketches[party].to_bytes()),
                    "rows_valued": int(numbers["rows"]),
                    "rows_held_out": 0,
                },
                "privacy": self.guarantee(party),
                "value": {**own, "points": self.drawn[party].size},
                "stderr": "standard errors because of the noise of all sketches",
                "incentives": states,
                "price": self.settings.price,
                "files": {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in files.items()},
            }
        )

    def completion(self, party: int) -> CompletionFile:
        """Return what a party, from 0, completes its reward by at home."""

        sketch, sampling = self.sketches[party], self.settings.sampling
        others = [other for other in self.sketches if other is not sketch]
        followed = self.game.followed
        return CompletionFile(
            party=sketch.party,
            rows=sketch.rows,
            noise=sketch.noise,
            own=sketch.released,
            others=sum((other.released for other in others), torch.zeros_like(sketch.released)),
            others_rows=sum(other.rows for other in others),
            others_noise=math.hypot(*(other.noise for other in others)),
            followed=0.0 if followed is None else float(followed.sum() - followed[party]),
            pool=self.schema.encoding.decode(self.game.synthetic),
            reward=self.drawn[party].indices,
            promised=float(self.rewards.values[party]),
            beta=sampling.betas[0],
            tolerance=sampling.tolerance,
            patience=sampling.patience,
            schema=self.schema.digest,
        )

    def report(self) -> bytes:
        """Return the report, HTML."""

        return report(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""

        frame = self.to_frame().to_dict("records")
        return {
            "format": "cgm settlement of sketches 1",
            "date": self.date,
            "schema": self.schema.digest,
            "synthetic_size": self.game.sizes[-1],
            "grand_value": self.game.grand_value,
            "grand_value_stderr": self.game._error(np.ones(self.game.n, dtype=bool)),
            "parties": [{**row, "privacy": self.guarantee(k)} for k, row in enumerate(frame)],
            "incentives": {name: vars(entry) for name, entry in self.incentives.items()},
            "price": self.settings.price,
            "signed_by": {each.party: each.public_key for each in self.sketches if each.signature},
            "with_keys": self.with_keys,
            "seed": self.settings.seed,
            "warnings": list(self.warnings),
            "seconds": dict(self.seconds),
        }

    def write(self, folder: str | Path) -> Path:
        """Write the settlement to a new folder: `report.html`, `parties/NAME/` for each party, and `mediator/`.

        Raises:
            ValueError: If the folder is not empty.
        """

        folder = check_folder(folder)
        files = {
            "mediator/result.json": readable_json(self.to_dict()),
            "mediator/pool.csv": table_bytes(self.schema.decode(self.game.synthetic)),
            "mediator/schema.json": readable_json(self.schema.to_dict()),
        }
        for party, name in enumerate(safe_names(self.names)):
            own = {"reward.csv": table_bytes(self.reward_table(party))}
            if self.settings.at_home:
                own |= {SCHEMA: files["mediator/schema.json"], COMPLETION: self.completion(party).to_bytes()}
            own[CERTIFICATE] = readable_json(self.certificate(party, own, folder.absolute().name))
            files |= {f"parties/{name}/{file}": data for file, data in own.items()}
        files[REPORT] = self.report()
        write_files(folder, files)
        return folder


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


def _warn(
    game: SketchValuation, contributions: Contributions, errors: Mapping[str, torch.Tensor], drawn: Sequence[Reward]
) -> list[str]:
    """Return warnings, which are logged."""

    names, found = game.names, []
    unclear = [names[i] for i, alpha in enumerate(contributions.alpha) if ERRORS * errors["alpha"][i] > alpha / 2]
    if unclear:
        found.append(
            f"of {', '.join(map(printable, unclear))}, α is known to no better than a half of it: more rows, a larger "
            "ε, or a larger length-scale help"
        )
    if game.missed > 0.05:
        found.append(
            f"the features miss {100 * game.missed:.2g} % of the weight of a point of the pool: more landmarks, "
            "landmarks nearer to the data, or a larger length-scale in the schema help"
        )
    if (game.party_values < 0).any():
        found.append("some values v(D_i) are negative; a larger length-scale in the schema makes them positive")
    found += [
        f"{printable(names[reward.party])}: its reward stopped at {reward.value:.4g}, before {reward.target:.4g}"
        for reward in drawn
        if not reward.reached
    ]
    for message in found:
        log.warning(message)
    return found
