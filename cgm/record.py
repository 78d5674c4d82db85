"""Keeps what a run leaves behind, and reads it back."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import __version__
from .files import write_whole
from .sampling import Chain

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "umap-learn")
NUMERICS = 2  # raised when a change of cgm or its weights changes a run's numbers: sweeps run anew what is of another
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

    result: dict[str, Any]
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

        text = json.dumps(self.result, indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(folder / "result.json", text.encode())

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
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
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
        betas = list(dict.fromkeys(entry["beta"] for entry in r["sampling"]))
        sizes = {(entry["party"], entry["beta"]): entry for entry in r["sampling"]}
        head = [
            "party",
            "α",
            "v(D_i)",
            "v_min",
            "r_i",
            "v(D_i∪G)",
            *(f"|G_i| β={beta:g}" for beta in map(float, betas)),
        ]
        rows = [head]
        for i in range(r["n_parties"]):
            cells = (
                r["shapley"]["alpha"][i],
                r["values"]["party"][i],
                r["values"]["lower"][i],
                r["scheme"]["rewards"][i],
                r["values"]["upper"][i],
            )
            counts = (sizes[i, beta] for beta in betas)
            rows.append(
                [str(i + 1), *(f"{x:.4f}" for x in cells)]
                + [f"{entry['size']}{'' if entry['reached'] else '*'}" for entry in counts]
            )
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        if not all(entry["reached"] for entry in r["sampling"]):
            lines.append("* stopped before v(D_i ∪ G_i) reached r_i")

        scheme = r["scheme"]
        lines.append(
            f"v* = {scheme['v_star']:.6f}, ρ = {scheme['rho']:.4f}, spread of rewards max r - min r = "
            f"{scheme['spread']:.4f}"
        )
        lines.append("incentives (slack): " + ", ".join(self._incentive(f"R{k}") for k in range(1, 7)))
        return "\n".join(lines)

    def _incentive(self, name: str) -> str:
        holds, slack = (self.result["incentives"][name][key] for key in ("holds", "slack"))
        state = {True: "held", False: "NOT held", None: "not told"}[holds]
        # a rounding error is no slack
        return f"{name} {state}" + ("" if slack is None else f" ({slack if abs(slack) > 1e-12 else 0:.2g})")


def rewards_of(chains: Iterable[Chain]) -> dict[tuple[int, float], Tensor]:
    """Collects the chains' rewards by party and β."""

    return {(chain.party, chain.beta): chain.indices for chain in chains}


def plain(x: Any) -> Any:
    """Turns tensors, arrays, dataclasses and named tuples into what JSON holds; infinity becomes `"inf"`."""

    if isinstance(x, Tensor | np.ndarray | np.generic):
        return plain(x.tolist())
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = {f.name: plain(getattr(x, f.name)) for f in dataclasses.fields(x) if f.init}
        return {"class": type(x).__name__} | fields
    if isinstance(x, tuple) and hasattr(x, "_asdict"):
        return plain(x._asdict())
    if isinstance(x, Mapping):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [plain(value) for value in x]
    if isinstance(x, float) and math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x is None or isinstance(x, bool | int | float | str):
        return x
    return str(x) if isinstance(x, Path) else type(x).__name__


def snake(name: str) -> str:
    """Turns a class's name into a setting's: SquaredExponential into squared_exponential, MMDGAN into mmd_gan."""

    return re.sub(r"(?<=MMD)(?=GAN)|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def versions() -> dict[str, str]:
    """Lists the versions of what computed a result."""

    packages = {package: version(package) for package in PACKAGES}
    return {"cgm": __version__, "numerics": str(NUMERICS), "python": platform.python_version()} | packages


def _key(party: int, beta: float) -> str:
    return f"party_{party}_beta_{beta!r}"
