"""Approximate valuations against exact ones: values, measured errors, and the choice of the method."""

import math

import pytest
import torch

from cgm.contributions import Shapley
from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.splits import EqualDisjoint, Unequal
from cgm.engines import Loky, Threads
from cgm.generators.gaussian_mixture import TrueMixture
from cgm.valuation import Valuation
from cgm.valuation.kernels import Laplacian, SquaredExponential
from cgm.valuation.lengthscale import fit_lengthscale
from cgm.valuation.method import ValuationMethod, choose_method, extremes

NAMES = ("hybrid", "nystrom", "nufft")


def game(kind: str, seed: int, n: int = 3, rows: int = 60, pool: int = 700):
    """Draw parties and a pool: a mixture, heavy tails, near-copies, or categories that are encoded."""

    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    d = {"plane": 2, "tails": 4, "copies": 2}.get(kind, 5)
    centres = 1.5 * normal(4, d)

    def draw(count: int, weights: torch.Tensor) -> torch.Tensor:
        which = torch.multinomial(weights, count, replacement=True, generator=random)
        x = centres[which] + 0.5 * normal(count, d)
        if kind == "tails":
            x = x / (0.1 + normal(count, 1).abs())
        if kind == "copies":
            x = x[torch.randint(0, max(count // 10, 2), (count,), generator=random)] + 1e-9 * normal(count, d)
        if kind == "categories":
            x = (x > 0).double() * 1.4
        return x

    sizes = [rows + 20 * i for i in range(n)]
    parties = [draw(size, torch.rand(4, generator=random, dtype=torch.float64)) for size in sizes]
    return parties, draw(pool, torch.ones(4, dtype=torch.float64))


def all_values(valuation: Valuation) -> torch.Tensor:
    return torch.cat([valuation.coalition_values()[1:], valuation.with_synthetic])


def alpha(valuation: Valuation) -> torch.Tensor:
    return Shapley().compute(valuation, 0).alpha


@pytest.mark.parametrize("kind", ["plane", "mixture", "tails", "copies", "categories"])
def test_intervals_contain_the_exact_values(kind):
    kernel = SquaredExponential(0.7)
    inside, total, largest = 0, 0, 0.0
    for seed in range(8):
        parties, pool = game(kind, seed)
        exact = Valuation(kernel, parties, pool, "float64")
        for name in NAMES:
            if name == "nufft" and kind not in ("plane", "copies"):
                continue
            # many landmarks would be exact
            found = Valuation(kernel, parties, pool, method=ValuationMethod(name, tolerance=1e9))
            assert found.method == name
            assert found.modes
            for statistic in (all_values, alpha):
                error, stated = (statistic(found) - statistic(exact)).abs(), found.half_widths(statistic)
                inside += int((error <= stated + 1e-12).all())
                total += 1
                largest = max(largest, float(error.max()))
            assert found.error <= float(found.half_widths(all_values).max()) + 1e-15
    assert inside >= 0.95 * total, (inside, total)
    assert largest < 0.05


def test_nufft_is_exact_and_hybrid_in_all_coalitions_of_parties():
    parties, pool = game("plane", 0)
    kernel = SquaredExponential(0.3)
    exact = Valuation(kernel, parties, pool, "float64")
    nufft = Valuation(kernel, parties, pool, method="nufft")
    assert torch.allclose(all_values(nufft), all_values(exact), rtol=0, atol=1e-13)
    assert torch.allclose(nufft.sums, exact.sums, rtol=0, atol=1e-9)
    assert nufft.error < 1e-12
    assert nufft.total == pytest.approx(exact.total)
    for kernel in (SquaredExponential(0.3), Laplacian(0.5)):
        exact = Valuation(kernel, parties, pool, "float64")
        hybrid = Valuation(kernel, parties, pool, "float64", method=ValuationMethod("hybrid", tolerance=1.0))
        assert torch.allclose(hybrid.coalition_values(), exact.coalition_values(), rtol=0, atol=1e-13)
        assert torch.allclose(hybrid.sums[:, :-1], exact.sums[:, :-1], rtol=1e-12)
        single = Valuation(kernel, parties, pool, "float32", method=ValuationMethod("hybrid", tolerance=1.0))
        for valuation in (hybrid, single):
            assert (valuation.half_widths(lambda v: v.coalition_values()) < 1e-12).all()
            assert (valuation.half_widths(lambda v: Shapley().compute(v, 0).phi) < 1e-12).all()
        assert single.error > 1e-12


def test_landmarks_are_doubled_until_the_error_is_small():
    parties, pool = game("mixture", 1, rows=800, pool=9000)
    kernel = SquaredExponential(0.8)
    sizes = {}
    for tolerance in (1.0, 1e-4):
        valuation = Valuation(kernel, parties, pool, method=ValuationMethod("nystrom", tolerance))
        sizes[tolerance] = valuation.modes
        assert valuation.error <= tolerance * valuation.grand_value or valuation.modes > len(valuation.points) // 16
    assert sizes[1.0] == 512 < sizes[1e-4]


def test_credit_ratings_are_valued_as_exactly_as_in_float64():
    for split in (EqualDisjoint(points_per_party=300), Unequal(points_per_party=300)):
        data = CreditRatings().load(None, 0)
        rows = split.assign(data.y, len(data.classes), 0, data.ordered, data.classes)
        parties = [data.x[row] for row in rows]
        pool = TrueMixture().fit(torch.cat(parties), 0).sample(3000, 0)
        kernel = fit_lengthscale(SquaredExponential(), parties, pool)
        exact = Valuation(kernel, parties, pool, "float64", method="exact")
        default = Valuation(kernel, parties, pool)
        assert default.method == "nufft"
        assert torch.allclose(all_values(default), all_values(exact), rtol=0, atol=1e-13)
        assert torch.allclose(alpha(default), alpha(exact), rtol=0, atol=1e-11)
        assert torch.allclose(default.sums, exact.sums, rtol=0, atol=1e-8)
        assert (default.gamma, default.eta) == pytest.approx((exact.gamma, exact.eta), rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_extremes_of_approximate_valuations(d):
    random = torch.Generator().manual_seed(d)
    x = torch.randn(400, d, generator=random, dtype=torch.float64)
    kernel = SquaredExponential(0.5)
    k = kernel(x, x)
    others = k[~torch.eye(len(x), dtype=torch.bool)]
    low, high = extremes(kernel, x, "nufft" if d < 4 else "nystrom")
    if d < 4:
        assert (low, high) == pytest.approx((float(others.min()), float(others.max())), rel=1e-9)
    assert low <= others.min() * (1 + 1e-9)
    assert high >= others.max() * (1 - 1e-9)
    line = x[:, :1] * torch.ones(1, d, dtype=torch.float64)  # points of no volume
    low, high = extremes(kernel, torch.cat([line, line]), "nufft")
    assert low == pytest.approx(float(kernel(line, line).min()), rel=1e-6)
    assert high == 1.0


def test_equal_bytes_in_threads_and_processes(monkeypatch):
    monkeypatch.setattr("cgm.engines.FEW", 0)  # processes compute small cases, too
    sums = {}
    for kind, method in (("plane", "nufft"), ("mixture", "nystrom"), ("mixture", "hybrid")):
        parties, pool = game(kind, 3, pool=3000)
        for engine in (Threads(1), Threads(3), Loky(2)):
            with engine.running():
                found = Valuation(SquaredExponential(0.7), parties, pool, method=ValuationMethod(method, 1e-3))
            sums.setdefault((kind, method), found.sums)
            assert torch.equal(found.sums, sums[kind, method])


def test_auto_and_bounds(monkeypatch):
    x, plane = torch.randn(5000, 5, dtype=torch.float64), torch.rand(5000, 2, dtype=torch.float64)
    kernel = SquaredExponential(0.3)
    assert choose_method("nystrom", kernel, x, [10, 4990]) == "nystrom"
    assert choose_method("auto", kernel, plane, [10, 4990]) == "nufft"
    assert choose_method("auto", Laplacian(0.3), plane, [10, 4990]) == "exact"
    assert choose_method("auto", SquaredExponential(1e-4), plane, [10, 4990]) == "exact"  # too many modes
    assert choose_method("auto", kernel, plane[:2000], [10, 1990]) == "exact"
    assert choose_method("auto", kernel, x, [10, 4990]) == "exact"
    monkeypatch.setattr("cgm.valuation.method.MAX_EXACT", 1000)
    assert choose_method("auto", kernel, x, [10, 4990]) == "hybrid"
    monkeypatch.setattr("cgm.valuation.method.MAX_PAIRS", 1000)
    assert choose_method("auto", kernel, x, [10, 4990]) == "nystrom"

    parties, pool = game("tails", 0)
    exact = Valuation(SquaredExponential(0.1), parties, pool)
    auto = Valuation(SquaredExponential(0.1), parties, pool, method=ValuationMethod("auto", 1e-9))
    assert auto.method == "exact"
    assert torch.equal(auto.sums, exact.sums)
    assert auto.error == 0.0
    other = Valuation(SquaredExponential(0.1), parties, pool, method=ValuationMethod("nystrom", 1.0))
    assert other.gamma <= exact.gamma
    assert other.eta >= exact.eta
    with pytest.raises(ValueError, match=r"valuation\.method=fast: expected one of"):
        ValuationMethod("fast")
    with pytest.raises(ValueError, match=r"valuation\.tolerance"):
        ValuationMethod(tolerance=0)
    assert math.isclose(auto.grand_value, exact.grand_value)
