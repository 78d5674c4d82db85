"""Downstream tasks, by which rewards are evaluated."""

from .base import LabelledReward, Task
from .none import NoTask
from .svm import SVM

__all__ = ["SVM", "LabelledReward", "NoTask", "Task"]
