import logging
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import make_moons
from torch import nn

from cgm.generators import Flow
from cgm.generators import flow as module
from cgm.networks import training
from cgm.networks.training import Budget
from cgm.utils.run import limited

pytest.importorskip("zuko", reason='zuko is not installed: pip install ".[flow]"')

TINY = Flow(transforms=1, hidden=8, epochs=3)


def moons(n, seed):
    return torch.from_numpy(make_moons(n, noise=0.1, random_state=seed)[0])


def points(n=200, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_moons_are_more_likely_than_by_a_gaussian():
    x, test = moons(1000, 0), moons(1000, 1)

    flow = Flow(epochs=30).fit(x, seed=0)

    gaussian = multivariate_normal(x.mean(0), np.cov(x.T)).logpdf(test).mean()
    assert float(flow.log_density(test).mean()) > gaussian + 0.5
    assert flow.report["log_likelihood"] > gaussian + 0.5
    sample = flow.sample(2000, seed=0)
    assert (sample.mean(0) - x.mean(0)).abs().max() < 0.15
    assert torch.cdist(sample, x).min(1).values.quantile(0.9) < 0.15  # nearly all are on the moons


@pytest.fixture(scope="module")
def fitted():
    return Flow(transforms=2, hidden=16, epochs=8).fit(moons(300, 0), seed=0)


def test_the_density_integrates_to_one(fitted):
    axes = [torch.linspace(low, high, 401, dtype=torch.float64) for low, high in ((-6.0, 7.0), (-4.0, 5.0))]
    cell = (13.0 / 400) * (9.0 / 400)

    assert float(fitted.log_density(torch.cartesian_prod(*axes)).exp().sum()) * cell == pytest.approx(1, abs=0.02)


def test_samples_have_the_density(fitted):
    """The share of samples in a box is the integral of the density over it."""

    sample = fitted.sample(20_000, seed=0)
    side = torch.linspace(0, 1, 201, dtype=torch.float64)
    middle = (side[1:] + side[:-1]) / 2

    for low in ((-1.0, 0.0), (0.0, 0.0), (0.5, -0.5)):
        box = torch.tensor(low, dtype=torch.float64) + torch.cartesian_prod(middle, middle)
        share = ((sample > torch.tensor(low)) & (sample < torch.tensor(low) + 1)).all(1).double().mean()
        expected = float(fitted.log_density(box).exp().mean())
        assert 0.05 < expected < 0.95
        assert float(share) == pytest.approx(expected, abs=4 * 0.5 / 20_000**0.5 + 1e-3)


def test_discrete_and_constant_columns():
    random = torch.Generator().manual_seed(0)
    z, other = torch.randn(2, 1500, generator=random, dtype=torch.float64)
    levels = (z > 0.5) / 2 + (z > 1) * 4.5  # 0, 0.5, 5
    x = torch.stack([levels, torch.full_like(z, 0.1), z + other / 2], 1).double()

    flow = Flow(epochs=30).fit(x, seed=0)
    sample = flow.sample(4000, seed=0)

    assert (sample[:, 1] == 0.1).all()
    assert sample[:, 0].unique().tolist() == [0, 0.5, 5]
    for value in (0, 0.5, 5):
        found, expected = (points[points[:, 0] == value] for points in (sample, x))
        assert len(found) / 4000 == pytest.approx(len(expected) / 1500, abs=0.06)
        assert float(found[:, 2].mean() - expected[:, 2].mean()) == pytest.approx(0, abs=0.2)
    assert x[:, 2].min() <= sample[:, 2].min()
    assert sample[:, 2].max() <= x[:, 2].max()
    torch.testing.assert_close(flow.log_density(x), flow.log_density(x * torch.tensor([1.0, 3.0, 1.0])))


def test_units_do_not_matter():
    x = points()
    scale, shift = torch.tensor([1e-3, 7.0, 1e3], dtype=torch.float64), torch.tensor([5.0, 0.0, -1e3]).double()
    flow, other = (replace(TINY).fit(y, seed=0) for y in (x, x * scale + shift))

    torch.testing.assert_close(
        (other.sample(50, seed=1) - shift) / scale, flow.sample(50, seed=1), rtol=1e-3, atol=1e-3
    )
    expected = flow.log_density(x) - scale.log().sum()
    torch.testing.assert_close(other.log_density(x * scale + shift), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.processor
def test_the_number_of_threads_does_not_change_the_density():
    flow, x, found = replace(TINY).fit(points(), seed=0), points(1200, seed=1), []
    for threads in (1, 2):
        with limited(threads):
            found.append(flow.log_density(x))
    assert torch.equal(*found)


@pytest.mark.parametrize("stop", [1, 8, 14])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    flow = replace(TINY, epochs=5, batch=64)  # of 180 points, 2 steps an epoch
    expected = replace(flow, epochs=8).fit(points(), seed=0)
    flow = replace(flow, epochs=8, checkpoint=str(tmp_path / "checkpoint"))
    advance, steps = module.FlowTraining.advance, 0

    def interrupted(self, progress):
        nonlocal steps
        if steps == stop:
            raise InterruptedError
        steps += 1
        return advance(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(module.FlowTraining, "advance", interrupted)
        with pytest.raises(InterruptedError):
            flow.fit(points(), seed=0)
    resumed = flow.fit(points(), seed=0)

    assert resumed.fingerprint() == expected.fingerprint()
    assert resumed.report["steps"] == expected.report["steps"] == 16
    assert resumed.report["log_likelihood"] == expected.report["log_likelihood"]
    assert torch.equal(resumed.sample(30, seed=1), expected.sample(30, seed=1))
    with pytest.raises(ValueError, match=r"a checkpoint of another training \(.*seed=0, here 1"):
        flow.fit(points(), seed=1)


class Shift(nn.Module):
    """A Gaussian with one weight, its mean, in place of a flow."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1))

    def forward(self):
        return torch.distributions.Independent(torch.distributions.Normal(self.mean, 1.0), 1)


@pytest.mark.processor
def test_the_weights_of_the_best_epoch_are_kept():
    """The mean moves from 0 to 2; the held-out points lie at 1, so that an epoch in between is the best one."""

    network, means = Shift(), []

    def loss(rows, generator):
        return (network.mean - 2).square().sum()

    class Noted(module.FlowTraining):
        def evaluate(self, progress):
            means.append(float(network.mean.detach()))
            super().evaluate(progress)

    held = torch.ones(5, 1).sinh()
    budget = Budget(30, batch=5, rate=0.1)
    training = Noted(network, held, loss, {"x": torch.zeros(10, 1)}, 0, budget, "some", "test")
    training.train()

    best = min(means, key=lambda mean: abs(mean - 1))
    assert abs(best - 1) < abs(means[-1] - 1)
    assert float(training.best.mean.detach()) == best
    expected = float(module._log_density(training.best, held).double().mean().detach())
    assert training.report["log_likelihood"] == expected


@pytest.mark.processor
def test_a_fit_has_the_best_weights_and_their_likelihood(monkeypatch):
    noted, trainings = [], []
    evaluate = module.FlowTraining.evaluate

    def note(self, progress):
        with torch.no_grad():
            noted.append(float(module._log_density(self.network, self.held).double().mean()))
        trainings.append(self)
        evaluate(self, progress)

    monkeypatch.setattr(module.FlowTraining, "evaluate", note)
    monkeypatch.setattr(module, "_log_scale", lambda *_: 0.0)
    flow = Flow(epochs=5, rate=0.05, batch=16, validation=0.4).fit(points(100, 2), seed=0)

    assert len(noted) == 6  # once more at the end
    assert flow.report["log_likelihood"] == max(noted)
    for name, weight in trainings[-1].best.named_parameters():
        assert torch.equal(flow.state[f"network.{name}"], weight)


def test_without_held_out_points_the_last_weights_are_kept(monkeypatch):
    trainings = []
    evaluate = module.FlowTraining.evaluate
    monkeypatch.setattr(module.FlowTraining, "evaluate", lambda self, p: trainings.append(self) or evaluate(self, p))

    flow = replace(TINY, validation=0).fit(points(), seed=0)

    assert flow.report.keys() == {"steps", "seconds"}
    for name, weight in trainings[-1].network.named_parameters():
        assert torch.equal(flow.state[f"network.{name}"], weight)


def test_training_settings_do_not_belong_to_a_file(tmp_path):
    flow = replace(TINY).fit(points(), seed=0)
    flow.save(tmp_path / "flow")

    other = replace(TINY, epochs=7, rate=0.1, checkpoint="elsewhere").load(tmp_path / "flow")

    assert torch.equal(other.sample(5, seed=0), flow.sample(5, seed=0))
    assert torch.equal(other.log_density(points()), flow.log_density(points()))
    with pytest.raises(ValueError, match=r"saved with the settings .*\"hidden\": 8.*; use the same settings"):
        replace(TINY, hidden=9).load(tmp_path / "flow")


@pytest.mark.parametrize("d", [1, 12])
def test_one_dimension_and_more_dimensions_than_hidden_units(d):
    x = points(100, d)

    sample = replace(TINY).fit(x, seed=0).sample(50, seed=0)

    assert sample.shape == (50, d)
    assert torch.isfinite(sample).all()


def test_heavy_tails():
    x = points(400, 2) ** 5

    flow = replace(TINY, epochs=20).fit(x, seed=0)

    assert torch.isfinite(flow.log_density(x)).all()
    assert torch.isfinite(flow.sample(1000, seed=0)).all()


def test_too_many_dimensions(tmp_path):
    with pytest.raises(ValueError, match=r"generator=flow: 1,001 dimensions, at most 1,000 are possible"):
        replace(TINY).fit(points(2, 1001), seed=0)
    flow = replace(TINY).fit(points(), seed=0)
    flow.sizes = {"varying": 10**9}
    flow.save(tmp_path / "flow")
    with pytest.raises(ValueError, match=r"flow: generator=flow: 1,000,000,000 dimensions"):
        replace(TINY).load(tmp_path / "flow")


def test_without_zuko(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'generator=flow: zuko is not installed; run pip install "\.\[flow\]"'
    ):
        replace(TINY).fit(points(), seed=0)


def test_density_of_wrong_points():
    with pytest.raises(ValueError, match="is not fitted"):
        replace(TINY).log_density(points())
    with pytest.raises(ValueError, match="points: has 2 columns where 3 are expected"):
        replace(TINY).fit(points(), seed=0).log_density(points(d=2))


def test_files_without_a_flow(tmp_path):
    for change, message in [
        ({"scale": lambda x: -x}, "scale and width do not belong together"),
        ({"scale": lambda x: 0 * x}, "scale and width do not belong together"),
        ({"width": lambda x: -x}, "scale and width do not belong together"),
        ({"lengths": lambda x: x + 1}, "lengths are not those of the values"),
        ({"discrete": lambda x: x + 0.5}, "discrete has values other than 0 and 1"),
        ({"values": lambda x: -x}, "values do not increase"),
        ({"centre": lambda x: x[:1]}, "centre has shape"),
    ]:
        flow = replace(TINY).fit(points(), seed=0)
        flow.state |= {name: function(flow.state[name]) for name, function in change.items()}
        flow.save(tmp_path / "flow")

        with pytest.raises(ValueError, match=rf"{tmp_path}/flow: .*{message}"):
            replace(TINY).load(tmp_path / "flow")


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="cgm"):
        replace(TINY).fit(points(), seed=0)
    assert "generator: flow: trained, step 3 of 3" in caplog.text
