"""Contributions of the parties to the value of the grand coalition (Sec. 4)."""

from .base import Contribution, Contributions, EqualShares
from .least_core import LeastCore
from .pointwise import Pointwise, pointwise_values
from .semivalues import Banzhaf, BetaShapley, LeaveOneOut, Shapley, shapley_exact, shapley_values
from .uncertainty import Uncertainty, standard_errors

__all__ = [
    "Banzhaf",
    "BetaShapley",
    "Contribution",
    "Contributions",
    "EqualShares",
    "LeastCore",
    "LeaveOneOut",
    "Pointwise",
    "Shapley",
    "Uncertainty",
    "pointwise_values",
    "shapley_exact",
    "shapley_values",
    "standard_errors",
]
