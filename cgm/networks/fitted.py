"""Objects that are fitted to data and kept in files, among them networks."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import isabstract
from pathlib import Path
from types import MethodType
from typing import Any, ClassVar, Generic, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from cgm.networks.architectures import SizeLimit, shapes_of, with_weights
from cgm.utils.cache import digest, read_tensors
from cgm.utils.checks import check_integer
from cgm.utils.files import write_whole

Network = TypeVar("Network", bound=nn.Module)
F = TypeVar("F", bound="Fitted")
Shape = tuple[int | str, ...]

LISTS = {  # sizes that are lists: their lengths, and what they are
    "image": ((3,), "a shape (C, H, W)"),
    "shape": ((1, 3), "a shape (d) or (C, H, W)"),
    "groups": (range(100_000), "a list of numbers of coordinates"),
}
NOT_SAVED = ("pretrained", "checkpoint")  # settings that name files of the machine of a training


class ObjectOrClassMethod:
    """Method that may be called on an object and on its class, either of which is its first argument."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, instance: object | None, owner: type) -> Callable[..., Any]:
        return MethodType(self.function, owner if instance is None else instance)


class Fitted:
    """Base class of objects that are fitted to data and kept in a file.

    An object consists of its settings (the fields of a dataclass), the tensors that a fit has learnt (`state`) and,
    where these do not determine everything else, some sizes (`sizes`). The file is in the safetensors format: tensors
    and text, nothing that could be executed.
    """

    shapes: ClassVar[Mapping[str, Shape]] = {}
    """The shapes of the tensors in `state`. A letter stands for any size, the same one wherever it occurs."""

    size_names: ClassVar[tuple[str, ...]] = ()
    """The names in `sizes`: `"image"` is a shape (C, H, W), `"shape"` this or (d), `"groups"` a list of integers,
    `"dtype"` a floating-point dtype, others are integers."""

    architecture: ClassVar[tuple[str, ...]] = ()
    """The names in `sizes` that are settings, of any values that `plain_size` accepts."""

    file_settings: ClassVar[tuple[str, ...] | None] = None
    """The settings that a file must share with the object that loads it. All settings, if `None`."""

    state: dict[str, torch.Tensor] | None = None
    """The learnt tensors; `None` before the first `fit` or `load`."""

    sizes: Mapping[str, Any] = {}
    """Sizes that a fit has learnt, as integers, lists and text."""

    def fitted(self) -> dict[str, torch.Tensor]:
        """Return the state.

        Raises:
            ValueError: If nothing has been fitted yet.
        """

        if self.state is None:
            raise ValueError(f"{type(self).__name__} is not fitted; call fit or load first")

        return self.state

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the tensors in `state` for given sizes.

        Raises:
            ValueError: If no fit leads to these sizes.
        """

        return self.shapes

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check tensors from a file, of the right shapes, beyond their shapes.

        Raises:
            ValueError: If no fit leads to these tensors.
        """

    def save(self, path: str | Path) -> None:
        """Write settings, sizes and state to a file.

        The file is complete or not written at all. The paths in the settings `pretrained` and `checkpoint` are left
        out.

        Arguments:
            path: The file. An existing one is replaced.

        Raises:
            ValueError: If nothing has been fitted yet, or the state contains NaN or infinity, which `load` refuses.
        """

        from safetensors.torch import save as to_bytes

        tensors = {name: x.detach().cpu().contiguous() for name, x in self.fitted().items()}
        for name, x in tensors.items():
            try:
                _check_finite(name, x)
            except ValueError as error:
                raise ValueError(f"{type(self).__name__} is not saved to {path}: {error}; fit it again") from None
        metadata = self._metadata()
        if others := self._other_settings():
            metadata["training"] = to_json(others)
        write_whole(path, to_bytes(tensors, metadata | {"sha256": digest(tensors, to_json(metadata))}))

    @ObjectOrClassMethod
    def load(self: Any, path: str | Path) -> Any:
        """Read a file written by `save`. Nothing in the file is executed.

        Called on a class, as in `KDE.load(path)`, it returns a new object with the settings of the file; called on a
        base class, as in `Generator.load(path)`, one of the class that saved the file, which must have been imported.
        Called on an object, it returns the object itself, which must have the settings of the file; those of the
        architecture of a network are taken where the object has their defaults.

        Arguments:
            path: The file.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is damaged, or was saved by another class or with other settings. The object stays
                as it was.
        """

        metadata, state = _read(path)
        try:
            found = self if isinstance(self, Fitted) else _from_settings(self, metadata)
            found._restore(metadata, state)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        found.loaded_from(path)

        return found

    def loaded_from(self, path: str | Path) -> None:
        """Note the file that was loaded, if a later fit is to use it."""

    def _restore(self, metadata: dict[str, str], state: dict[str, torch.Tensor]) -> None:
        """Take the state of a file, after all checks."""

        _check_metadata(metadata, self._metadata())
        sizes = self._with_defaults(json.loads(metadata.get("sizes", "{}")))
        _check_sizes(sizes, self.size_names, self.architecture)
        defaults = _fields_of(type(self))
        others = [name for name in self.architecture if to_json(sizes[name]) != to_json(getattr(self, name))]
        for name in others:
            if to_json(getattr(self, name)) != to_json(defaults.get(name)):
                raise ValueError(
                    f"saved with {name}={sizes[name]}, but here it is {getattr(self, name)}; use the same settings, or "
                    f"fit again; {metadata['class']}.load(path) takes those of the file"
                )
        with SizeLimit(state.values()):  # sizes from a file may be of any size
            shapes = self.shapes_for(sizes)
        _check_tensors(state, shapes)
        self.check_state(state)
        _check_sha256(metadata, state)  # last: the other checks say what is wrong
        self.state, self.sizes = state, sizes
        for name in others:  # left at their defaults
            setattr(self, name, as_declared(type(self), name, sizes[name]))

    def _with_defaults(self, sizes: Any) -> Any:
        """Return sizes from a file, with the defaults of settings that an earlier version did not have."""

        defaults = {name: _fields_of(type(self))[name] for name in self.architecture if name in _fields_of(type(self))}
        return defaults | sizes if isinstance(sizes, dict) else sizes

    def fingerprint(self) -> str | None:
        """Compute a checksum of class, settings, sizes and state, on which all that is kept in a cache depends.

        Returns:
            The checksum; `None` without a state, and for a class from outside of cgm: no version says when its code,
            or code that it uses, has changed.
        """

        if self.state is None or not is_of_cgm(type(self)):
            return None
        return digest(self.state, json.dumps(self._metadata()))

    def _metadata(self) -> dict[str, str]:
        names = _setting_names(type(self)) if self.file_settings is None else self.file_settings

        return {
            "format": "cgm",
            "class": type(self).__qualname__,
            "settings": to_json({name: getattr(self, name) for name in names}),
            "sizes": to_json(self.sizes),
        }

    def _other_settings(self) -> dict[str, Any]:
        """Return the settings that only a fit depends on: those that an object that loads a file need not share."""

        names = () if self.file_settings is None else _setting_names(type(self))

        return {name: getattr(self, name) for name in names if name not in {*self.file_settings, *self.sizes}}  # type: ignore[misc]  # not None


def is_of_cgm(cls: type) -> bool:
    """Return whether a class is one of cgm, whose version stands for its code."""

    return cls.__module__.partition(".")[0] == "cgm"


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype in `Fitted.sizes`.

    Example:
        >>> dtype_name(torch.float32)
        'float32'
    """

    return str(dtype).removeprefix("torch.")


def to_json(value: Any) -> str:
    """Convert settings to JSON: NumPy scalars to Python numbers, other unknown objects to text."""

    return json.dumps(value, sort_keys=True, default=lambda x: getattr(x, "item", x.__str__)())


def plain_size(name: str, value: Any) -> Any:
    """Return a setting as it stands in the sizes of a file, tuples as lists.

    Arguments:
        name: The setting, for the error.
        value: Its value.

    Raises:
        ValueError: If it is none of these: a finite number, of integers from 0, text, a truth value, `None`, or a list
            or tuple of these.

    Example:
        >>> plain_size("hidden", (64, 64))
        [64, 64]
    """

    value = getattr(value, "item", lambda: value)() if getattr(value, "shape", None) == () else value
    if isinstance(value, list | tuple):
        return [plain_size(name, each) for each in value]
    is_number = isinstance(value, int | float) and math.isfinite(value) and (value >= 0 or isinstance(value, float))
    if not (value is None or isinstance(value, bool | str) or is_number):
        raise ValueError(
            f"{name}={value}: expected an integer >= 0, a finite number, text, true or false, or a list of these, "
            "which a file of weights can hold"
        )
    return value


def _setting_names(cls: type) -> tuple[str, ...]:
    """Return the names of the settings that a file may contain."""

    return tuple(name for name in _fields_of(cls) if name not in NOT_SAVED)


def _fields_of(cls: type) -> dict[str, Any]:
    """Return the defaults of the settings of a class by their names."""

    return {field.name: field.default for field in fields(cls) if field.init} if is_dataclass(cls) else {}


def as_declared(cls: type, name: str, value: Any) -> Any:
    """Return a setting from a file, in which tuples are lists, as the default of a class has it."""

    return tuple(value) if isinstance(value, list) and isinstance(_fields_of(cls).get(name), tuple) else value


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    try:
        return read_tensors(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a file saved by cgm, or a damaged one ({error})") from error


def saved_settings(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the settings with which a file was saved, by name: those that the object depends on, and those of its fit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file was not saved by cgm.
    """

    metadata, _ = _read(path)
    try:
        return _settings_of(metadata)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _settings_of(metadata: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    if metadata.get("format") != "cgm" or not {"class", "settings"} <= metadata.keys():
        raise ValueError("not a file saved by cgm")
    settings, sizes, training = (json.loads(metadata.get(key, "{}")) for key in ("settings", "sizes", "training"))
    if not all(isinstance(part, dict) for part in (settings, sizes, training)):
        raise ValueError("not a file saved by cgm")

    return sizes | settings, training


def _from_settings(cls: type[Fitted], metadata: Mapping[str, str]) -> Fitted:
    """Construct an object of the class that saved a file, or of a subclass of that name, with the settings saved."""

    settings, training = _settings_of(metadata)
    name = metadata["class"]
    classes = {each.__module__: each for each in _subclasses(cls) if each.__qualname__ == name}  # the latest definition
    if len(classes) > 1:
        raise ValueError(f"saved by {name}, and there is one in {' and '.join(sorted(classes))}; use its own load")
    if not classes:
        hint = "; import the module that defines it first" if isabstract(cls) else ""
        raise ValueError(f"saved by {name}, cannot be loaded as {cls.__name__}{hint}")
    (found,) = classes.values()
    names = _setting_names(found)
    try:
        return found(**{key: as_declared(found, key, x) for key, x in (training | settings).items() if key in names})
    except TypeError as error:
        raise ValueError(f"{name} cannot be constructed with its settings ({error})") from error


def _subclasses(cls: type[Fitted]) -> Iterator[type[Fitted]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _subclasses(each)


def _check_sha256(metadata: dict[str, str], state: dict[str, torch.Tensor]) -> None:
    """Compare the checksum of a file, which files of older versions do not have."""

    rest = {key: value for key, value in metadata.items() if key != "sha256"}
    unknown = rest.keys() - {
        "format",
        "class",
        "settings",
        "sizes",
        "training",
    }  # perhaps the checksum, under a damaged name
    if unknown or ("sha256" in metadata and metadata["sha256"] != digest(state, to_json(rest))):
        raise ValueError("damaged (its checksum differs)")


def _check_metadata(found: dict[str, str], expected: dict[str, str]) -> None:
    if found.get("format") != expected["format"] or not {"class", "settings"} <= found.keys():
        raise ValueError("not a file saved by cgm")
    if found["class"] != expected["class"]:
        raise ValueError(f"saved by {found['class']}, cannot be loaded as {expected['class']}")
    if json.loads(found["settings"]) != json.loads(expected["settings"]):
        raise ValueError(
            f"saved with the settings {found['settings']}, but here they are {expected['settings']}; "
            f"use the same settings, or fit again; {found['class']}.load(path) takes those of the file"
        )


def _check_sizes(sizes: Any, names: tuple[str, ...], settings: tuple[str, ...] = ()) -> None:
    if not isinstance(sizes, dict) or sizes.keys() != set(names):
        raise ValueError(f"has the sizes {sizes} where {sorted(names)} are expected")

    for name, value in sizes.items():
        if name in settings:
            plain_size(f"size {name}", value)
        elif name == "dtype":
            dtype = getattr(torch, value, None) if isinstance(value, str) else None
            if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
                raise ValueError(f"size dtype={value}: expected the name of a floating-point dtype")
        elif name in LISTS:
            lengths, expected = LISTS[name]
            if not isinstance(value, list) or len(value) not in lengths:
                raise ValueError(f"size {name}={value}: expected {expected}")
            for side in value:
                check_integer(f"size {name}", side, min=1)
        else:
            check_integer(f"size {name}", value, min=1)


def _check_tensors(state: dict[str, torch.Tensor], shapes: Mapping[str, Shape]) -> None:
    if state.keys() != shapes.keys():
        raise ValueError(f"has tensors {sorted(state)} where {sorted(shapes)} are expected")

    sizes: dict[str, int] = {}

    for name, shape in shapes.items():
        x = state[name]
        # The first size met for a letter is the one that all others must equal
        fits = x.dim() == len(shape) and all(
            size == (sizes.setdefault(letter, size) if isinstance(letter, str) else letter)
            for size, letter in zip(x.shape, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{name} has shape {tuple(x.shape)} where ({', '.join(map(str, shape))}) is expected")
        _check_finite(name, x)


def _check_finite(name: str, x: torch.Tensor) -> None:
    if not x.is_floating_point() or not torch.isfinite(x).all():
        raise ValueError(f"{name} contains values other than finite floating-point numbers")


class FittedNetwork(Fitted, ABC, Generic[Network]):
    """Base class of fitted objects whose state is the weights of a network, by their names in the network."""

    report: dict[str, float] | None = None
    """Steps and seconds of the training, and what it measured; `None` before the first training."""

    @abstractmethod
    def make_network(self, sizes: Mapping[str, Any]) -> Network:
        """Construct the network of given sizes, with any weights."""

    def network(self) -> Network:
        """Return the fitted network, in evaluation mode and float32."""

        weights = self.fitted()

        return with_weights(lambda: self.make_network(self.sizes), weights)

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the network's weights, see `Fitted.shapes_for`."""

        try:
            return dict(shapes_of(lambda: self.make_network(sizes)))
        except Exception as error:  # of a network of the user
            raise ValueError(f"a network of impossible sizes, {dict(sizes)} ({error})") from error
