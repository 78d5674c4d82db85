"""The valuation of sketches: unbiased, with standard errors that are right."""

import math

import numpy as np
import pytest
import torch

from cgm.contributions.base import compute_contributions
from cgm.contributions.pointwise import Pointwise
from cgm.contributions.semivalues import Shapley
from cgm.privacy import sketch as sketches_module
from cgm.privacy.sketch import STEP, Sketch
from cgm.privacy.valuation import SketchValuation
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.valuation.kernels import SquaredExponential, Sum
from cgm.valuation.valuation import Valuation

EPSILONS = (1.0, 2.0, 4.0)  # a different one for each party
SIZES = (300, 500, 400)


class Case:
    """Three parties in the plane, their pool, and sketches with noise that is drawn quickly."""

    def __init__(self, schema):
        random = torch.Generator().manual_seed(0)
        scale = torch.tensor([schema.scales[name] for name in ("x", "y")], dtype=torch.float64)

        def points(n, mean, width):
            x = torch.randn(n, 2, generator=random, dtype=torch.float64) * width + mean
            return (x.clamp(-3, 3) + 3) * scale

        self.schema = schema
        self.parties = [points(n, mean, 0.6) for n, mean in zip(SIZES, (-1.0, 0.0, 1.0), strict=True)]
        self.pool = torch.cat([points(400, mean, 0.6) for mean in (-1.0, 0.0, 1.0)])
        self.exact = Valuation(schema.kernel, self.parties, self.pool)
        self.sums = [schema.embedding.release(x).sum(0) for x in self.parties]
        self.random = np.random.default_rng(0)

    def sketches(self):
        made = []
        for k, (sums, epsilon) in enumerate(zip(self.sums, EPSILONS, strict=True)):
            noise = self.random.standard_normal(len(sums)) * sketches_module._sigma(self.schema, epsilon)
            released = torch.round(sums / STEP + torch.from_numpy(noise)).to(torch.int64)
            made.append(Sketch(self.schema, f"party {k + 1}", SIZES[k], epsilon, released))
        return made


@pytest.fixture(scope="module")
def case(plane):
    return Case(plane(lengthscale=0.8, landmarks=200))


def alpha(game):
    return Shapley().compute(game, seed=0).alpha


def test_values_are_unbiased_with_the_stated_standard_errors(case):
    draws = 250
    z, of_alpha, errors = [], [], []
    first = SketchValuation(case.sketches(), case.pool)
    for k in range(draws):
        game = first.with_sketches(case.sketches())
        stated = game.coalition_errors()
        assert stated[0] == 0
        z.append((game.coalition_values() - case.exact.coalition_values())[1:] / stated[1:])
        of_alpha.append(alpha(game))
        if k < 10:
            errors.append(game.standard_errors(alpha, 100, seed=k))
            drawn = game.standard_errors(lambda each: each.coalition_values(), 100, seed=k)
            assert torch.allclose(drawn[1:], stated[1:], rtol=0.35)
    z = torch.stack(z)
    assert z.mean(0).abs().max() < 5 / math.sqrt(draws)  # of seven that are correlated
    assert (z.std(0) - 1).abs().max() < 5 / math.sqrt(2 * draws)
    assert torch.allclose(torch.stack(errors).mean(0)[[0, 2]], torch.stack(of_alpha).std(0)[[0, 2]], rtol=0.25)
    assert torch.stack(of_alpha).std(0)[1] < 1e-9  # the largest one


def test_a_pool_that_follows_the_noise_adds_to_errors_in_formula_and_draws_alike(case):
    sketches = case.sketches()
    plain, following = (SketchValuation(sketches, case.pool, response=rho) for rho in (0.0, 8.0))
    assert torch.equal(plain.coalition_values(), following.coalition_values())
    stated = following.coalition_errors()[1:]
    assert (stated > 1.1 * plain.coalition_errors()[1:]).any()
    drawn = torch.stack([game.coalition_values() for game in following.draws(400)])[:, 1:]
    assert torch.allclose(drawn.std(0), stated, rtol=0.2)
    assert ((drawn.mean(0) - following.coalition_values()[1:]).abs() < 5 * stated / math.sqrt(400)).all()


def test_noise_costs_nothing_or_its_bias(case):
    sketches = case.sketches()
    fair, priced = (SketchValuation(sketches, case.pool, price) for price in ("none", "bias"))
    d, c = fair.dimensions, fair.noise**2
    for members in ([0], [1], [0, 2], [0, 1, 2]):
        size = sum(SIZES[i] for i in members)
        bias = d * float(c[members].sum()) * (2 / (size * fair.t) - 1 / size**2)
        assert priced.coalition(members) == pytest.approx(fair.coalition(members) + bias, abs=1e-12)
        assert (bias < 0) == (size < fair.t / 2)  # with a pool as large as the data, noise costs every coalition
    spread = priced.standard_errors(lambda game: game.party_values, 200)
    assert torch.allclose(spread, fair.standard_errors(lambda game: game.party_values, 200), rtol=1e-6)
    mean = torch.stack([game.party_values for game in priced.draws(200)]).mean(0)
    assert (mean - priced.party_values).abs().max() < 0.01
    with pytest.raises(ValueError, match=r"privacy\.price=all"):
        SketchValuation(sketches, case.pool, "all")


def test_without_noise_all_attributes_are_those_of_a_valuation(case):
    sketches = [Sketch.of_points(case.schema, x, str(k), 100.0) for k, x in enumerate(case.parties)]
    for sketch, x in zip(sketches, case.parties, strict=True):
        sketch.__dict__.update(sums=case.schema.embedding.transform(x).sum(0), noise=0.0)
    game, exact = SketchValuation(sketches, case.pool), case.exact
    assert game.n == exact.n
    assert game.t == exact.t
    assert game.sizes == exact.sizes
    assert torch.equal(game.synthetic, exact.synthetic)
    for name in ("party_values", "with_synthetic"):
        assert torch.allclose(getattr(game, name), getattr(exact, name), atol=1e-6), name
    for name in ("a", "b", "with_all"):
        assert torch.allclose(getattr(game, name), getattr(exact, name), rtol=1e-5), name
    assert torch.allclose(game.coalition_values(), exact.coalition_values(), atol=1e-6)
    assert game.grand_value == pytest.approx(exact.grand_value, abs=1e-6)
    assert game.coalition([0, 2]) == pytest.approx(exact.coalition([0, 2]), abs=1e-6)
    assert game.value(case.parties[1][:50]) == pytest.approx(exact.value(case.parties[1][:50]), abs=1e-6)
    assert torch.allclose(game.point_sums(game.block(3)), exact.point_sums(exact.block(3)), rtol=1e-5)
    assert game.names == ["0", "1", "2"]
    for denied in (lambda: game.party(0), lambda: game.reference_points, lambda: Pointwise().compute(game, seed=0)):
        with pytest.raises(ValueError, match=r"no rows|no points"):
            denied()
    assert 0 <= game.missed < 1e-3


def test_contributions_schemes_and_sampling_take_sketches(case):
    sketches = [Sketch.of_points(case.schema, x, str(k), 50.0) for k, x in enumerate(case.parties)]
    pool = torch.cat([case.pool] * 4)
    game, exact_game = SketchValuation(sketches, pool), Valuation(case.schema.kernel, case.parties, pool)
    contributions = compute_contributions(Shapley(), game, seed=0)
    expected = compute_contributions(Shapley(), exact_game, seed=0)
    assert torch.allclose(contributions.alpha, expected.alpha, atol=0.01)
    rewards = ShapleyFair().solve(contributions, game, game.with_synthetic)
    of_rows = ShapleyFair().solve(expected, exact_game, exact_game.with_synthetic)
    assert torch.allclose(rewards.values, of_rows.values, atol=0.01)
    drawn = WeightedSampling((4.0,)).draw(game, rewards.values, seed=0)
    for reward in drawn:
        points = torch.cat([case.parties[reward.party], pool[reward.indices]])
        assert exact_game.value(points) == pytest.approx(reward.value, abs=0.01)
    half = game.half_widths(alpha)
    assert half.shape == (3,)
    assert (half >= 0).all()


def test_sums_of_kernels_have_a_larger_bound(plane):
    case = Case(plane(kernel=Sum([SquaredExponential(0.5), SquaredExponential(1.5)]), landmarks=200))
    assert case.sketches()[0].noise == pytest.approx(
        math.sqrt(2) * Sketch.of_points(plane(), case.parties[0], "a", 1.0).noise, rel=1e-4
    )
    z, first = [], SketchValuation(case.sketches(), case.pool)
    for _ in range(60):
        game = first.with_sketches(case.sketches())
        z.append((game.coalition_values() - case.exact.coalition_values())[1:] / game.coalition_errors()[1:])
    assert torch.stack(z).mean(0).abs().max() < 0.7
    assert (torch.stack(z).std(0) - 1).abs().max() < 0.45


def test_schemas_of_pools_and_sketches_must_agree(case, plane):
    with pytest.raises(ValueError, match="has 3 columns where 2"):
        SketchValuation(case.sketches(), torch.rand(10, 3))
    other = Sketch.of_points(plane(), torch.rand(10, 2), "other", 1.0)
    with pytest.raises(ValueError, match="by another schema"):
        SketchValuation(case.sketches(), case.pool).with_sketches([other])
    with pytest.raises(ValueError, match="other: its schema"):
        SketchValuation([*case.sketches(), other], case.pool)
