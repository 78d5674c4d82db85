"""Files of checkpoints: what is refused, and that nothing in them is executed."""

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cgm.networks.weights import live_tensors, read_checkpoint, write_checkpoint
from cgm.utils.cache import digest

IDENTITY = {"training": "some", "seed": 0, "betas": (0.5, 0.9)}
PROGRESS = {"step": 3, "seconds": 1.5, "losses": {"loss": 0.1}, "numbers": {"kids": [[0.1, 0.2]]}}


def tensors():
    return {"weight": torch.arange(6.0).reshape(2, 3), "random.codes": torch.Generator().get_state()}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, IDENTITY, PROGRESS, tensors())
    return path


def read(path, identity=IDENTITY):
    return read_checkpoint(path, identity, tensors(), "some.checkpoint")


def content(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def test_what_is_written_is_read(path):
    progress, found = read(path)

    assert progress == PROGRESS
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[name], x) for name, x in tensors().items())


def test_the_layout_in_memory_does_not_matter(tmp_path):
    x = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    write_checkpoint(tmp_path / "file", IDENTITY, PROGRESS, {"x": x})

    assert torch.equal(read_checkpoint(tmp_path / "file", IDENTITY, {"x": x}, "some.checkpoint")[1]["x"], x)


def test_live_tensors_are_those_of_the_training():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    live = live_tensors({"network": network}, {"network": optimizer})

    assert live["network.1.num_batches_tracked"].dtype == torch.int64
    for i, parameter in enumerate(network.parameters()):
        state = optimizer.state[parameter]
        assert float(state["step"]) == 0
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert live[f"optimizer.network.{i}.{key}"] is state[key]
        assert state["exp_avg"].stride() == parameter.stride()
    live["network.0.bias"].fill_(7)
    assert (network[0].bias == 7).all()

    before = [parameter.detach().clone() for parameter in network.parameters()]  # the state that Adam itself creates
    other = torch.optim.AdamW(nn.ParameterList([nn.Parameter(x.clone()) for x in before]).parameters())
    for parameter in [*network.parameters(), *other.param_groups[0]["params"]]:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    other.step()
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), other.param_groups[0]["params"], strict=True))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "text", "empty", "truncated", "foreign"])
def test_foreign_files_are_refused(path, kind):
    marker, data = path.with_name("marker"), path.read_bytes()
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Touch(marker)))
    elif kind == "torch":
        torch.save(Touch(marker), path)
    elif kind == "foreign":
        save_file({"x": torch.zeros(3)}, path)
    else:
        path.write_bytes({"text": b"not a checkpoint", "empty": b"", "truncated": data[: len(data) // 2]}[kind])

    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: not a checkpoint.*delete it"):
        read(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("sign", "changes", "message"),
    [
        (False, {"weight": torch.zeros(2, 3)}, "wrong checksum, the checkpoint is damaged"),
        (True, {"weight": torch.zeros(3, 2)}, "or not finite: weight"),
        (True, {"weight": torch.zeros(2, 3, dtype=torch.float64)}, "or not finite: weight"),
        (True, {"weight": None, "other": torch.ones(1)}, "or not finite: other, weight"),
        (True, {"random.codes": torch.ones(5000, dtype=torch.uint8)}, "or not finite: random.codes"),
        (True, {"weight": torch.full((2, 3), torch.nan)}, "or not finite: weight"),
    ],
)
def test_altered_files_are_refused(path, sign, changes, message):
    old, metadata = content(path)
    new = {name: x for name, x in {**old, **changes}.items() if x is not None}
    save_file(old, path, metadata)
    read(path)  # rewriting alone is harmless

    if sign:
        metadata["sha256"] = digest(new, metadata["identity"] + metadata["progress"])
    save_file(new, path, metadata)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"):
        read(path)


def test_altered_numbers_are_refused(path):
    old, metadata = content(path)
    save_file(old, path, metadata | {"progress": json.dumps(PROGRESS | {"step": 4})})

    with pytest.raises(ValueError, match="wrong checksum"):
        read(path)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({**IDENTITY, "seed": 1}, "seed=0, here 1"),
        ({**IDENTITY, "betas": (0.5, 0.99)}, r"betas=\[0.5, 0.9\], here \[0.5, 0.99\]"),
        ({**IDENTITY, "more": 2}, "more=None, here 2"),
        ({"training": "some", "seed": 0}, r"betas=\[0.5, 0.9\], here None"),
    ],
)
def test_checkpoints_of_another_training_are_refused(path, identity, message):
    with pytest.raises(
        ValueError, match=rf"a checkpoint of another training \({message}\); use another some.checkpoint"
    ):
        read(path, identity)
