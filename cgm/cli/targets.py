"""The classes that a configuration names with `_target_`: which of them may be called."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from cgm.utils.settings import Settings

PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
INSTALLED = {"site-packages", "dist-packages"}  # folders of packages that are installed

# classes that settings may name besides those of extension points, each of which has an abstract class in its base.py
WITHOUT_BASE = {
    "cgm.data.features.autoencoder.Automatic",
    "cgm.experiment.Experiment",
    "cgm.settlements.images.ImageMediator",
    "cgm.mediator.Mediator",
    "cgm.rewards.sampling.WeightedSampling",
    "cgm.settlements.tables.TableMediator",
    "cgm.valuation.lengthscale.LengthscaleSearch",
}


def check_targets(config: DictConfig, name: str = "") -> None:
    """Check all classes that a configuration names, before any of them is called.

    Arguments:
        config: The configuration.
        name: The name of its section, for error messages; empty for the whole.

    Raises:
        ValueError: If a `_target_` names what may not be called, see `check_target`.
    """

    for key, target in targets(OmegaConf.to_container(config, resolve=True), name):
        check_target(key, target)


def check_target(key: str, target: Any) -> None:
    """Check that a `_target_` names a class of an extension point of cgm, or a class of the user's own modules.

    Functions and classes of Python and of installed packages may do anything, whatever else the configuration says.
    Modules of Python's standard library are refused by their name; others are imported.

    Arguments:
        key: The name of the setting.
        target: Its value.

    Raises:
        ValueError: If it names anything else.
    """

    found = _class(key, target)
    if not (_is_own(found.__module__) or _is_extension(found)):
        raise ValueError(
            f"{key}={target}: expected a class of one of cgm's groups, a subclass of one of their base classes, or a "
            "class of your own modules"
        )


def check_callback(key: str, target: Any) -> None:
    """Check that a `_target_` names a callback of Hydra.

    Arguments:
        key: The name of the setting.
        target: Its value.

    Raises:
        ValueError: If it names anything else.
    """

    if not issubclass(_class(key, target), Callback):
        raise ValueError(f"{key}={target}: expected a subclass of hydra.experimental.callback.Callback")


def check_plugin(key: str, target: Any) -> None:
    """Check that a `_target_` may be a launcher or sweeper of Hydra, which loads plugins from some packages only.

    Arguments:
        key: The name of the setting.
        target: Its value.

    Raises:
        ValueError: If it cannot.
    """

    if not str(target).startswith(PLUGINS):
        group = key.removesuffix("._target_").replace(".", "/")
        raise ValueError(f"{key}={target}: expected a plugin of Hydra; choose one by {group}=NAME")


def check_name(key: str, target: Any) -> None:
    """Check as much of a `_target_` as its name tells, without importing anything.

    Arguments:
        key: The name of the setting.
        target: Its value.

    Raises:
        ValueError: If it is not the path of a class, or is of Python's standard library.
    """

    given = f"{key}={target}"
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ValueError(f"{given}: expected the path of a class, such as my_package.MyGenerator")
    _refuse_python(given, target)


def targets(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of all `_target_` of a configuration."""

    if isinstance(node, dict):
        for key, value in node.items():
            below = f"{name}.{key}" if name else str(key)
            if key == "_target_":
                yield below, value
            else:
                yield from targets(value, below)
    elif isinstance(node, list):
        for k, value in enumerate(node):
            yield from targets(value, f"{name}[{k}]")


def _class(key: str, target: Any) -> type:
    """Return the class that a `_target_` names, unless it is one of Python's standard library."""

    check_name(key, target)
    given = f"{key}={target}"
    found = _locate(given, target)
    if not isinstance(found, type):
        kind = "a function" if inspect.isroutine(found) else f"of type {type(found).__name__}"
        raise ValueError(f"{given}: {kind}; expected a class")
    _refuse_python(given, found.__module__)  # a class may have been imported by the module that names it
    return found


def _refuse_python(given: str, path: str) -> None:
    package = path.split(".")[0]
    if package in sys.stdlib_module_names:
        raise ValueError(f"{given}: {package} is of Python's standard library; expected a class of cgm or your own")


def _locate(given: str, path: str) -> Any:
    """Return what a path names, found as Hydra finds it: an attribute first, then a module."""

    parts = path.split(".")
    found: Any = None
    for k, part in enumerate(parts):
        above, module = ".".join(parts[:k]), ".".join(parts[: k + 1])
        try:
            found = _attribute_or_module(found, part, module)
        except (AttributeError, ModuleNotFoundError) as error:
            if getattr(error, "name", None) not in (part, module):  # a module is there, and needs one that is not
                raise ValueError(f"{given}: {error}") from error
            missing = f"no class {part} was found in {above}" if k else f"no module {module} was found"
            raise ValueError(f"{given}: {missing}") from error
        except Exception as error:
            raise ValueError(f"{given}: importing {module} failed with {type(error).__name__}: {error}") from error

    return found


def _attribute_or_module(found: Any, name: str, module: str) -> Any:
    try:
        return getattr(found, name)
    except AttributeError:
        if not (found is None or isinstance(found, ModuleType)):
            raise
    return import_module(module)


def _is_own(module: str) -> bool:
    """Decide whether a module is the user's own: neither of cgm nor installed."""

    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and module.split(".")[0] != "cgm" and not INSTALLED & set(Path(file).parts)


def _is_extension(found: type) -> bool:
    """Decide whether a class is one that settings may name: of an extension point, or a loader of a dataset."""

    for base in found.__mro__:
        if f"{base.__module__}.{base.__qualname__}" in WITHOUT_BASE:
            return True
        if base is Settings or (re.match(r"cgm\.(?!networks|utils|cli)", base.__module__) and inspect.isabstract(base)):
            return True
    load = getattr(found, "load", None)  # a dataset has no base class: see `cgm.data.datasets.base.DatasetLoader`
    return inspect.isfunction(load) and [*inspect.signature(load).parameters][1:] == ["data_dir", "seed"]
