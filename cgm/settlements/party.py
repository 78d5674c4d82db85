"""What settlements of tables and of images share: names, held-out rows, the audit, other settings, the folder."""

from __future__ import annotations

import copy
import re
import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from cgm.data.tables.files import Source
from cgm.data.tables.schema import Schema
from cgm.evaluation.entries import Accuracy, RewardAudit
from cgm.evaluation.privacy.base import Audit
from cgm.evaluation.privacy.membership import Membership
from cgm.generators.base import Generator
from cgm.generators.pool import draw_pool
from cgm.mediator import Mediator, Settlement
from cgm.settlements.folder import write_settlement
from cgm.utils.checks import check_bool, check_instance, check_integer, check_number
from cgm.utils.random import stream_seed
from cgm.utils.run import progress
from cgm.utils.text import aligned_lines
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.valuation import Valuation

HOLD_OUT, AUDIT, AGAIN = 11, 12, 13  # streams that a seed is split into, beside those of the mediator
OWN = ("seconds", "warnings")  # of such a settlement, in place of the mediator's
MIN_ROWS = 10  # of a party, to value and audit it
SENSITIVE = 0.25  # changes of α above it are printed
LENGTHSCALES = (0.5, 2.0)  # factors of the length-scale for which contributions are computed again


@dataclass(frozen=True)
class PartySettlement(Settlement):
    r"""What a mediator computes for parties with names and files.

    Attributes:
        names: The names of the parties.
        tables: The rows of each party that were valued: tables, or images of shape (N_i, C, H, W), uint8.
        held_out: The rows of each party that neither the generator nor the valuation has seen.
        pool_table: The synthetic pool $G$ of the same kind; row k belongs to `pool.points[k]`.
        schema: The columns of tables; `None` for images.
        recommended: For each party the $\beta$ whose reward is nearest to all data, that is, with the smallest unbiased
            $\text{MMD}^2(D_i \cup G_i, T)$.
        audits: What an attacker can learn from each reward.
        accuracies: The accuracies of classifiers with and without each reward; empty without labels.
        sensitivity: The contributions $\alpha$ with other length-scales and another seed.
        settings: All settings.
        sources: Where the data came from.
    """

    names: tuple[str, ...]
    tables: tuple[Any, ...]
    held_out: tuple[Any, ...]
    pool_table: Any
    schema: Schema | None
    recommended: tuple[float, ...]
    audits: tuple[RewardAudit, ...]
    accuracies: tuple[Accuracy, ...]
    sensitivity: Mapping[str, Sequence[float]]
    settings: Mapping[str, Any]
    sources: tuple[Source, ...]

    unit: ClassVar[str] = "rows"

    @abstractmethod
    def reward_table(self, party: int, beta: float) -> Any:
        r"""Return the reward $G_i$ of a party (from 0) at an inverse temperature, in the form of the party's data.

        Raises:
            ValueError: If no such reward was drawn.
        """

    def table(self) -> str:
        """Return the headline numbers as a short table, a row for each party."""

        betas = list(dict.fromkeys(chain.beta for chain in self.chains))
        rows = [["party", self.unit, "v(D_i)", "α", "r_i", *(f"{self.unit} β={beta:g}" for beta in betas)]]
        for i, name in enumerate(self.names):
            numbers = (self.game.party_values[i], self.contributions.alpha[i], self.rewards.values[i])
            chains = [self.chain(i, beta) for beta in betas]
            marks = ["*" * (not c.reached) + "<" * (c.beta == self.recommended[i]) for c in chains]
            sizes = [f"{len(c.indices)}{mark:1}" for c, mark in zip(chains, marks, strict=True)]
            rows.append([name, str(len(self.tables[i])), *(f"{float(x):.4f}" for x in numbers), *sizes])
        lines = aligned_lines(rows)
        lines.append("< recommended: nearest to all data")
        alpha, largest = self.contributions.alpha.tolist(), SENSITIVE
        for setting, others in self.sensitivity.items():
            for name, before, after in zip(self.names, alpha, others, strict=True):
                if abs(after - before) > largest:
                    largest = abs(after - before)
                    sensitive = f"contributions depend on settings: with {setting}, α of {name} is {after:.2f}"
        if largest > SENSITIVE:
            lines.append(sensitive)
        if not all(chain.reached for chain in self.chains):
            lines.append("* stopped before v(D_i ∪ G_i) reached r_i")
        return "\n".join(lines)

    def write(self, folder: str | Path, disclose: Sequence[str] = (), alternatives: bool = False) -> Path:
        r"""Write report, certificates and rewards to a folder, completely or not at all.

        Arguments:
            folder: The folder, new or empty.
            disclose: What each party may know of all parties: any of `names`, `sizes`, `contributions`, `values`,
                `rewards`.
            alternatives: Whether parties also receive their rewards for the $\beta$ that are not recommended; with
                several rewards, a party has more than its reward value.

        Raises:
            ValueError: If the folder is not empty, or `disclose` has an unknown name.
        """

        return write_settlement(folder, self, disclose, alternatives)


@dataclass(frozen=True, kw_only=True)
class PartyMediator(Mediator):
    r"""Base class of the mediators of tables and of images.

    Arguments:
        held_out: The share of each party's rows that neither the generator nor the valuation sees, for the audit.
        max_rows: The number of rows of all parties together that are used at most. If there are more, a random part
            of each party's rows is, the same share for all; the others are held out as well. The cost grows with the
            square of the number of rows. `None`: no limit.
        audit: Measures what rewards give away.
        sensitivity: Whether contributions are computed again with other length-scales and another seed.
        seed: The seed of everything random. `None`: one that cannot be guessed. A party that knows the seed of the pool
            can undo the noise of some generators, and then sees real rows.

    Raises:
        ValueError: If a setting is out of range.
    """

    kernel: Kernel = field(default_factory=lambda: SquaredExponential("median"))
    held_out: float = 0.1
    max_rows: int | None = 10_000
    audit: Audit = field(default_factory=Membership)
    sensitivity: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("held_out", self.held_out, min=0, max=0.5)
        check_integer("max_rows", self.max_rows, min=2 * MIN_ROWS, optional=True)
        check_instance("audit", self.audit, Audit)
        check_bool("sensitivity", self.sensitivity)
        check_integer("seed", self.seed, min=0, optional=True)

    def _used(self, parties: Mapping[str, Sized], unit: str = "rows") -> dict[str, np.ndarray]:
        """Draw the rows that are used, as a mask of shape (N_i) for each party."""

        assert self.seed is not None
        total = sum(len(rows) - round(self.held_out * len(rows)) for rows in parties.values())
        share = 1.0 if self.max_rows is None else min(1.0, self.max_rows / max(total, 1))
        masks = {}
        for number, (name, rows) in enumerate(parties.items()):
            n = len(rows)
            if n < MIN_ROWS:
                raise ValueError(f"{name}: has {n} {unit}, at least {MIN_ROWS} are needed")
            random = np.random.default_rng([stream_seed(self.seed, HOLD_OUT), number])
            used = n - round(self.held_out * n)
            if share < 1:
                used = min(used, max(MIN_ROWS, int(share * used)))
            mask = np.ones(n, bool)
            mask[random.permutation(n)[: n - used]] = False
            masks[name] = mask

        return masks

    def _audit(self, settlement: Settlement, held_out: Sequence[torch.Tensor]) -> list[RewardAudit]:
        """Audit the rewards, with the held-out points of each party in the features."""

        assert self.seed is not None
        rewards = [(c.party, c.beta, settlement.pool.points[c.indices]) for c in settlement.chains]
        return self.audit.audit(settlement.parties, held_out, rewards, stream_seed(self.seed, AUDIT))

    def _sensitivity(
        self, settlement: Settlement, generator: Generator, data: torch.Tensor | None
    ) -> tuple[dict[str, list[float]], list[str]]:
        """Compute contributions with other length-scales, and with the generator and pool of another seed.

        Arguments:
            settlement: The settlement.
            generator: A generator of the pool.
            data: What it is fitted to again. `None`: it is fitted already.
        """

        assert self.seed is not None
        game, seed = settlement.game, stream_seed(self.seed, AGAIN)
        found: dict[str, list[float]] = {}
        warnings: list[str] = []

        def compute(name: str, game: Valuation) -> None:
            try:
                found[name] = self.contribution.compute(game, seed).alpha.tolist()
            except ValueError as error:  # the settlement itself has contributions
                warnings.append(f"sensitivity, {name}: {error}")

        with progress(len(LENGTHSCALES) + 1, "sensitivity") as bar:
            for factor in LENGTHSCALES:
                kernel = game.kernel.with_lengthscale(factor * float(game.kernel.lengthscale))
                other = Valuation(kernel, settlement.parties, settlement.pool.points, self.precision)
                compute(f"length-scale × {factor:g}", other)
                bar.update()
            if data is not None:
                generator.fit(data, seed)
            pool = draw_pool(generator, settlement.features, game.sizes[-1], seed, game.points.shape[1])
            compute("another seed", Valuation(game.kernel, settlement.parties, pool.points, self.precision))
            bar.update()

        return found, warnings

    def _own_seed(self) -> int:
        """Return the seed, or draw one that cannot be guessed."""

        return secrets.randbits(63) if self.seed is None else self.seed

    def _shared(
        self, settlement: Settlement, names: Sequence[str], seconds: Mapping[str, float], warnings: Sequence[str]
    ) -> dict[str, Any]:
        """Return the attributes of a settlement that one of parties with names has, with more seconds and warnings."""

        shared = {name: getattr(settlement, name) for name in Settlement.__dataclass_fields__ if name not in OWN}
        recommended = tuple(_recommended(settlement, party) for party in range(settlement.game.n))
        return {
            **shared,
            "seconds": {**settlement.seconds, **seconds},
            "names": tuple(names),
            "warnings": [_with_names(warning, names) for warning in (*settlement.warnings, *warnings)],
            "recommended": recommended,
        }

    def _plain_mediator(self, **changes: Any) -> Mediator:
        """Return a mediator with the same settings but for some changes; its generator is a copy."""

        settings = {name: getattr(self, name) for name in Mediator.__dataclass_fields__}
        return Mediator(**{**settings, "generator": copy.copy(self.generator), **changes})


def _with_names(warning: str, names: Sequence[str]) -> str:
    """Return a warning of the mediator, which knows parties by their numbers, with their names."""

    return re.sub(r"\bparty (\d+)\b", lambda found: names[int(found[1]) - 1], warning)


def _recommended(settlement: Settlement, party: int) -> float:
    """Return the β of the reward with the smallest unbiased MMD."""

    own = [chain for chain in settlement.chains if chain.party == party]
    return min(own, key=lambda chain: (not chain.reached, chain.mmd2_unbiased)).beta
