"""Valuation of data by the maximum mean discrepancy (Sec. 3 and 5)."""

from .game import Game, TableGame
from .lengthscale import LengthscaleSearch, fit_lengthscale
from .monotone import Increments, negative_increments
from .monotone_lengthscale import fit_monotone
from .rules import resolve_lengthscale
from .valuation import Valuation

__all__ = [
    "Game",
    "Increments",
    "LengthscaleSearch",
    "TableGame",
    "Valuation",
    "fit_lengthscale",
    "fit_monotone",
    "negative_increments",
    "resolve_lengthscale",
]
