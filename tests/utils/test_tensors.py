import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save

from cgm.utils.cache import digest, read_tensors

TENSORS = {"x": torch.arange(6.0).reshape(2, 3), "y": torch.tensor([True, False])}


def test_read(tmp_path):
    path = tmp_path / "file.safetensors"
    path.write_bytes(save(TENSORS, metadata={"key": "value"}))
    metadata, tensors = read_tensors(path)

    assert metadata == {"key": "value"}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], x) for name, x in TENSORS.items())
    path.write_bytes(save({name: ~x if x.dtype == torch.bool else -x for name, x in TENSORS.items()}))
    assert all(torch.equal(tensors[name], x) for name, x in TENSORS.items())  # independent of the file from now on
    assert read_tensors(str(path))[0] == {}


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_bad_files(tmp_path, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((SafetensorError, OSError)):
        read_tensors(path)


def test_digest():
    x, y = TENSORS["x"], TENSORS["y"]
    value = digest(TENSORS, "text")
    assert value == digest({"y": y, "x": x.clone()}, "text") == digest({"y": y, "x": x.T.contiguous().T}, "text")

    others = [
        digest(TENSORS),
        digest(TENSORS, "other"),
        digest({"x": x}, "text"),
        digest({"x": x, "z": y}, "text"),
        digest({"x": x + 1, "y": y}, "text"),
        digest({"x": x.reshape(3, 2), "y": y}, "text"),
        digest({"x": x.view(torch.int32), "y": y}, "text"),
        digest({"x": x[:0], "y": y}, "text"),
    ]
    assert len({value, *others}) == 9
