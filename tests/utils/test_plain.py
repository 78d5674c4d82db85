"""Tests of settings and versions as JSON holds them."""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

import cgm
from cgm.utils.plain import NOT_WRITTEN, not_compared, plain, snake, source_of, versions

INF = float("inf")


class Pair(NamedTuple):
    a: float
    b: object


@dataclass
class Settings:
    path: Path
    betas: tuple[float, ...]
    inner: object = None
    cache: int = field(default=3, init=False)
    large: tuple[float, ...] = field(default=(), metadata=NOT_WRITTEN)


SOURCE = {"source": source_of(Settings)} if source_of(Settings) else {}


class Holder:
    def __init__(self, held):
        self._held = held


def test_content_of_settings_is_told_apart():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    different = [
        (frame, frame.assign(a=[1.0, 3.0])),
        (frame, frame.rename(columns={"a": "c"})),
        (frame, frame[["b", "a"]]),
        (frame["a"], frame["a"] + 1),
        (pa.table({"a": [1, 2]}), pa.table({"a": [1, 3]})),
        (torch.zeros(500), torch.ones(500)),
        (np.zeros((30, 30)), np.zeros((30, 30), np.float32)),
        (np.array([["a", "b"]] * 99, object), np.array([["a", "c"]] * 99, object)),
        ({1, 2}, {1, 3}),
        (Holder(1), Holder(2)),
    ]
    for one, other in different:
        for wrap in (Holder, lambda x: Settings(Path("a"), (), x), lambda x: {"list": [x]}):
            stated = [plain(wrap(x), attributes=True) for x in (one, other)]
            assert stated[0] != stated[1]
            assert stated[0] == plain(wrap(copy.deepcopy(one)), attributes=True)
            assert [*not_compared(stated)] == []
            assert len(json.dumps(stated)) < 1000


def test_what_cannot_be_compared_is_named():
    circle = Holder(None)
    circle._held = circle
    for value, what in (
        (lambda x: x, "a function"),
        (np.random.default_rng(0), "an object of the class Generator"),
        (circle, "an object of the class Holder"),
    ):
        stated = {"dataset": plain(Holder([value]), attributes=True)}
        assert next(not_compared(stated)).endswith(f"is {what}")
        assert next(not_compared(stated)).startswith("dataset._held[0]")
    assert [*not_compared(plain(Holder(torch.relu), attributes=True))] == []


def test_the_source_of_a_class_is_that_of_its_methods():
    def made(body):
        namespace = {"__name__": "__main__"}
        exec(f"class Mine:\n    {body}", namespace)
        return namespace["Mine"]

    bodies = ("def f(self): return 1", "def f(self): return 2", "def f(self, x=1): return 1", "better = True")
    sources = {source_of(made(body)) for body in bodies}
    assert len(sources) == len(bodies)
    assert all(sources)
    assert source_of(made(bodies[0])) == source_of(made(f"# a comment\n    {bodies[0]}"))
    assert source_of(Path) == source_of(pd.DataFrame) == source_of(cgm.Mediator) == ""


def test_plain():
    x = {
        "tensor": torch.tensor([[1.5, INF], [-INF, 2.0]], dtype=torch.float64),
        "whole": torch.tensor([True, False]),
        "array": np.arange(3, dtype=np.int32),
        "number": np.float64(0.1),
        "pair": Pair(1.0, (np.int64(2), None)),
        "settings": Settings(Path("a") / "b", (1.0, INF), Settings(Path("c"), ())),
        3: "text",
        "object": object(),
        "none": None,
    }
    assert plain(x) == {
        "tensor": [[1.5, "inf"], ["-inf", 2.0]],
        "whole": [True, False],
        "array": [0, 1, 2],
        "number": 0.1,
        "pair": {"a": 1.0, "b": [2, None]},
        "settings": {
            "class": "Settings",
            **SOURCE,
            "path": str(Path("a") / "b"),
            "betas": [1.0, "inf"],
            "inner": {"class": "Settings", **SOURCE, "path": "c", "betas": [], "inner": None},
        },
        "3": "text",
        "object": "object",
        "none": None,
    }
    assert json.loads(json.dumps(plain(x), allow_nan=False)) == plain(x)
    assert plain(Settings(Path("c"), (), [Settings(Path("d"), ())]), classes=False) == {
        "path": "c",
        "betas": [],
        "inner": [{"path": "d", "betas": [], "inner": None}],
    }


def test_snake():
    for name, expected in (
        ("SquaredExponential", "squared_exponential"),
        ("KDE", "kde"),
        ("PCA", "pca"),
        ("MyGAN", "my_gan"),
        ("Sum(SquaredExponential, Laplacian)", "sum(squared_exponential, laplacian)"),
    ):
        assert snake(name) == expected


def test_versions_are_those_that_run():
    found = versions()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["numpy"] == np.__version__
    assert found["cgm"] == cgm.__version__
    assert int(found["numerics"]) >= 1
    assert {"python", "scipy", "scikit-learn", "umap-learn"} <= set(found)
