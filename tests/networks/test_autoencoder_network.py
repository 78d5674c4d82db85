import torch
from sklearn.datasets import load_digits

from cgm.networks.architectures import AutoencoderNetwork

DIGITS = torch.from_numpy(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)


def test_decoded_images_have_the_shape_of_the_encoded_ones():
    for shape in [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 3, 4), (1, 17, 30)]:
        network = AutoencoderNetwork(5, 2, shape)
        x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))

        assert network.encode(x).shape == (3, 5)
        assert network.decode(network.encode(x)).shape == x.shape


def test_whitening_changes_no_reconstruction():
    torch.manual_seed(0)
    network, x = AutoencoderNetwork(4, 2, (1, 8, 8)).requires_grad_(False).eval(), DIGITS[:200]
    before = network.decode(network.encode(x))
    z = network.encode(x).double()

    assert network.whiten(z) == 4
    after = network.encode(x).double()
    torch.testing.assert_close(network.decode(after.float()), before, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(after.T @ after / 200, torch.eye(4).double(), atol=1e-3, rtol=0)
    assert network.whiten(torch.cat([z[:, :3], z[:, :1]], 1)) == 3
    torch.testing.assert_close(network.encode(x).double(), after)
