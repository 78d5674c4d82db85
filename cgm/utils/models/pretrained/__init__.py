"""Weights that come with cgm, each with a checksum and the settings of its training beside it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.utils.files import write_whole
from cgm.utils.models.fitted import Fitted

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Weights:
    """Describes a file of weights that is undamaged.

    Arguments:
        dataset: The name of the dataset on which they were trained.
        path: The file, for `load` of the class that was trained.
        info: What is written beside it: checksum, shape of the images, settings, figures.
    """

    dataset: str
    path: Path
    info: dict[str, Any]


def check_choice(name: str, value: bool | str) -> None:
    """Refuses a setting `pretrained` that is neither true, false, auto nor the path of a file of weights.

    Raises:
        ValueError: If it is something else.
        FileNotFoundError: If it is the path of no file.
    """

    if not (isinstance(value, bool) or value == "auto"):
        if not isinstance(value, str) or Path(value).suffix != ".safetensors":
            raise ValueError(f"{name}={value!r}: use true, false, auto, or the path of a .safetensors file of weights")
        if not Path(value).is_file():
            raise FileNotFoundError(f"{name}={value}: there is no such file")


def choose(value: bool | str, what: str, shape: Sequence[int]) -> Weights | None:
    r"""Finds the weights that a setting `pretrained` asks for.

    Arguments:
        value: `True` for those that come with cgm; `"auto"` for them, if there are some; `False` for none; or a path.
        what: `"mmd_gan"`, `"autoencoder"` or `"classifier"`.
        shape: The shape $(C, H, W)$ of the images.

    Raises:
        ValueError: If there are none although they are asked for, or if the file is damaged.
        FileNotFoundError: If there is no description beside the file.
    """

    if value is False:
        return None
    if value is True:
        return get(what, shape)

    return find(what, shape) if value == "auto" else read(value)


def find(what: str, shape: Sequence[int] | None = None, dataset: str | None = None) -> Weights | None:
    r"""Finds weights by what was trained, and the shape of the images, the name of the dataset, or both.

    Arguments:
        what: `"mmd_gan"`, `"autoencoder"` or `"classifier"`.
        shape: The shape $(C, H, W)$ of the images. Any, if `None`.
        dataset: The name of the dataset. Any, if `None`.

    Returns:
        The first that fit; `None` if none do.

    Raises:
        ValueError: If the file is not the one of which the checksum was made.

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
    """Reads what is written beside a file of weights, and checks that it is the file meant. Runs nothing from it.

    Arguments:
        path: The file of weights, with a JSON of the same name beside it, as `keep` wrote them.

    Raises:
        FileNotFoundError: If there is no such JSON.
        ValueError: If the JSON is none of `keep`, or the weights are not those of which its checksum was made.
    """

    path = Path(path)
    notes = path.with_suffix(".json")
    if not notes.is_file():
        raise FileNotFoundError(
            f"pretrained={path}: there is no {notes.name} beside it; experiments/pretrain.py writes both"
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
    """Finds weights as `find` does, and raises a ValueError if there are none."""

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
    r"""Writes what has been trained, with a checksum beside it.

    Arguments:
        fitted: What has been trained.
        what: `"mmd_gan"`, `"autoencoder"` or `"classifier"`.
        dataset: The name of the dataset on which it was trained.
        shape: The shape $(C, H, W)$ of the images.
        info: What else to write down: settings, figures.
        folder: Where to; if `None`, where `find` looks, in place of what is there.

    Returns:
        The file of the weights.
    """

    path = (folder or FOLDER) / f"{dataset}_{what}.safetensors"
    fitted.save(path)
    notes = {"dataset": dataset, "image": list(shape), "sha256": _checksum(path), **info}
    write_whole(path.with_suffix(".json"), (json.dumps(notes, indent=2, ensure_ascii=False) + "\n").encode())

    return path


def _describe(notes: Path) -> dict[str, Any]:
    """Reads the JSON beside a file of weights."""

    try:
        info = json.loads(notes.read_text("utf-8"))
        return info | {"image": list(info["image"]), "dataset": info["dataset"], "sha256": info["sha256"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{notes}: not the description of a file of weights ({error!r})") from error


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
