"""The record of a run: what it leaves in its folder."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cgm.evaluation.entries import AttackGains, Change, MetricRow
from cgm.records import checksums, metrics_table
from cgm.records.result import Result
from cgm.records.runs import CONFIGURATION, METRICS, RESULT, REWARDS, check_files, read_run
from cgm.utils.files import write_whole
from cgm.utils.text import aligned_lines


@dataclass(frozen=True)
class Record:
    r"""The record of a run.

    Parties are numbered from 0, here and in the files. `rewards` and `pool` of a record that was loaded are read from
    `rewards.npz` when one of them is first used.

    Attributes:
        result: The content of `result.json`.
        metrics: The content of `metrics.csv`; a value that could not be computed is `None`, and `result.missing`
            has the reason.
        rewards: For each (party, beta) the rows of `pool` that are $G_i$, in order of acceptance.
        pool: The synthetic pool $G$, of shape $(|G|, d)$.
    """

    result: Result
    metrics: list[MetricRow]
    rewards: dict[tuple[int, float], torch.Tensor] = field(repr=False)  # large, and perhaps not read yet
    pool: torch.Tensor = field(repr=False)

    if not TYPE_CHECKING:  # a type checker would accept any attribute

        def __getattr__(self, name):  # only called for an attribute that is not set
            folder = vars(self).get("_folder")
            if folder is None or name not in ("rewards", "pool"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            pool, rewards = _read_rewards(folder / REWARDS)
            vars(self).update(pool=pool, rewards=rewards)
            return vars(self)[name]

    def save(self, folder: str | Path) -> None:
        """Write `metrics.csv`, `rewards.npz`, `SHA256SUMS` and finally `result.json` to a folder.

        Each file is written completely or not at all, so that the presence of `result.json` means that the run is
        complete. `SHA256SUMS` has the digests of the other files, and of `configuration.json` if there is one.

        Raises:
            ValueError: If a number of the result is NaN.
        """

        folder = Path(folder)
        arrays: dict[str, Any] = {
            f"party_{party}_beta_{beta!r}": rows.numpy() for (party, beta), rows in self.rewards.items()
        }
        content = io.BytesIO()
        np.savez_compressed(content, pool=self.pool.cpu().numpy(), **arrays)
        files = {METRICS: metrics_table.dumps(self.metrics).encode(), REWARDS: content.getvalue()}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data)
        files[RESULT] = self.result.dumps().encode()
        if (folder / CONFIGURATION).is_file():
            files[CONFIGURATION] = (folder / CONFIGURATION).read_bytes()
        write_whole(folder / checksums.SUMS, checksums.dumps(files))
        write_whole(folder / RESULT, files[RESULT])  # last

    @classmethod
    def load(cls, folder: str | Path) -> Record:
        """Read a run from its folder. No code in the files is run.

        `rewards.npz` is read when `rewards` or `pool` is first used, with the same errors as below: a record without
        this file has its result and its metrics.

        Raises:
            FileNotFoundError: If the run is not complete.
            ValueError: If a file is damaged; the message names it.
        """

        folder = Path(folder)
        try:
            result, metrics = read_run(folder)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{folder}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error

        record = cls.__new__(cls)
        vars(record).update(result=result, metrics=metrics, _folder=folder.absolute())
        return record

    def table(self) -> str:
        """Return the headline numbers: a row for each party, the scheme, the incentives, a row for each audit."""

        result, chains = self.result, {(chain.party, chain.beta): chain for chain in self.result.sampling}
        betas = list(dict.fromkeys(chain.beta for chain in result.sampling))
        rows = [["party", "α", "v(D_i)", "v_min", "r_i", "v(D_i∪G)", *(f"|G_i| β={beta:g}" for beta in betas)]]
        values = result.values
        columns = result.contributions.alpha, values.party, values.lower, result.scheme.rewards, values.upper
        for i, numbers in enumerate(zip(*columns, strict=True)):
            sizes = [f"{chains[i, beta].size}{'' if chains[i, beta].reached else '*'}" for beta in betas]
            rows.append([str(i + 1), *(f"{x:.4f}" for x in numbers), *sizes])
        lines = aligned_lines(rows)
        if not all(chain.reached for chain in result.sampling):
            lines.append("* stopped before v(D_i ∪ G_i) reached r_i")

        parts = []
        for name, symbol, digits in (("v_star", "v*", 6), ("rho", "ρ", 4)):
            number = result.scheme.number(name)
            if number is not None:
                parts.append(f"{symbol} = {number:.{digits}f}")
        lines.append(", ".join([*parts, f"spread of rewards max r - min r = {result.scheme.spread:.4f}"]))
        lines.append("incentives (slack): " + ", ".join(self._incentive(f"R{k}") for k in range(1, 7)))
        if result.attack is not None:
            lines += ["", *attack_lines(result.attack)]
        return "\n".join([*lines, *self._audit_lines()])

    def _audit_lines(self) -> list[str]:
        """Return a row for each reward that was audited, and the reasons of those that could not be."""

        rows = [["party", "β", "strongest attack", "AUC", "true positive rate", "copies", "nearest (chance)"]]
        lines = []
        for entry in self.result.audit:
            if entry.reason is not None:
                lines.append(f"no audit of party {entry.party + 1}, β={entry.beta:g}: {entry.reason}")
                continue
            attack = next(attack for attack in entry.attacks if attack.name == entry.strongest)
            auc = f"{attack.auc:.3f} [{attack.auc_low:.3f}, {attack.auc_high:.3f}]"
            tpr = f"{attack.tpr:.3f} [{attack.tpr_low:.3f}, {attack.tpr_high:.3f}]"
            nearest = f"{entry.nearest_share:.3f} ({entry.chance:.3f})"
            rows.append([str(entry.party + 1), f"{entry.beta:g}", attack.name, auc, tpr, str(entry.copies), nearest])
        return ["", *aligned_lines(rows), *lines] if len(rows) > 1 else lines

    def _incentive(self, name: str) -> str:
        incentive = self.result.incentives[name]
        state = {True: "held", False: "NOT held", None: "unknown"}[incentive.holds]
        if incentive.slack is None:
            return f"{name} {state}"
        slack = incentive.slack if abs(incentive.slack) > 1e-12 else 0  # rounding errors are shown as 0
        return f"{name} {state} ({slack:.2g})"


def attack_lines(gains: AttackGains) -> list[str]:
    r"""Return the gains of an attack as the lines of a table with a row for each $\beta$."""

    def both(honest: float | None, attacked: float | None) -> str:
        return " -> ".join("n/a" if x is None else f"{x:.4f}" for x in (honest, attacked))

    def signed(x: float | None) -> str:
        return "n/a" if x is None else f"{x:+.4f}"

    def change(x: Change) -> str:
        largest = f" (max {x.max:.4f})" if len(gains.identities) > 1 else ""
        return both(x.honest, x.total) + largest

    as_parties = "" if len(gains.identities) == 1 else f", as {', '.join(str(i + 1) for i in gains.identities)}"
    rows = [["β", "|G_i|", "v(D_i∪G_i)", "accuracy", "others' v, mean", "worst"]]
    for entry in gains.by_beta:
        rows.append(
            [
                f"{entry.beta:g}",
                f"{entry.size_honest} -> {entry.size}",
                both(entry.value_honest, entry.value),
                both(entry.accuracy_honest, entry.accuracy),
                signed(entry.others_mean),
                signed(entry.others_worst),
            ]
        )
    return [
        f"attack {gains.name} by party {gains.party + 1}{as_parties}; honest -> attacked: "
        f"α {change(gains.alpha)}, r_i {change(gains.reward)}",
        *aligned_lines(rows),
    ]


def _read_rewards(path: Path) -> tuple[torch.Tensor, dict[tuple[int, float], torch.Tensor]]:
    """Read the pool and, for each (party, beta), the rows of it that are a reward."""

    if not path.is_file():
        raise FileNotFoundError(f"{path.parent}: no {path.name}, although there is a {RESULT}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        pool, rewards = arrays.pop("pool"), {}
        for name, rows in arrays.items():
            match = re.fullmatch(r"party_(\d+)_beta_(.+)", name)
            if match is None:
                raise ValueError(f"{name} is neither the pool nor a reward")
            rewards[int(match[1]), float(match[2])] = rows
    except KeyError as error:
        raise ValueError(f"{path.parent}: {path.name} is damaged: no array {error}") from error
    except Exception as error:  # numpy, zipfile and zlib raise errors of many kinds
        raise ValueError(f"{path.parent}: {path.name} is damaged: {error}") from error
    try:
        check_files(path.parent, (REWARDS,))
    except ValueError as error:
        raise ValueError(f"{path.parent}: {error}") from error

    return pool, rewards
