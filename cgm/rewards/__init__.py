"""Reward values (Sec. 4.1) and weighted sampling of rewards (Sec. 4.2)."""

from .base import InfeasibleScheme, Rewards, Scheme
from .incentives import Incentive, check_incentives
from .sampling import Chain, WeightedSampling, sample_rewards
from .shapley_fair import FairRewards, ShapleyFair, lower_bounds, solve_scheme

__all__ = [
    "Chain",
    "FairRewards",
    "Incentive",
    "InfeasibleScheme",
    "Rewards",
    "Scheme",
    "ShapleyFair",
    "WeightedSampling",
    "check_incentives",
    "lower_bounds",
    "sample_rewards",
    "solve_scheme",
]
