"""Settings, results and versions as JSON holds them."""

from __future__ import annotations

import dataclasses
import math
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgm import __version__

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "umap-learn")
NUMERICS = 7  # increased when cgm or its weights change the numbers of a run: sweeps repeat runs of other values


NOT_WRITTEN = {"written": False}  # metadata of a field that `plain` leaves out


def plain(x: Any, classes: bool = True, attributes: bool = False) -> Any:
    """Convert tensors, arrays, dataclasses and named tuples to what JSON holds; infinity becomes `"inf"`.

    An estimator of scikit-learn states its class and its settings; an object of any other class becomes the name of its
    class. Fields with the metadata `NOT_WRITTEN` are left out.

    Arguments:
        x: What to convert.
        classes: Whether dataclasses state their class.
        attributes: Whether objects of classes that are no dataclasses themselves state their public attributes.
    """

    if isinstance(x, torch.Tensor | np.ndarray | np.generic):
        return plain(x.tolist())
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        written = [f.name for f in dataclasses.fields(x) if f.init and f.metadata != NOT_WRITTEN]
        fields = {name: plain(getattr(x, name), classes, attributes) for name in written}
        if attributes and "__dataclass_fields__" not in vars(type(x)):
            fields |= _attributes(x)
        return {"class": type(x).__name__} | fields if classes else fields
    if callable(getattr(x, "get_params", None)) and not isinstance(x, type):
        settings = {
            name: "nan" if isinstance(value, float) and math.isnan(value) else plain(value, classes)
            for name, value in x.get_params(deep=False).items()
        }
        return {"class": type(x).__name__} | settings if classes else settings
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
    return {"class": type(x).__name__} | _attributes(x) if attributes and classes else type(x).__name__


def _attributes(x: object) -> dict[str, Any]:
    """Return the public attributes of an object."""

    return {name: plain(value) for name, value in getattr(x, "__dict__", {}).items() if not name.startswith("_")}


def snake(name: str) -> str:
    """Return the name of a class in snake case: SquaredExponential as squared_exponential, MMDGAN as mmd_gan."""

    return re.sub(r"(?<=MMD)(?=GAN)|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def versions() -> dict[str, str]:
    """Return the versions of cgm, Python and the packages that compute a result."""

    packages = {package: version(package) for package in PACKAGES}
    return {"cgm": __version__, "numerics": str(NUMERICS), "python": platform.python_version()} | packages
