"""Splits of a dataset's rows among parties."""

from .base import Split
from .dirichlet import Dirichlet
from .equal_disjoint import EqualDisjoint
from .shares import Shares
from .unequal import Unequal

__all__ = ["Dirichlet", "EqualDisjoint", "Shares", "Split", "Unequal"]
