"""Datasets, held-out parts, splits among parties, and features."""

from .datasets import CIFAR10, MNIST, CreditCard, CreditRatings, Dataset, DatasetLoader, Digits, ImageArrays
from .holdout import hold_out, match_parties
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
    "hold_out",
    "match_parties",
]
