"""Valuation of data by the maximum mean discrepancy (Sec. 3 and 5)."""

from .game import Game, TableGame
from .lengthscale import LengthscaleSearch, fit_lengthscale, resolve_lengthscale
from .valuation import Valuation

__all__ = ["Game", "LengthscaleSearch", "TableGame", "Valuation", "fit_lengthscale", "resolve_lengthscale"]
