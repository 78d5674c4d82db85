import torch

from cgm.networks.architectures import EncoderNetwork


def test_nothing_is_changed_if_the_features_vary_in_too_few_directions():
    network = EncoderNetwork(components=3, width=1, channels=1)
    h = torch.zeros(10, 8, dtype=torch.float64)
    h[:, :2] = torch.randn(10, 2, generator=torch.Generator().manual_seed(0)).double()
    before = network.code.weight.clone()

    assert network.set_code(h) == 2
    assert torch.equal(network.code.weight, before)


def test_code_is_centred_and_ordered_by_variance():
    network = EncoderNetwork(components=3, width=1, channels=1)
    h = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)).double() * torch.arange(1, 9) + 5

    assert network.set_code(h) == 8
    z = network.code.double()(h)
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-5)
    variances = torch.linalg.eigvalsh(torch.cov(h.T, correction=0)).flip(0)[:3]
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.diag(variances), rtol=1e-4, atol=1e-4)
