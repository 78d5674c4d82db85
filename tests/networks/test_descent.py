from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from cgm.networks import training
from cgm.networks.training import Budget, Descent, seeded

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


class Stop(Exception):
    pass


def fit(budget: Budget, seed: int = 0, stop: int | None = None, n: int = 40, settings=None) -> nn.Module:
    """Fit a plane with random noise on its points; `stop` interrupts the training before that step."""

    with seeded(seed):
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    steps = 0

    def loss(rows, generator):
        nonlocal steps
        if steps == stop:
            raise Stop
        steps += 1
        noise = torch.randn(len(rows), 3, generator=generator) / 10
        return functional.mse_loss(network(X[rows] + noise)[:, 0], Y[rows])

    Descent(network, loss, {"x": X[:n]}, seed, budget, "some", "test", settings).train()
    return network


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_learns_from_a_seed_and_does_not_use_the_global_one():
    state = torch.get_rng_state()
    network, again, other = fit(Budget(40, rate=0.05)), fit(Budget(40, rate=0.05)), fit(Budget(40, rate=0.05), seed=1)

    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training
    assert same(network, again)
    assert not same(network, other)
    assert float((network(X)[:, 0] - Y).square().mean().detach()) < 0.1 * float(Y.var())


def test_each_epoch_uses_each_row_once():
    seen = []
    network = nn.Linear(1, 1)

    def loss(rows, generator):
        seen.append(rows)
        return network.weight.sum()

    report = Descent(network, loss, {"x": X[:20]}, 0, Budget(3, batch=5), "some", "test").train()
    epochs = torch.stack(seen).reshape(3, 20)
    assert report["steps"] == 12
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
    budget = Budget(10, batch=2, rate=3.0)
    Descent(network, lambda rows, generator: network.weight.sum(), {"x": X[:20]}, 0, budget, "some", "test").train()

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
    assert same(resumed, fit(budget, stop=0))  # complete: no step is left


def test_another_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    budget = Budget(1, batch=16, checkpoint=str(path))
    fit(budget, settings={"width": 4})

    for other, difference in (
        (lambda: fit(replace(budget, epochs=2), settings={"width": 4}), "epochs=1, here 2"),
        (lambda: fit(budget, seed=1, settings={"width": 4}), "seed=0, here 1"),
        (lambda: fit(budget, n=39, settings={"width": 4}), "data='.*', here '.*'"),
        (lambda: fit(budget, settings={"width": 5}), "width=4, here 5"),
    ):
        message = rf"^{path}: a checkpoint of another training \({difference}\); use another some.checkpoint"
        with pytest.raises(ValueError, match=message):
            other()
    for content in (path.read_bytes()[:-200], b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path}: not a checkpoint, or a damaged one"):
            fit(budget, settings={"width": 4})


def test_a_loss_that_is_not_finite_names_the_learning_rate():
    network = nn.Linear(1, 1)

    with pytest.raises(ValueError, match=r"test: training diverged at step 0 \(loss=nan\); lower some.rate=0.001"):
        Descent(network, lambda *_: network.weight.sum() * torch.nan, {"x": X}, 0, Budget(1), "some", "test").train()
