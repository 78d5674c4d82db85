"""Datasets."""

from .base import Dataset, DatasetLoader
from .credit_card import CreditCard
from .credit_ratings import CreditRatings
from .digits import Digits
from .images import CIFAR10, MNIST, ImageArrays

__all__ = ["CIFAR10", "MNIST", "CreditCard", "CreditRatings", "Dataset", "DatasetLoader", "Digits", "ImageArrays"]
