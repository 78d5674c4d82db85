"""Everything of the public API that takes data takes it in all its forms, and gives the same numbers."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import cgm.api as api
from cgm.evaluation.metrics.check import blobs
from cgm.utils.settings import Settings

RANDOM = torch.Generator().manual_seed(0)
PARTIES = [torch.randn(40 + 5 * i, 2, generator=RANDOM, dtype=torch.float64) + i for i in range(3)]
POOL = torch.cat([torch.randn(120, 2, generator=RANDOM, dtype=torch.float64) + i for i in range(3)])
X = torch.cat(PARTIES)
Y = torch.cat([torch.full((len(x),), i) for i, x in enumerate(PARTIES)])
LABELS = list(Y.split([len(x) for x in PARTIES]))
IMAGES = torch.rand(30, 1, 8, 8, generator=RANDOM, dtype=torch.float64)
VALUES = torch.tensor([0.0, 1.0, 2.0, 4.0, 1.5, 3.0, 4.0, 7.0], dtype=torch.float64)
NAMES = ("a", "b", "c")

SMALL: dict[str, Any] = {"synthetic_size": 300, "sampling": api.WeightedSampling([8])}
KERNEL = api.SquaredExponential(1.0)


def frame(x: torch.Tensor) -> Any:
    if x.dim() > 2:
        return x.numpy()
    return pd.Series(x.numpy()) if x.dim() == 1 else pd.DataFrame(x.numpy(), columns=["age", "dose"][: x.shape[1]])


FORMS: dict[str, Callable[[torch.Tensor], Any]] = {
    "arrays": lambda x: x.numpy(),
    "arrays in the order of Fortran": lambda x: np.asfortranarray(x.numpy()),
    "arrays of the other byte order, read-only": lambda x: swapped(x.numpy()),
    "reversed views": lambda x: np.ascontiguousarray(x.numpy()[::-1])[::-1],
    "frames": frame,
    "Arrow tables": lambda x: pa.table(frame(x)) if x.dim() == 2 else x.numpy(),
    "lists": lambda x: x.tolist(),
    "lists of tensors": lambda x: list(x) if x.dim() > 1 else x.tolist(),
    "tuples": lambda x: tuple(map(tuple, x.tolist())) if x.dim() == 2 else x.tolist(),
}


def swapped(x: np.ndarray) -> np.ndarray:
    other = x.astype(x.dtype.newbyteorder())
    other.flags.writeable = False
    return other


def each(form: Callable, tensors: list[torch.Tensor]) -> list[Any]:
    return [form(x) for x in tensors]


def valuation(f: Callable) -> Any:
    return api.Valuation(KERNEL, each(f, PARTIES), f(POOL))


def contributions() -> Any:
    return api.Shapley().compute(api.TableGame(VALUES))


def features(cls: type, **settings: Any) -> Callable:
    def both(f: Callable) -> Any:
        fitted = cls(**settings).fit(f(X), seed=0)
        return fitted.transform(f(X)), cls(**settings).fit_transform(f(X), 0)

    return both


def generator(cls: type) -> Callable:
    return lambda f: cls().fit(f(X), seed=0).sample(20, seed=1)


def scheme(cls: type) -> Callable:
    game = api.TableGame([0.0, 1.0, 2.0, 3.5])
    return lambda f: cls().solve(api.Shapley().compute(game), game, f(torch.tensor([4.0, 4.5]).double())).values


def attack(cls: type) -> Callable:
    def hand_in(f: Callable) -> Any:
        handed = cls().apply(each(f, PARTIES), each(f, LABELS), 0, (f(POOL), f(torch.zeros(len(POOL)).long())))
        return [*handed.parties, *handed.labels]

    return hand_in


def pointset(f: Callable) -> Any:
    t = blobs()
    return api.PointSet(f(t.x), f(t.y), f(t.real), t.n_classes, t.kernel, f(t.rows))


def metric(cls: type) -> Callable:
    return lambda f: cls().measure(pointset(f).select(torch.arange(0, 160, 2)), pointset(f))


def tasks(task: Any) -> Callable:
    rewards = [(0, 8.0, X[:20], Y[:20]), (1, 8.0, X[50:], Y[50:])]
    return lambda f: task.evaluate(
        [(f(x), f(y)) for x, y in zip(PARTIES, LABELS, strict=True)],
        [api.LabelledReward(party, beta, f(x), f(y)) for party, beta, x, y in rewards],
        (f(X), f(Y)),
    )


def audit(cls: type) -> Callable:
    held_out = [x[:20] + 0.3 for x in PARTIES]
    return lambda f: cls().audit(each(f, PARTIES), each(f, held_out), [(0, 8.0, f(POOL[:60]))], seed=0)


class Own:
    """A dataset whose points are not tensors."""

    def __init__(self, form: Callable) -> None:
        self.form = form

    def load(self, data_dir: str | None, seed: int) -> Any:
        f = self.form
        return api.Dataset("own", f(X), f(Y), f(X[::4] + 0.1), f(Y[::4]), ["a", "b", "c"])


def experiment(f: Callable) -> Any:
    settings = {"split": api.EqualDisjoint(3, 20), "kernel": KERNEL, "downstream": "none", "labeller": "knn"}
    return api.Experiment(dataset=Own(f), figures=False, **settings, **SMALL).run().result.scheme.values


def checked(check: Callable, *arguments: Any) -> Callable:
    return lambda f: check(*arguments, f(X))


# each name of the API that takes data, and what it gives
ENTRIES: dict[str, Callable[[Callable], Any]] = {
    "Mediator": lambda f: api.Mediator(**SMALL).settle(each(f, PARTIES)).rewards.values,
    "Experiment": experiment,
    "Dataset": lambda f: [getattr(Own(f).load(None, 0), name) for name in ("x", "y", "x_test", "y_test")],
    "EqualDisjoint": lambda f: api.EqualDisjoint(3, 20).assign(f(Y), 3, seed=0),
    "hold_out": lambda f: list(map(torch.from_numpy, api.hold_out(f(Y), 0.2, 0))),
    "match_parties": lambda f: api.match_parties(f(Y), each(f, LABELS), 0),
    "SquaredExponential": lambda f: KERNEL(f(X), f(POOL)),
    "Valuation": lambda f: (valuation(f).sums, valuation(f).value(f(X))),
    "block_sums": lambda f: api.block_sums(KERNEL, f(X), [40, 45, 50]),
    "mmd2_biased": lambda f: api.mmd2_biased(KERNEL, f(X), f(POOL)),
    "mmd2_unbiased": lambda f: api.mmd2_unbiased(KERNEL, f(X), f(POOL)),
    "fit_lengthscale": lambda f: api.fit_lengthscale(KERNEL, each(f, PARTIES), f(POOL)),
    "fit_monotone": lambda f: api.fit_monotone(KERNEL, each(f, PARTIES), f(POOL), high=10.0),
    "resolve_lengthscale": lambda f: [
        api.resolve_lengthscale(api.SquaredExponential(rule), each(f, PARTIES), f(POOL)) for rule in ("fit", "median")
    ],
    "compare_lengthscales": lambda f: api.compare_lengthscales(
        KERNEL, each(f, PARTIES), f(POOL), api.Shapley(), api.ShapleyFair(), ["median"]
    ),
    "TableGame": lambda f: api.TableGame(f(VALUES)).coalition_values(),
    "shapley_exact": lambda f: api.shapley_exact(f(VALUES)),
    "shapley_values": lambda f: api.shapley_values(api.TableGame(f(VALUES))).phi,
    "Contributions": lambda f: api.Contributions.of(f(VALUES), "mine").alpha,
    "lower_bounds": lambda f: api.lower_bounds(api.TableGame(VALUES), f(contributions().phi)),
    "solve_scheme": lambda f: api.solve_scheme(f(VALUES[1:3] / 2), f(VALUES[1:3] / 8), f(VALUES[1:3])).values,
    "frontier": lambda f: api.frontier(contributions(), api.TableGame(VALUES), f(VALUES[5:] + 5), [0.1]),
    "Rewards": lambda f: api.Rewards(f(VALUES), f(VALUES), f(VALUES)).values,
    "sample_rewards": lambda f: [
        reward.indices
        for reward in api.sample_rewards(valuation(f), f(valuation(f).with_synthetic * 0.99), betas=[8.0], seed=0)
    ],
    "WeightedSampling": lambda f: api.WeightedSampling(tolerance=0.1).targets(valuation(f), f(VALUES[1:4])),
    "KNN": lambda f: api.KNN().label(f(X), f(Y), f(POOL)),
    "check_generator": checked(api.check_generator, api.KDE()),
    "PointSet": lambda f: [getattr(pointset(f), name) for name in ("x", "y", "real", "rows")],
    **{cls.__name__: features(cls) for cls in (api.Identity, api.ARD)},
    "PCA": features(api.PCA, components=2),
    **{cls.__name__: generator(cls) for cls in (api.KDE, api.GaussianMixture, api.Copula)},
    **{cls.__name__: scheme(cls) for cls in (api.ShapleyFair, api.Gain, api.Proportional, api.EqualRewards)},
    **{cls.__name__: scheme(cls) for cls in (api.MaxWelfare, api.Spread)},
    **{cls.__name__: attack(cls) for cls in (api.NoAttack, api.Duplicate, api.SplitParty, api.Clone, api.Noise)},
    **{cls.__name__: attack(cls) for cls in (api.FreeRide, api.Poison)},
    **{cls.__name__: metric(cls) for cls in (api.MMD2Unbiased, api.ReverseKL, api.Wasserstein2, api.ClassImbalance)},
    **{cls.__name__: metric(cls) for cls in (api.EnergyDistance, api.SlicedWasserstein, api.KID, api.Precision)},
    "Recall": metric(api.Recall),
    "SVM": tasks(api.SVM()),
    "EstimatorTask": lambda f: tasks(api.Experiment(downstream="logistic_regression").downstream)(f),
    **{cls.__name__: audit(cls) for cls in (api.Membership, api.CellAttacks)},
}
# names that take data as another one of them does, by its base class or its first step, or are tested elsewhere
ALIKE = {
    "settle": "tests below",
    "TableMediator": "settle",
    "ImageMediator": "settle",
    "Automatic": "Features",
    "UMAP": "Features",
    "Autoencoder": "Features",
    "Encoder": "Features",
    "Deep": "Features",
    "Flow": "Generator",
    "VAE": "Generator",
    "FlowMatching": "Generator",
    "MMDGAN": "Generator",
    "TrueMixture": "Generator",
    "NetworkGenerator": "Generator",
    "Unequal": "Split",
    "Dirichlet": "Split",
    "Shares": "Split",
    "RationalQuadratic": "Kernel",
    "Laplacian": "Kernel",
    "Sum": "Kernel",
    "AllAttacks": "Membership",
    "AutoLabeller": "KNN",
    "LabelledReward": "SVM",
    "FairRewards": "Rewards",
}
BASES = {"Features", "Generator", "Attack", "PartyAttack", "Metric", "Task", "ModelTask", "Audit", "Labeller", "Scheme"}
BASES |= {"Split", "Kernel"}
NO_DATA = {  # objects, files or settings alone
    *("Settlement", "PartySettlement", "Variant", "Record", "Result", "DatasetLoader", "CreditRatings", "CreditCard"),
    *("Digits", "MNIST", "CIFAR10", "ImageArrays", "Attacked", "LengthscaleSearch", "negative_increments", "Increments"),
    *("Reference", "AllReference", "PoolReference", "RealReference", "LeaveOneOutReference", "Game", "Contribution"),
    *("Shapley", "Banzhaf", "BetaShapley", "LeaveOneOut", "LeastCore", "Pointwise", "EqualShares", "pointwise_values"),
    *("standard_errors", "Uncertainty", "FrontierPoint", "InfeasibleScheme", "check_incentives", "Incentive", "Reward"),
    *("LengthscaleSpread", "write_settlement", "check_folder", "report", "certificate", "sign", "verify"),
    *("Verification", "CNN", "NoLabeller", "Scores", "NoTask", "check_task", "paper_metrics", "check_metric", "NoAudit"),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, list | tuple) and type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_every_name_of_the_api_is_known_to_take_data_or_not():
    assert sorted({*ENTRIES, *ALIKE, *BASES, *NO_DATA}) == sorted({*api.__all__})
    assert {*ENTRIES, *ALIKE, *BASES} & NO_DATA == set()


@pytest.mark.parametrize("entry", ENTRIES)
def test_all_forms_of_data_give_the_same_numbers(entry):
    expected = ENTRIES[entry](lambda x: x)
    for name, form in FORMS.items():
        assert same(ENTRIES[entry](form), expected), name
