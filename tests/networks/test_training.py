"""The training loop, with a training of a few numbers in place of a network's."""

import logging

import pytest
import torch
from torch import nn

from cgm.networks import training
from cgm.networks.training import Progress, Training


class Stop(Exception):
    pass


class Walk(Training):
    """A network that follows a random point, with a stream, a number and evaluations to keep."""

    def __init__(self, steps=10, seed=0, stop=None, evaluate_every=3):
        self.seed, self.stop = seed, stop
        self.network = nn.Linear(2, 1)
        with torch.no_grad():
            self.network.weight.fill_(0.5)
            self.network.bias.fill_(0.0)
        self.measured, self.rate, self.finished = [], 0.1, []
        super().__init__(
            group="some",
            label="some: walk",
            steps=steps,
            remedy="lower some.rate=0.1",
            networks={"network": self.network},
            optimizers={"network": torch.optim.Adam(self.network.parameters(), 0.1)},
            streams={"points": torch.Generator().manual_seed(seed)},
            evaluate_every=evaluate_every,
        )

    def identity(self):
        return {"training": "walk", "seed": self.seed}

    def advance(self, progress):
        if progress.step == self.stop:
            raise Stop
        optimizer = self.optimizers["network"]
        optimizer.param_groups[0]["lr"] = self.rate
        loss = (self.network(torch.randn(5, 2, generator=self.streams["points"])) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": float(loss.detach())}

    def evaluate(self, progress):
        self.measured.append(progress.step)
        self.rate /= 2

    def finish(self, progress):
        self.finished.append(progress.step)
        self.report["finished"] = progress.step

    def numbers(self):
        return {"rate": self.rate}

    def load_numbers(self, numbers):
        self.rate = numbers["rate"]


def same(a, b):
    pairs = zip(a.network.state_dict().values(), b.network.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_runs_all_steps_and_reports():
    walk = Walk(steps=10)
    progress = walk.run()

    assert (progress.step, progress.share) == (10, 1.0)
    assert walk.measured == [3, 6, 9]
    assert walk.finished == [10]
    assert walk.report == {"steps": 10, "seconds": round(progress.seconds), "finished": 10}
    assert not walk.network.training


def test_losses_are_averaged():
    progress = Progress(steps=1000)
    for value in range(200):
        progress.count({"loss": float(value)})

    assert progress.step == 200
    assert 99 < progress.losses["loss"] < 199  # the first steps are forgotten
    few = Progress(steps=10)
    for value in (1.0, 2.0, 6.0):
        few.count({"loss": value, "penalty": 0.5})
    assert few.losses == pytest.approx({"loss": 3.0, "penalty": 0.5})
    assert str(few) == "step 3 of 10, 0 s, loss 3, penalty 0.5"


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 9])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, caplog, stop):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    path = tmp_path / "folder" / "checkpoint"
    whole = Walk()
    whole.run()

    with pytest.raises(Stop):
        Walk(stop=stop).run(checkpoint=path)
    resumed = Walk()
    with caplog.at_level(logging.INFO, "cgm"):
        progress = resumed.run(checkpoint=path)

    assert progress.step == 10
    assert same(resumed, whole)
    assert resumed.rate == whole.rate
    assert resumed.measured == [step for step in whole.measured if step > stop]
    assert (f"resumed from {path} at step {stop} of 10" in caplog.text) == (stop > 0)

    again = Walk(stop=0)  # complete: no step is left
    again.run(checkpoint=path)
    assert same(again, whole)
    assert again.finished == [10]


def test_a_finished_training_can_be_extended(tmp_path):
    path = tmp_path / "checkpoint"
    Walk(steps=4).run(checkpoint=path)
    extended, whole = Walk(steps=10), Walk(steps=10)
    extended.run(checkpoint=path)
    whole.run()

    assert same(extended, whole)


def test_a_resumed_training_keeps_its_time(tmp_path, monkeypatch):
    now = iter(range(0, 10_000, 7))
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(now))
    path = tmp_path / "checkpoint"
    first = Walk(steps=100).run(minutes=0.5, checkpoint=path)
    second = Walk(steps=100).run(minutes=1.0, checkpoint=path)

    assert (first.step, first.seconds) == (4, 35)  # steps at 7, 14, 21, 28 seconds
    assert (second.step, second.seconds) == (7, 63)  # steps at 42, 49, 56 seconds


@pytest.mark.parametrize(("second", "counted"), [(1, 1), (7, 7), (500, 10)])
def test_stops_at_the_time_limit_but_does_not_count_pauses(monkeypatch, second, counted):
    now = iter(range(0, 10_000_000, second))  # the clock advances by this at each reading
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(now))

    assert Walk(steps=10_000).run(minutes=5).step == -(-300 // counted) - 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error(monkeypatch, value):
    monkeypatch.setattr(Walk, "advance", lambda self, progress: {"loss": value, "other": 1.0})

    message = rf"some: walk: training diverged at step 0 \(loss={value}, other=1\); lower some.rate=0.1"
    with pytest.raises(ValueError, match=message):
        Walk().run()


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"training": "walk", "seed": 1}, "seed=0, here 1"),
        ({"training": "walk", "seed": 0, "more": (1, 2)}, r"more=None, here \[1, 2\]"),
        ({"training": "walk"}, "seed=0, here None"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, monkeypatch, identity, message):
    path = tmp_path / "checkpoint"
    Walk(steps=2).run(checkpoint=path)
    monkeypatch.setattr(Walk, "identity", lambda self: identity)

    message = rf"^{path}: a checkpoint of another training \({message}\); use another some.checkpoint"
    with pytest.raises(ValueError, match=message):
        Walk().run(checkpoint=path)


def test_networks_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "checkpoint"
    Walk(steps=2).run(checkpoint=path)
    other = Walk()
    other.networks = {"network": nn.Linear(3, 1)}

    with pytest.raises(ValueError, match=f"^{path}: not a checkpoint of this training .*size mismatch.*delete it"):
        other.run(checkpoint=path)


def test_numbers_of_another_version_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    monkeypatch.setattr(Walk, "numbers", lambda self: {})
    Walk(steps=2).run(checkpoint=path)

    with pytest.raises(ValueError, match=f"^{path}: not a checkpoint of this training .*'rate'.*delete it"):
        Walk().run(checkpoint=path)
