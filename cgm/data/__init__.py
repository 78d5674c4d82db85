"""Datasets and splits."""

from .base import Dataset, DatasetLoader
from .credit_card import CreditCard
from .credit_ratings import CreditRatings
from .digits import Digits
from .images import CIFAR10, MNIST, ImageArrays
from .splits import Dirichlet, EqualDisjoint, Shares, Split, Unequal

__all__ = [
    "CIFAR10",
    "MNIST",
    "CreditCard",
    "CreditRatings",
    "Dataset",
    "DatasetLoader",
    "Digits",
    "Dirichlet",
    "EqualDisjoint",
    "ImageArrays",
    "Shares",
    "Split",
    "Unequal",
]
