"""Embeddings against exact sums of the kernel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.valuation.embedding import EmbeddedSums, Embedding, Fourier, Nystrom
from cgm.valuation.kernels import Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.mmd import block_sums

MULTISCALE = Sum([SquaredExponential(1.0), SquaredExponential(0.4)], 0.7)


def draw(n: int, d: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, d, generator=random, dtype=torch.float64)


@settings(max_examples=15, deadline=None)
@given(
    d=st.integers(1, 2),
    lengthscale=st.floats(0.05, 30),
    shift=st.sampled_from([0.0, -7.0, 1e4]),
    seed=st.integers(0, 1000),
    several=st.booleans(),
)
def test_fourier_sums_are_exact_to_rounding(d, lengthscale, shift, seed, several):
    kernel = (MULTISCALE if several else SquaredExponential(1.0)).with_lengthscale(lengthscale)
    x, sizes = draw(60, d, seed) + shift, [10, 20, 30]
    sums = EmbeddedSums(Fourier(kernel).fit(x), x, sizes).of_points()
    tolerance = 1e-10 if shift < 1e4 else 1e-7  # differences of points lose digits
    assert torch.allclose(sums, block_sums(kernel, x, sizes), rtol=0, atol=30 * tolerance)


def test_fourier_in_three_dimensions():
    x, sizes = draw(200, 3), [50, 150]
    sums = EmbeddedSums(Fourier(SquaredExponential(0.8)).fit(x), x, sizes).of_points()
    assert torch.allclose(sums, block_sums(SquaredExponential(0.8), x, sizes), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", [SquaredExponential(0.6), Laplacian(2.0), RationalQuadratic(1.5), MULTISCALE])
def test_landmarks_are_exact_if_all_points_are_landmarks(kernel):
    x, sizes = draw(120, 3), [20, 40, 60]
    nystrom = Nystrom(kernel, landmarks=120).fit(x)
    assert torch.allclose(EmbeddedSums(nystrom, x, sizes).of_points(), block_sums(kernel, x, sizes), rtol=1e-6)
    few = Nystrom(kernel, landmarks=30).fit(x)
    lacks = few.residual(x)
    assert (lacks >= 0).all()
    assert torch.allclose(few.transform(x).square().sum(1) + lacks, kernel(x, x).diagonal())
    assert lacks.max() > 0.01
    # the diagonal is complete, whatever the landmarks
    alone = EmbeddedSums(few, x, [1] * 120).of_points()
    assert torch.allclose(alone.diagonal(), torch.full((120,), kernel.diagonal, dtype=torch.float64))


@pytest.mark.parametrize(
    "embedding", [Fourier(SquaredExponential(0.5)), Fourier(MULTISCALE), Nystrom(Laplacian(1.0), landmarks=40)]
)
def test_means_and_inner_products_are_those_of_the_embedded_points(embedding):
    x, y = draw(50, 2), draw(70, 2, seed=1) / 2
    embedding.fit(torch.cat([x, y]))
    psi = embedding.transform(x)
    assert psi.shape == (50, embedding.width)
    assert torch.allclose(embedding.mean(x), psi.mean(0), atol=1e-12)
    means = torch.stack([embedding.mean(x), embedding.mean(y)])
    assert torch.allclose(embedding.inner(x, means), psi @ means.T, atol=1e-11)
    assert torch.allclose(Embedding.merge(means, [50, 70]), embedding.mean(torch.cat([x, y])), atol=1e-12)


def test_equal_numbers_with_any_number_of_threads(monkeypatch):
    monkeypatch.setattr("cgm.valuation.embedding.BLOCK", 37)
    monkeypatch.setattr("cgm.valuation.embedding.CELLS", 37 * 20)
    x, sizes = draw(200, 2), [100, 100]
    before = torch.get_num_threads()
    try:
        for make in (lambda: Fourier(SquaredExponential(0.5)), lambda: Nystrom(Laplacian(1.0), landmarks=20)):
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(EmbeddedSums(make().fit(x, seed=1), x, sizes).of_points())
            assert torch.equal(results[0], results[1])
            assert torch.equal(results[0], results[2])
    finally:
        torch.set_num_threads(before)


def test_what_the_grid_cannot_do_is_refused():
    with pytest.raises(ValueError, match="Fourier: expected a squared exponential kernel or a sum of such, got Laplac"):
        Fourier(Laplacian(1.0))
    with pytest.raises(ValueError, match="at most 4,000,000 in 3 dimensions are possible"):
        Fourier(SquaredExponential(1.0)).fit(draw(5, 4))
    with pytest.raises(ValueError, match=r"would have \d+ x \d+ modes"):
        Fourier(SquaredExponential(1e-3)).fit(draw(5, 2))
    with pytest.raises(ValueError, match="NaN or infinity"):
        Nystrom(Laplacian(1.0)).fit(torch.full((3, 2), torch.nan))


def test_what_an_embedding_refuses():
    x = torch.rand(50, 2, dtype=torch.float64)
    fourier = Fourier(SquaredExponential(0.5)).fit(x)
    fourier.mean(x + 0.4)  # a length-scale outside is exact enough
    for call in (lambda: fourier.mean(x + 2), lambda: fourier.inner(x - 2, fourier.mean(x)[None])):
        with pytest.raises(ValueError, match=r"Fourier: x: a coordinate is \d[.\d]* outside of the range"):
            call()
    with pytest.raises(ValueError, match="Nystrom: landmarks=0: expected an integer >= 1"):
        Nystrom(SquaredExponential(0.5), landmarks=0)
    means = [fourier.mean(x[:20]), fourier.mean(x[20:])]
    assert torch.allclose(Embedding.merge(means, [20, 30]), fourier.mean(x), atol=1e-12)
