"""The valuation at home: exact in the own rows, unbiased with the stated standard error in those of the others."""

import math

import numpy as np
import pytest
import torch

from cgm.privacy.home import HomeValuation, Others
from cgm.rewards.sampling import Draws, PoolArrays
from cgm.valuation.valuation import Valuation
from tests.privacy.test_sketch_valuation import SIZES, Case


@pytest.fixture(scope="module")
def case(plane):
    return Case(plane(lengthscale=0.8, landmarks=200))


def others_of(case, sketches, party=0):
    rest = [sketch for k, sketch in enumerate(sketches) if k != party]
    noise = math.hypot(*(sketch.noise for sketch in rest))
    return Others(sum(sketch.sums for sketch in rest), sum(sketch.rows for sketch in rest), noise)


def test_without_noise_values_are_those_of_all_rows(case):
    embedding = case.schema.embedding
    sums = embedding.transform(torch.cat(case.parties[1:])).sum(0)
    game = HomeValuation(case.schema, case.parties[0], Others(sums, sum(SIZES[1:]), 0.0), case.pool)
    assert (game.n, game.t) == (2, case.exact.t)
    assert game.own_value == pytest.approx(float(case.exact.party_values[0]), abs=1e-7)
    assert game.own_with_synthetic == pytest.approx(float(case.exact.with_synthetic[0]), abs=1e-7)
    assert game.total == pytest.approx(case.exact.total, rel=1e-6)
    rewards = []
    for each, party in ((game, 0), (case.exact, 0)):
        rewards.append(Draws(PoolArrays(each), party, 4.0, 0).run(game.own_with_synthetic * 0.98, 0.0, None))
    assert torch.equal(rewards[0].indices, rewards[1].indices)  # the same draws, from the same sums
    assert rewards[0].mmd2_biased == pytest.approx(rewards[1].mmd2_biased, abs=1e-6)
    followed = HomeValuation(case.schema, case.parties[0], Others(sums, sum(SIZES[1:]), 0.0, 50.0), case.pool)
    assert float((game.sums - followed.sums)[followed.block(2)].sum()) == pytest.approx(50.0)
    assert game.own_value == followed.own_value
    with pytest.raises(ValueError, match="only the total of their sketches"):
        game.block(1)


def test_values_at_home_have_the_stated_standard_error(case):
    z = []
    for seed in range(60):
        game = HomeValuation(case.schema, case.parties[0], others_of(case, case.sketches()), case.pool)
        draws = Draws(PoolArrays(game), 0, 4.0, seed)
        reward = draws.run(0.99 * game.own_with_synthetic, 0.0, None)
        value = case.exact.value(torch.cat([case.parties[0], case.pool[reward.indices]]))
        z.append((reward.value - value) / game.standard_error(int(draws.totals[0]), float(draws.totals[1])))
    assert abs(np.mean(z)) < 5 / math.sqrt(60)
    assert abs(np.std(z) - 1) < 5 / math.sqrt(2 * 60)


def test_given_points_are_taken_in_their_order_until_the_target_is_reached(case):
    arrays = PoolArrays(case.exact)
    first = Draws(arrays, 0, 4.0, 0)
    whole = first.run(0.99 * float(case.exact.with_synthetic[0]), 0.0, None)
    again = Draws(arrays, 0, 4.0, 1)
    again.accept_until(first.accepted[:5], math.inf)
    assert again.accepted == first.accepted[:5]
    assert again.values == pytest.approx(first.values[:5])
    reward = again.run(whole.value, 0.0, None)
    assert reward.start == whole.start
    assert reward.reached
    assert reward.indices[:5].tolist() == whole.indices[:5].tolist()
    stopped = Draws(arrays, 0, 4.0, 2)
    stopped.accept_until(first.accepted, whole.values[2])
    assert 1 <= len(stopped.accepted) <= 3
    assert isinstance(case.exact, Valuation)
