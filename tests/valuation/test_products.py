"""Tests of mean kernel values of blocks by embeddings, and of searches of the length-scale that use them."""

import pytest
import torch

from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.splits import EqualDisjoint, Unequal
from cgm.experiment import Experiment
from cgm.generators.gaussian_mixture import TrueMixture
from cgm.valuation import lengthscale, products
from cgm.valuation.kernels import Laplacian, SquaredExponential, Sum
from cgm.valuation.lengthscale import fit_lengthscale, resolve_lengthscale
from cgm.valuation.method import ValuationMethod
from cgm.valuation.products import FourierProducts, LandmarkProducts, search_method
from cgm.valuation.references import PoolReference

PAIR = Sum([SquaredExponential(1.0), SquaredExponential(0.4)], lengthscale=0.3)


def make_blocks(d: int, sizes=(60, 40, 50, 800)) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(d)
    return [
        (0.3 + 0.2 * i) * torch.randn(n, d, generator=random, dtype=torch.float64) + 0.7 * i
        for i, n in enumerate(sizes)
    ]


def exact_products(kernel, blocks) -> torch.Tensor:
    return torch.stack([torch.stack([kernel(x, y).mean() for y in blocks]) for x in blocks[:-1]])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_fourier_products_are_exact_for_all_lengthscales(d, monkeypatch):
    monkeypatch.setattr(products, "PAIRS_PER_MODE", 0)  # for few points
    blocks = make_blocks(d)
    for kernel in (SquaredExponential(), PAIR)[: 1 if d == 3 else 2]:
        found = FourierProducts(kernel, blocks)
        for scale in (3.0, 2.2, 2.1) if d == 3 else (3.0, 1.0, 0.71, 0.708, 100.0, 0.6, 1.0):
            expected = exact_products(kernel.with_lengthscale(scale), blocks)
            torch.testing.assert_close(found.at(scale), expected, rtol=0, atol=2e-12)


def test_grids_with_too_many_frequencies_are_not_laid(monkeypatch):
    found = FourierProducts(SquaredExponential(), make_blocks(2))
    assert found.at(1e-4) is None
    assert found.at(0.05) is None  # pairs take less time
    monkeypatch.setattr(products, "PAIRS_PER_MODE", 0)
    monkeypatch.setattr(products, "MAX_NUMBERS", 10_000)  # of all blocks together
    assert found.at(0.05) is None
    assert FourierProducts(SquaredExponential(), make_blocks(1)).at(0.05) is not None


def test_other_kernels_and_dimensions_are_refused():
    with pytest.raises(ValueError, match="expected a squared exponential kernel"):
        resolve_lengthscale(Laplacian("fit"), make_blocks(2)[:-1], make_blocks(2)[-1], method="nufft")
    *parties, pool = make_blocks(4)
    with pytest.raises(ValueError, match="at most 4,000,000 in 3 dimensions are possible"):
        resolve_lengthscale(SquaredExponential("fit"), parties, pool, method="nufft")


def test_landmarks_give_mean_kernel_values():
    blocks = make_blocks(5)
    found = LandmarkProducts(SquaredExponential(2.0), blocks)  # all points of the parties are landmarks
    torch.testing.assert_close(found.at(1.5), exact_products(SquaredExponential(1.5), blocks), rtol=0, atol=1e-9)


def test_the_method_of_a_search_follows_from_that_of_the_valuation(monkeypatch):
    kernel, small, large = SquaredExponential(1000.0), make_blocks(2), make_blocks(2, (10, 10, 3000))
    assert search_method("auto", kernel, small) == "exact"
    assert search_method("auto", kernel, large) == search_method(ValuationMethod("nufft"), kernel, small) == "nufft"
    assert search_method("auto", Laplacian(1000.0), large) == "exact"
    for method in ("exact", "hybrid", "nystrom"):
        assert search_method(method, kernel, small) == "exact"
    monkeypatch.setattr(products, "MAX_PAIRS", 1e4)
    assert [search_method(method, kernel, small) for method in ("exact", "hybrid", "nystrom")] == [
        "exact",
        "exact",
        "nystrom",
    ]
    with pytest.raises(ValueError, match="method"):
        search_method("fast", kernel, small)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_search_finds_the_same_lengthscale(d, monkeypatch):
    *parties, pool = make_blocks(d)
    for reference in (None, PoolReference()):
        for kernel in (SquaredExponential(), PAIR)[: 1 if d == 3 else 2]:
            exact = fit_lengthscale(kernel, parties, pool, reference=reference)
            assert fit_lengthscale(kernel, parties, pool, reference=reference, method="nufft") == exact
    exact = fit_lengthscale(SquaredExponential(), parties, pool)
    monkeypatch.setattr(products, "MAX_PAIRS", 0.0)
    found = fit_lengthscale(SquaredExponential(), parties, pool, method="nystrom")
    assert found.numeric_lengthscale == pytest.approx(exact.numeric_lengthscale, rel=1e-2)


def test_searches_of_the_credit_ratings_agree_in_both_splits():
    for split in (EqualDisjoint(points_per_party=1000), Unequal()):
        experiment = Experiment(dataset=CreditRatings(), split=split, generator=TrueMixture(), synthetic_size=5000)
        mediator, data = experiment.mediator(), experiment.load()
        pooled = mediator.pool(mediator.fit(data.parties, 0), 5000, 0)
        found = [
            fit_lengthscale(SquaredExponential(), pooled.parties, pooled.pool.points, method=method)
            for method in ("exact", "nufft", "auto")
        ]
        assert found[0] == found[1] == found[2]


def test_no_pairs_are_computed_by_fourier_grids(monkeypatch):
    *parties, pool = make_blocks(2)
    monkeypatch.setattr(lengthscale, "cross_sums", None)
    monkeypatch.setattr(lengthscale, "block_sums", None)
    fit_lengthscale(SquaredExponential(), parties, pool, method="nufft")
