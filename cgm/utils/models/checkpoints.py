"""Checkpoints of trainings: safetensors files with a checksum and the identity of the training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from cgm.utils.files import write_whole
from cgm.utils.models.fitted import to_json
from cgm.utils.tensors import digest, read_tensors

FORMAT = "cgm training"


def live_tensors(
    networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, torch.Tensor]:
    """Collect the tensors, not copied, that a training changes from step to step, by name.

    The state of an optimizer that has not taken a step yet is created, as zeros.

    Arguments:
        networks: The networks, by name.
        optimizers: Their optimizers, `Adam` or a variant with the same state, by name.
    """

    tensors = {f"{name}.{key}": x for name, network in networks.items() for key, x in network.state_dict().items()}
    for name, optimizer in optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for i, parameter in enumerate(parameters):
            state = optimizer.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state |= {key: torch.zeros_like(parameter.detach()) for key in ("exp_avg", "exp_avg_sq")}
            tensors |= {f"optimizer.{name}.{i}.{key}": x for key, x in state.items()}

    return tensors


def write_checkpoint(
    path: Path, identity: Mapping[str, Any], progress: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Write a checkpoint, completely or not at all.

    Arguments:
        path: The file. An existing one is replaced.
        identity: All that the course of the training depends on.
        progress: The numbers that change from step to step.
        tensors: The tensors that change from step to step.
    """

    from safetensors.torch import save as to_bytes

    plain = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    metadata = {"format": FORMAT, "identity": to_json(identity), "progress": to_json(progress)}
    metadata["sha256"] = digest(plain, metadata["identity"] + metadata["progress"])
    write_whole(path, to_bytes(plain, metadata))


def read_checkpoint(
    path: Path, identity: Mapping[str, Any], expected: Mapping[str, torch.Tensor], setting: str
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a checkpoint. Nothing in the file is executed.

    Arguments:
        path: The file.
        identity: The identity of the training to resume.
        expected: Tensors of the expected names, shapes and dtypes.
        setting: The name of the setting of the checkpoint, for errors.

    Returns:
        The numbers and the tensors that were written.

    Raises:
        ValueError: If the file is damaged, not a checkpoint, or of another training.
    """

    try:
        metadata, tensors = read_tensors(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a checkpoint, or a damaged one ({error}); delete it") from error

    if metadata.get("format") != FORMAT or not {"identity", "progress"} <= metadata.keys():
        raise ValueError(f"{path}: not a checkpoint; delete it, or use another {setting}")
    if metadata.get("sha256") != digest(tensors, metadata["identity"] + metadata["progress"]):
        raise ValueError(f"{path}: wrong checksum, the checkpoint is damaged; delete it")
    found, own = json.loads(metadata["identity"]), json.loads(to_json(identity))
    other = [
        f"{name}={found.get(name)!r}, here {own.get(name)!r}"
        for name in own | found
        if name not in found or name not in own or found[name] != own[name]
    ]
    if other:
        raise ValueError(f"{path}: a checkpoint of another training ({'; '.join(other)}); use another {setting}")
    wrong = [name for name in expected.keys() | tensors.keys() if not _fits(tensors.get(name), expected.get(name))]
    if wrong:
        raise ValueError(
            f"{path}: tensors that are missing, unknown, of a wrong shape or dtype, or not finite: "
            f"{', '.join(sorted(wrong))}; delete the file, or use another {setting}"
        )

    return json.loads(metadata["progress"]), tensors


def _fits(found: torch.Tensor | None, expected: torch.Tensor | None) -> bool:
    if expected is None or found is None or found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool(torch.isfinite(found).all())
