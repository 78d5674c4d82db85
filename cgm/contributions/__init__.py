"""Contributions of the parties to the value of the grand coalition (Sec. 4)."""

from .base import Contribution, Contributions
from .shapley import Shapley, shapley_exact, shapley_values

__all__ = ["Contribution", "Contributions", "Shapley", "shapley_exact", "shapley_values"]
