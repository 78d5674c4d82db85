"""Everything of the public API that takes data takes it in all its forms, and gives the same numbers."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch

import cgm.api as api
from cgm.evaluation.metrics.check import blobs
from cgm.utils.convert import to_tensor

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


def embedding(make: Callable) -> Callable:
    def sums(f: Callable) -> Any:
        fitted = make().fit(f(torch.cat([X, POOL])))
        return [fitted.transform(f(X)), fitted.inner(f(POOL), fitted.mean(f(X))[None]), fitted.residual(f(X))]

    return sums


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
    "Fourier": embedding(lambda: api.Fourier(KERNEL)),
    "Nystrom": embedding(lambda: api.Nystrom(KERNEL, landmarks=40)),
    "decompose": lambda f: list(api.decompose(valuation(f), f(X))),
    "value_bounds": lambda f: api.value_bounds(valuation(f), f(POOL[:9])),
    "algorithm_1": lambda f: api.algorithm_1(KERNEL, f(PARTIES[0]), f(POOL[:9]), f(X), 0.9, 1.0, seed=0),
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
    **{cls.__name__: metric(cls) for cls in (api.Recall, api.Novelty)},
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
    "MeanEmbedding": "Generator",
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
    "SketchValuation": "Valuation",
}
BASES = {"Features", "Generator", "Attack", "PartyAttack", "Metric", "Task", "ModelTask", "Audit", "Labeller", "Scheme"}
BASES |= {"Split", "Kernel", "Embedding"}
NO_DATA = {  # objects, files or settings alone
    *re.findall(
        r"\w+",
        """
        Settlement PartySettlement Variant Record Result DatasetLoader CreditRatings CreditCard Digits MNIST
        CIFAR10 ImageArrays Attacked LengthscaleSearch negative_increments Increments Reference AllReference
        PoolReference RealReference LeaveOneOutReference Game Contribution Shapley Banzhaf BetaShapley LeaveOneOut
        LeastCore Pointwise EqualShares pointwise_values standard_errors Uncertainty FrontierPoint
        InfeasibleScheme check_incentives Incentive Reward LengthscaleSpread write_settlement check_folder report
        certificate sign verify Verification CNN NoLabeller Scores NoTask check_task paper_metrics check_metric
        Dask Engine Loky Ray Threads Workers current_engine
        CompletedReward NoPrivacy Privacy Release ReleasedSettlement complete_reward
        Guarantee ParticleFit Particles Sketch SketchMediator SketchSchema SketchSettlement propose_schema
        check_kernel NoAudit Decomposition Incentives Sweep load_sweep ValuationMethod Approximation
        """,
    )
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


@pytest.mark.parametrize(
    "kind", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint16, np.int64, bool]
)
def test_the_type_of_points(kind):
    x = np.array([[0, 1], [1, 0], [1, 1]], dtype=kind)
    expected = {np.float16: torch.float16, np.float32: torch.float32}.get(kind, torch.float64)
    for data in (x, pd.DataFrame(x), *([torch.from_numpy(x)] if kind not in (np.longdouble, np.uint16) else [])):
        if kind is np.float16 and isinstance(data, pd.DataFrame):
            continue
        converted = to_tensor(data, "x")
        assert converted.dtype == expected
        assert torch.equal(converted.double(), torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double())
    tensor = torch.ones(2, 2)
    assert to_tensor(tensor, "x") is tensor
    array = np.ones((2, 2))
    assert to_tensor(array, "x").data_ptr() == array.ctypes.data  # not copied


def test_bytes_of_images_are_divided_by_255():
    images = (255 * IMAGES).round().to(torch.uint8)
    expected = images.float() / 255
    for data in (images, images.numpy(), images.tolist()):
        if isinstance(data, list):
            with pytest.raises(ValueError, match=r"x: images of torch.int64; expected bytes \(uint8\), or numbers"):
                to_tensor(data, "x")
        else:
            assert torch.equal(to_tensor(data, "x"), expected)
    parties = {name: images[i::3].numpy() for i, name in enumerate(NAMES)}
    given = api.Mediator(features="pca", **SMALL).settle(parties)
    assert same(given.contributions.alpha, api.Mediator(features="pca", **SMALL).settle(
        [expected[i::3] for i in range(3)]).contributions.alpha)  # fmt: skip


def test_arrow_and_nullable_columns_are_numbers():
    table = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "c": [True, False, True]})
    expected = torch.tensor([[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]], dtype=torch.float64)
    for data in (table, table.convert_dtypes(), table.convert_dtypes(dtype_backend="pyarrow"), pa.table(table)):
        assert same(to_tensor(data, "x"), expected)


GOOD = pd.DataFrame({"age": [1.0, 2.0, 3.0], "dose": [0.0, 1.0, 5.0]})
WRONG: dict[str, tuple[Any, str]] = {
    "text": (
        GOOD.assign(dose=["a", "b", "c"]),
        r"column dose has no numbers \((str|object)\); .* cgm.settle takes tables",
    ),
    "dates": (GOOD.assign(dose=pd.Timestamp("2024-01-01")), r"column dose has no numbers \(datetime64"),
    "empty cells": (GOOD.assign(dose=[1.0, None, 2.0]), "row 1, column dose holds NaN or infinity"),
    "empty nullable cells": (GOOD.assign(dose=pd.array([1, None, 2])), "row 1, column dose holds NaN or infinity"),
    "infinity": (GOOD.assign(age=[1.0, 2.0, np.inf]), "row 2, column age holds NaN or infinity"),
    "masked": (np.ma.masked_equal(GOOD.to_numpy(), 5.0), "row 2 holds NaN"),
    "objects": (GOOD.to_numpy(object), r"expected numbers, got objects; use x.astype\(float\)"),
    "complex": (GOOD.to_numpy() * 1j, "expected numbers, got complex numbers"),
    "complex tensor": (torch.ones(3, 2) * 1j, "holds complex numbers"),
    "sparse tensor": (torch.eye(3).to_sparse(), r"a sparse tensor; use x.to_dense\(\)"),
    "sparse matrix": (scipy.sparse.eye(3).tocsr(), r"a sparse matrix; use x.toarray\(\)"),
    "ragged": ([[1.0, 2.0], [3.0, 4.0], [5.0]], "row 2 has 1 numbers where 2 are expected, as in row 0"),
    "ragged images": ([[[1.0]], [[1.0], [2.0]]], "expected rows of the same length"),
    "one dimension": (GOOD["age"], r"expected shape \(N, d\), got \(3,\); use x.reshape\(-1, d\)"),
    "a number": (5, r"expected points of shape \(N, d\), a tensor, a numpy array, .* got int"),
    "nothing": (None, "expected points of shape .* got NoneType"),
    "a file": ("a.csv", "expected points of shape .* got str"),
    "columns": ({"age": [1, 2]}, "expected points of shape .* got dict"),
    "width": (np.ones((3, 5)) * np.arange(3)[:, None], "has 5 columns where 2 are expected"),
}


@pytest.mark.parametrize("case", WRONG)
def test_data_of_another_kind_is_refused_by_the_name_of_the_party(case):
    wrong, message = WRONG[case]
    array = GOOD.to_numpy()
    for parties, name in (([array, wrong], "party 2"), ({"a": array, "north": wrong}, "party north")):
        with pytest.raises(ValueError, match=f"^{name}: {message}"):
            api.Mediator().settle(parties)
        with pytest.raises(ValueError, match=f"^{name}: {message}"):
            api.Valuation(KERNEL, parties, array)
    if case != "width":
        with pytest.raises(ValueError, match=message):
            api.KDE().fit(wrong, seed=0)


def test_columns_of_frames_are_matched_by_name():
    frames = {name: frame(x) for name, x in zip(NAMES, PARTIES, strict=True)}
    expected = api.Mediator(**SMALL).settle(frames).rewards.values
    assert torch.equal(
        api.Mediator(**SMALL).settle(frames | {"b": frames["b"][["dose", "age"]]}).rewards.values, expected
    )
    for other, message in (
        ({"b": frames["b"].rename(columns={"dose": "dos"})}, "party b: has no column dose, unlike party a"),
        ({"b": frames["b"].assign(x=1.0)}, "party b: has a column x, unlike party a"),
    ):
        with pytest.raises(ValueError, match=message):
            api.Mediator(**SMALL).settle(frames | other)


def test_parties_have_the_names_that_they_are_given_with():
    points = dict(zip(NAMES, (x.numpy() for x in PARTIES), strict=True))
    named, unnamed = api.Mediator(**SMALL).settle(points), api.Mediator(**SMALL).settle(PARTIES)
    assert named.names == NAMES
    assert unnamed.names == ("party 1", "party 2", "party 3")
    for i, name in enumerate(NAMES):
        assert named.find(name, 8) is named.find(i, 8)
        assert torch.equal(named.reward(name, 8), unnamed.reward(i, 8))
        assert torch.equal(named.reward(name, 8), unnamed.reward(unnamed.names[i], 8))
    with pytest.raises(ValueError, match="party=d: expected an integer from 0 to 2, or one of a, b, c"):
        named.reward("d", 8)
    assert named.number("c") == 2
    with pytest.raises(ValueError, match=r"parties: expected different names that are not empty, got \[1, '1'\]"):
        api.Mediator().settle({1: PARTIES[0], "1": PARTIES[1]})
    for parties, message in (
        (torch.stack([x[:40] for x in PARTIES]), r"expected a list of tensors, .* shape \(3, 40, 2\); use list\(x\)"),
        (np.ones((3, 4, 2)), r"expected a list of arrays, .* use list\(x\)"),
        (frame(PARTIES[0]), r"expected a table for each party, got one; .* table.groupby\(column\)"),
        ("a.csv", "expected a list, or a dictionary from names to data, got str"),
        (5, "expected a list, or a dictionary from names to data, got int"),
        ({}, "there are none"),
        ([], "there are none"),
    ):
        with pytest.raises(ValueError, match=f"parties: {message}"):
            api.Mediator().settle(parties)


def test_errors_and_warnings_name_the_parties():
    points = dict(zip(("north", "east", "west"), PARTIES, strict=True))
    with pytest.raises(api.InfeasibleScheme, match=r"(north|east|west)'s lower bound") as error:
        api.Mediator(synthetic_size=2, max_growth=1, kernel=KERNEL).settle(points)
    assert "party" not in str(error.value).split("lower bound")[0]
    settlement = api.Mediator(**{**SMALL, "sampling": api.WeightedSampling([0, 8], patience=0.01)}).settle(points)
    stopped = [warning for warning in settlement.warnings if "stopped at" in warning]
    assert stopped
    assert all(warning.startswith(("north, β", "east, β", "west, β")) for warning in stopped)


def tables() -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(0)
    return {
        name: pd.DataFrame({"age": random.normal(50 + i, 9, 60).round(), "sex": random.choice(["f", "m"], 60)})
        for i, name in enumerate(NAMES)
    }


def test_settle_takes_frames_paths_and_mixtures(tmp_path):
    given, settings = tables(), {"synthetic_size": 300, "sensitivity": False, "audit": "none", "seed": 0}
    for name, table in given.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    whole = pd.concat([table.assign(bank=name) for name, table in given.items()])
    whole.to_csv(tmp_path / "all.csv", index=False)
    paths = {name: tmp_path / f"{name}.csv" for name in NAMES}
    expected = api.settle(given, **settings)
    assert expected.names == NAMES
    forms: list[tuple[Any, dict[str, Any]]] = [
        (list(given.values()), {"names": NAMES}),
        (tuple(given.values()), {"names": NAMES}),
        (iter(given.values()), {"names": NAMES}),
        (paths, {}),
        ({name: str(path) for name, path in paths.items()}, {}),
        (list(paths.values()), {}),  # files have names
        ({**given, "b": paths["b"]}, {}),
        ({**paths, "c": pa.table(given["c"])}, {}),
        (whole, {"party_column": "bank"}),
        ([whole], {"party_column": "bank"}),
        (tmp_path / "all.csv", {"party_column": "bank"}),
        (str(tmp_path / "all.csv"), {"party_column": "bank", "separator": ","}),
    ]
    for data, more in forms:
        settlement = api.settle(data, **settings, **more)
        assert settlement.names == NAMES, more
        assert torch.equal(settlement.rewards.values, expected.rewards.values), more
        assert [source.sha256 != "" for source in settlement.sources] == [True] * 3
        assert settlement.reward_table("b", 8).equals(expected.reward_table(1, 8))
    assert api.TableMediator(**settings).settle_tables(list(paths.values())).names == NAMES
    assert api.settle(list(given.values()), **settings).names == ("party 1", "party 2", "party 3")


def test_settle_says_what_is_wrong(tmp_path):
    given = tables()
    table, images = given["a"], np.zeros((12, 4, 4), np.uint8)
    table.to_csv(tmp_path / "a.csv", index=False)
    for data, settings, message in (
        (table, {}, "parties: one table; give one for each party, or say party_column=NAME"),
        (table, {"party_column": "bank"}, "party_column=bank: the table has the columns age, sex"),
        (table.assign(bank=[None] * 60), {"party_column": "bank"}, "party_column=bank: empty in data row 1"),
        (given, {"party_column": "bank"}, "party_column=bank: expected one table or file for all parties"),
        (tmp_path / "a.csv", {}, r"a\.csv: one file; give one for each party"),
        ([table, images], {}, "party 2 has images and party 1 a table"),
        ([table, np.ones((4, 2))], {}, r"party 2: an array of shape \(4, 2\); a table needs names of columns"),
        ({"a": table, "b": [[1, 2]]}, {}, "party b: expected a DataFrame or another table .*, got list"),
        ({"a": images, "b": images}, {"label_column": "x"}, "label_column=x: for tables; the parties have images"),
        ({"a": images, "b": images}, {"party_column": "x"}, "party_column=x: for tables; the parties have images"),
        (given, {"names": ["x"]}, "names: 1 names for 3 parties"),
        (given, {"kernel": "laplacan"}, "kernel=laplacan: .*did you mean laplacian"),
        (given, {"separator": "ab"}, "separator=ab: expected comma, .*, or one character"),
        (5, {}, "parties: expected a list"),
    ):
        with pytest.raises(ValueError, match=message):
            api.settle(data, **settings)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        api.settle([table, tmp_path / "no.csv"])
    for name, near in (("synthetic_sise", "synthetic_size"), ("party_colum", "party_column"), ("kernl", "kernel")):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'; did you mean {near}"):
            api.settle(given, **{name: 3})


def test_folders_and_arrays_of_images_may_be_mixed(tmp_path):
    images = {name: np.random.default_rng(i).integers(0, 256, (20, 6, 6), np.uint8) for i, name in enumerate(NAMES)}
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "b" / "images.npz", images=images["b"])
    settings = {"features": "pca", "synthetic_size": 200, "sensitivity": False, "audit": "none", "seed": 0}
    mixed = api.settle({**images, "b": tmp_path / "b"}, **settings)
    assert torch.equal(mixed.rewards.values, api.settle(images, **settings).rewards.values)
    assert mixed.names == NAMES
    assert mixed.reward_table("c", 8).shape[1:] == (1, 6, 6)
    assert api.settle([images["a"], tmp_path / "b"], **settings).names == ("party 1", "b")


def test_arguments_of_methods_are_told_from_settings():
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'; seed is an argument of settle"):
        api.Mediator(seed=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'output_dir'; output_dir is an argument of run"):
        api.Experiment(output_dir="x")
    with pytest.raises(TypeError, match="unexpected keyword argument 'sede'; did you mean seed"):
        api.Experiment(sede=1)
