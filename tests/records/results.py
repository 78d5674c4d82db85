"""Results of runs that never took place, for the tests of records."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cgm.contributions.base import Contributions
from cgm.evaluation.entries import (
    AlphaCorrelation,
    AttackGains,
    BetaCorrelation,
    BetaGain,
    Change,
    MeanOverBetas,
    MeanOverParties,
    MetricRow,
    Missing,
)
from cgm.mediator import Mediator, Settlement
from cgm.records.record import Arrays, Record
from cgm.records.result import Memory, Result, Values
from cgm.rewards.incentives import Incentive
from cgm.rewards.sampling import Reward, WeightedSampling
from cgm.rewards.schemes.base import Rewards
from cgm.valuation.bounds import Increments, KernelBounds
from cgm.valuation.kernels import SquaredExponential
from tests.scores import accuracies

INF = float("inf")
RUNS = [  # numbers of parties and betas
    (1, [1.0]),
    (3, [INF, 0.0, 1.0]),
    (5, [1.0, 2.0, 4.0, 8.0]),
    (50, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, INF]),
]
SETTINGS = {
    "class": "Experiment",
    "dataset": {"class": "Digits", "test_share": 0.2},
    "scheme": {"class": "ShapleyFair", "epsilon": 0.001, "rho": None},
    "sampling": {"class": "WeightedSampling", "betas": [1.0, "inf"]},
    "seed": 0,
    "figures": False,
}


def alpha_correlation(
    mean: float | None, sem: float | None = 0.1, by_beta: Sequence[float | None] = (), reasons: Sequence[str] = ()
) -> AlphaCorrelation:
    numbers: dict[str, Any] = {"mean": mean, "sem": sem, "n": len(by_beta), "reasons": list(reasons)}
    return AlphaCorrelation(**numbers, by_beta=list(by_beta), spearman=MeanOverBetas(**numbers, by_beta=list(by_beta)))


def beta_correlation(mean: float | None, by_party: Sequence[float | None] = ()) -> BetaCorrelation:
    numbers: dict[str, Any] = {"mean": mean, "sem": None, "n": len(by_party), "reasons": []}
    spearman = MeanOverParties(**numbers, by_party=list(by_party))
    return BetaCorrelation(**numbers, by_party=list(by_party), spearman=spearman)


def make_rewards(values: Sequence[float] | torch.Tensor, name: str = "mine", **details: Any) -> Rewards:
    """Make up reward values with wide bounds."""

    r = torch.as_tensor(values, dtype=torch.float64)
    return Rewards(r, r - 0.25, r + 0.25, details, name=name)


def make_result(n: int = 3, betas: Sequence[float] = (1.0, 8.0), length: int = 40, **changes: Any) -> Result:
    """Make up a result of n parties, whose numbers are all different; `changes` replace its sections."""

    rng = np.random.default_rng(n)
    alpha, own = (torch.from_numpy(x) for x in (rng.uniform(0.3, 1.0, n), rng.uniform(0.01, 0.06, n)))
    rewards = 0.5 * alpha**0.1
    keys = [(i, beta) for i in range(n) for beta in betas]
    drawn = [
        Reward(
            party=i,
            beta=beta,
            size=int(rng.integers(length // 2, length)),
            target=float(rewards[i]),
            start=float(own[i]),
            value=float(rewards[i] + 1e-4 * rng.random()),
            reached=True,
            increasing=0.76,
        )
        for i, beta in keys
    ]
    lower, upper = own + 0.1, rewards + torch.from_numpy(rng.uniform(0.0, 0.05, n))
    details = {"v_star": float(rewards.max()), "rho": 0.1}
    sections: dict[str, Any] = {
        "dataset": "digits",
        "split": "equal_disjoint",
        "generator": "kde",
        "features": "pca",
        "labeller": "knn",
        "seed": 0,
        "n_parties": n,
        "classes": ["créancé ∪ β", "inf"],
        "points_per_party": [60] * n,
        "dimensions": 2,
        "t": 60 * n + 12345,
        "synthetic_size": 12345,
        "kernel": KernelBounds("squared_exponential", 0.25, 1e-9, 0.99, [[1, 4]], [[2, 3]]),
        "values": Values(own, 0.45, lower, upper, Increments(0.25, -0.01)),
        "contributions": Contributions(
            alpha / 2, alpha, torch.zeros_like(alpha), "exact", {"permutations": 7}, name="shapley"
        ),
        "scheme": Rewards(rewards, lower, upper, details, name="shapley_fair"),
        "incentives": {f"R{k}": Incentive(True, 0.1 * k, "smallest r_i") for k in range(1, 7)},
        "sampling": drawn,
        "correlations": {
            "neg_mmd2_unbiased": alpha_correlation(0.99, 0.01, [0.99] * len(betas)),
            "size": alpha_correlation(-0.7, 0.05, [-0.7] * len(betas)),
            "my_metric": alpha_correlation(0.2, 0.3, [0.2] * len(betas)),
        },
        "beta_correlations": {"size": beta_correlation(-0.8, [-0.8] * n)},
        "downstream": [accuracies(i, beta, 0.75, 0.5, None) for i, beta in keys],
        "missing": [Missing(0, float(betas[0]), "increasing", "no point was accepted")],
        "warnings": ["beware"],
        "settings": SETTINGS,
        "seconds": {"data": 1.0, "sampling": 0.5},
        "memory": Memory(512.5),
        "versions": {"cgm": "0", "numerics": "2"},
    }
    return Result(**(sections | changes))


def make_record(
    result: Result | None = None,
    metrics: Sequence[MetricRow] = (MetricRow(0, 1.0, "size", 12),),
    rewards: Mapping[tuple[int, float], torch.Tensor] | None = None,
    pool: torch.Tensor | None = None,
) -> Record:
    """Make up a record, of two parties unless it is given a result."""

    rewards = {(0, 1.0): torch.arange(3)} if rewards is None else rewards
    pool = torch.zeros(10, 2) if pool is None else pool
    return Record(result or make_result(2), list(metrics), Arrays(rewards, pool))


def make_gains(betas: Sequence[float] = (1.0, 8.0), **changes: Any) -> AttackGains:
    """Make up the gains of an attack; `changes` replace fields for each beta. All numbers are exact in binary."""

    entry: dict[str, Any] = {
        "size_honest": 10,
        "size": 30,
        "value_honest": 0.5,
        "value": 0.5625,
        "scores_honest": {"accuracy": 0.5},
        "scores": {"accuracy": 0.75},
        "reason": None,
        "others": [-0.25, 0.125],
        "others_mean": -0.0625,
        "others_worst": -0.25,
    }
    return AttackGains(
        name="split_party",
        party=1,
        identities=[1, 3],
        alpha=Change(0.5, 0.75, 0.5),
        reward=Change(0.25, 0.375, 0.25),
        by_beta=[BetaGain(beta=beta, **(entry | changes)) for beta in betas],
    )


def make_chains(result: Result) -> list[Reward]:
    """Make up chains that fit a result."""

    rng, chains = np.random.default_rng(0), []
    for entry in result.sampling:
        values = np.sort(rng.uniform(entry.start, entry.target, entry.size))
        values[-1] = entry.value
        arrays = {"indices": torch.arange(entry.size), "values": torch.from_numpy(values)}
        chains.append(replace(entry, **arrays, promised=entry.target, upper=entry.target + 0.1))
    return chains


def change_chains(result: Result, **columns: Sequence[Any]) -> Result:
    """Replace a field of each chain."""

    chains = list(result.sampling)
    for name, column in columns.items():
        chains = [replace(chain, **{name: value}) for chain, value in zip(chains, column, strict=True)]
    return replace(result, sampling=chains)


def make_settlement(betas: tuple[float, ...]) -> Settlement:
    """Settle three small parties with shifted points."""

    random = torch.Generator().manual_seed(0)
    parties = [torch.randn(20, 2, generator=random) + shift for shift in (0.0, 1.0, 2.0)]
    mediator = Mediator(kernel=SquaredExponential(1.0), sampling=WeightedSampling(betas), synthetic_size=200)
    return mediator.settle(parties, seed=0)
