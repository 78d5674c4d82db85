"""Networks of one's own: how they are constructed again, and which settings their files hold."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cgm.generators import KDE, NetworkGenerator, check_generator
from cgm.mediator import Mediator
from cgm.networks.architectures import SizeLimit
from cgm.networks.training import Budget, Descent, seeded
from cgm.rewards import Gain
from cgm.valuation.kernels import SquaredExponential

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Layers(nn.Module):
    """A network with a plain tensor, which the meta device would leave empty, and a permutation drawn at random."""

    def __init__(self, width, sides, scale, activation):
        super().__init__()
        sides = [width, *sides]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sides, [*sides[1:], width], strict=True))
        self.scale = torch.full((width,), scale)
        self.activation = getattr(torch, activation)
        self.register_buffer("order", torch.randperm(width))

    def forward(self, z):
        for layer in self.layers[:-1]:
            z = self.activation(layer(z))
        return self.scale * self.layers[-1](z)[:, self.order]


@dataclass(eq=False)
class Own(NetworkGenerator):
    sides: tuple[int, ...] = (4,)
    scale: float = 1.5
    activation: str = "tanh"
    depth: int = 0
    bias: bool = True
    epochs: int = 1

    kind: ClassVar[str] = "own"
    takes: ClassVar[tuple[str, ...]] = ("points",)
    architecture: ClassVar[tuple[str, ...]] = ("sides", "scale", "activation", "depth", "bias")

    def make_network(self, sizes):
        return Layers(sum(sizes["groups"]), sizes["sides"], sizes["scale"], sizes["activation"])

    def loss(self, network, rows):
        z = torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(0))
        return (network(z).mean(0) - rows.mean(0)).square().sum()

    def train(self, x, seed):
        with seeded(seed):
            network = self.make_network(self.sizes)
        budget = Budget(epochs=self.epochs)
        loss = lambda rows, random: self.loss(network, x[rows])  # noqa: E731
        return network, Descent(network, loss, {"x": x}, seed, budget, "generator", "own").train()

    def draw(self, network, n, random):
        return network(torch.randn(n, 3, generator=random))


@dataclass(eq=False)
class Flow(Own):
    architecture: ClassVar[tuple[str, ...]] = ("sides",)

    def make_network(self, sizes):
        from zuko.flows import MAF

        return MAF(sum(sizes["groups"]), transforms=2, hidden_features=sizes["sides"], randperm=True)

    def loss(self, network, rows):
        return -network().log_prob(rows).mean()

    def draw(self, network, n, random):
        return network().transform.inv(torch.randn(n, 3, generator=random))


def test_networks_that_compute_where_they_are_constructed(tmp_path):
    pytest.importorskip("zuko")
    for make in (Own, Flow):
        fitted = make(sides=(5, 4)).fit(X, seed=0)
        sample, state = fitted.sample(30, seed=1), torch.get_rng_state()
        fitted.save(tmp_path / "own.safetensors")
        loaded = make.load(tmp_path / "own.safetensors")

        assert torch.equal(loaded.sample(30, seed=1), sample)
        assert torch.equal(torch.get_rng_state(), state)
        assert loaded.sides == (5, 4)
        assert loaded.sizes["sides"] == [5, 4]
        assert torch.equal(make(pretrained=str(tmp_path / "own.safetensors")).fit(X, seed=3).sample(30, seed=1), sample)
        check_generator(make(), X)


def test_settings_that_a_file_can_hold(tmp_path):
    path = tmp_path / "own.safetensors"
    fitted = Own(scale=0.25, activation="relu", depth=np.int64(0), bias=False).fit(X, seed=0)
    fitted.save(path)
    loaded = Own.load(path)
    assert (loaded.scale, loaded.activation, loaded.depth, loaded.bias) == (0.25, "relu", 0, False)
    for name, value in (("depth", -1), ("scale", float("nan")), ("sides", [4, {}]), ("bias", 1j)):
        generator = Own()
        setattr(generator, name, value)
        with pytest.raises(ValueError, match=rf"^generator.{name}=.*: expected an integer >= 0, a finite number, text"):
            generator.fit(X, seed=0)
        assert generator.state is None


def test_an_object_with_other_settings_does_not_load(tmp_path):
    path = tmp_path / "own.safetensors"
    Own(sides=(6,)).fit(X, seed=0).save(path)
    other = Own(sides=(99,))
    with pytest.raises(ValueError, match=r"saved with sides=\[6\], but here it is \(99,\); .*Own.load\(path\) takes"):
        other.load(path)
    assert (other.state, other.sides, other.pretrained) == (None, (99,), "auto")
    assert Own().load(path).sides == (6,)


def test_sizes_of_a_hostile_file_need_no_memory(tmp_path):
    path = tmp_path / "own.safetensors"
    Flow(sides=(5,)).fit(X, seed=0).save(path)
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    for sides in ([10**9], [10**6, 10**6], [10**30], [-1], ["a"]):
        sizes = json.loads(metadata["sizes"]) | {"sides": sides}
        save_file(tensors, path, metadata | {"sizes": json.dumps(sizes)})
        with pytest.raises(ValueError, match=r"impossible sizes|expected an integer >= 0"):
            Flow.load(path)
    for make in (lambda: torch.arange(10**12), lambda: torch.eye(10**6), lambda: [torch.ones(1) for _ in range(10**6)]):
        with pytest.raises(ValueError, match="needs far more memory than the tensors of the file"), SizeLimit([]):
            make()


def test_what_was_loaded_is_not_fitted_again(tmp_path, monkeypatch):
    path = tmp_path / "generator.safetensors"
    parties = [X[:30], X[30:]]
    for cls in (KDE, Own):
        fitted = cls().fit(X + 0.1, seed=7)
        fitted.save(path)
        for loaded in (cls.load(path), cls().load(path)):
            assert loaded.pretrained == str(path)
            mediator = Mediator(loaded, kernel=SquaredExponential(9.0), scheme=Gain(), synthetic_size=300)
            settlement = mediator.settle(parties, seed=0)
            drawn = settlement.generator.sample(20, seed=0)
            assert torch.equal(drawn, fitted.sample(20, seed=0))
        loaded.pretrained = None if cls is KDE else False
        assert not torch.equal(loaded.fit(X, seed=0).sample(20, seed=0), drawn)
