"""Files of checkpoints: what is refused, and that nothing in them is executed."""

import hashlib
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from cgm.networks.training import read_checkpoint, write_checkpoint


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def signed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def test_what_is_written_is_read(tmp_path):
    x = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state = {"step": 3, "numbers": {"kids": [[0.1, 0.2]]}, "x": x, "stream": torch.Generator().get_state()}
    write_checkpoint(tmp_path / "folder" / "file", state)
    found = read_checkpoint(tmp_path / "folder" / "file")

    assert (found["step"], found["numbers"]) == (3, {"kids": [[0.1, 0.2]]})
    assert torch.equal(found["x"], x)
    assert torch.equal(found["stream"], state["stream"])


def test_foreign_files_are_refused(tmp_path):
    path, marker = tmp_path / "checkpoint", tmp_path / "marker"
    write_checkpoint(path, {"step": 3})
    data = path.read_bytes()
    torch.save(Touch(marker), tmp_path / "torch")
    torch_file, pickled = (tmp_path / "torch").read_bytes(), pickle.dumps(Touch(marker))
    contents = [pickled, torch_file, b"not a checkpoint", b"", data[: len(data) // 2], save({"x": torch.zeros(3)})]

    for content in [*contents, *map(signed, contents)]:  # with a right checksum as well
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: not a checkpoint.*; delete it$"):
            read_checkpoint(path)
        assert not marker.exists()
