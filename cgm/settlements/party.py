"""What settlements of tables and of images share: held-out rows, the audit, other settings."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Annotated, Any, ClassVar

import numpy as np
import torch

from cgm.contributions.base import Contributions
from cgm.evaluation.entries import RewardAudit
from cgm.evaluation.privacy.base import Audit, NoAudit
from cgm.evaluation.privacy.cells import AllAttacks, merged
from cgm.generators.pool import Pool
from cgm.mediator import Fitted, Mediator, MediatorSettings, Pooled, Settlement, with_names
from cgm.rewards.candidates import drawn_from
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme, Scheme
from cgm.rewards.schemes.gain import Gain
from cgm.settlements.certificate import check_disclose
from cgm.settlements.settlement import ByParty, PartySettlement, Variant
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import progress, timed
from cgm.utils.settings import Integer, Number
from cgm.valuation.kernels import Kernel, SquaredExponential, Sum
from cgm.valuation.lengthscale import MEDIAN
from cgm.valuation.valuation import Valuation

log = logging.getLogger(__name__)

MIN_ROWS = 10  # of a party, to value and audit it
AUDITED = 30  # held-out rows of the other parties below which an audit is announced as imprecise
TOLERANCE = 0.05  # share of the way to v(D_i ∪ G) that a reward may leave: beyond it, rows chase noise
CANDIDATES = 20_000  # points of a pool that rewards are drawn from: each accepted point costs their number
SCALES = (0.25, 0.5, 1.0, 2.0)  # of the default kernel, times the median distance of two rows
MAX_SHOWN = 5000  # rows of a set in the plane of the report
MAX_COMPARED = 20_000  # rows of the pool with which columns of parties and rewards are compared, the first ones
COMPARED = 10_000  # rows of all parties with which other settings are tried, and rows of the pool beside them
LENGTHSCALES = (0.5, 2.0)  # factors of the length-scale for which contributions are computed again


def multiscale() -> Kernel:
    """Return the default kernel: a sum of squared exponentials from a quarter to twice the median distance.

    It sees small and large differences alike. In the study of `experiments.lengthscales`, exchangeable parties receive
    rewards of more equal sizes than with any single length-scale.
    """

    return Sum([SquaredExponential(scale) for scale in SCALES], lengthscale="median")


@dataclass(frozen=True, kw_only=True)
class PartyMediator(MediatorSettings):
    r"""Base class of what settles tables and images: it makes a `Mediator` of its settings.

    Arguments:
        held_out: The share of each party's rows that neither the generator nor the valuation sees, for the audit.
        max_rows: The number of rows of all parties together that are used at most. If there are more, a random part
            of each party's rows is, the same share for all; the others are held out as well. `None`: all are used.
        audit: Measures what rewards give away.
        disclose: What each party may know of all parties: any of `names`, `sizes`, `contributions`, `values`,
            `rewards`, and, of tables, `levels`: categories that only one party has.
        sensitivity: Whether contributions and rewards are computed again with other length-scales and another seed; of
            more than 10,000 rows of all parties, with a random part of each party's, first with the same settings.
        seed: The seed of everything random. `None`: one that cannot be guessed. A party that knows the seed of the pool
            can undo the noise of some generators, and then sees real rows.

    Raises:
        ValueError: If a setting is out of range.
    """

    primary: ClassVar[str] = "settle"

    kernel: Kernel = field(default_factory=multiscale)
    scheme: Scheme = field(default_factory=Gain)
    sampling: WeightedSampling = field(default_factory=lambda: WeightedSampling(tolerance=TOLERANCE))
    synthetic_size: Annotated[int, Integer(min=1)] | None = None
    candidates: Annotated[int, Integer(min=1)] | None = CANDIDATES
    held_out: Annotated[float, Number(min=0, max=0.5)] = 0.1
    max_rows: Annotated[int, Integer(min=2 * MIN_ROWS)] | None = None
    audit: Audit = field(default_factory=AllAttacks)
    disclose: Sequence[str] = ()
    sensitivity: bool = True
    seed: Annotated[int, Integer(min=0)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_disclose(self.disclose)
        object.__setattr__(self, "disclose", tuple(self.disclose))

    def draw_seed(self) -> int:
        """Return the seed, or draw one that cannot be guessed."""

        return secrets.randbits(63) if self.seed is None else self.seed

    def choose_rows(self, parties: Mapping[str, Sized], seed: int, unit: str = "rows") -> dict[str, np.ndarray]:
        """Draw the rows that are valued, as a mask of shape $(N_i)$ for each party.

        Raises:
            ValueError: If a party has too few rows.
        """

        total = sum(len(rows) - round(self.held_out * len(rows)) for rows in parties.values())
        share = 1.0 if self.max_rows is None else min(1.0, self.max_rows / max(total, 1))
        masks = {}
        for number, (name, rows) in enumerate(parties.items()):
            n = len(rows)
            if n < MIN_ROWS:
                raise ValueError(f"{name}: has {n} {unit}, at least {MIN_ROWS} are needed")
            random = np.random.default_rng([stream_seed(seed, Stream.HOLD_OUT_ROWS), number])
            used = n - round(self.held_out * n)
            if share < 1:
                used = min(used, max(MIN_ROWS, int(share * used)))
            mask = np.ones(n, bool)
            mask[random.permutation(n)[: n - used]] = False
            masks[name] = mask

        return masks

    def warn_of_few(self, masks: Mapping[str, np.ndarray], untested: str = "", unit: str = "rows") -> list[str]:
        """Warn, before the work, that few rows are held out.

        Arguments:
            masks: The rows that are valued, see `choose_rows`.
            untested: What is not tested for want of rows, if anything.
            unit: What a row is.

        Returns:
            The warning, if there is one.
        """

        apart = [int((~mask).sum()) for mask in masks.values()]
        fewest = min(sum(apart) - count for count in apart)  # an audit attacks the rows of the other parties
        problems = []
        if len(apart) > 1 and not isinstance(self.audit, NoAudit):
            if fewest < 2:
                problems.append("rewards cannot be audited for privacy")
            elif fewest < AUDITED:
                error = 1.96 / math.sqrt(12 * fewest)  # of the AUC of an attack that guesses
                problems.append(f"the privacy audit is imprecise (95 % intervals of an AUC are about ± {error:.1g})")
        problems += [untested] if untested else []
        if not problems:
            return []
        share = f"; a larger share than held_out={self.held_out:g} helps" if self.held_out < 0.5 else ""
        warning = f"{sum(apart)} {unit} are held out for checks: {' and '.join(problems)}{share}"
        log.warning(warning)
        return [warning]

    def run_audit(
        self,
        settlement: Settlement,
        held_out: Sequence[torch.Tensor],
        seed: int,
        cells: tuple[Sequence[torch.Tensor], Sequence[torch.Tensor], torch.Tensor] | None = None,
    ) -> list[RewardAudit]:
        """Audit the rewards.

        Arguments:
            settlement: The settlement.
            held_out: The held-out points of each party in the features.
            seed: The seed of the settlement.
            cells: The cells of the parties' rows, of held-out rows and of the pool, a coordinate for each column.
                `None`: attacks on cells are left out.
        """

        points = (settlement.parties, held_out, settlement.pool.points)
        audits = []
        with timed("audit"):
            for part in self.audit.parts:
                if part.of_cells and cells is None:
                    continue
                parties, apart, pool = cells if part.of_cells and cells is not None else points
                rewards = [(party, beta, pool[reward.indices]) for (party, beta), reward in settlement.drawn.items()]
                audits.append(part.audit(parties, apart, rewards, stream_seed(seed, Stream.AUDIT_ROWS)))
        return merged(audits)

    def warn_of_copies(
        self, settlement: Settlement, audits: Sequence[RewardAudit], names: Sequence[str], unit: str = "rows"
    ) -> list[str]:
        """Warn where rewards that parties receive repeat rows of other parties.

        Arguments:
            settlement: The settlement.
            audits: The audits of its rewards.
            names: The names of the parties.
            unit: What a row is.

        Returns:
            The warnings.
        """

        beta, warnings = recommend(settlement), []
        remedy = "another generator"
        if unit == "rows":
            remedy = "in few columns of categories rows are equal by chance, otherwise drop=[...] or another generator"
        for entry in audits:
            if entry.beta == beta and entry.copies:
                size = settlement.drawn[entry.party, beta].size
                chance = f"; {entry.copies_held_out} equal {unit} that were kept apart" if entry.copies_held_out else ""
                warnings.append(
                    f"{entry.copies} of the {size} {unit} that {names[entry.party]} receives equal {unit} of other "
                    f"parties{chance}; {remedy} helps"
                )
        for warning in warnings:
            log.warning(warning)
        return warnings

    def samples(self, settlement: Settlement, unit: str = "rows") -> dict[str, str]:
        """Say what was computed from a part of the rows, by what it is; nothing of what all rows were used for.

        Arguments:
            settlement: The settlement.
            unit: What a row is.
        """

        *sizes, pool = settlement.game.sizes
        rows, texts = sum(sizes), {}
        if self.kernel.lengthscale == "median" and rows + pool > MEDIAN:
            texts["lengthscale"] = f"The length-scale is the median distance of {MEDIAN:,} {unit}, evenly spaced."
        if self.candidates is not None and self.candidates < pool:
            texts["rewards"] = (
                f"Rewards are drawn from {self.candidates:,} {unit} of the synthetic pool, which has more; values and "
                "limits are those of the whole pool."
            )
        audited = [
            part.sample(rows - max(sizes), unit) for part in self.audit.parts if unit == "rows" or not part.of_cells
        ]
        if any(audited):
            texts["audit"] = " ".join(filter(None, audited))
        if self.sensitivity and (chosen := self.compared_rows(sizes, 0)) is not None:
            texts["sensitivity"] = (
                f"Other settings are tried with {sum(map(len, chosen)):,} {unit}, the same share of each party's, and "
                "as many of the pool."
            )
        if max(*sizes, pool) > MAX_SHOWN:
            texts["figures"] = f"The plane shows at most {MAX_SHOWN:,} {unit} of each party, reward and the pool."
        if unit == "rows" and pool > MAX_COMPARED:
            texts["columns"] = f"Columns are compared with those of {MAX_COMPARED:,} rows of the pool."
        return texts

    def compared_rows(self, sizes: Sequence[int], seed: int) -> list[torch.Tensor] | None:
        """Draw the rows of each party with which other settings are tried; `None` if there are few, which all are."""

        share = COMPARED / sum(sizes)
        if share >= 1:
            return None
        return [
            torch.from_numpy(
                np.sort(
                    np.random.default_rng([stream_seed(seed, Stream.SAMPLE_ROWS), number]).choice(
                        size, min(size, max(MIN_ROWS, round(share * size))), replace=False
                    )
                )
            )
            for number, size in enumerate(sizes)
        ]

    def compare_settings(
        self, mediator: Mediator, settlement: Settlement, parties: Sequence[torch.Tensor] | None, seed: int
    ) -> tuple[dict[str, Variant], list[str]]:
        r"""Compute contributions and rewards with other length-scales, and with a pool of another seed.

        Rewards are drawn for the recommended $\beta$ only.

        Arguments:
            mediator: The mediator of the settlement.
            settlement: The settlement.
            parties: The data that a generator is fitted to again. `None`: the pool is drawn from the settlement's.
            seed: The seed of the settlement.

        Returns:
            What the parties have by a description of the settings, and warnings about those without contributions.
        """

        if not self.sensitivity:
            return {}, []
        points, pool, of = settlement.parties, settlement.pool, ""
        rows = self.compared_rows(settlement.game.sizes[:-1], seed)
        if rows is not None:
            points = [x[chosen] for x, chosen in zip(points, rows, strict=True)]
            parties = None if parties is None else [x[chosen] for x, chosen in zip(parties, rows, strict=True)]
            count = sum(map(len, rows))
            pool, of = Pool(pool.points[:count], pool.images[:0]), f"{count:,} rows"
        kernel, seed = settlement.game.kernel, stream_seed(seed, Stream.SENSITIVITY)
        pooled = Pooled(points, pool, settlement.features, settlement.generator)
        sampling = replace(mediator.sampling, betas=(recommend(settlement),))
        variants: dict[str, Variant] = {}
        warnings: list[str] = []
        with timed("sensitivity"), progress(len(LENGTHSCALES) + 1 + bool(of), "sensitivity") as bar:

            def compare(name: str, kernel: Kernel, pooled: Pooled) -> None:
                other = replace(mediator, kernel=kernel)
                try:
                    game = other.value(pooled)
                    contributions = other.contribute(game, seed)
                except ValueError as error:  # the settlement itself has contributions
                    warnings.append(f"sensitivity, {name}: {error}")
                else:
                    variants[name] = draw(other, game, contributions)
                bar.update()

            def draw(other: Mediator, game: Valuation, contributions: Contributions) -> Variant:
                alpha = contributions.alpha.tolist()
                try:
                    values = other.scheme.solve(contributions, game, game.with_synthetic).values
                except InfeasibleScheme as error:
                    return Variant(alpha, reason=str(error))
                drawn = sampling.draw(drawn_from(game, self.candidates), values, seed)
                return Variant(alpha, [reward.share_of_gain for reward in drawn], [reward.size for reward in drawn])

            if of:
                compare(of, kernel, pooled)
            beginning = f"{of}, " if of else ""
            for factor in LENGTHSCALES:
                scaled = kernel.with_lengthscale(factor * float(kernel.lengthscale))
                compare(f"{beginning}length-scale × {factor:g}", scaled, pooled)
            if parties is None:
                fitted = Fitted(settlement.features, settlement.generator, points, False)
            else:
                fitted = mediator.fit(parties, seed, settlement.features)
            compare(f"{beginning}another seed", kernel, mediator.pool(fitted, len(pool.points), seed))

        return variants, warnings


def recommend(settlement: Settlement) -> float:
    r"""Return the $\beta$ whose rewards are nearest to all data: the smallest mean $\text{MMD}_u^2(D_i \cup G_i, T)$.

    It is the same for all parties, since with another $\beta$ the same value takes another number of rows. Rewards
    that did not reach their target come last.
    """

    def distance(beta: float) -> tuple[int, float]:
        rewards = [settlement.drawn[party, beta] for party in range(settlement.game.n)]
        return sum(not reward.reached for reward in rewards), fmean(reward.mmd2_unbiased for reward in rewards)

    return min(settlement.betas, key=distance)


def name_parties(settlement: Settlement, **attributes: Any) -> PartySettlement:
    r"""Add further attributes to a settlement, and recommend a $\beta$ to each party.

    Messages of steps that know parties by their numbers get their names.
    """

    names, added = settlement.names, attributes.pop("warnings")
    warnings = [*settlement.warnings, *(with_names(warning, names) for warning in added)]
    variants: Mapping[str, Variant] = attributes.pop("sensitivity")
    recommended = ByParty([recommend(settlement)] * settlement.game.n)
    seconds = {**settlement.seconds, **attributes.pop("seconds")}
    return PartySettlement(
        **{**vars(settlement), "warnings": warnings, "seconds": seconds},
        recommended=recommended,
        sensitivity={
            key: replace(variant, reason=with_names(variant.reason, names)) for key, variant in variants.items()
        },
        **attributes,
    )
