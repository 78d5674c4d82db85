"""Datasets, splits and features."""

from .datasets import CIFAR10, MNIST, CreditCard, CreditRatings, Dataset, DatasetLoader, Digits, ImageArrays
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
