"""Downstream tasks by which rewards are judged."""

from .base import Task
from .none import NoTask
from .svm import SVM

__all__ = ["SVM", "NoTask", "Task"]
