r"""Settlements of sketches: from one noisy mean embedding of each party to values, rewards and what is guaranteed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from cgm.data.tables.files import table_file
from cgm.mediator import naming, with_names
from cgm.privacy.release import guarantee_of
from cgm.privacy.sketch import SUFFIX, Sketch, check_keys, check_sketches
from cgm.records.html import render
from cgm.rewards.errors import warn_of_stops
from cgm.rewards.sampling import Reward
from cgm.settlements.certificate import FORMAT, readable_json, rounded, seal
from cgm.settlements.completion import FILE as COMPLETION
from cgm.settlements.completion import SCHEMA, CompletionFile
from cgm.settlements.folder import CERTIFICATE, README, REPORT, check_folder, safe_names, write_files
from cgm.settlements.report import TEMPLATES
from cgm.settlements.sketch_report import PUBLIC, STATES, report, signatures
from cgm.sketches import SketchComputation, SketchNumbers
from cgm.utils.files import sha256
from cgm.utils.plain import plain
from cgm.utils.run import Clock, limited, timed
from cgm.utils.text import printable

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

TEMPLATE = TEMPLATES / "sketch_README.txt"


@dataclass(frozen=True)
class SketchMediator(SketchComputation):
    r"""Settles sketches.

    Bounds of rewards may cross by as much as R2, that no reward is above $v(D_i \cup G)$, is not resolved: by two
    standard errors of its margin, the smallest of all parties. What is below the noise cannot be asked for.

    Arguments:
        at_home: Whether folders of parties hold what rewards are completed by against exact rows, see
            `complete_reward`: the pool, and the total of the others' sketches. Whoever has them could also take more
            than its reward.
    """

    at_home: bool = False

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
        names = [printable(sketch.party) for sketch in sketches]
        with Clock() as clock, naming(names):
            numbers = self.compute(sketches)
            with timed("sampling"):
                drawn = self.sampling.draw(numbers.game, numbers.rewards.values, self.seed)
        unreached = [with_names(message, names) for message in warn_of_stops(drawn)]
        for message in unreached:
            log.warning(message)
        fields = vars(numbers) | {"warnings": [*numbers.warnings, *unreached]}
        return SketchSettlement(**fields, drawn=drawn, seconds=clock.seconds, with_keys=keys is not None)


@dataclass(frozen=True, repr=False, eq=False)
class SketchSettlement(SketchNumbers):
    r"""What a mediator computes from sketches.

    Attributes:
        drawn: The reward of each party.
        seconds: The seconds that each step took.
        with_keys: Whether each sketch is signed by the key that was given for its party.
        date: When it was computed, in UTC.
    """

    seen: ClassVar[str] = "the mediator has seen sketches only, no rows"
    public: ClassVar[Sequence[str]] = PUBLIC
    covered: ClassVar[str] = "the rewards"
    own_reward: ClassVar[str] = (
        "It was drawn from a pool that knows sketches only, so that the guarantee for your rows and for those of all "
        "others covers it."
    )

    drawn: Sequence[Reward]
    seconds: Mapping[str, float]
    with_keys: bool = False
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def reward_table(self, party: int) -> pd.DataFrame:
        """Return the reward of a party, from 0, as a table with the columns of the schema, in random order."""

        order = np.random.default_rng([self.settings.seed, party]).permutation(self.drawn[party].indices.numpy())
        return self.schema.decode(self.game.synthetic[order])

    def to_frame(self) -> pd.DataFrame:
        r"""Return a table of pandas, a row for each party; `_stderr` are standard errors because of the noise."""

        return super().to_frame().assign(size=[reward.size for reward in self.drawn])

    def table(self) -> str:
        """Return the headline numbers."""

        incentives = self.incentives.to_frame()
        incentives["holds"] = [STATES[entry.holds] for entry in self.incentives.values()]
        states = incentives.drop(columns="slack").to_string(index=False, justify="left")
        return f"{self!r}\n_stderr: one standard error because of the noise\n{states}"

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

    def follows(self) -> str:
        """Return what the pool follows."""

        return "fitted to the sketches alone"

    def more(self) -> list[str]:
        """Return what else the report says of the method."""

        return [signatures(self)]

    def party_files(self, party: int, name: str = "") -> dict[str, bytes]:
        """Return what a party, from 0, receives: its reward, `README.txt`, and the certificate with their digests.

        Arguments:
            party: The party.
            name: The name of the settlement.
        """

        own = self.reward_files(party)
        given = self.sketches[party].guarantee
        own[README] = render(
            TEMPLATE,
            reward=next(iter(own)),
            rows=self.drawn[party].size,
            at_home=COMPLETION in own,
            data=self._data(party)["file"],
            epsilon=f"{self.sketches[party].epsilon:g}",
            delta=f"{self.schema.delta:g}",
            guarantee=given.in_words(),
            own_reward=self.own_reward,
        )
        return own | {CERTIFICATE: readable_json(self.certificate(party, own, name))}

    def reward_files(self, party: int) -> dict[str, bytes]:
        """Return the files of the reward of a party, from 0, by their names, the reward first."""

        files = {"reward.csv": table_file(self.reward_table(party), self.schema.columns.columns).content}
        if isinstance(self.settings, SketchMediator) and self.settings.at_home:
            files[SCHEMA] = readable_json(self.schema.to_dict())
            files[COMPLETION] = self.completion(party).to_bytes()
        return files

    def mediator_files(self) -> dict[str, bytes]:
        """Return the files that stay with the mediator, by name."""

        return {
            "result.json": readable_json(self.to_dict()),
            "pool.csv": table_file(self.schema.decode(self.game.synthetic), self.schema.columns.columns).content,
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
        files = {f"mediator/{name}": data for name, data in self.mediator_files().items()}
        for party, name in enumerate(safe_names(self.names)):
            own = self.party_files(party, folder.absolute().name)
            files |= {f"parties/{name}/{file}": data for file, data in own.items()}
        files[REPORT] = self.report()
        write_files(folder, files)
        return folder
