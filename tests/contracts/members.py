"""Members of an extension point: the classes of its folder, and the YAML files of its group."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from inspect import isabstract, signature
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[2] / "conf"


def classes(package: ModuleType, is_member: Callable[[type], bool]) -> dict[str, type]:
    """Return the public, concrete classes that a module or a package defines and that are members, by name."""

    found = {}
    names = [
        package.__name__,
        *(i.name for i in walk_packages(getattr(package, "__path__", []), f"{package.__name__}.")),
    ]
    for module in map(import_module, names):
        for name, cls in vars(module).items():
            own = isinstance(cls, type) and cls.__module__ == module.__name__ and not name.startswith("_")
            if own and not isabstract(cls) and is_member(cls):
                found[name] = cls

    return found


def configurations(group: str) -> dict[str, DictConfig]:
    """Return the YAML files of a group, by name; not those that change a few settings of another file."""

    files = {path.stem: OmegaConf.load(path) for path in sorted((CONF / group).glob("*.yaml"))}

    return {name: config for name, config in files.items() if "defaults" not in config}


def required(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for those settings of a class that have no default."""

    return {
        field.name: values[field.name]
        for field in fields(cls)
        if field.init and field.default is MISSING and field.default_factory is MISSING
    }


def check_configuration(config: DictConfig, values: Mapping[str, Any]) -> None:
    """Check that a YAML file has every setting of its class, in the same order and with the same defaults."""

    cls = get_class(config._target_)
    missing = required(cls, values)

    assert list(config) == ["_target_", *signature(cls).parameters]
    assert {key for key in config if OmegaConf.is_missing(config, key)} == missing.keys()
    assert instantiate(config, _convert_="all", **missing) == cls(**missing)
