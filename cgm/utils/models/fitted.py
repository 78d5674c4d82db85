"""What is fitted to data and kept in a file."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import Tensor

from cgm.utils.files import write_whole
from cgm.utils.tensors import digest, read_tensors


class Fitted:
    """Holds what a fit has learnt, as named tensors, and keeps it in a file.

    An object is its settings (the fields of a dataclass) and its state (the tensors), nothing else. The file,
    in the safetensors format, holds numbers and text, nothing that could be run.
    """

    shapes: ClassVar[dict[str, tuple[int | str, ...]]] = {}
    """The shapes of the state's tensors; a letter stands for any size, the same one wherever it occurs."""

    state: dict[str, Tensor] | None = None
    """The tensors, once there has been a `fit` or a `load`."""

    def fitted(self) -> dict[str, Tensor]:
        """Returns the state.

        Raises:
            ValueError: If there is none yet.
        """

        if self.state is None:
            raise ValueError(f"{type(self).__name__} is not fitted; call fit or load first")

        return self.state

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Raises a ValueError if tensors from a file have the right shapes, but can't come from a fit."""

    def save(self, path: str | Path) -> None:
        """Writes settings and state to a file, whole or not at all.

        Arguments:
            path: The file, replaced if there is one already.

        Raises:
            ValueError: If nothing has been fitted yet.
        """

        tensors = {name: x.detach().cpu().contiguous() for name, x in self.fitted().items()}
        write_whole(path, to_bytes(tensors, metadata=self._metadata()))

    def load(self, path: str | Path) -> "Fitted":
        """Reads what `save` wrote, and returns itself. No code runs that the file may hold.

        Arguments:
            path: A file that was saved by the same class with the same settings.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, or was saved by something else.
        """

        try:
            metadata, state = read_tensors(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: there is no such file") from None
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: not a file that cgm has saved, or a damaged one ({error})") from error

        try:
            _check_metadata(metadata, self._metadata())
            _check_tensors(state, self.shapes)
            self.check_state(state)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

        self.state = state

        return self

    def fingerprint(self) -> str | None:
        """Computes a checksum of class, settings and state; `None` where what was learnt is kept elsewhere."""

        return None if self.state is None else digest(self.state, json.dumps(self._metadata()))

    def _metadata(self) -> dict[str, str]:
        settings = {}
        if is_dataclass(self):
            settings = {field.name: getattr(self, field.name) for field in fields(self) if field.init}

        return {
            "format": "cgm",
            "class": type(self).__qualname__,
            # numpy's numbers as Python's, and whatever else is no JSON as text
            "settings": json.dumps(settings, sort_keys=True, default=lambda x: getattr(x, "item", x.__str__)()),
        }


def _check_metadata(found: dict[str, str], mine: dict[str, str]) -> None:
    if found.get("format") != mine["format"] or not {"class", "settings"} <= found.keys():
        raise ValueError("not a file that cgm has saved")
    if found["class"] != mine["class"]:
        raise ValueError(f"saved by {found['class']}, it can't be loaded as {mine['class']}")
    if json.loads(found["settings"]) != json.loads(mine["settings"]):
        raise ValueError(
            f"saved with the settings {found['settings']}, but here they are {mine['settings']}; "
            "use the same settings, or fit again"
        )


def _check_tensors(state: dict[str, Tensor], shapes: dict[str, tuple[Any, ...]]) -> None:
    if state.keys() != shapes.keys():
        raise ValueError(f"holds tensors {sorted(state)} where {sorted(shapes)} are expected")

    sizes: dict[str, int] = {}

    for name, shape in shapes.items():
        x = state[name]
        # The first size that is met for a letter is the one that all others must equal
        fits = x.dim() == len(shape) and all(
            size == (sizes.setdefault(letter, size) if isinstance(letter, str) else letter)
            for size, letter in zip(x.shape, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{name} has shape {tuple(x.shape)} where ({', '.join(map(str, shape))}) is expected")
        if not x.is_floating_point() or not torch.isfinite(x).all():
            raise ValueError(f"{name} holds something else than finite floating-point numbers")
