"""Tests of the values of rewards by exact sums of the kernel, where those of the valuation are approximate."""

import dataclasses

import pytest
import torch

from cgm.rewards import errors
from cgm.rewards.errors import check_rewards, warn_of_points, warn_of_values
from cgm.rewards.sampling import WeightedSampling
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.method import ValuationMethod
from cgm.valuation.references import AllReference, PoolReference, Reference
from cgm.valuation.valuation import Valuation


def make_game(method: ValuationMethod | str, d: int = 5, reference: Reference | None = None) -> Valuation:
    random = torch.Generator().manual_seed(0)
    parties = [0.5 * i + torch.randn(100, d, generator=random) for i in range(3)]
    pool = torch.cat([0.5 * i + torch.randn(400, d, generator=random) for i in range(3)])
    return Valuation(SquaredExponential(1.2), parties, pool, reference=reference, method=method)


def rough(reference: Reference | None = None) -> Valuation:
    """A game by 512 landmarks, whose sums lack even more."""

    game = make_game(ValuationMethod("nystrom", tolerance=1.0), reference=reference)
    game.sums = game.sums * (1 - 0.02 * torch.rand(game.sums.shape, generator=torch.Generator().manual_seed(1)))
    game._add_up()
    return game


def draw(game: Valuation) -> list:
    targets = game.party_values + 0.8 * (game.with_synthetic - game.party_values)
    return WeightedSampling(betas=[1.0, 8.0]).draw(game, targets, seed=0)


def test_rewards_of_exact_games_are_not_checked():
    game = make_game("exact")
    drawn = draw(game)
    assert [reward.checked for reward in check_rewards(game, drawn)] == [None] * 6
    assert warn_of_values(game, drawn) == warn_of_points(game, torch.tensor([0.1, 0.2])) == []


def test_all_points_of_small_rewards_are_checked():
    for reference in (AllReference(), PoolReference()):
        game, exact = rough(reference), make_game("exact", reference=reference)
        for reward in check_rewards(game, draw(game)):
            s = torch.cat([game.party(reward.party), game.synthetic[reward.indices]])
            assert reward.checked_error == 0
            assert reward.checked == pytest.approx(exact.value(s), abs=1e-12)
            assert abs(reward.value - reward.checked) > 1e-4


def test_samples_of_large_rewards_are_checked(monkeypatch):
    monkeypatch.setattr(errors, "MAX_PAIRS", 0)
    monkeypatch.setattr(errors, "MAX_PAIRS_NUFFT", 0)
    game, exact = rough(), make_game("exact")
    drawn = draw(game)
    for reward, checked in zip(drawn, check_rewards(game, drawn), strict=True):
        s = torch.cat([game.party(reward.party), game.synthetic[reward.indices]])
        assert 0 < checked.checked_error < abs(reward.value - exact.value(s))
        assert abs(checked.checked - exact.value(s)) <= checked.checked_error
        assert checked.value == reward.value
    grid = make_game("nufft", d=2)
    for reward in check_rewards(grid, draw(grid)):
        assert abs(reward.checked - reward.value) < 1e-11
        assert reward.checked_error < 1e-11


def test_rewards_below_their_targets_and_rough_sums_are_warned_of():
    game = rough()
    reward = check_rewards(game, draw(game))[0]
    missing = dataclasses.replace(reward, target=reward.checked + 1e-3, reached=True)
    (message,) = warn_of_values(game, [missing])
    assert message.startswith("party 1, β=1: v(D_i ∪ G_i) is ")
    assert message.endswith("say a smaller valuation.tolerance, or valuation.method=exact")
    for harmless in (
        dataclasses.replace(missing, reached=False),
        dataclasses.replace(missing, checked_error=1e-2),
        dataclasses.replace(missing, target=missing.checked),
    ):
        assert warn_of_values(game, [harmless]) == []

    (message,) = warn_of_points(game, torch.tensor([0.3, 0.301]))
    assert "more than 1 % of the spread 0.001 of the reward values" in message
    assert warn_of_points(game, torch.tensor([0.3, 0.9])) == []
    assert warn_of_points(game, torch.tensor([0.3, 0.3])) == []
    assert warn_of_points(make_game("nufft", d=2), torch.tensor([0.3, 0.301])) == []
