r"""Settlements of sketches: from one noisy mean embedding of each party to values, rewards and what is guaranteed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cgm.privacy.accounting import UNIT
from cgm.privacy.release import guarantee_of
from cgm.privacy.sketch import SUFFIX, Sketch
from cgm.privacy.valuation import ERRORS
from cgm.rewards.sampling import Reward
from cgm.settlements.certificate import FORMAT, readable_json, rounded, seal
from cgm.settlements.folder import CERTIFICATE, check_folder, safe_names, write_files
from cgm.sketches import SketchComputation, SketchNumbers
from cgm.utils.files import sha256
from cgm.utils.plain import plain
from cgm.utils.run import Clock, limited, timed
from cgm.utils.shown import counted
from cgm.utils.text import csv_text, markdown_table, printable

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

STATES = {True: "holds", False: "FAILS", None: "not resolved"}
PUBLIC = (
    "the schema: columns, ranges, levels, scales, kernel, length-scale, landmarks, δ",
    "the names of the parties, their numbers of rows and their ε",
)


@dataclass(frozen=True)
class SketchMediator(SketchComputation):
    r"""Settles sketches.

    Bounds of rewards that cross by less than 1.5 standard errors of $v(D_i \cup G)$ count as feasible: what is below
    the noise cannot be asked for.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sampling.betas) != 1:
            raise ValueError(f"sampling.betas={list(self.sampling.betas)}: expected one, of the reward of each party")

    @limited(1)  # sums, and so all numbers, depend on the number of threads
    def settle(self, sketches: Sequence[Sketch]) -> SketchSettlement:
        """Settle sketches.

        Raises:
            ValueError: If they do not belong together, or if no party has a positive contribution.
            InfeasibleScheme: If no rewards fit their bounds, however large G.
        """

        with Clock() as clock:
            numbers = self.compute(sketches)
            with timed("sampling"):
                drawn = self.sampling.draw(numbers.game, numbers.rewards.values, self.seed)
        unreached = [
            f"{printable(numbers.names[reward.party])}: its reward stopped at {reward.value:.4g}, before "
            f"{reward.target:.4g}"
            for reward in drawn
            if not reward.reached
        ]
        for message in unreached:
            log.warning(message)
        fields = vars(numbers) | {"warnings": [*numbers.warnings, *unreached]}
        return SketchSettlement(**fields, drawn=drawn, seconds=clock.seconds)


@dataclass(frozen=True, repr=False, eq=False)
class SketchSettlement(SketchNumbers):
    r"""What a mediator computes from sketches.

    Attributes:
        drawn: The reward of each party.
        seconds: The seconds that each step took.
        date: When it was computed, in UTC.
    """

    seen: ClassVar[str] = "the mediator has seen sketches only, no rows"
    public: ClassVar[Sequence[str]] = PUBLIC

    drawn: Sequence[Reward]
    seconds: Mapping[str, float]
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def reward_table(self, party: int) -> pd.DataFrame:
        """Return the reward of a party, from 0, as a table with the columns of the schema, in random order."""

        order = np.random.default_rng([self.settings.seed, party]).permutation(self.drawn[party].indices.numpy())
        return self.schema.decode(self.game.synthetic[order])

    def to_frame(self) -> pd.DataFrame:
        r"""Return a table of pandas, a row for each party; `_stderr` are standard errors because of the noise."""

        return super().to_frame().assign(size=[reward.size for reward in self.drawn])

    def guarantee(self, party: int) -> dict[str, Any]:
        """Return what is guaranteed to a party, from 0, as plain values."""

        holds_for = "all that is computed from the sketch, against everybody, if the rows have no other release"
        stated = guarantee_of(self.sketches[party])
        rates = {rate: rounded(share) for rate, share in stated["max_true_positives"].items()}
        others = {"holds_for": holds_for, "public": list(self.public), "schema": self.schema.digest}
        return {key: rounded(x) for key, x in stated.items()} | {"max_true_positives": rates} | others

    def certificate(self, party: int, files: Mapping[str, bytes], name: str = "") -> dict[str, Any]:
        """Return the certificate of a party, from 0: its own numbers, what is guaranteed, and digests of its files.

        Arguments:
            party: The party.
            files: The other files of its folder.
            name: The name of the settlement, by which a party tells it from others.
        """

        numbers = super().to_frame().iloc[party].to_dict()
        names = [f"{name}{end}" for name in ("value", "alpha", "reward") for end in ("", "_stderr")]
        own = plain({name: rounded(float(numbers[name])) for name in names})
        states = {name: STATES[entry.holds] for name, entry in self.incentives.items()}
        return seal(
            {
                "format": FORMAT,
                "settlement": {"name": name, "date": self.date},
                "party": self.names[party],
                "parties": self.game.n,
                "data": {**self._data(party), "rows_valued": int(numbers["rows"]), "rows_held_out": 0},
                "privacy": self.guarantee(party),
                "value": {**own, **self._own(party)},
                "stderr": "standard errors because of the noise of all sketches",
                "incentives": states,
                "price": self.settings.price,
                "files": {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in files.items()},
            }
        )

    def _data(self, party: int) -> dict[str, Any]:
        """Return which file a party has handed in, and its digest."""

        name = safe_names([self.names[party]])[0]
        return {"file": f"{name}{SUFFIX}", "sha256": sha256(self.sketches[party].to_bytes())}

    def _own(self, party: int) -> dict[str, Any]:
        """Return numbers of the reward of a party."""

        return {"points": self.drawn[party].size}

    def report(self) -> str:
        """Return the report, Markdown."""

        frame, game = self.to_frame(), self.game

        def cell(value: float, error: float) -> str:
            return f"{value:.4f} ± {ERRORS * error:.4f}"

        numbers = [
            [printable(row["name"]), f"{row['rows']:,}", cell(row["value"], row["value_stderr"]),
             cell(row["alpha"], row["alpha_stderr"]), cell(row["reward"], row["reward_stderr"]),
             *([f"{row['size']:,}"] if "size" in row else [])]
            for row in frame.to_dict("records")
        ]  # fmt: skip
        heads = ["party", "rows", "v(D_i)", "α", "r_i", *(["points of the reward"] if "size" in frame else [])]
        private = []
        for k, sketch in enumerate(self.sketches):
            given = sketch.guarantee
            private.append(
                [printable(self.names[k]), f"{sketch.epsilon:g}", f"{sketch.schema.delta:g}", f"{given.mu:.3g}",
                 f"{100 * given.true_positives(0.01):.2g} %", f"{given.auc:.3f}",
                 f"{100 * sketch.relative_noise:.2g} %"]
            )  # fmt: skip
        lines = [
            "# Settlement of sketches",
            "",
            f"{self.date}; {counted(game.n, 'party')}; {self.seen}. v(N) = "
            f"{game.grand_value:.4f} ± {ERRORS * game._error(np.ones(game.n, dtype=bool)):.4f}. "
            f"The synthetic pool has {game.sizes[-1]:,} points, {self._follows()}.",
            "",
            *markdown_table(heads, numbers).splitlines(),
            "",
            "± are two standard errors because of the noise: of v by formula, of α and r from draws of it. They do not "
            "say how much the rows themselves vary by chance.",
            "",
            "## What is guaranteed",
            "",
            *markdown_table(
                ["party", "ε", "δ", "μ", "largest true positive rate at 1 % false positives", "largest AUC", "noise"],
                private,
            ).splitlines(),
            "",
            f"The unit is {UNIT}. No attack on this report, the rewards, or anything else that is computed from the "
            "sketches has higher rates, whatever the attacker knows, if the rows of a party have no other release. "
            "Noise: of the mean embedding, as a share of its largest possible norm. Public are: "
            f"{'; '.join(self.public)}.",
            "",
            "## Incentives",
            "",
            *markdown_table(
                ["incentive", "", "margin"],
                [[name, STATES[entry.holds], entry.note] for name, entry in self.incentives.items()],
            ).splitlines(),
            "",
            "An incentive holds or fails if its margin is beyond two standard errors. Rewards that exhaust a bound, as "
            "often in R2 and R6, cannot be resolved.",
            "",
            "## Method",
            "",
            f"Schema {self.schema.digest}; kernel {game.kernel!r}; {game.dimensions:,} features, which miss "
            f"{100 * game.missed:.2g} % of the weight of a point of the pool. The bias of the noise is "
            f"{'subtracted' if self.settings.price == 'none' else 'not subtracted, so that values fall with privacy'}.",
        ]
        lines += self._more()
        if self.warnings:
            lines += ["", "## Warnings", "", *(f"- {printable(warning)}" for warning in self.warnings)]
        return "\n".join(lines) + "\n"

    def _follows(self) -> str:
        """Return what the pool follows."""

        return "fitted to the sketches alone"

    def _more(self) -> list[str]:
        """Return what else the report says of the method."""

        return []

    def reward_file(self, party: int) -> dict[str, bytes]:
        """Return the file of the reward of a party, from 0, by its name."""

        return {"reward.csv": _csv(self.reward_table(party))}

    def mediator_files(self) -> dict[str, bytes]:
        """Return the files that stay with the mediator, by name."""

        return {
            "result.json": readable_json(self.to_dict()),
            "pool.csv": _csv(self.schema.decode(self.game.synthetic)),
            "schema.json": readable_json(self.schema.to_dict()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""

        frame = plain(self.to_frame().to_dict("records"))
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
            "seed": self.settings.seed,
            "warnings": list(self.warnings),
            "seconds": dict(self.seconds),
        }

    def write(self, folder: str | Path) -> Path:
        """Write the settlement to a new folder: `report.md`, `parties/NAME/` for each party, and `mediator/`.

        Raises:
            ValueError: If the folder is not empty.
        """

        folder = check_folder(folder)
        files = {f"mediator/{name}": data for name, data in self.mediator_files().items()}
        for party, name in enumerate(safe_names(self.names)):
            own = self.reward_file(party)
            own[CERTIFICATE] = readable_json(self.certificate(party, own, folder.absolute().name))
            files |= {f"parties/{name}/{file}": data for file, data in own.items()}
        files["report.md"] = self.report().encode()
        write_files(folder, files)
        return folder


def _csv(table: pd.DataFrame) -> bytes:
    rows = ([*map(str, row)] for row in table.astype(object).where(table.notna(), "").to_numpy().tolist())
    return csv_text([*map(str, table.columns)], rows).encode()
