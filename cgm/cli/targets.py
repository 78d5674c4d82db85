"""The classes that a configuration names with `_target_`: which of them may be called."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra_plugins
from hydra.experimental.callback import Callback

from cgm.utils.settings import Settings
from cgm.utils.text import suggestion

INSTALLED = {"site-packages", "dist-packages"}  # folders of packages that are installed

# classes that settings may name although they have no base class of settings
WITHOUT_BASE = {
    "cgm.data.features.autoencoder.Automatic",
    "cgm.experiment.Experiment",
    "cgm.settlements.images.ImageMediator",
    "cgm.mediator.Mediator",
    "cgm.rewards.sampling.WeightedSampling",
    "cgm.settlements.tables.TableMediator",
    "cgm.valuation.lengthscale.LengthscaleSearch",
    "sklearn.base.BaseEstimator",
}


def check_targets(settings: Any, name: str = "") -> None:
    """Check all classes that settings name, before any of them is called.

    Arguments:
        settings: The resolved settings.
        name: The name of their section, for error messages; empty for the whole.

    Raises:
        ValueError: If a `_target_` names what may not be called, see `check_target`.
    """

    for key, target in targets(settings, name):
        check_target(key, target)


def check_target(key: str, target: Any) -> None:
    """Check that a `_target_` names a class of settings of cgm, or a class of the user's own modules.

    Hydra refuses functions that run code; others of Python and of installed packages may do harm as well.

    Arguments:
        key: The name of the setting.
        target: Its value.

    Raises:
        ValueError: If it names anything else.
    """

    cls = _class(key, target)
    if key == "downstream._target_" and callable(getattr(cls, "fit", None)) and callable(getattr(cls, "predict", None)):
        raise ValueError(
            f"{key}={target}: an estimator, not a task; say downstream=random_forest "
            f"downstream.estimator._target_={target}, and +downstream.estimator.NAME=... for its settings"
        )
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    is_of_user = file and cls.__module__.split(".")[0] != "cgm" and not INSTALLED & set(Path(file).parts)
    if not (is_of_user or _is_extension(cls)):
        raise ValueError(
            f"{key}={target}: expected a class of one of cgm's groups, a subclass of one of their base classes, or a "
            "class of your own modules"
        )


def check_options(settings: Any) -> None:
    """Check that each class of a configuration has the settings that it is given.

    Arguments:
        settings: The resolved settings, whose classes `check_targets` has checked.

    Raises:
        ValueError: If one has not; the message has the settings of the class.
    """

    for key, target in targets(settings):
        name = key.rpartition(".")[0]
        given: Any = settings
        for part in re.findall(r"[^.\[\]]+", name):
            given = given[int(part)] if isinstance(given, list) else given[part]
        names = options_of(key, target)
        if names is not None:
            for option in given:
                if option not in names and not option.startswith("_"):
                    raise ValueError(option_error(name, option, target, names))


def options_of(key: str, target: str) -> list[str] | None:
    """Return the names of the settings of a class; `None` if it takes any.

    Arguments:
        key: The name of the setting that names the class.
        target: The path of the class.
    """

    parameters = inspect.signature(_class(key, target)).parameters.values()
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


def option_error(section: str, option: str, target: str, names: Sequence[str]) -> str:
    """Describe in one line that a class has no such setting, with those that it has."""

    listed = f"{section} has {', '.join(names)}" if section and names else "--help lists all settings"
    near = suggestion(option, names)
    name = f"{section}.{option}".lstrip(".")
    return f"{name}: {target.rpartition('.')[2]} has no such setting{near or f'; {listed}'}"


def check_callback(key: str, target: Any) -> None:
    """Check that a `_target_` names a callback of Hydra.

    Raises:
        ValueError: If it names anything else.
    """

    if not issubclass(_class(key, target), Callback):
        raise ValueError(f"{key}={target}: expected a subclass of hydra.experimental.callback.Callback")


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
    """Return the class that a `_target_` names, found as Hydra finds it: an attribute first, then a module.

    Modules of Python's standard library are refused by their name; others are imported. Those that are not installed
    are searched in the current folder as well, which is then the last one of `sys.path`.
    """

    given = f"{key}={target}"
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ValueError(f"{given}: expected the path of a class, such as my_package.MyGenerator")
    _refuse_python(given, target)
    found: Any = None
    parts = target.split(".")
    _search_here(parts[0])
    for k, part in enumerate(parts):
        path = ".".join(parts[: k + 1])
        try:
            if found is not None and hasattr(found, part):
                found = getattr(found, part)
            elif found is None or isinstance(found, ModuleType):
                found = import_module(path)
            else:
                raise AttributeError(name=part)
        except (AttributeError, ModuleNotFoundError) as error:
            if error.name not in (part, path):  # the module is there, and needs one that is not
                raise ValueError(f"{given}: {error}") from error
            missing = f"no class {part} was found in {'.'.join(parts[:k])}" if k else f"no module {path} was found"
            raise ValueError(f"{given}: {missing}") from error
        except Exception as error:
            raise ValueError(f"{given}: importing {path} failed with {type(error).__name__}: {error}") from error

    if not isinstance(found, type):
        kind = "a function" if inspect.isroutine(found) else f"of type {type(found).__name__}"
        raise ValueError(f"{given}: {kind}; expected a class")
    _refuse_python(given, found.__module__)  # a class may have been imported by the module that names it
    return found


def _search_here(package: str) -> None:
    """Let modules of the current folder be found, last, if a package is one of them or is found nowhere else.

    Plugins of Hydra, which it imports in each worker, stay those that are installed.
    """

    here = os.getcwd()
    module = sys.modules.get(package)
    places = [*getattr(module, "__path__", ()), getattr(module, "__file__", None) or ""]
    is_here = any(os.path.dirname(place) == here for place in places) if module else find_spec(package) is None
    if is_here and here not in sys.path:
        hydra_plugins.__path__ = list(hydra_plugins.__path__)  # Python would search it in new folders as well
        sys.path.append(here)


@contextmanager
def not_searching_here() -> Iterator[None]:
    """Leave the current folder out of what Python searches, where `_search_here` has added it.

    Processes that are started meanwhile do not search it before they need a class of the user.
    """

    before, here = sys.path[:], os.getcwd()
    if before[-1:] == [here]:
        sys.path.pop()
    try:
        yield
    finally:
        sys.path[:] = before


def _refuse_python(given: str, path: str) -> None:
    package = path.split(".")[0]
    if package in sys.stdlib_module_names:
        raise ValueError(f"{given}: {package} is of Python's standard library; expected a class of cgm or your own")


def _is_extension(cls: type) -> bool:
    """Return whether a class is one that settings may name: of settings, of a group, or a loader of a dataset."""

    for base in cls.__mro__:
        if base is Settings or f"{base.__module__}.{base.__qualname__}" in WITHOUT_BASE:
            return True
        if re.match(r"cgm\.(?!networks|utils|cli)", base.__module__) and inspect.isabstract(base):
            return True
    load = getattr(cls, "load", None)  # a dataset has no base class: see `cgm.data.datasets.base.DatasetLoader`
    return inspect.isfunction(load) and [*inspect.signature(load).parameters][1:] == ["data_dir", "seed"]
