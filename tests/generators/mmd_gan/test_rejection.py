import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cgm.generators import MMDGAN
from cgm.generators.mmd_gan import generator as module
from cgm.generators.mmd_gan.rejection import RejectionNetwork, threshold_for, with_rejection
from cgm.networks import weights as pretrained
from tests.generators.mmd_gan.bars import bars, random, tiny


class Bars(nn.Module):
    """A generator of bars, of which a share stands upright."""

    image, latent = (1, 8, 8), 1

    def __init__(self, upright):
        super().__init__()
        self.upright = upright

    def sample(self, n, random):
        x = 0.2 * torch.rand(n, 1, 8, 8, generator=random)
        upright = torch.rand(n, generator=random) < self.upright
        x[:, :, :, 3:5] += 0.8 * upright[:, None, None, None]
        x[:, :, 3:5, :] += 0.8 * ~upright[:, None, None, None]
        return x.clamp(0, 1)


def share_upright(x):
    return float((x[:, 0, 0, 3] > 0.5).double().mean())


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_the_threshold_keeps_the_share(h, acceptance):
    c = threshold_for(torch.tensor(h), acceptance)
    kept = (torch.tensor(h).double() - c).exp().clamp(max=1)
    assert float(kept.mean()) == pytest.approx(acceptance, abs=1e-6)


def test_images_are_kept_with_the_probabilities_of_their_log_odds(monkeypatch):
    network = RejectionNetwork(Bars(0.8))
    monkeypatch.setattr(network, "features", lambda images: images)
    monkeypatch.setattr(network, "log_odds", lambda x: torch.where(x[:, 0, 0, 3] > 0.5, 0.25, 7.0).log())
    x = network.sample(4000, random())
    # 0.8 of them are kept with 1/4, and 0.2 with 1, the bound
    assert share_upright(x) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(x, network.sample(4000, random()))
    assert len(x) == 4000


def test_kinds_that_are_too_common_are_rejected():
    real = Bars(0.5).sample(1500, random(1))
    network = with_rejection(Bars(0.8), real, seed=0, acceptance=0.4)
    x = network.sample(1500, random(2))
    assert share_upright(x) == pytest.approx(0.5, abs=0.06)
    images = Bars(0.8).sample(1500, random(3))
    shares = network.log_odds(network.features(images)).exp().clamp(max=1)
    assert float(shares.mean()) == pytest.approx(0.4, abs=0.03)
    again = with_rejection(Bars(0.8), real, seed=0, acceptance=0.4)
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), again.parameters(), strict=True))


def test_files_of_weights_reject_alike(tmp_path, monkeypatch):
    x = bars(300)
    gan = tiny(acceptance=0.5).fit(x, seed=0)
    assert gan.sizes["acceptance"] == 0.5
    gan.save(tmp_path / "gan")
    found = MMDGAN.load(tmp_path / "gan")
    assert found.acceptance == 0.5
    assert torch.equal(found.sample(600, seed=3), gan.sample(600, seed=3))
    plain = tiny().fit(x, seed=0)
    assert torch.equal(gan.network().generator(torch.zeros(1, 5)), plain.network()(torch.zeros(1, 5)))
    assert not torch.equal(gan.sample(100, seed=3), plain.sample(100, seed=3))

    drawn = []
    monkeypatch.setattr(module, "with_rejection", lambda network, *rest: drawn.append(rest[1:]) or network)
    tiny(acceptance=0.25).train(x, seed=7)
    assert drawn == [(7, 0.25)]


def test_weights_of_mnist_reject_and_older_files_do_not():
    mnist = MMDGAN.load(pretrained.get("mmd_gan", (1, 28, 28)).path)
    assert mnist.acceptance == 0.6
    assert mnist.sample(7, seed=0).shape == (7, 1, 28, 28)
    network = mnist.network()
    images = network.generator.sample(2000, random())
    shares = network.log_odds(network.features(images)).exp().clamp(max=1)
    assert float(shares.mean()) == pytest.approx(0.6, abs=0.03)
    assert MMDGAN.load(pretrained.get("mmd_gan", (3, 32, 32)).path).acceptance == 1  # its file does not say so


@pytest.mark.parametrize("acceptance", [0, 1.5, "all"])
def test_the_share_is_checked(acceptance):
    with pytest.raises(ValueError, match=r"generator.acceptance=.*: expected a number in \(0, 1\]"):
        MMDGAN(acceptance=acceptance)
