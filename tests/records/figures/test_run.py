"""Tests of all figures of a run."""

from dataclasses import replace

import pytest
import torch

from cgm.generators.pool import Pool
from cgm.mediator import Mediator, Settlement
from cgm.records.figures import run
from cgm.records.figures.run import draw_run
from cgm.rewards.sampling import WeightedSampling
from cgm.valuation.kernels import SquaredExponential
from tests.figures import whole
from tests.records.results import make_result

BETAS = (1.0, 8.0)
NAMES = ["correlations", "reward_sizes", "reward_values", "rewards_of_party_2", "value_curves"]


@pytest.fixture(scope="module")
def settlement() -> Settlement:
    generator = torch.Generator().manual_seed(0)
    parties = [torch.randn(20, 2, generator=generator, dtype=torch.float64) + shift for shift in (0.0, 1.0, 2.0)]
    sampling = WeightedSampling(BETAS)
    return Mediator(kernel=SquaredExponential(1.0), sampling=sampling, synthetic_size=200).settle(parties, seed=0)


@pytest.mark.parametrize("labels", [torch.arange(200) % 2, None], ids=["labels", "no labels"])
def test_figures_of_a_run(settlement, tmp_path, monkeypatch, labels):
    saved = {}
    monkeypatch.setattr(run, "save", lambda figure, folder, name: saved.update({(folder, name): figure}))
    draw_run(tmp_path, make_result(3, BETAS), settlement, [torch.arange(20) % 2] * 3, labels, party=1, seed=0)
    assert sorted(saved) == [(tmp_path, name) for name in NAMES]
    assert all(whole(figure) for figure in saved.values())


def test_the_images_of_rewards_that_are_kept_are_drawn(settlement, tmp_path, monkeypatch):
    images, drawn = torch.rand(50, 1, 4, 4), {}
    monkeypatch.setattr(run, "reward_embedding", lambda *args, **kwargs: drawn.update(kwargs))
    monkeypatch.setattr(run, "save", lambda *args: None)
    pool = Pool(settlement.pool.points, images, None)
    with_images = replace(settlement, pool=pool)
    draw_run(tmp_path, make_result(3, BETAS), with_images, [torch.arange(20) % 2] * 3, None, party=1, seed=0)
    for chain in settlement.drawn.values():
        if chain.party == 1:
            rows, pixels = drawn["images"][chain.beta]
            kept = [k for k, row in enumerate(chain.indices.tolist()) if row < 50]
            assert rows.tolist() == kept
            assert torch.equal(pixels, images[chain.indices[kept]])
