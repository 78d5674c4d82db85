"""Valuation of data by the maximum mean discrepancy (Sec. 3 and 5)."""

from .bounds import Increments, negative_increments
from .check import check_kernel
from .decomposition import Decomposition, decompose, value_bounds
from .embedding import Embedding, Fourier, Nystrom
from .game import Game, TableGame
from .lengthscale import LengthscaleSearch, fit_lengthscale, fit_monotone, resolve_lengthscale
from .method import Approximation, ValuationMethod
from .valuation import Valuation

__all__ = [
    "Approximation",
    "Decomposition",
    "Embedding",
    "Fourier",
    "Game",
    "Increments",
    "LengthscaleSearch",
    "Nystrom",
    "TableGame",
    "Valuation",
    "ValuationMethod",
    "check_kernel",
    "decompose",
    "fit_lengthscale",
    "fit_monotone",
    "negative_increments",
    "resolve_lengthscale",
    "value_bounds",
]
