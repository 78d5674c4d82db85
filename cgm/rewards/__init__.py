"""Reward values (Sec. 4.1) and weighted sampling of rewards (Sec. 4.2)."""

from .base import InfeasibleScheme, Rewards, Scheme
from .equal import EqualRewards
from .incentives import Incentive, check_incentives
from .lengthscales import LengthscaleSpread, compare_lengthscales
from .max_welfare import MaxWelfare
from .proportional import Proportional
from .sampling import Chain, WeightedSampling, sample_rewards
from .shapley_fair import FairRewards, ShapleyFair, lower_bounds, solve_scheme
from .spread import FrontierPoint, Spread, frontier

__all__ = [
    "Chain",
    "EqualRewards",
    "FairRewards",
    "FrontierPoint",
    "Incentive",
    "InfeasibleScheme",
    "LengthscaleSpread",
    "MaxWelfare",
    "Proportional",
    "Rewards",
    "Scheme",
    "ShapleyFair",
    "Spread",
    "WeightedSampling",
    "check_incentives",
    "compare_lengthscales",
    "frontier",
    "lower_bounds",
    "sample_rewards",
    "solve_scheme",
]
