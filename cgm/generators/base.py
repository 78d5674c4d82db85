"""The contract of a generator, and what generators share."""

import json
import os
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ..checks import check_points


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

        path = Path(path)
        tensors = {name: x.detach().cpu().contiguous() for name, x in self.fitted().items()}
        data = to_bytes(tensors, metadata=self._metadata())

        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(
            f".{path.name}.{uuid.uuid4().hex}"
        )  # same folder: a rename is atomic there only

        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def load(self, path: str | Path) -> "Fitted":
        """Reads what `save` wrote, and returns itself. No code runs that the file may hold.

        Arguments:
            path: A file that was saved by the same class with the same settings.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, or was saved by something else.
        """

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                # A copy, because the tensors of an open file change when the file does
                state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
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

    def _metadata(self) -> dict[str, str]:
        settings = {}
        if is_dataclass(self):
            settings = {field.name: getattr(self, field.name) for field in fields(self) if field.init}

        return {
            "format": "cgm",
            "class": type(self).__qualname__,
            # numpy's numbers as Python's, and whatever else is no JSON as text
            "settings": json.dumps(
                settings, sort_keys=True, default=lambda x: getattr(x, "item", x.__str__)()
            ),
        }


class Generator(Fitted, ABC):
    r"""Represents a distribution $\mathcal{G}$ that is fitted to the pooled data (Sec. 2).

    A generator has four methods: `fit`, `sample`, `save`, `load`. The first two take a seed, and draw nothing
    from, and change nothing in, the global random state. The last two are inherited by a generator that keeps
    what it learns in `state` and names it in `shapes`; others write their own, where loading must run no code
    from the file. `check_generator` says whether a generator keeps to all of this.
    """

    space: str = "features"
    """Where it lives: `"features"` (the points that are valued, in d dimensions) or `"data"` (images)."""

    fixed: bool = False
    """Whether there is one sample only, the same for every seed, as with a pool that is given."""

    @abstractmethod
    def fit(self, x: Tensor, seed: int) -> "Generator":
        r"""Fits the generator, and returns itself.

        Arguments:
            x: Points of shape $(N, d)$, or images of shape $(N, C, H, W)$ if `space` is `"data"`. They are
                neither changed nor held on to.
            seed: Any integer from 0. The same seed and points give the same fit, whatever was fitted before.

        Raises:
            ValueError: If x has another shape, holds NaN or infinity, or no two points that differ.
        """

    @abstractmethod
    def sample(self, n: int, seed: int) -> Tensor:
        r"""Draws points from the fitted distribution.

        Arguments:
            n: The number of points, 1 or more.
            seed: Any integer from 0. The same seed gives the same sample.

        Returns:
            The points, of shape $(n, d)$ or $(n, C, H, W)$, on the CPU, in the dtype of the fitted points.

        Raises:
            ValueError: If n < 1, or nothing has been fitted yet.
        """

    def check_fit(self, x: Tensor) -> Tensor:
        """Returns a copy of the points of a fit, on the CPU.

        Raises:
            ValueError: If they aren't what `fit` needs.
        """

        name = f"points to fit {type(self).__name__} to"
        check_points(x, name, least=2)

        if self.space == "features" and x.dim() != 2:
            raise ValueError(
                f"{name}: expected shape (N, d), got {tuple(x.shape)}; reduce images by features=pca"
            )
        if (x == x[:1]).all():
            raise ValueError(f"{name}: all {len(x)} are equal, at least two must differ")

        # Sums depend on the layout in memory, in the last digit; a file keeps none
        return x.detach().cpu().clone(memory_format=torch.contiguous_format)

    def check_sample(self, n: int) -> dict[str, Tensor]:
        """Returns the state, from which n points shall be drawn.

        Raises:
            ValueError: If n isn't a whole number from 1, or nothing has been fitted yet.
        """

        state = self.fitted()

        if not isinstance(n, Integral) or n < 1:
            raise ValueError(
                f"{type(self).__name__}.sample: n={n!r} points asked for (synthetic_size); use 1 or more"
            )

        return state


@dataclass(frozen=True)
class Units:
    """Measures each dimension from its least value, in standard deviations, and drops constant ones.

    Arguments:
        origin: The least values, of shape $(d)$.
        scale: The standard deviations, of shape $(d)$. Zero: the dimension is constant.
    """

    origin: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> "Units":
        """Takes the units from points of shape (N, d)."""

        with np.errstate(over="ignore"):
            origin, span = points.min(0), np.ptp(points, 0)
        if not np.isfinite(span).all():
            raise ValueError(
                f"points: dimension {int(np.argmax(span))} spans more than a float64 can hold; rescale it"
            )
        share = (points - origin) / np.where(span > 0, span, 1.0)  # in [0, 1]: its square can't overflow

        return cls(origin, span * share.std(0, ddof=1))

    @property
    def varying(self) -> np.ndarray:
        """The dimensions that are not constant, as indices."""

        return np.flatnonzero(self.scale)

    def reduced(self, points: np.ndarray) -> np.ndarray:
        """Turns points of shape (N, d) into their varying dimensions, of unit variance."""

        return (points - self.origin)[:, self.varying] / self.scale[self.varying]

    def restored(self, z: np.ndarray) -> np.ndarray:
        """Turns varying dimensions back into points of shape (N, d)."""

        points = np.tile(self.origin, (len(z), 1))
        points[:, self.varying] += self.scale[self.varying] * z

        return points


def random_state(seed: int) -> np.random.RandomState:
    """Makes the kind of random stream that scikit-learn takes; any integer from 0 is a seed."""

    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


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
            raise ValueError(
                f"{name} has shape {tuple(x.shape)} where ({', '.join(map(str, shape))}) is expected"
            )
        if not x.is_floating_point() or not torch.isfinite(x).all():
            raise ValueError(f"{name} holds something else than finite floating-point numbers")
