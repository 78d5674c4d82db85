"""Datasets and splits."""

from .base import Dataset, DatasetLoader
from .credit_card import CreditCard
from .credit_ratings import CreditRatings
from .digits import Digits
from .splits import Dirichlet, EqualDisjoint, Shares, Split, Unequal

__all__ = [
    "CreditCard",
    "CreditRatings",
    "Dataset",
    "DatasetLoader",
    "Digits",
    "Dirichlet",
    "EqualDisjoint",
    "Shares",
    "Split",
    "Unequal",
]
