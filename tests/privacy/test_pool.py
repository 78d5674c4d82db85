"""Pools from sketches: near to the data, the same on every machine, and what follows the noise is subtracted."""

import pytest
import torch

from cgm.generators.mean_embedding import MeanEmbedding, fit_particles, jittered
from cgm.privacy.pool import ParticleFit
from cgm.privacy.sketch import Sketch
from cgm.privacy.valuation import SketchValuation
from cgm.utils.run import limited
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.mmd import block_sums
from cgm.valuation.valuation import Valuation
from tests.privacy.rows_of_people import people


def clusters(n, seed):
    random = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[-1.5, -1.0], [1.0, 1.5], [1.5, -1.5]], dtype=torch.float64)
    points = centres[torch.randint(3, (n,), generator=random)]
    return (points + 0.3 * torch.randn(n, 2, generator=random, dtype=torch.float64)).clamp(-3, 3)


def mmd2(a, b, kernel):
    sums = block_sums(kernel, torch.cat([a, b]), [len(a), len(b)])
    aa, bb, ab = sums[: len(a), 0].sum(), sums[len(a) :, 1].sum(), sums[: len(a), 1].sum()
    n, m = len(a), len(b)
    return float((aa - n) / (n * (n - 1)) + (bb - m) / (m * (m - 1)) - 2 * ab / (n * m))


@pytest.fixture(scope="module")
def case(plane):
    schema = plane(lengthscale=0.6, landmarks=150)
    scale = torch.tensor([schema.scales["x"], schema.scales["y"]], dtype=torch.float64)
    parties = [(clusters(800, k) + 3) * scale for k in range(2)]
    sketches = [Sketch.of_points(schema, x, f"party {k + 1}", 2.0) for k, x in enumerate(parties)]
    particles = ParticleFit(particles=200, steps=120, draws=5).fit(sketches, seed=0)
    return schema, parties, sketches, particles, scale


def test_pools_from_sketches_are_near_to_the_data(case):
    schema, _, _, particles, scale = case
    pool = particles.pool(1000)
    fresh = (clusters(2000, 9) + 3) * scale
    far = schema.uniform(1000)
    assert mmd2(pool, fresh, schema.kernel) < 0.01 < 0.1 < mmd2(far, fresh, schema.kernel)
    low, high = schema.corners()
    assert bool((pool >= low).all())
    assert bool((pool <= high).all())
    with limited(2):
        again = ParticleFit(particles=200, steps=120, draws=5).fit(case[2], seed=0)
    assert torch.equal(again.points, particles.points)


def test_what_follows_the_noise_is_subtracted(case):
    schema, parties, sketches, particles, _ = case
    game = particles.value(1600)
    followed = game.followed
    assert followed.shape == (2,)
    assert (followed > 0).all()  # as every fit does
    assert (followed < game.dimensions * game.noise**2).all()  # a pool of as many points that had all of the noise
    assert 0 < game.response < 5  # at most about |G| / N, if it had all of the noise
    plain = SketchValuation(sketches, game.synthetic)
    assert torch.allclose(plain.a - game.a, followed)
    assert torch.allclose((plain.sums - game.sums)[:, :2].sum(0), followed)
    exact = Valuation(schema.kernel, parties, game.synthetic)
    z = (game.coalition_values() - exact.coalition_values())[1:] / game.coalition_errors()[1:]
    assert z.abs().max() < 5
    assert torch.allclose(game.with_synthetic, exact.with_synthetic, atol=0.02)


def test_pools_of_tables_are_rows_that_the_schema_allows(mixed):
    sketches = [Sketch.draw(mixed, people(300, seed), f"party {seed}", 3.0) for seed in range(2)]
    pool = ParticleFit(particles=50, steps=20, draws=2).fit(sketches, seed=0).pool(120)
    table = mixed.decode(pool)
    assert torch.equal(mixed.encode(table.astype({"member": str, "since": str})), pool)


def test_particles_find_the_data_and_stay_in_their_range():
    x = clusters(600, 0)
    kernel = SquaredExponential(0.5)
    start = torch.zeros(60, 2, dtype=torch.float64) + 0.1 * torch.arange(60)[:, None] % 1
    low, high = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])
    found = fit_particles(lambda y: kernel(y, x[:100]), kernel(x, x[:100]).mean(0), start, 40, 0.5, low, high)
    assert float(found.min()) >= -1
    assert float(found.max()) <= 1
    points = jittered(found, 130, 0.0, seed=0)
    assert sorted(torch.unique(points, dim=0, return_counts=True)[1].tolist())[-1] <= 3 * 60  # as evenly as possible
    assert torch.equal(points, jittered(found, 130, 0.0, seed=0))


def test_the_generator_is_nearer_to_new_data_than_its_size_says():
    x, fresh, kernel = clusters(1500, 0), clusters(4000, 1), SquaredExponential(0.5)
    generator = MeanEmbedding(particles=150, steps=150).fit(x, seed=0)
    sample = generator.sample(150, seed=0)
    drawn = [mmd2(clusters(150, 10 + k), fresh, kernel) for k in range(5)]
    biased = mmd2(sample, fresh, kernel) + 1 / 150  # the unbiased estimate is below 0 for points that keep away
    assert biased < sum(drawn) / 5 + 1 / 150
    constant = torch.cat([x, torch.ones(1500, 1, dtype=torch.float64)], 1)
    assert bool((MeanEmbedding(particles=20, steps=5).fit(constant, 0).sample(30, 0)[:, 2] == 1).all())


def test_samples_of_a_generator_with_a_label_have_the_classes_of_the_points():
    x = torch.cat([clusters(600, 0) + shift for shift in (0.0, 2.0)])
    y = torch.tensor([3.0, 8.0], dtype=torch.float64).repeat_interleave(600)
    points = torch.cat([x[:900], y[:900, None]], 1)  # 600 and 300
    code = torch.cat([(points[:, 2:] == value).double() for value in (3.0, 8.0)], 1)
    for label, data in (((2,), points), ((2, 3), torch.cat([points[:, :2], code], 1))):
        generator = MeanEmbedding(particles=120, steps=60, label=label).fit(data, seed=0)
        sample = generator.sample(600, seed=1)
        assert {tuple(row) for row in sample[:, 2:].tolist()} == {tuple(row) for row in data[:, 2:].tolist()}
        first = (sample[:, 2:] == data[0, 2:]).all(1)
        assert int(first.sum()) == 400
        for rows, truth in ((sample[first], x[:600]), (sample[~first], x[600:900])):
            assert mmd2(rows[:, :2], truth, SquaredExponential(0.5)) < 0.01
    mixed = MeanEmbedding(particles=120, steps=60).fit(points, seed=0).sample(600, seed=1)
    assert len(mixed[:, 2].unique()) > 2  # without a label, the class is a number like others
    with pytest.raises(ValueError, match=r"generator\.label=\[3\]: expected different columns from 0 to 2"):
        MeanEmbedding(label=[3]).fit(points, seed=0)
    rare = torch.cat([x[:200], torch.zeros(200, 1).double()], 1)
    rare[0, 2] = 1
    assert "too few for the rarest classes" in MeanEmbedding(particles=20, steps=2, label=[2]).fit(rare, 0).warnings[0]
