"""Experiment trackers, to which finished runs are written."""

from .base import Logger, figures, headline_scalars, scalars
from .mlflow import MLflow
from .none import NoLogger
from .tensorboard import TensorBoard

__all__ = ["Logger", "MLflow", "NoLogger", "TensorBoard", "figures", "headline_scalars", "scalars"]
