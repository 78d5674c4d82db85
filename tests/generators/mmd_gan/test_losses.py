import numpy as np
import pytest
import torch

from cgm.generators.mmd_gan.losses import RATIONAL, MMDLoss, RepulsiveLoss, critic_kernel, gradient_penalty
from cgm.generators.mmd_gan.networks import CriticNetwork
from cgm.generators.network import mmd2
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.mmd import mmd2_unbiased
from tests.generators.mmd_gan.bars import bars, random


def critic(seed=0):
    network = CriticNetwork((1, 8, 8), channels=2, outputs=3).initialise(random(seed)).double()
    for layer in network.layers:  # with zero biases, a missing bias would not be noticed
        torch.nn.init.normal_(layer.bias, 0, 0.1, generator=random(seed + 1))
    return network


def plain_kernel(x, y):
    """The kernel of two vectors, written down."""

    q = ((x - y) ** 2).sum()
    return sum((1 + q / (2 * a)) ** -a for a in (0.1, 1.0, 10.0)) + x @ y


def plain_mmd2(x, y):
    def mean(a, b, same):
        values = [plain_kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        return sum(values) / len(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def test_loss_is_the_mmd_of_cgm():
    x, y = torch.randn(30, 16, generator=random()), 2 * torch.randn(20, 16, generator=random(1)) + 0.3

    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        loss = float(mmd2(RATIONAL, x.to(dtype), y.to(dtype)))
        assert loss == pytest.approx(mmd2_unbiased(RATIONAL, x.double(), y.double()), abs=tolerance)
    for loss in (mmd2(critic_kernel, x.double(), y.double()), MMDLoss().generator(x.double(), y.double())):
        assert float(loss) == pytest.approx(plain_mmd2(x.double().numpy(), y.double().numpy()), abs=1e-12)


def test_kernel_can_be_differentiated_twice():
    x, y = torch.randn(3, 2, generator=random()).double(), torch.randn(4, 2, generator=random(1)).double()
    x, y = x.requires_grad_(), y.requires_grad_()

    assert torch.autograd.gradcheck(critic_kernel, (x, y))
    assert torch.autograd.gradgradcheck(critic_kernel, (x, y))
    assert torch.autograd.gradcheck(lambda x, y: mmd2(critic_kernel, x, y), (x, y))


def test_gradient_penalty_by_finite_differences():
    h, x, (real, fake) = critic(), bars(3).double(), bars(12).double().split(6)
    hr, hf = h(real).detach(), h(fake).detach()

    def witness(image):
        with torch.no_grad():
            a = h(image[None])[0].numpy()
        return np.mean([plain_kernel(a, b) for b in hr.numpy()]) - np.mean([plain_kernel(a, b) for b in hf.numpy()])

    expected, step = 0.0, 1e-5
    for image in x:
        slope = np.zeros(image.numel())
        for i in range(image.numel()):
            change = torch.zeros(image.numel(), dtype=torch.float64)
            change[i] = step
            change = change.view_as(image)
            slope[i] = (witness(image + change) - witness(image - change)) / (2 * step)
        expected += (np.sqrt((slope**2).sum()) - 1) ** 2 / len(x)

    assert float(gradient_penalty(h, x, hr, hf).detach()) == pytest.approx(expected, rel=1e-6)


def test_objective_of_the_critic_and_its_gradient():
    h, (real, fake, between) = critic(), bars(12).double().split(4)
    loss = MMDLoss(gradient_penalty=0.7, feature_penalty=0.3)

    gain, penalty = loss.critic(h, real, fake, between)
    hr, hf = h(real).detach(), h(fake).detach()
    size = float((hr**2).sum() + (hf**2).sum()) / (hr.numel() + hf.numel())
    assert gain.item() == pytest.approx(plain_mmd2(hr.numpy(), hf.numpy()), abs=1e-12)
    slope = gradient_penalty(h, between, hr, hf).item()
    assert penalty.item() == pytest.approx(0.7 * slope + 0.3 * size, abs=1e-12)

    (penalty - gain).backward()
    for layer in h.layers:
        place = (0,) * layer.weight.dim()
        values = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                layer.weight[place] += step
            gain, penalty = loss.critic(h, real, fake, between)
            values.append((penalty - gain).item())
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(layer.weight.grad[place]), rel=1e-4, abs=1e-7)
        with torch.no_grad():
            layer.weight[place] += 1e-5


def test_repulsive_loss_written_down():
    x, y = (2.0 * torch.randn(7, 3, generator=random(seed)).double() for seed in (0, 1))
    gain, penalty = RepulsiveLoss().critic(lambda images: images, x, y)

    def mean(points, bound):
        pairs = [(p, q) for i, p in enumerate(points) for j, q in enumerate(points) if i != j]
        return np.mean([np.exp(-bound(float(((p - q) ** 2).sum())) / 2) for p, q in pairs])

    expected = mean(y, lambda q: min(q, 4.0)) - mean(x, lambda q: max(q, 0.25))
    assert float(gain) == pytest.approx(expected, abs=1e-12)
    assert penalty == 0
    assert mean(y, lambda q: min(q, 4.0)) != pytest.approx(mean(y, lambda q: q))  # some pairs are at their bound
    loss = float(RepulsiveLoss().generator(y, x))
    assert loss == pytest.approx(mmd2_unbiased(SquaredExponential(1.0), y, x), abs=1e-12)


def test_the_gain_multiplies_each_layer_of_the_critic():
    image = bars(2).double()
    plain, scaled = (CriticNetwork((1, 8, 8), 2, 3, gain=gain).initialise(random()).double() for gain in (1.0, 3.0))
    for layer in (*plain.layers, *scaled.layers):
        torch.nn.init.zeros_(layer.bias)
    torch.testing.assert_close(scaled(image), 3.0 ** len(plain.layers) * plain(image))
