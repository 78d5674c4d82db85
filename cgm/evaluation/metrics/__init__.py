"""Metrics of how close rewards bring the parties to all data, and the functions that they are made of."""

from .base import Metric, PointSet
from .check import check_metric
from .distances import KID, EnergyDistance, Novelty, Precision, Recall, SlicedWasserstein
from .paper import (
    ClassImbalance,
    MMD2Unbiased,
    ReverseKL,
    Wasserstein2,
    paper_metrics,
)

__all__ = [
    "KID",
    "ClassImbalance",
    "EnergyDistance",
    "MMD2Unbiased",
    "Metric",
    "Novelty",
    "PointSet",
    "Precision",
    "Recall",
    "ReverseKL",
    "SlicedWasserstein",
    "Wasserstein2",
    "check_metric",
    "paper_metrics",
]
