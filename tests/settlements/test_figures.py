"""Tests of the figures of the report: columns, and rewards in the embedding."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.figures import embedding
from cgm.generators import KDE
from cgm.mediator import Mediator
from cgm.rewards import WeightedSampling
from cgm.settlements.figures import BINS, compare, draw_columns, draw_plane
from tests.settlements.settled_tables import column, settle


def of(kind: str, *values):
    return compare(column("x", kind), [pd.DataFrame({"x": value}) for value in values])


def test_categories_are_counted():
    found = of("categorical", pd.Categorical(["a", "a", "b", None]), pd.Categorical(["b", "c"]))
    assert found.labels == ("b", "a", "c", "missing") or found.labels == ("a", "b", "c", "missing")
    shares = [dict(zip(found.labels, row, strict=True)) for row in found.shares.tolist()]
    assert shares == [
        {"a": 0.5, "b": 0.25, "c": 0.0, "missing": 0.25},
        {"a": 0.0, "b": 0.5, "c": 0.5, "missing": 0.0},
    ]
    assert found.difference == pytest.approx(0.75)  # a and missing have to become b and c
    assert found.summaries[0] == "a 50%, missing 25%"


def test_rare_categories_are_counted_together():
    values = [f"level {k}" for k in range(20) for _ in range(20 - k)]
    found = of("categorical", values, ["level 19"] * 5)
    assert len(found.labels) == 6 + 2
    assert found.shares.sum(1) == pytest.approx([1, 1])
    assert found.shares[1][found.labels.index("other")] == 1


def test_numbers_are_counted_in_intervals():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 1000, 500).astype(float), rng.integers(0, 1000, 300).astype(float)
    one[:50] = np.nan
    low, high = np.quantile(np.concatenate([one[50:], two]), [0.005, 0.995])
    for kind in ("numeric", "integer"):
        found = of(kind, one, two)
        for x, row in zip((one, two), found.shares, strict=True):
            inside = np.clip(x[~np.isnan(x)], low, high)
            bins = np.minimum((inside - low) / (high - low) * BINS, BINS - 1e-9).astype(int)
            assert row[:-1] * len(x) == pytest.approx(np.bincount(bins, minlength=BINS), abs=1)
            assert row.sum() == pytest.approx(1)
        assert found.shares[0][-1] == 0.1
        assert found.summaries[0].startswith(f"mean {one[50:].mean():.4g}, sd {one[50:].std():.4g}, missing 10%")
        assert of(kind, two, two).difference == 0


def test_few_whole_numbers_have_a_bin_each():
    found = of("integer", pd.array([1, 2, 2, None], dtype="Int64"), pd.array([4], dtype="Int64"))
    assert found.edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert found.shares.tolist() == [[0.25, 0.5, 0, 0, 0.25], [0, 0, 0, 1, 0]]


def test_dates_are_counted_in_days():
    found = of("date", pd.to_datetime(["2020-01-01", "2020-01-03", None]), pd.to_datetime(["2020-01-02"]))
    assert found.date
    assert found.edges[0] == pytest.approx(18262, abs=0.05)
    assert found.summaries == ("median 2020-01-02, missing 33%", "median 2020-01-02")


def test_strange_columns_are_compared_and_drawn():
    for kind, values in [
        ("numeric", [1.0, 1.0]),
        ("numeric", [np.nan, np.nan]),
        ("numeric", []),
        ("numeric", [1e300, -1e300]),
        ("integer", pd.array([None, None], dtype="Int64")),
        ("boolean", pd.array([True, None], dtype="boolean")),
        ("categorical", [None, None]),
        ("categorical", []),
        ("categorical", ["$x_$", "missing", "other", "\n"]),
        ("date", pd.to_datetime([None, None])),
    ]:
        found = of(kind, values, values, values)
        assert found.difference == 0, (kind, values)
        assert np.isfinite(found.shares).all(), (kind, values)
        figure = draw_columns([found])
        figure.canvas.draw()
        assert len(figure.axes) == 1


@pytest.mark.parametrize("width", [1, 5])
def test_the_plane_of_any_number_of_features(width, monkeypatch):
    """Few points, so that principal components are drawn: UMAP takes seconds."""

    monkeypatch.setattr(embedding, "MIN_POINTS", 10_000)
    generator = torch.Generator().manual_seed(0)
    points = [torch.randn(30, width, generator=generator).double() + i for i in range(2)]
    settlement = Mediator(KDE(), sampling=WeightedSampling((8.0,)), synthetic_size=100).settle(points, seed=0)
    names = {"names": ("a", "b"), "recommended": (8.0, 8.0)}
    figure, kind = draw_plane(replace(settle(), **(vars(settlement) | names)), seed=0)
    assert kind == ("dimension" if width == 1 else "principal component")
    assert len(figure.axes) == 2
