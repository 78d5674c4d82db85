"""torch and pandas, imported when they are first used.

Importing them takes seconds, and settings are checked without them. The modules of cgm take them from here, so that a
wrong setting raises an error at once. Modules that need them to be imported, such as those of networks, are themselves
imported in functions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


class LazyModule:
    """A module that is imported when one of its attributes is first used.

    Arguments:
        name: The name of the module.

    Example:
        >>> fractions = LazyModule("fractions")
        >>> fractions.Fraction(3, 6)
        Fraction(1, 2)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Return an attribute of the module, as it is now: nothing is kept, so that changes to the module are seen."""

        return getattr(import_module(self._name), attribute)


if TYPE_CHECKING:
    import pandas as pd
    import torch as torch
else:
    pd = LazyModule("pandas")
    torch = LazyModule("torch")
