"""The stable public names of cgm in one place."""

from cgm.contributions import Contribution, Contributions, Shapley, shapley_exact, shapley_values
from cgm.experiment import Experiment
from cgm.generators import Generator, check_generator
from cgm.mediator import Mediator, Settlement
from cgm.records.record import Record
from cgm.rewards import (
    Chain,
    InfeasibleScheme,
    Rewards,
    Scheme,
    ShapleyFair,
    WeightedSampling,
    check_incentives,
    sample_rewards,
    solve_scheme,
)
from cgm.valuation import Game, TableGame, Valuation, fit_lengthscale
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.mmd import block_sums, mmd2_biased, mmd2_unbiased

__all__ = [
    "Chain",  # a reward drawn by weighted sampling
    "Contribution",  # base class of contribution concepts
    "Contributions",  # φ, α and their standard errors
    "Experiment",  # dataset, split, mediator, evaluation, record
    "Game",  # protocol of cooperative games
    "Generator",  # base class of generators
    "InfeasibleScheme",  # raised when no rewards fit their bounds
    "Kernel",  # base class of kernels
    "Laplacian",  # exp(-|x - x'| / l)
    "Mediator",  # parties' data -> Settlement
    "RationalQuadratic",  # (1 + |x - x'|^2 / 2 a l^2)^-a
    "Record",  # what a run leaves in its folder
    "Rewards",  # reward values and their bounds
    "Scheme",  # base class of reward schemes
    "Settlement",  # what a mediator computes
    "Shapley",  # Shapley values
    "ShapleyFair",  # the paper's linear program
    "SquaredExponential",  # exp(-|x - x'|^2 / 2 l^2)
    "Sum",  # a sum of kernels
    "TableGame",  # the game of an array of 2^n values
    "Valuation",  # the game of the MMD
    "WeightedSampling",  # weighted sampling of rewards
    "block_sums",  # sums of the kernel by blocks of points
    "check_generator",  # check that a generator keeps its contract
    "check_incentives",  # check R1 to R6 by their definitions
    "fit_lengthscale",  # the smallest length-scale with v(D_i) >= 0
    "mmd2_biased",  # the biased estimate of the squared MMD
    "mmd2_unbiased",  # the unbiased one
    "sample_rewards",  # draw rewards in one call
    "shapley_exact",  # Shapley values of 2^n coalition values
    "shapley_values",  # Shapley values of a game in one call
    "solve_scheme",  # solve the linear program from given bounds
]
