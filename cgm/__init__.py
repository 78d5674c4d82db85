"""Fair rewards of synthetic data for parties that pool their data (Tay, Xu, Foo, Low, AAAI 2022)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .experiment import Experiment
    from .record import Record

__version__ = "0.1.0"
__all__ = ["Experiment", "Record", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports the experiment when it is asked for: torch takes seconds, `cgm --help` should not."""

    if name == "Experiment":
        from .experiment import Experiment

        return Experiment
    if name == "Record":
        from .record import Record

        return Record
    raise AttributeError(f"module 'cgm' has no attribute {name!r}")
