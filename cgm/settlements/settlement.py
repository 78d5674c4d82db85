"""The settlement of parties with names and files: what reports, certificates and files are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.data.tables.files import Source
from cgm.data.tables.schema import Schema
from cgm.evaluation.entries import Accuracy, RewardAudit
from cgm.mediator import Settlement
from cgm.utils.text import aligned_lines

SENSITIVE = 0.25  # changes of α above it are printed


@dataclass(frozen=True)
class PartySettlement(Settlement):
    r"""What a mediator computes for parties with tables or images.

    Attributes:
        names: The names of the parties.
        tables: The rows of each party that were valued: a DataFrame, or images of shape $(N_i, C, H, W)$, uint8.
        held_out: The rows of each party that neither the generator nor the valuation has seen; may be empty.
        pool_table: The synthetic pool $G$ of the same kind; row k belongs to `pool.points[k]`.
        schema: The columns of tables; `None` for images.
        recommended: For each party the $\beta$ of the reward that it receives: the one for which rewards are nearest to
            all data, the same for all parties.
        audits: What an attacker can learn from each reward; may be empty.
        accuracies: The accuracies of classifiers with and without each reward; empty without labels.
        sensitivity: The contributions $\alpha$ with other settings, by a description of these; may be empty.
        settings: All settings, as JSON holds them.
        sources: Where the data of each party came from.
    """

    names: Sequence[str]
    tables: Sequence[Any]
    held_out: Sequence[Any]
    pool_table: Any
    schema: Schema | None
    recommended: Sequence[float]
    audits: Sequence[RewardAudit]
    accuracies: Sequence[Accuracy]
    sensitivity: Mapping[str, Sequence[float]]
    settings: Mapping[str, Any]
    sources: Sequence[Source]

    @property
    def unit(self) -> str:
        """What a row is: rows of tables, or images."""

        return "images" if self.schema is None else "rows"

    def reward_table(self, party: int, beta: float) -> Any:
        r"""Return the reward $G_i$ of a party (from 0) at an inverse temperature, in the form of the party's data.

        Returns:
            A DataFrame with the columns of the party's table, in its order, or images of shape $(|G_i|, C, H, W)$,
            uint8.

        Raises:
            ValueError: If no such reward was drawn.
        """

        rows = self.find(party, beta).indices.numpy()
        if self.schema is None:
            return self.pool_table[rows]
        return self.pool_table[list(self.tables[party].columns)].iloc[rows].reset_index(drop=True)

    def table(self) -> str:
        """Return the headline numbers as a short table, a row for each party."""

        rows = [["party", self.unit, "v(D_i)", "α", "r_i", *(f"{self.unit} β={beta:g}" for beta in self.betas)]]
        for i, name in enumerate(self.names):
            numbers = (self.game.party_values[i], self.contributions.alpha[i], self.rewards.values[i])
            rewards = [self.drawn[i, beta] for beta in self.betas]
            marks = ["*" * (not r.reached) + "<" * (r.beta == self.recommended[i]) for r in rewards]
            sizes = [f"{len(r.indices)}{mark:1}" for r, mark in zip(rewards, marks, strict=True)]
            rows.append([name, str(len(self.tables[i])), *(f"{float(x):.4f}" for x in numbers), *sizes])
        lines = [*aligned_lines(rows), "< recommended: nearest to all data"]
        alpha, largest = self.contributions.alpha.tolist(), SENSITIVE
        for setting, others in self.sensitivity.items():
            for name, before, after in zip(self.names, alpha, others, strict=True):
                if abs(after - before) > largest:
                    largest = abs(after - before)
                    sensitive = f"contributions depend on settings: with {setting}, α of {name} is {after:.2f}"
        if largest > SENSITIVE:
            lines.append(sensitive)
        if not all(reward.reached for reward in self.drawn.values()):
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

        from cgm.settlements.folder import write_settlement  # which writes objects of this class

        return write_settlement(folder, self, disclose, alternatives)
