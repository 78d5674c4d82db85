"""Labelled datasets with a held-out part."""

from .base import Dataset, DatasetLoader
from .cifar10 import CIFAR10
from .credit_card import CreditCard
from .credit_ratings import CreditRatings
from .digits import Digits
from .image_arrays import ImageArrays
from .mnist import MNIST

__all__ = ["CIFAR10", "MNIST", "CreditCard", "CreditRatings", "Dataset", "DatasetLoader", "Digits", "ImageArrays"]
