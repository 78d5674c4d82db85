"""Reward schemes, which turn contributions into reward values (Sec. 4.1)."""

from .base import InfeasibleScheme, Rewards, Scheme, lower_bounds
from .gain import Gain
from .others import EqualRewards, FrontierPoint, MaxWelfare, Proportional, Spread, frontier
from .shapley_fair import FairRewards, ShapleyFair, solve_scheme

__all__ = [
    "EqualRewards",
    "FairRewards",
    "FrontierPoint",
    "Gain",
    "InfeasibleScheme",
    "MaxWelfare",
    "Proportional",
    "Rewards",
    "Scheme",
    "ShapleyFair",
    "Spread",
    "frontier",
    "lower_bounds",
    "solve_scheme",
]
