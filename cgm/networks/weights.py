"""Trained weights that come with cgm, and files of others, with a description and a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cgm.networks.fitted import Fitted
from cgm.utils.files import write_whole
from cgm.utils.settings import Text

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


Pretrained: TypeAlias = bool | Literal["auto"] | Annotated[str, Text()]  # a setting; text is the path of a file


def check_path(setting: str, value: Pretrained, others: str = "") -> None:
    """Check that a setting, unless it is true, false or auto, is the path of a file of weights.

    Arguments:
        setting: The name of the setting, for the error.
        value: Its value.
        others: What else is allowed, for the error.

    Raises:
        ValueError: If it is another path.
        FileNotFoundError: If there is no such file.
    """

    if isinstance(value, bool) or value == "auto":
        return
    if Path(value).suffix != ".safetensors":
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
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{notes}: not the description of a file of weights ({error!r})") from error


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
