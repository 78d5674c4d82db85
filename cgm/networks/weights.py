"""Checkpoints of trainings: safetensors files with a checksum and the identity of the training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from cgm.networks.fitted import Fitted, to_json
from cgm.utils.cache import digest, read_tensors
from cgm.utils.files import write_whole

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


FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Weights:
    """Description of a file of weights whose checksum is correct.

    Attributes:
        dataset: The name of the dataset on which they were trained.
        path: The file, for `load` of the class that was trained.
        info: The content of the JSON next to it: checksum, shape of the images, settings, figures.
    """

    dataset: str
    path: Path
    info: dict[str, Any]


def check_pretrained(setting: str, value: object) -> None:
    """Check that a setting is true, false, auto or the path of a file of weights.

    Arguments:
        setting: The name of the setting, for the error.
        value: Its value.

    Raises:
        ValueError: If the value is anything else.
        FileNotFoundError: If it is the path of a file that does not exist.
    """

    if not isinstance(value, bool) and value != "auto":
        check_path(setting, value, "true, false, auto, or ")


def check_path(setting: str, value: object, others: str = "") -> None:
    """Check that a setting is the path of a file of weights.

    Arguments:
        setting: The name of the setting, for the error.
        value: Its value.
        others: What else is allowed, for the error.

    Raises:
        ValueError: If the value is anything else.
        FileNotFoundError: If there is no such file.
    """

    if not isinstance(value, str) or Path(value).suffix != ".safetensors":
        raise ValueError(f"{setting}={value}: expected {others}the path of a .safetensors file")
    if not Path(value).is_file():
        raise FileNotFoundError(f"{setting}={value}: there is no such file")


def choose(value: bool | str, what: str, shape: Sequence[int]) -> Weights | None:
    r"""Return the weights that a setting `pretrained` asks for, or `None`.

    Arguments:
        value: `True` for those that come with cgm; `"auto"` for them if they exist; `False` for none; or a path.
        what: The kind of the trained object, such as `"mmd_gan"`, `"autoencoder"` or `"classifier"`.
        shape: The shape $(C, H, W)$ of the images.

    Raises:
        ValueError: If the value is `True` and there are no weights, or if the file is damaged.
        FileNotFoundError: If there is no description next to the file.
    """

    if isinstance(value, str) and value != "auto":
        return read(value)
    if value is True:
        return get(what, shape)

    return find(what, shape) if value else None


def find(what: str, shape: Sequence[int] | None = None, dataset: str | None = None) -> Weights | None:
    r"""Find weights that come with cgm by what was trained, the shape of the images and the name of the dataset.

    Arguments:
        what: The kind of the trained object, such as `"mmd_gan"`, `"autoencoder"` or `"classifier"`.
        shape: The shape $(C, H, W)$ of the images. Any, if `None`.
        dataset: The name of the dataset. Any, if `None`.

    Returns:
        The first match; `None` if there is no match.

    Raises:
        ValueError: If the checksum of the file is wrong.

    Example:
        >>> find("autoencoder", shape=(1, 28, 28)).dataset
        'mnist'
    """

    for notes in sorted(FOLDER.glob(f"*_{what}.json")):
        info = _describe(notes)
        if (shape is None or list(shape) == info["image"]) and dataset in (None, info["dataset"]):
            return read(notes.with_suffix(".safetensors"))

    return None


def read(path: str | Path) -> Weights:
    """Read the description of a file of weights, and compare the checksums. Nothing in the files is executed.

    Arguments:
        path: The file of weights, with a JSON of the same name next to it, as written by `keep`.

    Raises:
        FileNotFoundError: If there is no such JSON.
        ValueError: If the JSON is not a description, or the checksum of the weights is wrong.
    """

    path = Path(path)
    notes = path.with_suffix(".json")
    if not notes.is_file():
        raise FileNotFoundError(
            f"pretrained={path}: there is no {notes.name} next to it; the program that trains weights writes both"
        )
    info = _describe(notes)
    found = _checksum(path) if path.is_file() else "of no file"
    if found != info["sha256"]:
        raise ValueError(
            f"{path}: missing, damaged or replaced: sha256 {found} where {info['sha256']} is expected; "
            "get it again, or use pretrained=false"
        )

    return Weights(info["dataset"], path, info)


def get(what: str, shape: Sequence[int] | None = None, dataset: str | None = None) -> Weights:
    """Find weights as `find` does, but raise a ValueError if there are none."""

    weights = find(what, shape, dataset)

    if weights is None:
        asked = [] if shape is None else [f"images of shape {tuple(shape)}"]
        asked += [] if dataset is None else [f"dataset={dataset}"]
        raise ValueError(
            f"pretrained=true: cgm comes with no trained {what} for {' of '.join(asked)}; use pretrained=false to train"
        )

    return weights


def keep(
    fitted: Fitted, what: str, dataset: str, shape: Sequence[int], info: dict[str, Any], folder: Path | None = None
) -> Path:
    r"""Write a trained object, with a description and a checksum next to it.

    Arguments:
        fitted: The trained object.
        what: Its kind, such as `"mmd_gan"`, `"autoencoder"` or `"classifier"`.
        dataset: The name of the dataset on which it was trained.
        shape: The shape $(C, H, W)$ of the images.
        info: Further entries of the description: settings, figures.
        folder: The folder of the files. If `None`, the one that `find` searches, where existing files are replaced.

    Returns:
        The file of the weights.
    """

    path = (folder or FOLDER) / f"{dataset}_{what}.safetensors"
    fitted.save(path)
    notes = {"dataset": dataset, "image": list(shape), "sha256": _checksum(path), **info}
    write_whole(path.with_suffix(".json"), (json.dumps(notes, indent=2, ensure_ascii=False) + "\n").encode())

    return path


def _describe(notes: Path) -> dict[str, Any]:
    try:
        info = json.loads(notes.read_text("utf-8"))
        return info | {"image": list(info["image"]), "dataset": info["dataset"], "sha256": info["sha256"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{notes}: not the description of a file of weights ({error!r})") from error


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
