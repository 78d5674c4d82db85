"""Contributions of the parties to the value of the grand coalition (Sec. 4)."""

from .banzhaf import Banzhaf
from .base import Contribution, Contributions
from .beta_shapley import BetaShapley
from .equal import EqualShares
from .least_core import LeastCore
from .leave_one_out import LeaveOneOut
from .pointwise import Pointwise, pointwise_values
from .shapley import Shapley, shapley_exact, shapley_values

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
    "pointwise_values",
    "shapley_exact",
    "shapley_values",
]
