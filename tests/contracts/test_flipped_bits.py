"""A flipped bit in a cache, in weights or in a checkpoint is noticed. For records, see tests/records/test_record.py."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from cgm.data.features.linear import PCA
from cgm.networks import weights as pretrained
from cgm.networks.training import read_checkpoint, write_checkpoint
from cgm.utils.cache import cached, read_tensors
from tests.valuation.common import normal

FLIPS = 125  # for each of four files; tests/records/test_record.py has 500


def cache(folder: Path) -> tuple[Path, Callable[[], None]]:
    def read() -> None:
        def recompute() -> dict[str, torch.Tensor]:
            raise ValueError("damaged")  # the cache says so in the log, and computes again

        cached(folder, "features", {"seed": 0}, recompute)

    cached(folder, "features", {"seed": 0}, lambda: {"x": normal(20, 3), "y": torch.arange(5)})
    return next(folder.glob("*.safetensors")), read


def weights(folder: Path) -> tuple[Path, Callable[[], None]]:
    path = folder / "pca.safetensors"
    PCA(components=2).fit(normal(50, 4), seed=0).save(path)
    return path, lambda: PCA(components=2).load(path) and None


def described(folder: Path) -> tuple[Path, Callable[[], None]]:
    path = pretrained.keep(PCA(components=2).fit(normal(50, 4), 0), "pca", "digits", (1, 2, 2), {}, folder)
    return path, lambda: pretrained.read(path) and None


def checkpoint(folder: Path) -> tuple[Path, Callable[[], None]]:
    path = folder / "checkpoint.pt"
    write_checkpoint(path, {"identity": {"seed": 0}, "step": 5, "x": normal(20, 3), "y": normal(7)})
    return path, lambda: read_checkpoint(path) and None


@pytest.mark.parametrize("make", [cache, weights, described, checkpoint])
def test_every_flipped_bit_is_noticed(tmp_path: Path, make: Callable) -> None:
    path, read = make(tmp_path)
    read()
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for k, bit in zip(rng.integers(len(content), size=FLIPS), rng.integers(8, size=FLIPS), strict=True):
        path.write_bytes(content[:k] + bytes([content[k] ^ 1 << bit]) + content[k + 1 :])
        with pytest.raises(ValueError):
            read()
    path.write_bytes(content)
    read()


def test_weights_without_a_checksum_are_read(tmp_path: Path) -> None:
    """As older versions wrote them."""

    path, read = weights(tmp_path)
    metadata, tensors = read_tensors(path)
    checksum = metadata.pop("sha256")
    path.write_bytes(save(tensors, metadata))
    read()
    path.write_bytes(save(tensors, metadata | {"sha255": checksum}))
    with pytest.raises(ValueError, match="damaged"):
        read()
