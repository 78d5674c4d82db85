"""Valuation of data by the maximum mean discrepancy (Sec. 3 and 5)."""

from .bounds import Increments, negative_increments
from .check import check_kernel
from .decomposition import Decomposition, decompose, value_bounds
from .game import Game, TableGame
from .lengthscale import LengthscaleSearch, fit_lengthscale, fit_monotone, resolve_lengthscale
from .valuation import Valuation

__all__ = [
    "Decomposition",
    "Game",
    "Increments",
    "LengthscaleSearch",
    "TableGame",
    "Valuation",
    "check_kernel",
    "decompose",
    "fit_lengthscale",
    "fit_monotone",
    "negative_increments",
    "resolve_lengthscale",
    "value_bounds",
]
