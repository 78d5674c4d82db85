"""Labellers of synthetic points, for evaluation only."""

from .auto import AutoLabeller
from .base import Labeller
from .cnn import CNN
from .knn import KNN
from .none import NoLabeller

__all__ = ["CNN", "KNN", "AutoLabeller", "Labeller", "NoLabeller"]
