"""Fair rewards of synthetic data for parties that pool their data (Tay, Xu, Foo, Low, AAAI 2022)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .utils.version import __version__

if TYPE_CHECKING:
    from .experiment import Experiment
    from .mediator import Mediator, Settlement
    from .records.record import Record

__all__ = ["Experiment", "Mediator", "Record", "Settlement", "__version__"]

HOMES = {
    "Experiment": "cgm.experiment",
    "Mediator": "cgm.mediator",
    "Record": "cgm.records.record",
    "Settlement": "cgm.mediator",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds, `import cgm` should not."""

    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'cgm' has no attribute {name!r}")
