"""Values with the rows of one party, without noise, and with the price of privacy."""

import pytest
import torch

from cgm.privacy.release import NoPrivacy, Release, guarantee_of
from cgm.privacy.sketch import Sketch
from cgm.privacy.valuation import SketchValuation
from cgm.valuation.valuation import Valuation


def points(n, seed, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    return (torch.randn(n, 2, generator=random).double() * 0.4 + 1.7 + shift).clamp(0, 3.46)  # as the schema encodes


@pytest.fixture(scope="module")
def drawn(plane):
    schema = plane(lengthscale=1.0, landmarks=60)
    parties = [points(300, 0), points(200, 1, 0.5)]
    return (
        schema,
        parties,
        points(1200, 2),
        lambda epsilon: [Sketch.of_points(schema, x, f"party {k + 1}", epsilon) for k, x in enumerate(parties)],
    )


def test_the_settings_are_checked():
    assert Release(epsilon=[1, 2.5]).epsilons(2) == [1.0, 2.5]
    assert Release(epsilon=2).epsilons(3) == [2.0, 2.0, 2.0]
    assert NoPrivacy() == NoPrivacy()
    for settings, message in (
        ({"epsilon": 0}, "privacy.epsilon=0: expected a number in"),
        ({"epsilon": [1.0, -1.0]}, "privacy.epsilon=.*expected a number in .* or a list"),
        ({"delta": 1.0}, "privacy.delta=1.0"),
        ({"price": "half"}, "privacy.price=half"),
        ({"public": 1.0}, "privacy.public=1.0: expected a number in"),
        ({"pool": "rows"}, "privacy.pool=rows"),
        ({"landmarks": 0}, "privacy.landmarks=0"),
    ):
        with pytest.raises(ValueError, match=message):
            Release(**settings)
    with pytest.raises(ValueError, match="one for each of 3 parties"):
        Release(epsilon=[1, 2]).epsilons(3)


def test_what_is_guaranteed_has_all_numbers(drawn):
    stated = guarantee_of(drawn[3](1.0)[0])
    assert stated["mu"] == pytest.approx(0.268, abs=1e-3)
    assert stated["max_true_positives"]["0.01"] == pytest.approx(0.02, abs=1e-3)
    assert stated["max_auc"] == pytest.approx(0.575, abs=1e-3)
    assert "one row replaced" in stated["unit"]


def test_without_noise_values_are_those_of_the_rows(drawn):
    schema, parties, pool, sketch = drawn
    game = SketchValuation(sketch(1.0), pool, followed=torch.tensor([3.0, -2.0], dtype=torch.float64))
    exact = Valuation(schema.kernel, parties, pool)
    features = game.without_noise(parties)
    assert torch.allclose(features.coalition_values(), exact.coalition_values(), atol=2e-4)
    assert torch.allclose(features.with_synthetic, exact.with_synthetic, atol=2e-4)
    assert not torch.allclose(game.party_values, exact.party_values, atol=2e-4)
    assert (features.party_errors == 0).all()


def test_the_rows_of_one_party_take_the_place_of_its_sketch(drawn):
    """Its own sums are exact, those with the others are of its features and their sketches."""

    schema, parties, pool, sketch = drawn
    sketches = sketch(2.0)
    for price in ("none", "bias"):
        game = SketchValuation(sketches, pool, price)
        own, exact = game.with_rows(0, parties[0]), Valuation(schema.kernel, parties, pool)
        assert float(own.b[0, 0]) == pytest.approx(float(exact.b[0, 0]), rel=1e-12)
        assert torch.allclose(own.sums[:, 0], exact.sums[exact.block(2), 0], rtol=1e-10)
        features = schema.embedding.transform(parties[0]).sum(0)
        assert float(own.b[0, 1]) == pytest.approx(float(features @ sketches[1].sums), rel=1e-9)
        assert float(own.b[1, 1]) == float(game.b[1, 1])
        assert float(own.noise[0]) == 0
        assert float(own.noise[1]) == float(game.noise[1])
        assert torch.equal(game.b, SketchValuation(sketches, pool, price).b)  # the game itself stays as it was
    with pytest.raises(ValueError, match="200, but the sketch of party 1 is of 300"):
        game.with_rows(0, parties[1])


def test_with_a_price_values_fall_with_privacy_by_the_formula(drawn):
    """D c² (2 / (N t) - 1 / N²) for one party; without the price, there is no bias."""

    _, parties, pool, sketch = drawn
    priced, free = (SketchValuation(sketch(1.0), pool, price) for price in ("bias", "none"))
    clean = free.without_noise(parties).party_values
    size, t, means = torch.tensor([300.0, 200.0], dtype=torch.float64), 1700.0, []
    for epsilon in (0.5, 1.0, 3.0):
        sketches = [sketch(epsilon) for _ in range(40)]
        values, unbiased = (
            torch.stack([game.with_sketches(each).party_values for each in sketches]) for game in (priced, free)
        )
        noise = torch.tensor([each.noise for each in sketches[0]], dtype=torch.float64)
        bias = priced.dimensions * noise**2 * (2 / (size * t) - 1 / size**2)
        assert (bias < 0).all()
        assert ((values.mean(0) - clean - bias).abs() < 4 * values.std(0) / 40**0.5).all()
        assert ((unbiased.mean(0) - clean).abs() < 4 * unbiased.std(0) / 40**0.5).all()
        means.append(values.mean(0))
    assert (means[0] < means[1]).all()
    assert (means[1] < means[2]).all()
    assert (means[2] < clean).all()
