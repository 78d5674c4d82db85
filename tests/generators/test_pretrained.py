"""`pretrained=FILE` of every generator: those of cgm, and those of a user's own without any network."""

import logging
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from cgm import Mediator
from cgm.generators import KDE, MMDGAN, VAE, Copula, Generator, NetworkGenerator, check_generator
from cgm.networks import weights
from cgm.networks.training import Budget, Descent, seeded
from cgm.rewards.schemes.gain import Gain
from cgm.valuation.kernels import SquaredExponential

X = torch.randn(80, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@dataclass(eq=False)
class Blur(Generator):
    """The generator of docs/how_to/own_generator.md."""

    jitter: float = 0.1

    shapes = {"points": ("N", "d")}

    def fit(self, x, seed):
        self.state = {"points": self.check_fit(x)}
        return self

    def sample(self, n, seed):
        points = self.check_sample(n)["points"]
        random = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(points), (n,), generator=random)
        noise = torch.randn(n, points.shape[1], generator=random, dtype=points.dtype)
        return points[rows] + self.jitter * points.std(0) * noise


@dataclass(eq=False)
class Shift(NetworkGenerator[nn.Linear]):
    """A linear map of noise, for points."""

    width: int = 4
    epochs: int = 2

    kind = "shift"
    takes = ("points",)
    architecture = ("width",)

    def make_network(self, sizes):
        return nn.Linear(sizes["width"], sum(sizes["groups"]))

    def train(self, x, seed):
        with seeded(seed):
            network = self.make_network(self.sizes)

        def loss(rows, random):
            return (
                (network(torch.randn(len(rows), self.width, generator=random)).mean(0) - x[rows].mean(0)).square().sum()
            )

        budget = Budget(self.epochs, self.minutes, checkpoint=self.checkpoint_file)
        return network, Descent(network, loss, {"x": x}, seed, budget, "generator", "shift").train()

    def draw(self, network, n, random):
        return network(torch.randn(n, self.width, generator=random))


@pytest.fixture
def path(tmp_path):
    KDE("cv", neighbours=3).fit(X, seed=0).save(tmp_path / "kde.safetensors")
    return tmp_path / "kde.safetensors"


def test_generators_of_a_users_own(tmp_path):
    for generator in (Blur(0.3), Shift(width=2)):
        check_generator(generator)
        path = tmp_path / f"{type(generator).__name__}.safetensors"
        sample = generator.fit(X, seed=0).sample(20, seed=1)
        generator.save(path)
        loaded = type(generator)(pretrained=str(path)).fit(X, seed=5)
        assert torch.equal(loaded.sample(20, seed=1), sample)
        assert torch.equal(Generator.load(path).sample(20, seed=1), sample)
    assert loaded.width == 2
    assert Shift(pretrained=str(path)).fit(X.float(), seed=0).sample(3, seed=0).dtype == torch.float32
    with pytest.raises(ValueError, match=r"expected shape \(N, d\), got \(9, 1, 8, 8\)"):
        Shift().fit(torch.rand(9, 1, 8, 8), seed=0)


@dataclass(eq=False)
class Text(Blur):
    """Keeps its points in a file of its own kind."""

    def save(self, path):
        np.savetxt(path, self.fitted()["points"].numpy())

    def load(self, path):
        self.state = {"points": torch.from_numpy(np.loadtxt(path, ndmin=2))}
        return self


def test_generators_with_files_of_their_own(tmp_path):
    generator = Text().fit(X, seed=0)
    generator.save(tmp_path / "points.txt")

    loaded = Text(pretrained=str(tmp_path / "points.txt")).fit(X, seed=5)
    assert torch.equal(loaded.sample(20, seed=1), generator.sample(20, seed=1))
    with pytest.raises(ValueError, match=r"makes points of shape \(3,\), but those of the dataset have shape \(2,\)"):
        Text(pretrained=str(tmp_path / "points.txt")).fit(X[:, :2], seed=0)


def test_the_file_decides_about_settings(path, caplog):
    caplog.set_level(logging.INFO, "cgm")
    fitted = KDE.load(path)
    loaded = KDE(pretrained=str(path)).fit(X, seed=9)

    assert (loaded.bandwidth, loaded.neighbours, loaded.warnings) == ("cv", 3, ())
    assert torch.equal(loaded.sample(9, seed=0), fitted.sample(9, seed=0))
    assert f"KDE loaded from {path}" in caplog.text
    given = KDE(0.5, pretrained=str(path))
    with pytest.raises(ValueError, match=rf"^generator.bandwidth=0.5: {path} was saved with bandwidth=cv; leave"):
        given.fit(X, seed=0)
    assert (given.bandwidth, given.state) == (0.5, None)


def test_settings_of_a_training_that_are_not_used_are_reported(tmp_path, caplog):
    path = tmp_path / "vae.safetensors"
    VAE(latent=2, hidden=8, steps=3).fit(X, seed=0).save(path)
    loaded = VAE(str(path), rate=0.5, checkpoint=str(tmp_path / "folder")).fit(X, seed=0)

    assert (loaded.latent, loaded.hidden, loaded.steps, loaded.rate) == (2, 8, 3, 2e-3)
    assert [warning.split(":")[0] for warning in loaded.warnings] == [
        "generator.rate=0.5 is not used",
        f"generator.checkpoint={tmp_path / 'folder'} is not used",
    ]
    assert "generator.rate=0.5 is not used" in caplog.text
    with pytest.raises(ValueError, match=r"^generator.latent=5: .* was saved with latent=2"):
        VAE(str(path), latent=5).fit(X, seed=0)


@pytest.mark.parametrize("pretrained", ["auto", True])
def test_settings_beside_weights_that_come_with_cgm(pretrained, caplog):
    """They reject images, and this is a part of them; settings that only a training has are not used."""

    x = MMDGAN.load(weights.find("mmd_gan", (1, 28, 28)).path).sample(300, seed=1)
    with pytest.raises(
        ValueError, match=r"^generator.acceptance=0.9: .*mnist.* was saved with acceptance=0.6; .*=fals"
    ):
        MMDGAN(pretrained, acceptance=0.9).fit(x, seed=0)
    gan = MMDGAN(pretrained, acceptance=0.6, steps=3).fit(x, seed=0)
    assert gan.warnings == ("generator.steps=3 is not used: the generator is loaded, not fitted",)
    assert gan.steps == 3  # of a fit to other images


def test_what_does_not_fit_is_refused(path, tmp_path):
    for make, x, message in [
        (lambda: KDE(pretrained=str(path)), X[:, :2], r"makes points of shape \(3,\), but those .* shape \(2,\)"),
        (lambda: Copula(pretrained=str(path)), X, "saved by KDE, cannot be loaded as Copula"),
        (lambda: KDE(pretrained=str(path)), X[:1], "at least 2 are needed"),
        (lambda: KDE(pretrained="kde"), X, "generator.pretrained=kde: expected the path of a .safetensors file"),
    ]:
        with pytest.raises(ValueError, match=message):
            make().fit(x, seed=0)
    with pytest.raises(FileNotFoundError, match=r"^generator.pretrained=.*no.safetensors: there is no such file"):
        KDE(pretrained=str(tmp_path / "no.safetensors"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="not a file saved by cgm, or a damaged one"):
        KDE(pretrained=str(path)).fit(X, seed=0)


def test_points_of_another_kind_end_up_in_the_report(path, caplog):
    message = "makes points unlike those of the data: the mean of column 2 is "
    shifted = X + torch.tensor([0.0, 9.0, 0.5])
    mediator = Mediator(KDE(pretrained=str(path)), kernel=SquaredExponential(9.0), scheme=Gain(), synthetic_size=300)
    settlement = mediator.settle([shifted[:40], shifted[40:]])

    assert message in caplog.text
    assert sum(message in warning for warning in settlement.warnings) == 1
    same = mediator.settle([X[:40], X[40:]])
    assert not any(message in warning for warning in same.warnings)
    assert same.generator.pretrained == str(path)
