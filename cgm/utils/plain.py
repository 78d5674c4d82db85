"""Settings, results and versions as JSON holds them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch

from cgm import __version__
from cgm.utils.convert import is_frame, to_frame

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "umap-learn")
NUMERICS = 8  # increased when cgm or its weights change the numbers of a run: sweeps repeat runs of other values


NOT_WRITTEN = {"written": False}  # metadata of a field that `plain` leaves out
NOT_COMPARED = "not_compared"  # the key of what a value is that cannot be compared with that of an earlier run
LISTED = 100  # numbers of an array of settings that are listed; of a larger one there is a hash
OPEN: set[int] = set()  # objects whose attributes are being stated: one may hold itself
INSTALLED = {"site-packages", "dist-packages"}  # folders of packages that are installed


def plain(x: Any, classes: bool = True, attributes: bool = False) -> Any:
    """Convert tensors, arrays, dataclasses and named tuples to what JSON holds; infinity becomes `"inf"`.

    An estimator of scikit-learn states its class and its settings; an object of any other class becomes the name of its
    class. Fields with the metadata `NOT_WRITTEN` are left out. In settings, tables and large arrays become a hash of
    their content, and an object of a class of the user states a hash of its methods, see `source_of`.

    Arguments:
        x: What to convert.
        classes: Whether dataclasses state their class, as in settings.
        attributes: Whether objects of classes that are no dataclasses themselves state their attributes; those that
            cannot be compared, such as functions, state `NOT_COMPARED`.
    """

    if isinstance(x, torch.Tensor | np.ndarray | np.generic):
        return fingerprint(x) if classes and math.prod(x.shape) > LISTED else plain(x.tolist(), classes, attributes)
    if is_frame(x) or _is_series(x):
        return fingerprint(x)
    stated = {"class": type(x).__name__} | _source(type(x)) if classes else {}
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        written = [f.name for f in dataclasses.fields(x) if f.init and f.metadata != NOT_WRITTEN]
        fields = {name: plain(getattr(x, name), classes, attributes) for name in written}
        if attributes and "__dataclass_fields__" not in vars(type(x)):
            left_out = {f.name for f in dataclasses.fields(x) if f.metadata == NOT_WRITTEN}
            fields |= {name: value for name, value in _attributes(x).items() if name not in left_out}
        return stated | fields
    if callable(getattr(x, "get_params", None)) and not isinstance(x, type):
        settings = {
            name: "nan" if isinstance(value, float) and math.isnan(value) else plain(value, classes, attributes)
            for name, value in x.get_params(deep=False).items()
        }
        return stated | settings
    if isinstance(x, tuple) and hasattr(x, "_asdict"):
        return plain(x._asdict(), classes, attributes)
    if isinstance(x, Mapping):
        return {str(key): plain(value, classes, attributes) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [plain(value, classes, attributes) for value in x]
    if isinstance(x, float) and math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if isinstance(x, Path):
        return str(x)
    if attributes and classes:
        return stated | _state(x)
    return stated if len(stated) > 1 else type(x).__name__


def fingerprint(x: Any) -> dict[str, Any]:
    """Return the class, the shape and a hash of the content of a tensor, an array, or a table or column of one."""

    digest = hashlib.sha256()
    if isinstance(x, torch.Tensor):
        array = x.detach().cpu().contiguous()
        parts = [str(x.dtype), array.flatten().view(torch.uint8).numpy().tobytes() if array.numel() else ""]
    elif isinstance(x, np.ndarray):
        parts = [str(x.dtype), repr(x.tolist()) if x.dtype.hasobject else np.ascontiguousarray(x).tobytes()]
    else:
        import pandas as pd
        from pandas.util import hash_pandas_object

        table = to_frame(x) if is_frame(x) else pd.Series(x.to_numpy()) if not isinstance(x, pd.Series) else x
        named = [*table.dtypes.items()] if is_frame(x) else [(x.name, table.dtype)]
        try:
            content = hash_pandas_object(table).to_numpy().tobytes()
        except TypeError:  # of cells that hold lists and the like
            content = repr(table.to_numpy().tolist())
        parts = [repr([(name, str(dtype)) for name, dtype in named]), content]
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return {"class": type(x).__name__, "shape": list(x.shape), "sha256": digest.hexdigest()}


def _is_series(x: Any) -> bool:
    """Return whether a value is a column of a table of pandas, polars and others like them."""

    return not isinstance(x, type) and all(hasattr(x, name) for name in ("to_numpy", "dtype", "name", "shape"))


def _attributes(x: object) -> dict[str, Any]:
    """Return the attributes of an object, also the private ones."""

    return {name: plain(value, attributes=True) for name, value in getattr(x, "__dict__", {}).items()}


def _state(x: object) -> dict[str, Any]:
    """Return what tells an object from others of its class, or that it cannot be told."""

    if isinstance(x, type):
        return {"name": f"{x.__module__}.{x.__qualname__}"} | _source(x)
    if callable(x) and hasattr(x, "__qualname__"):
        module = getattr(x, "__module__", None) or ""
        return {"name": f"{module}.{x.__qualname__}"} if _is_installed(module) else {NOT_COMPARED: "a function"}
    if isinstance(x, bytes | complex | range | slice):
        return {"value": repr(x)}
    if isinstance(x, set | frozenset):
        return {"values": sorted(repr(plain(value, attributes=True)) for value in x)}
    is_plain = hasattr(x, "__dict__") and type(x).__reduce__ is object.__reduce__ and not hasattr(type(x), "__slots__")
    if is_plain and id(x) not in OPEN:
        OPEN.add(id(x))
        try:
            return _attributes(x)
        finally:
            OPEN.discard(id(x))
    return {NOT_COMPARED: f"an object of the class {type(x).__name__}"}


def not_compared(settings: Any, name: str = "") -> Iterator[str]:
    """Yield the settings of a configuration that cannot be compared with those of an earlier run, and what they are."""

    if isinstance(settings, Mapping):
        if NOT_COMPARED in settings:
            yield f"{name} is {settings[NOT_COMPARED]}"
        for key, value in settings.items():
            yield from not_compared(value, f"{name}.{key}".lstrip("."))
    elif isinstance(settings, list):
        for k, value in enumerate(settings):
            yield from not_compared(value, f"{name}[{k}]")


def _source(cls: type) -> dict[str, str]:
    """Return the hash of a class of the user by the name `source`; nothing for others."""

    return {"source": digest} if (digest := source_of(cls)) else {}


@functools.cache
def source_of(cls: type) -> str:
    """Return a hash of the methods and constants of a class and its bases that are neither of cgm nor installed.

    Functions outside of the class that its methods call are not part of it. The hash is that of the compiled code,
    which is also there for a class that was typed in a session; another minor version of Python may have another one.
    Empty for classes of cgm, of Python and of installed packages.
    """

    parts: list[str] = []
    for each in cls.__mro__:
        if not _is_installed(each.__module__):
            for name, value in sorted(vars(each).items()):
                for function in _functions(value):
                    if not (name.startswith("__") and function.__code__.co_filename == "<string>"):  # of a dataclass
                        parts.append(f"{name} {_code(function.__code__)} {function.__defaults__!r}")
                if not name.startswith("__") and isinstance(value, str | int | float | tuple | None):
                    parts.append(f"{name} = {value!r}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else ""


def _functions(value: Any) -> list[FunctionType]:
    """Return the functions of an attribute of a class."""

    inner = [getattr(value, name, None) for name in ("__func__", "fget", "func", "__wrapped__")]
    return [each for each in (value, *inner) if isinstance(each, FunctionType)]


def _code(code: CodeType) -> str:
    """Return compiled code as text that does not depend on its place in a file."""

    constants = [
        _code(each) if isinstance(each, CodeType) else repr(sorted(each, key=repr) if type(each) is frozenset else each)
        for each in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _is_installed(module: str) -> bool:
    """Return whether a module is one of cgm, of Python or of an installed package."""

    package = module.split(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if package == "cgm" or (package in sys.stdlib_module_names and package != "__main__"):
        return True
    return package != "__main__" and bool(module) and (file is None or bool(INSTALLED & set(Path(file).parts)))


def snake(name: str) -> str:
    """Return the name of a class in snake case: SquaredExponential as squared_exponential, MMDGAN as mmd_gan."""

    return re.sub(r"(?<=MMD)(?=GAN)|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def versions() -> dict[str, str]:
    """Return the versions of cgm, Python and the packages that compute a result."""

    packages = {package: version(package) for package in PACKAGES}
    return {"cgm": __version__, "numerics": str(NUMERICS), "python": platform.python_version()} | packages
