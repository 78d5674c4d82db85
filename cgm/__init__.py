"""Fair rewards of synthetic data for parties that pool their data (Tay, Xu, Foo and Low, AAAI 2022)."""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers read it: `python -m cgm` would import a file typing.py of the current folder
if TYPE_CHECKING:
    from typing import Any

    from cgm.experiment import Experiment
    from cgm.mediator import Mediator, Settlement
    from cgm.records.record import Record
    from cgm.records.sweep.load import load_sweep
    from cgm.settlements.images import ImageMediator
    from cgm.settlements.settlement import PartySettlement
    from cgm.settlements.tables import TableMediator, settle

__version__ = "0.5.0"

__all__ = [
    "Experiment",
    "ImageMediator",
    "Mediator",
    "PartySettlement",
    "Record",
    "Settlement",
    "TableMediator",
    "__version__",
    "load_sweep",
    "settle",
]

MODULES = {
    "Experiment": "cgm.experiment",
    "ImageMediator": "cgm.settlements.images",
    "Mediator": "cgm.mediator",
    "PartySettlement": "cgm.settlements.settlement",
    "Record": "cgm.records.record",
    "Settlement": "cgm.mediator",
    "TableMediator": "cgm.settlements.tables",
    "load_sweep": "cgm.records.sweep.load",
    "settle": "cgm.settlements.tables",
}


def __getattr__(name: str) -> "Any":
    """Import a public name at its first use, since `import cgm` should be quick and importing torch takes seconds."""

    if name in MODULES:
        return getattr(import_module(MODULES[name]), name)
    raise AttributeError(f"module 'cgm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""

    return sorted(__all__)
