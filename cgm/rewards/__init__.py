"""Reward values (Sec. 4.1) and weighted sampling of rewards (Sec. 4.2)."""

from .incentives import Incentive, Incentives, LengthscaleSpread, check_incentives, compare_lengthscales
from .plain import algorithm_1
from .sampling import Reward, WeightedSampling, sample_rewards
from .schemes import (
    EqualRewards,
    FairRewards,
    FrontierPoint,
    Gain,
    InfeasibleScheme,
    MaxWelfare,
    Proportional,
    Rewards,
    Scheme,
    ShapleyFair,
    Spread,
    frontier,
    lower_bounds,
    solve_scheme,
)

__all__ = [
    "EqualRewards",
    "FairRewards",
    "FrontierPoint",
    "Gain",
    "Incentive",
    "Incentives",
    "InfeasibleScheme",
    "LengthscaleSpread",
    "MaxWelfare",
    "Proportional",
    "Reward",
    "Rewards",
    "Scheme",
    "ShapleyFair",
    "Spread",
    "WeightedSampling",
    "algorithm_1",
    "check_incentives",
    "compare_lengthscales",
    "frontier",
    "lower_bounds",
    "sample_rewards",
    "solve_scheme",
]
