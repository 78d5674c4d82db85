"""Sketches of rows with classes: the product kernel, its bound, and pools with the right share of each class."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.privacy.features import Classes, rounded_sums, sensitivity, separation
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.privacy.sketch import STEP, Sketch
from cgm.privacy.valuation import SketchValuation
from cgm.valuation.kernels import Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.valuation import Valuation
from tests.privacy.test_features import worst_pair

NUMBER = {"kind": "numeric", "minimum": -3.0, "maximum": 3.0, "median": 0.0}
WIDE = SquaredExponential(1.6)  # which needs few frequencies
COLUMNS = {"x": NUMBER, "job": {"kind": "categorical", "levels": ["a", "b", "c"]}, "y": NUMBER}


def build(features="landmarks", kernel=None, label="job", public=None):
    return propose_schema(public, COLUMNS, kernel or SquaredExponential(0.8), 40, features, label=label)


def rows(n, seed, shares=(0.6, 0.3, 0.1)):
    random = np.random.default_rng(seed)
    job = random.choice(3, n, p=shares)
    x = random.normal(0, 0.5, (n, 2)) + np.array([[-1.5, 0], [0, 1.5], [1.5, -1.5]])[job]
    return pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "job": np.array(["a", "b", "c"])[job]})


def test_features_are_those_of_the_product_kernel():
    several = Sum([SquaredExponential(0.6), SquaredExponential(2.0)])
    for schema in (build(), build("fourier", WIDE), build(kernel=several)):
        points, landmarks = schema.encode(rows(50, 0)), schema.landmarks
        embedding = schema.embedding
        assert isinstance(embedding, Classes)
        assert embedding.width == 3 * embedding.base.width
        features = embedding.transform(points)
        others, classes = embedding.split(points)
        same = (classes[:, None] == classes).double()
        base = embedding.base.transform(others)
        assert torch.allclose(features @ features.T, same * (base @ base.T))
        kernel = schema.kernel(points, points)
        assert torch.allclose(kernel, same * schema.kernel(others, others), rtol=0, atol=1e-12)
        if landmarks is None:
            assert torch.allclose(features @ features.T, kernel, atol=1e-9)
        released = embedding.release(points)
        assert released.shape == (50, embedding.released_width)
        assert torch.allclose(embedding.receive(released.sum(0)), features.sum(0), atol=1e-9)
        assert torch.allclose(embedding.quick(points), features, atol=1e-9)
        assert torch.allclose(embedding.totals(points, [20, 30])[1], features[20:].sum(0), atol=1e-9)
        means = torch.stack([features.mean(0), features[0]])
        assert torch.allclose(embedding.inner(points, means), features @ means.T, atol=1e-9)
        assert torch.allclose(embedding.residual(points), embedding.base.residual(others))


def test_another_row_changes_the_sums_by_no_more_than_the_bound_whatever_its_class():
    for schema in (build(), build("fourier", WIDE), build(kernel=Laplacian(0.7))):
        embedding = schema.embedding
        corners = schema.corners()
        for step in (STEP, 0.01):
            bound, largest = sensitivity(embedding, step), math.sqrt(2 * embedding.kernel.diagonal)
            assert bound == largest * 1.0001 + math.sqrt(embedding.released_width) * step
            pair, _ = worst_pair(embedding.base, step)
            pair = pair.maximum(corners[0, [0, 1]]).minimum(corners[1, [0, 1]])
            if schema.landmarks is not None:  # where no feature is missed, rows of two classes have the distance √2
                pair = torch.cat([pair, schema.landmarks[:2]])
            placed = schema.with_classes(pair)
            exact = torch.round(embedding.release(placed) / step) * step
            distances = torch.cdist(exact, exact)
            assert float(distances.max()) <= bound
            _, classes = embedding.split(placed)
            apart = distances[classes[:, None] != classes]
            assert float(apart.max()) > 0.99 * largest
            one = rounded_sums(embedding, torch.cat([placed[:1], placed[3:]]), step)
            other = rounded_sums(embedding, placed[[-1, *range(3, len(placed))]], step)
            assert float((one - other).double().norm()) * step <= bound


def test_values_are_those_of_the_exact_product_kernel():
    schema = build("fourier")
    tables = [rows(400, k) for k in range(2)]
    points = [schema.encode(table) for table in tables]
    sketches = [Sketch.draw(schema, table, str(k), 100.0) for k, table in enumerate(tables)]
    for sketch, x in zip(sketches, points, strict=True):
        sketch.__dict__.update(sums=schema.embedding.transform(x).sum(0), noise=0.0)
    pool = schema.encode(rows(500, 9))
    game, exact = SketchValuation(sketches, pool), Valuation(schema.kernel, points, pool)
    assert torch.allclose(game.coalition_values(), exact.coalition_values(), atol=1e-7)
    assert torch.allclose(game.with_synthetic, exact.with_synthetic, atol=1e-7)


def test_pools_have_the_share_of_each_class():
    schema = build()
    sketches = [Sketch.draw(schema, rows(1500, k), f"party {k}", 2.0) for k in range(2)]
    particles = ParticleFit(particles=200, steps=80, draws=2).fit(sketches, seed=0)
    table = schema.decode(particles.pool(2000))
    shares = table["job"].value_counts(normalize=True)
    for level, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(shares.get(level, 0.0) - share) < 0.05
    centres = table.groupby("job")[["x", "y"]].mean()
    assert np.abs(centres.loc[["a", "b"]].to_numpy() - [[-1.5, 0], [0, 1.5]]).max() < 0.3
    assert (particles.points[:, schema.label_slice].count_nonzero(1) == 1).all()  # classes stay while points move


def test_schemas_with_a_label(tmp_path):
    schema = build()
    assert schema.scales["job"] == separation(schema.kernel) == pytest.approx(8 * 0.8)
    read = SketchSchema.read(schema.write(tmp_path / "schema.yaml"))
    assert (read.label, read.digest) == ("job", schema.digest)
    assert read.digest != build(label=None).digest
    assert "label" not in build(label=None).to_dict()
    assert "for each class of job" in repr(read)
    with_public = build(public=rows(300, 5), kernel=SquaredExponential("median"))
    assert with_public.landmarks.shape[1] == 2
    assert with_public.kernel.lengthscale < 4  # of the other columns alone
    values = schema.to_dict()
    for changes, message in (
        ({"label": "x"}, "label=x: expected a column of levels, job"),
        ({"label": 3}, "label: expected the name"),
        ({"scales": {**values["scales"], "job": 1.0}}, r"scales\.job=1: expected 6\.4 or more"),
        ({"features": {"kind": "landmarks", "points": [[0.0] * 5]}}, r"expected \(m, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            SketchSchema.from_dict({**values, **changes})
    with pytest.raises(ValueError, match="falls too slowly for a label"):
        build(kernel=RationalQuadratic(1.0))
    with pytest.raises(ValueError, match="expected another column beside it"):
        propose_schema(None, {"job": COLUMNS["job"]}, SquaredExponential(1.0), 4, label="job")
