import pytest
import torch

from cgm.generators.mmd_gan.networks import CriticNetwork, GeneratorNetwork
from tests.generators.mmd_gan.bars import bars, random


def test_networks_of_every_size():
    for image in [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 20)]:
        for spectral in [False, True]:
            z = torch.rand(6, 5, generator=random())
            x = GeneratorNetwork(image, channels=2, latent=5).initialise(random())(z)

            assert x.shape == (6, *image)
            assert 0 <= x.min() < x.max() <= 1
            assert CriticNetwork(image, 2, 16, spectral).initialise(random())(x).shape == (6, 16)


def test_folding_includes_batch_norm():
    z = torch.rand(50, 5, generator=random())
    network = GeneratorNetwork((1, 28, 28), channels=2, latent=5).initialise(random())
    for norm in network.norms:
        torch.nn.init.normal_(norm.weight, 1, 0.3, generator=random(1))
        torch.nn.init.normal_(norm.bias, 0, 0.3, generator=random(2))

    folded = network.folded(z)

    assert not len(folded.norms)
    torch.testing.assert_close(folded(z), network(z), rtol=0, atol=1e-5)
    torch.testing.assert_close(folded(z[:1]), network(z)[:1], rtol=0, atol=1e-5)  # independent of the rest of the batch


def test_spectral_normalisation():
    network = CriticNetwork((1, 8, 8), 4, 16, spectral=True).initialise(random())
    for _ in range(50):
        network(bars(2))

    for layer in network.layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


def test_weights_do_not_come_from_the_global_state():
    state = torch.get_rng_state()
    CriticNetwork((1, 8, 8), 4, 16, spectral=True).initialise(random())
    GeneratorNetwork((1, 8, 8), 4, 16).initialise(random())

    assert torch.equal(torch.get_rng_state(), state)
