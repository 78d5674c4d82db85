"""Tests of settings and versions as JSON holds them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import cgm
from cgm.utils.plain import NOT_WRITTEN, plain, snake, versions

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
            "path": str(Path("a") / "b"),
            "betas": [1.0, "inf"],
            "inner": {"class": "Settings", "path": "c", "betas": [], "inner": None},
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
