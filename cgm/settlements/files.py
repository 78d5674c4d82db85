"""Rewards and the synthetic pool as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cgm.data.images import write_npz, write_png
from cgm.data.tables.files import Source, table_file
from cgm.settlements.settlement import PartySettlement
from cgm.utils.files import folder_digest, sha256

IMAGES = ".png"  # the format of which each image is a file: a reward is then a folder


@dataclass(frozen=True)
class RewardFile:
    """A reward as a file, or as a folder of images.

    Attributes:
        name: The name of the file or folder.
        files: The contents by path; the paths in a folder begin with its name.
        rows: The number of rows or images.
        escaped: The number of cells that got a leading apostrophe.
        encoding: The encoding of a CSV file.
    """

    name: str
    files: dict[str, bytes]
    rows: int
    escaped: int = 0
    encoding: str = "utf-8"

    @property
    def entry(self) -> dict[str, Any]:
        """What a certificate says of it; the digest of a folder is that of `folder_digest`."""

        size = sum(map(len, self.files.values()))
        if self.name in self.files:
            entry = {"sha256": sha256(self.files[self.name]), "bytes": size, "rows": self.rows}
            return entry if self.encoding == "utf-8" else {**entry, "encoding": self.encoding}
        inside = {path.removeprefix(f"{self.name}/"): data for path, data in self.files.items()}
        return {"sha256": folder_digest(inside), "bytes": size, "rows": self.rows, "folder": True}


def reward_file(settlement: PartySettlement, party: int, beta: float, name: str, single: bool = False) -> RewardFile:
    r"""Return a reward in the format of the party's own data.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        beta: The $\beta$ of the reward.
        name: The name of the file, without its ending.
        single: Whether images are one file in any case.
    """

    reward, source = settlement.reward_values(party, beta), settlement.sources[party]
    if settlement.schema is not None:
        name += source.suffix
        file = table_file(reward, settlement.schema.columns, source)
        return RewardFile(name, {name: file.content}, file.rows, file.escaped, file.encoding)
    if source.suffix == IMAGES and not single:
        files = {f"{name}/{k + 1:06}.png": write_png(image) for k, image in enumerate(reward)}
        return RewardFile(name, files, len(reward))
    name += ".npz"
    return RewardFile(name, {name: write_npz(reward, source.layout)}, len(reward))


def pool_file(settlement: PartySettlement) -> tuple[str, bytes]:
    """Return the name and the content of the file of the synthetic pool."""

    if settlement.schema is None:
        return "pool.npz", write_npz(settlement.pool_table, Source("").layout)
    return "pool.csv", table_file(settlement.pool_table, settlement.schema.columns).content
