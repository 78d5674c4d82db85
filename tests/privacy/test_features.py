"""Features of releases: what they approximate, and that no other row changes them by more than the bound."""

import math

import numpy as np
import pytest
import torch

from cgm.privacy.features import SLACK, Grid, Landmarks, rounded_sums, sensitivity
from cgm.privacy.sketch import STEP
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum

CORNERS = torch.tensor([[-3.0, -3.0], [3.0, 3.0]], dtype=torch.float64)


def embeddings():
    points = torch.from_numpy(np.random.default_rng(0).uniform(-3, 3, (96, 2)))
    kernels = [SquaredExponential(0.4), SquaredExponential(2.0), RationalQuadratic(0.5), Laplacian(0.7)]
    kernels.append(Sum([SquaredExponential(0.6), SquaredExponential(2.0)]))
    yield from (Landmarks(kernel, points) for kernel in kernels)
    yield from (Grid(kernel, CORNERS) for kernel in (kernels[0], kernels[-1]))


def worst_pair(embedding, step, scale=1.0, width=2):
    """Search for the two rows whose rounded features are furthest apart: many pairs, then ascent from the best ones."""

    random = torch.Generator().manual_seed(0)
    starts = torch.rand(2, 600, width, generator=random, dtype=torch.float64) * 6 - 3
    if isinstance(embedding, Landmarks):  # the bound is attained at landmarks that are far apart
        chosen = torch.randint(len(embedding.points), (2, 600), generator=random)
        starts = torch.cat([starts, embedding.points[chosen]], 1)
    distance = (embedding.transform(starts[0]) - embedding.transform(starts[1])).norm(dim=1)
    best = distance.topk(12).indices
    pair = starts[:, best].clone().requires_grad_()
    optimiser = torch.optim.Adam([pair], 0.02)
    for _ in range(30):
        optimiser.zero_grad()
        loss = -(embedding.transform(pair[0]) - embedding.transform(pair[1])).square().sum()
        loss.backward()
        optimiser.step()
    pair = torch.cat([pair.detach().clamp(-3, 3), starts[:, best]], 1)
    rounded = [torch.round(scale * embedding.release(x) / step) * step for x in pair]
    distance = (rounded[0] - rounded[1]).norm(dim=1)
    return pair[:, distance.argmax()], float(distance.max())


def test_no_row_changes_the_sums_by_more_than_the_bound():
    for embedding in embeddings():
        largest = math.sqrt(2 * embedding.kernel.diagonal)
        for step in (STEP, 0.01):  # with a coarse grid, rounding is a part of the bound that can be seen
            bound = sensitivity(embedding, step)
            assert bound == largest * (1 + SLACK) + math.sqrt(embedding.released_width) * step
            _, distance = worst_pair(embedding, step)
            assert 0.9 * largest < distance <= bound
        _, distance = worst_pair(embedding, STEP, scale=1.1)  # the search finds features that are too large
        assert distance > sensitivity(embedding, STEP)


def test_the_bound_holds_for_the_numbers_that_were_computed():
    """K_ZZ^(-1/2) K_ZZ K_ZZ^(-1/2) in higher precision: its norm is the square of what a distance can grow by."""

    random = np.random.default_rng(1)
    for lengthscale in (0.3, 1.0, 5.0):
        points = random.uniform(-3, 3, (80, 2))
        embedding = Landmarks(SquaredExponential(lengthscale), torch.from_numpy(points))
        z = points.astype(np.longdouble) / np.longdouble(lengthscale)
        kernel = np.exp(-((z[:, None] - z) ** 2).sum(-1) / 2)
        root = embedding.root.numpy().astype(np.longdouble)
        gain = np.linalg.norm((root.T @ kernel @ root).astype(float), 2)
        assert gain <= (1 + SLACK) ** 2
        assert gain > 1 - 1e-6
        assert (embedding.width < 80) == (lengthscale == 5.0)  # small eigenvalues are dropped


def test_inner_products_are_those_of_the_kernel():
    x = torch.from_numpy(np.random.default_rng(2).uniform(-2.5, 2.5, (200, 2)))
    for embedding in embeddings():
        features, kernel = embedding.transform(x), embedding.kernel(x, x)
        error = (features @ features.T - kernel).abs().max()
        tolerance = 1e-10 if isinstance(embedding, Grid) else 2.0  # few landmarks are exact where they are only
        assert error < tolerance
        if isinstance(embedding, Landmarks):
            z = embedding.points[:20]
            exact = embedding.transform(z) @ features.T - embedding.kernel(z, x)
            assert float(exact.abs().max()) < 1e-3
        means = embedding.mean(x)[None]
        assert torch.allclose(embedding.inner(x, means)[:, 0], features @ means[0], atol=1e-9)
        assert torch.allclose(means[0], features.mean(0), atol=1e-9)
        # the coordinates of the release are another view of the same features
        released = embedding.release(x)
        assert released.shape == (200, embedding.released_width)
        assert torch.allclose(embedding.receive(released), features, atol=1e-9)
        assert torch.allclose(released @ released.T, features @ features.T, atol=1e-9)


def test_released_coordinates_do_not_depend_on_signs_of_eigenvectors(monkeypatch):
    points, kernel = torch.rand(30, 2, dtype=torch.float64), SquaredExponential(0.5)
    embedding, decompose = Landmarks(kernel, points), torch.linalg.eigh

    def flipped(matrix):
        values, vectors = decompose(matrix)
        return values, -vectors

    monkeypatch.setattr(torch.linalg, "eigh", flipped)
    other = Landmarks(kernel, points)
    x = torch.rand(5, 2, dtype=torch.float64)
    assert not torch.allclose(other.transform(x), embedding.transform(x))
    assert torch.allclose(other.release(x), embedding.release(x), atol=1e-12)
    assert torch.allclose(other.receive(embedding.release(x)), other.transform(x), atol=1e-9)


def test_other_rows_do_not_change_a_bit_of_the_features_of_a_row():
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2500, 2, generator=random, dtype=torch.float64) * 6 - 3
    for embedding in embeddings():
        step = 2.0**-45  # nearly all bits
        neighbour = x.clone()
        neighbour[7] = torch.tensor([3.0, -3.0])
        difference = rounded_sums(embedding, x, step) - rounded_sums(embedding, neighbour, step)
        pair = [rounded_sums(embedding, y[:1024].clone(), step) for y in (x, neighbour)]
        assert torch.equal(difference, pair[0] - pair[1])
        assert float(difference.double().norm()) * step <= sensitivity(embedding, step)


def test_kernels_that_may_be_negative_are_refused():
    class Own(Kernel):
        def profile(self, q):
            return torch.cos(q)

    for kernel in (Own(1.0), Sum([Own(1.0)])):
        with pytest.raises(ValueError, match="holds for kernels that are not negative"):
            Landmarks(kernel, torch.rand(3, 2))
