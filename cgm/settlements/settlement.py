"""The settlement of parties with names and files: what reports, certificates and files are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.data.tables.files import Source
from cgm.data.tables.frames import with_dtypes
from cgm.data.tables.schema import Schema
from cgm.evaluation.entries import MetricRow, RewardAudit, Scores
from cgm.evaluation.privacy.base import audit_rows
from cgm.mediator import Settlement
from cgm.records.record import add_metrics
from cgm.rewards.sampling import Reward
from cgm.utils.checks import party_number
from cgm.utils.random import Stream, stream_seed
from cgm.utils.text import aligned_lines, listed, number, percent, printable
from cgm.valuation.method import Approximation

if TYPE_CHECKING:
    import pandas as pd

    from cgm.settlements.figures import PartyPlots

SENSITIVE = 0.25  # changes of α above it are printed


class ByParty(tuple[float, ...]):
    """A number for each party, in their order; `x["west"]` is that of a party by its name.

    Arguments:
        numbers: The numbers.
        names: The names of the parties.
    """

    names: Sequence[str]

    def __new__(cls, numbers: Iterable[float], names: Sequence[str] = ()) -> ByParty:
        """Make the tuple."""

        of_parties = super().__new__(cls, numbers)
        of_parties.names = tuple(names)
        return of_parties

    def __getitem__(self, party: Any) -> Any:
        return super().__getitem__(party_number(party, self.names) if isinstance(party, str) else party)


@dataclass(frozen=True)
class Variant:
    r"""What the parties have with another setting.

    Attributes:
        alpha: Their contributions $\alpha$.
        shares: For each party the share of its possible gain, see `Reward.share_of_gain`, of the reward for the
            recommended $\beta$; `None` if there are no rewards.
        rows: The sizes of these rewards.
        reason: Why there are no rewards; empty if there are.
    """

    alpha: Sequence[float]
    shares: Sequence[float] | None = None
    rows: Sequence[int] | None = None
    reason: str = ""


@dataclass(frozen=True, repr=False)
class PartySettlement(Settlement):
    r"""What a mediator computes for parties with tables or images.

    Attributes:
        tables: The rows of each party that were valued: a DataFrame, or images of shape $(N_i, C, H, W)$, uint8.
        held_out: The rows of each party that neither the generator nor the valuation has seen; may be empty.
        pool_table: The synthetic pool $G$ of the same kind; row k belongs to `pool.points[k]`.
        schema: The columns of tables; `None` for images.
        recommended: For each party the $\beta$ of the reward that it receives: the one for which rewards are nearest to
            all data, the same for all parties; `recommended["west"]` is that of a party by its name.
        audits: What an attacker can learn from each reward; may be empty.
        accuracies: The scores of classifiers with and without each reward; empty without labels.
        sensitivity: Contributions and rewards with other settings, by a description of these; may be empty.
        settings: All settings, as JSON holds them.
        sources: Where the data of each party came from.
        approximation: The method and the errors of approximate values; `None` if they are exact.
        samples: What was computed from a part of the rows, in words: of `lengthscale`, `rewards`, `audit`,
            `sensitivity`, `figures`, `columns`, `downstream`.
        date: When it was computed, such as `2026-11-29T17:20:05Z`, in UTC.
    """

    tables: Sequence[Any]
    held_out: Sequence[Any]
    pool_table: Any
    schema: Schema | None
    recommended: ByParty
    audits: Sequence[RewardAudit]
    accuracies: Sequence[Scores]
    sensitivity: Mapping[str, Variant]
    settings: Mapping[str, Any]
    sources: Sequence[Source]
    approximation: Approximation | None = None
    samples: Mapping[str, str] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def __post_init__(self) -> None:
        object.__setattr__(self, "recommended", ByParty(self.recommended, self.names))

    @property
    def unit(self) -> str:
        """What a row is: rows of tables, or images."""

        return "images" if self.schema is None else "rows"

    def rows(self, party: int | str, beta: float) -> NDArray:
        r"""Return the rows of the pool that a reward has, in the order of its file.

        The order is random: that in which rows were accepted would say which of them were drawn for their value first.

        Arguments:
            party: The party, from 0, or its name.
            beta: The inverse temperature.

        Raises:
            ValueError: If no such reward was drawn.
        """

        party = self.number(party)
        indices = self.find(party, beta).indices.numpy()
        seed = stream_seed(int(self.settings.get("seed") or 0), Stream.ORDER_REWARDS)
        return np.random.default_rng([seed, party, list(self.betas).index(beta)]).permutation(indices)

    def reward_table(self, party: int | str, beta: float | None = None) -> Any:
        r"""Return the reward $G_i$ of a party at an inverse temperature, in the form of the party's data.

        Arguments:
            party: The party, from 0, or its name.
            beta: The inverse temperature; the recommended one, if `None`.

        Returns:
            A DataFrame with the columns of the party's table, in its order, and with its dtypes, if it was given as a
            DataFrame and the values fit; or images of shape $(|G_i|, C, H, W)$, uint8.

        Raises:
            ValueError: If no such reward was drawn.
        """

        party = self.number(party)
        beta = self.recommended[party] if beta is None else beta
        values, source = self.reward_values(party, beta), self.sources[party]
        if self.schema is None or not source.dtypes:
            return values
        return with_dtypes(values, self.schema.columns, source.dtypes, source.forms)

    def reward_values(self, party: int, beta: float) -> Any:
        r"""Return the reward of a party as rows of the pool, see `reward_table`: with dtypes that all parties share."""

        rows = self.rows(party, beta)
        if self.schema is None:
            return self.pool_table[rows]
        return self.pool_table[list(self.tables[party].columns)].iloc[rows].reset_index(drop=True)

    @property
    def delivered(self) -> list[Reward]:
        """The reward that each party is given, that for its recommended β."""

        return [self.find(party, beta) for party, beta in enumerate(self.recommended)]

    @property
    def alpha_stderr(self) -> torch.Tensor | None:
        r"""The standard errors of $\alpha_i$ over rows, of shape $(n)$; `None` if they are unknown.

        $\alpha_i$ is not smooth where two contributions tie for the largest. So these are the standard errors of the
        distance of $\phi_i$ to the largest of the others, see `Uncertainty`, as shares of the largest contribution.
        """

        errors = self.uncertainty.to_largest_stderr
        return None if errors is None or len(errors) == 1 else errors / self.contributions.phi.max()

    @property
    def not_distinguished(self) -> list[tuple[int, ...]]:
        """Groups of parties (from 0) whose contributions cannot be told apart, those with larger ones first.

        No two members of a group differ by more than two standard errors, and each such pair is in a group. A party
        can be in several groups.
        """

        phi, stderr = self.contributions.phi, self.contributions.stderr
        near = {frozenset(pair) for pair in self.uncertainty.not_distinguished(phi, sampling=stderr)}
        order = sorted(range(len(phi)), key=lambda i: -float(phi[i]))
        groups: list[tuple[int, ...]] = []
        for pair in combinations(order, 2):
            if frozenset(pair) not in near or any(set(pair) <= set(group) for group in groups):
                continue
            group = list(pair)
            for k in order:
                if all(frozenset((k, member)) in near for member in group):
                    group.append(k)
            groups.append(tuple(sorted(group, key=order.index)))
        return groups

    @property
    def plot(self) -> PartyPlots:
        """Figures that are drawn into axes: `plot.rewards()`, `plot.values()` and `plot.embedding()`."""

        from cgm.settlements.figures import PartyPlots  # matplotlib, which takes a second to import

        return PartyPlots(self)

    def to_frame(self) -> pd.DataFrame:
        r"""Return the rewards as a table of pandas, a row for each party and $\beta$.

        Beside the columns of `Settlement.to_frame` there are whether it is the `recommended` reward that the
        party receives, `share_of_gain`, and the scores and the numbers of the audit by the names that they have in the
        `metrics.csv` of experiments.
        """

        frame, drawn = super().to_frame(), list(self.drawn.values())
        frame["recommended"] = [self.recommended[reward.party] == reward.beta for reward in drawn]
        frame["share_of_gain"] = [reward.share_of_gain for reward in drawn]
        scores = [
            MetricRow(entry.party, entry.beta, name, value)
            for entry in self.accuracies
            for name, value in entry.numbers.items()
        ]
        return add_metrics(frame, [*scores, *audit_rows(self.audits)[0]])

    def table(self) -> str:
        """Return the headline numbers as a short table, a row for each party."""

        errors, betas = self.alpha_stderr, set(self.recommended)
        beta = f" β={min(betas):g}" if len(betas) == 1 else ""
        others = [other for other in self.betas if {other} != betas]
        rows = [["party", self.unit, "v(D_i)", "α" if errors is None else "α ± error", "gain", f"{self.unit}{beta}"]]
        for i, (name, reward) in enumerate(zip(self.names, self.delivered, strict=True)):
            error = "" if errors is None else f" ± {number(float(errors[i]), 2)}"
            rows.append(
                [
                    printable(name),
                    str(len(self.tables[i])),
                    f"{float(self.game.party_values[i]):.4f}",
                    f"{float(self.contributions.alpha[i]):.4f}{error}",
                    percent(reward.share_of_gain),
                    _size(reward) + ("" if beta else f" (β={reward.beta:g})"),
                ]
            )
        if others:
            cells = [", ".join(_size(self.drawn[i, other]) for other in others) for i in range(len(self.names))]
            heads = ["β=" + ", ".join(f"{other:g}" for other in others), *cells]
            rows = [[*row, cell] for row, cell in zip(rows, heads, strict=True)]
        lines = aligned_lines(rows)
        lines.append(
            "gain: what the reward adds to the party's own data, as a share of what all synthetic data would add"
        )
        if capped := [reward for reward in self.delivered if reward.target < reward.promised]:
            share = (capped[0].target - capped[0].start) / (capped[0].upper - capped[0].start)
            lines.append(
                f"Nobody is drawn beyond {percent(share)} of its way (sampling.tolerance), whatever was promised."
            )
        if self.uncertainty.reason:
            lines.append(f"the standard errors of contributions are unknown: {self.uncertainty.reason}")
        if tied := name_groups(self.not_distinguished, self.names):
            lines.append(printable(tied))
        alpha, largest = self.contributions.alpha.tolist(), SENSITIVE
        for setting, variant in self.sensitivity.items():
            for name, before, after in zip(self.names, alpha, variant.alpha, strict=True):
                if abs(after - before) > largest:
                    largest = abs(after - before)
                    sensitive = printable(
                        f"contributions depend on settings: with {setting}, α of {name} is {after:.2f}"
                    )
        if largest > SENSITIVE:
            lines.append(sensitive)
        if not all(reward.reached for reward in self.drawn.values()):
            lines.append("* stopped before v(D_i ∪ G_i) reached its target")
        return "\n".join(lines)

    def write(self, folder: str | Path, disclose: Sequence[str] | None = None, alternatives: bool = False) -> Path:
        r"""Write report, certificates and rewards to a folder, completely or not at all.

        Arguments:
            folder: The folder, new or empty.
            disclose: What each party may know of all parties: any of `names`, `sizes`, `contributions`, `values`,
                `rewards`, `levels`. `None`: the setting of the settlement.
            alternatives: Whether parties also receive their rewards for the $\beta$ that are not recommended; with
                several rewards, a party has more than its reward value.

        Raises:
            ValueError: If the folder is not empty, or `disclose` has an unknown name.
        """

        from cgm.settlements.folder import write_settlement  # which writes objects of this class

        given = self.settings.get("disclose", ()) if disclose is None else disclose
        return write_settlement(folder, self, given, alternatives)


def name_groups(groups: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Name the parties whose contributions cannot be told apart, in one sentence; empty if there are none.

    Arguments:
        groups: The groups, see `PartySettlement.not_distinguished`.
    """

    if not groups:
        return ""
    first, *others = (f"those of {listed([names[party] for party in group])}" for group in groups)
    sentence = f"{first.replace('those', 'The contributions', 1)} cannot be told apart"
    return "".join([sentence, *(f", nor can {other}" for other in others), "."])


def _size(reward: Reward) -> str:
    """Return the number of rows of a reward, marked if it is not complete."""

    return f"{reward.size}{'' if reward.reached else '*'}"
