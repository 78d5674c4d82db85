"""Keeps what a run leaves behind, and reads it back."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgm.records.result import Result
from cgm.utils.files import write_whole

COLUMNS = ["party", "beta", "metric", "value"]  # of metrics.csv


@dataclass(frozen=True)
class Record:
    r"""Holds the result of a run.

    Parties are numbered from 0, here and in the files.

    Attributes:
        result: What `result.json` holds, as plain numbers, strings, lists and dictionaries.
        metrics: Rows (party, beta, metric, value), as in `metrics.csv`; a value that could not be computed is
            `None`, and `result["missing"]` says why.
        rewards: For each (party, beta) the rows of `pool` that are $G_i$, in order of acceptance.
        pool: The synthetic pool $G$, of shape $(|G|, d)$.
    """

    result: Result
    metrics: list[tuple[int, float, str, float | None]]
    rewards: dict[tuple[int, float], Tensor]
    pool: Tensor

    def save(self, folder: str | Path) -> None:
        """Writes `metrics.csv`, `rewards.npz` and, when all else is there, `result.json` to a folder.

        Each file is written whole or not at all, so that a `result.json` means a complete run.
        """

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)

        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [party, repr(float(beta)).removesuffix(".0"), metric, "" if value is None else repr(value)]
            for party, beta, metric, value in self.metrics
        )
        write_whole(folder / "metrics.csv", table.getvalue().encode())

        arrays = io.BytesIO()
        indices = {_key(party, beta): rows.numpy() for (party, beta), rows in self.rewards.items()}
        np.savez_compressed(arrays, pool=self.pool.cpu().numpy(), **indices)
        write_whole(folder / "rewards.npz", arrays.getvalue())

        write_whole(folder / "result.json", self.result.dumps().encode())

    @classmethod
    def load(cls, folder: str | Path) -> Record:
        """Reads a run's folder back. No code is run from the files.

        Raises:
            FileNotFoundError: If the folder holds no complete run.
            ValueError: If one of its files is damaged.
        """

        folder = Path(folder)
        if not (folder / "result.json").is_file():
            raise FileNotFoundError(f"{folder}: no result.json, so there is no complete run in this folder")
        try:
            result = Result.loads((folder / "result.json").read_text(encoding="utf-8"))
            with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            if header != COLUMNS:
                raise ValueError(f"metrics.csv has the columns {header}")
            metrics = [
                (int(party), float(beta), metric, float(value) if value else None)
                for party, beta, metric, value in rows
            ]
            with np.load(folder / "rewards.npz", allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
            pool = arrays.pop("pool")
            rewards = {}
            for name, indices in arrays.items():
                party, beta = re.fullmatch(r"party_(\d+)_beta_(.+)", name).groups()
                rewards[int(party), float(beta)] = indices
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{folder}: a file of this run is damaged ({error})") from error

        return cls(result, metrics, rewards, pool)

    def table(self) -> str:
        """Writes the headline numbers as a short table: a row for each party, then the scheme and the incentives."""

        r = self.result
        betas = list(dict.fromkeys(chain.beta for chain in r.sampling))
        chains = {(chain.party, chain.beta): chain for chain in r.sampling}
        rows = [["party", "α", "v(D_i)", "v_min", "r_i", "v(D_i∪G)", *(f"|G_i| β={beta:g}" for beta in betas)]]
        columns = r.contributions.alpha, r.values.party, r.values.lower, r.scheme.rewards, r.values.upper
        for i, cells in enumerate(zip(*columns, strict=True)):
            sizes = [f"{chains[i, beta].size}{'' if chains[i, beta].reached else '*'}" for beta in betas]
            rows.append([str(i + 1), *(f"{x:.4f}" for x in cells), *sizes])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        if not all(chain.reached for chain in r.sampling):
            lines.append("* stopped before v(D_i ∪ G_i) reached r_i")

        parts = [f"spread of rewards max r - min r = {r.scheme.spread:.4f}"]
        for name, symbol, digits in (("rho", "ρ", 4), ("v_star", "v*", 6)):
            value = r.scheme.number(name)
            if value is not None:
                parts.insert(0, f"{symbol} = {value:.{digits}f}")
        lines.append(", ".join(parts))
        lines.append("incentives (slack): " + ", ".join(self._incentive(f"R{k}") for k in range(1, 7)))
        return "\n".join(lines)

    def _incentive(self, name: str) -> str:
        incentive = self.result.incentives[name]
        state = {True: "held", False: "NOT held", None: "unknown"}[incentive.holds]
        if incentive.slack is None:
            return f"{name} {state}"
        slack = incentive.slack if abs(incentive.slack) > 1e-12 else 0  # a rounding error is no slack
        return f"{name} {state} ({slack:.2g})"


def _key(party: int, beta: float) -> str:
    return f"party_{party}_beta_{beta!r}"
