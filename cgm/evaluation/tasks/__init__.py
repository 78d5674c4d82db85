"""Downstream tasks, which measure what rewards are worth to the parties."""

from cgm.evaluation.entries import Scores

from .base import LabelledReward, ModelTask, NoTask, Task
from .check import check_task
from .estimator import EstimatorTask
from .svm import SVM

__all__ = ["SVM", "EstimatorTask", "LabelledReward", "ModelTask", "NoTask", "Scores", "Task", "check_task"]
