import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from cgm.data import CIFAR10, ImageArrays
from tests.data.datasets.images import COLOUR, write_cifar10_arrays


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "test_batch"):
        (folder / name).write_bytes(pickle.dumps(Trap()))
    trap = np.array([Trap()], dtype=object)

    with pytest.raises(FileNotFoundError, match="cifar-10-batches-py exists, but pickled files are not read"):
        CIFAR10().load(str(tmp_path), seed=0)
    write_cifar10_arrays(tmp_path, train={"images": trap})
    with pytest.raises(ValueError, match=r"cifar10_train_30k.npz: "):
        CIFAR10().load(str(tmp_path), seed=0)
    np.savez("own.npz", images=COLOUR, labels=trap)
    with pytest.raises(ValueError, match=r"own.npz: "):
        ImageArrays("own.npz").load(None, seed=0)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"pickle.npz: "):
        ImageArrays("pickle.npz").load(None, seed=0)
    assert not Path("sprung").exists()
