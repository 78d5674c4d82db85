import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cgm.generators.mmd_gan import training as module
from cgm.generators.mmd_gan.training import GANTraining
from cgm.generators.network import CHECKPOINT
from cgm.networks.training import Progress, read_checkpoint
from tests.generators.mmd_gan.bars import bars, tiny, training_of


def test_learns():
    x = bars()
    kid = {}

    for steps in (1, 40):
        gan = tiny(channels=8, latent=8, steps=steps, batch_size=16, learning_rate=2e-3, ema=10, evaluate_every=500)
        training = training_of(gan, x)
        training.run()
        kid[steps] = training.report["kid"]
        assert training.report["steps"] == steps

    assert kid[40] < 0.2 * kid[1]


def test_learns_by_the_repulsive_loss():
    x = bars()
    kid = {}
    for steps in (1, 150):
        settings = {**REPULSIVE, "mirror": False, "learning_rate": 2e-3, "critic_learning_rate": 5e-4}
        gan = tiny(**settings, channels=8, latent=8, steps=steps, batch_size=16, ema=10, evaluate_every=500)
        training = training_of(gan, x)
        training.run()
        kid[steps] = training.report["kid"]

    assert kid[150] < 0.3 * kid[1]


def test_a_linear_schedule_falls_to_zero_in_the_second_half():
    training = training_of(tiny(**REPULSIVE, schedule="linear", learning_rate=1e-2, steps=8), bars())
    rates = []
    for step in range(8):
        training.advance(Progress(8, step, share=step / 8))
        rates.append([training.optimizers[name].param_groups[0]["lr"] for name in ("generator", "critic")])

    factors = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    np.testing.assert_allclose(rates, np.outer(factors, [1e-2, 1e-3]))
    training.evaluate(Progress(8, 8))
    assert training.factor == 0.25  # the KID does not change it


def test_a_linear_schedule_is_resumed_with_the_same_steps_only(tmp_path):
    settings = {**REPULSIVE, "schedule": "linear", "checkpoint": str(tmp_path)}
    tiny(**settings, steps=2).fit(bars(), seed=0)
    with pytest.raises(ValueError, match=r"a checkpoint of another training .*steps=2, here 3"):
        tiny(**settings, steps=3).fit(bars(), seed=0)


def test_images_are_mirrored_at_random():
    x = torch.arange(8.0).repeat(4, 1, 8, 1) / 8  # brighter to the right
    training = training_of(tiny(mirror=True, batch_size=100), x)
    first = training._real()[:, 0, 0, 0]
    assert set(first.tolist()) == {0.0, 7 / 8}
    assert 30 < int((first == 0).sum()) < 70


def test_divergence_is_an_error():
    message = r"MMD-GAN: training diverged at step \d+ \(gain=.*, penalty=.*\); lower generator.learning_rate=1e\+38"
    with pytest.raises(ValueError, match=message):
        tiny(learning_rate=1e38, steps=50).fit(bars(), seed=0)


def test_learning_rate_is_halved_when_training_has_stalled():
    training = training_of(tiny(patience=2), bars())
    rates = []
    for kid in (1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1):
        training.adapt(torch.full((10,), kid))
        rates.append(training.optimizers["critic"].param_groups[0]["lr"])

    # 0.8 twice: still below 0.9; three times: not; then it starts again, with two more to come
    assert rates == [5e-4] * 4 + [2.5e-4] * 2 + [1.25e-4] * 3
    assert training.optimizers["generator"].param_groups[0]["lr"] == 1.25e-4


def test_stops_at_the_time_limit(tmp_path):
    gan = tiny(steps=100_000, minutes=0.01, checkpoint=str(tmp_path)).fit(bars(), seed=0)
    progress = read_checkpoint(tmp_path / CHECKPOINT)

    assert 0.6 <= progress["seconds"] < 10
    assert 0 < progress["step"] < 100_000
    assert gan.sample(1, seed=0).shape == (1, 1, 8, 8)


REPULSIVE = {
    "loss": "repulsive",
    "normalisation": "spectral",
    "gain": 1.8,
    "critic_steps": 1,
    "mirror": True,
    "critic_learning_rate": 1e-3,
    "momentum": (0.5, 0.999),
}


@pytest.mark.parametrize(
    "settings",
    [{}, {"normalisation": "spectral"}, REPULSIVE, {**REPULSIVE, "arithmetic": "bfloat16"}],
    ids=["paper", "spectral", "repulsive", "bfloat16"],
)
def test_resumed_training_is_the_same_as_an_uninterrupted_one(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "stalled", lambda before, now: True)
    x, folders = bars(), [str(tmp_path / "whole"), str(tmp_path / "parts")]

    whole = tiny(**settings, steps=7, checkpoint=folders[0]).fit(x, seed=5)
    for steps in (1, 3, 4, 7):  # before, after and at an evaluation, at which the learning rate changes
        parts = tiny(**settings, steps=steps, checkpoint=folders[1]).fit(x, seed=5)

    assert all(torch.equal(parts.state[name], weights) for name, weights in whole.state.items())
    assert parts.report["kid"] == whole.report["kid"]
    states = [read_checkpoint(Path(folder) / CHECKPOINT) | {"seconds": 0} for folder in folders]
    torch.testing.assert_close(*(state.pop("optimizers") for state in states), rtol=0, atol=0)
    torch.testing.assert_close(*(state.pop("networks") for state in states), rtol=0, atol=0)
    torch.testing.assert_close(*(state.pop("streams") for state in states), rtol=0, atol=0)
    assert states[0] == states[1]
    assert states[0]["step"] == 7
    assert states[0]["numbers"]["factor"] == 1 / 4  # halved at the evaluations after the first one
    assert {"samples-000002.png", "samples-000007.png"} <= {file.name for file in Path(folders[0]).iterdir()}


def test_the_history_of_kids_is_restored():
    training, other = (training_of(tiny(patience=3), bars()) for _ in range(2))
    for kid in (0.123456789, 0.9):
        training.adapt(torch.tensor([kid, 2 * kid]))
    training.factor = 0.2
    other.load_numbers(json.loads(json.dumps(training.numbers())))

    assert all(torch.equal(*pair) for pair in zip(training.history, other.history, strict=True))
    assert other.factor == 0.2
    assert other.optimizers["critic"].param_groups[0]["lr"] == pytest.approx(1e-4)


def test_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    first = tiny(checkpoint=str(tmp_path)).fit(bars(), seed=0)
    monkeypatch.setattr(GANTraining, "advance", None)

    again = tiny(checkpoint=str(tmp_path)).fit(bars(), seed=0)
    assert torch.equal(again.sample(3, seed=0), first.sample(3, seed=0))
    assert again.report["kid"] == first.report["kid"]


def test_measuring_changes_nothing():
    training = training_of(tiny(), bars())
    before = copy.deepcopy(training._state(Progress(2)))
    training.measure(Progress(2))

    torch.testing.assert_close(training._state(Progress(2)), before, rtol=0, atol=0)


@pytest.fixture
def checkpoint(tmp_path):
    tiny(checkpoint=str(tmp_path)).fit(bars(), seed=0)
    return tmp_path / CHECKPOINT


@pytest.mark.parametrize(
    ("settings", "seed", "n", "message"),
    [
        ({"latent": 6}, 0, 40, "latent=5, here 6"),
        ({}, 1, 40, "seed=0, here 1"),
        ({}, 0, 39, "images='.*', here '"),
    ],
)
def test_checkpoints_of_another_training_are_refused(checkpoint, settings, seed, n, message):
    with pytest.raises(ValueError, match=rf"of another training \({message}.*use another generator.checkpoint"):
        tiny(**settings, checkpoint=str(checkpoint.parent)).fit(bars()[:n], seed=seed)
