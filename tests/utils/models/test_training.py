from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from cgm.utils.models import training
from cgm.utils.models.training import Budget, stream, train

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


class Stop(Exception):
    pass


def fit(budget: Budget, seed: int = 0, stop: int | None = None, n: int = 40) -> nn.Module:
    """Fits a plane with some noise on the way; `stop` interrupts the training before that step."""

    with training.seeded(seed):
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    steps = 0

    def loss(rows, generator):
        nonlocal steps
        if steps == stop:
            raise Stop
        steps += 1
        noise = torch.randn(len(rows), 3, generator=generator) / 10
        return functional.mse_loss(network(X[rows] + noise)[:, 0], Y[rows])

    train(network, loss, n, seed, budget, "test")
    return network


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_learns_from_a_seed_and_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    network, again, other = fit(Budget(40, rate=0.05)), fit(Budget(40, rate=0.05)), fit(Budget(40, rate=0.05), seed=1)

    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training
    assert same(network, again)
    assert not same(network, other)
    assert float((network(X)[:, 0] - Y).square().mean().detach()) < 0.1 * float(Y.var())


def test_each_epoch_shows_each_image_once():
    seen = []
    network = nn.Linear(1, 1)

    def loss(rows, generator):
        seen.append(rows)
        return network.weight.sum()

    train(network, loss, 20, 0, Budget(3, batch=5), "test")
    epochs = torch.stack(seen).reshape(3, 20)
    assert (epochs.sort(1).values == torch.arange(20)).all()
    assert not torch.equal(epochs[0], epochs[1])


def test_learning_rate_rises_and_falls(monkeypatch):
    rates = []
    network = nn.Linear(1, 1)
    step = torch.optim.AdamW.step

    def noted(self, *args, **options):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    train(network, lambda rows, generator: network.weight.sum(), 20, 0, Budget(10, batch=2, rate=3.0), "test")

    assert len(rates) == 100
    assert rates[0] == pytest.approx(0.3)
    assert rates[20] == pytest.approx(3.0)
    assert rates[60] == pytest.approx(1.5)
    assert rates[-1] < 0.01
    assert sorted(rates[:21]) == rates[:21]
    assert sorted(rates[20:], reverse=True) == rates[20:]


@pytest.mark.parametrize("stop", [0, 1, 4, 7])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    budget = Budget(4, batch=16, checkpoint=str(tmp_path / "folder" / "checkpoint"))  # 2 steps an epoch, 8 left out

    with pytest.raises(Stop):
        fit(budget, stop=stop)
    resumed = fit(budget)

    assert same(resumed, fit(replace(budget, checkpoint=None)))
    assert same(resumed, fit(budget, stop=0))  # it is complete: no step is left


def test_another_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    budget = Budget(1, batch=16, checkpoint=str(path))
    fit(budget)

    for other in (lambda: fit(replace(budget, epochs=2)), lambda: fit(budget, seed=1), lambda: fit(budget, n=39)):
        with pytest.raises(ValueError, match=f"{path}: the checkpoint of another training"):
            other()
    for content in (path.read_bytes()[:-200], b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path}: not a checkpoint, or a damaged one"):
            fit(budget)


def test_nothing_in_a_checkpoint_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Trap:
        def __reduce__(self):
            import os

            return os.mkdir, ("sprung",)

    torch.save({"key": Trap()}, "checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint"):
        fit(Budget(1, checkpoint="checkpoint"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("second", "counted"), [(1, 1), (7, 7), (500, 10)])
def test_stops_when_its_minutes_are_spent_but_counts_no_pauses(monkeypatch, second, counted):
    now = iter(range(0, 10_000_000, second))  # each look at the clock is so many seconds after the one before
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(now))
    steps = []
    network = nn.Linear(1, 1)

    def loss(rows, generator):
        steps.append(rows)
        return network.weight.sum()

    train(network, loss, 20, 0, Budget(1000, minutes=5, batch=2), "test")
    assert len(steps) == -(-300 // counted) - 1


def test_a_loss_that_is_no_number_is_an_error():
    network = nn.Linear(1, 1)

    with pytest.raises(ValueError, match="test: the loss is nan at step 0; use a smaller learning rate"):
        train(network, lambda rows, generator: network.weight.sum() * torch.nan, 20, 0, Budget(1), "test")


def test_streams_differ():
    draws = {tuple(torch.rand(2, generator=stream(*key)).tolist()) for key in ((0,), (1,), (0, 1), (0, 1, 1), (1, 1))}

    assert len(draws) == 5
