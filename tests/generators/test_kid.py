import numpy as np
import pytest
import torch

from cgm.generators.network import RandomNetworkKID, cubic_kernel, kid, mmd2, stalled
from tests.generators.mmd_gan.bars import bars, random


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=random(seed), dtype=torch.float64)


def plain_kid(x, y):
    """The unbiased MMD² of two arrays with the cubic kernel, written down."""

    def mean(a, b, same):
        k = (a @ b.T / a.shape[1] + 1) ** 3
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)) if same else k.mean()

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def test_blocks_agree_with_the_definition():
    for size in [2, 3, 5]:
        x, y = normal(11, 4), normal(13, 4, seed=1) + 0.3
        values = kid(x, y, size)

        expected = [
            plain_kid(x[i : i + size].numpy(), y[i : i + size].numpy()) for i in range(0, 11 // size * size, size)
        ]
        assert values.dtype == torch.float64
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-12)


def test_the_last_block_may_be_smaller():
    x, y = normal(8, 4), normal(8, 4, seed=1)

    assert len(kid(x, y, 3)) == 2
    assert len(kid(x, y, 3, drop_last=False)) == 3
    assert float(kid(x, y, 3, drop_last=False)[2]) == pytest.approx(plain_kid(x[6:].numpy(), y[6:].numpy()))
    assert len(kid(x[:7], y, 3, drop_last=False)) == 2  # one point is too few for an unbiased estimate


def test_it_is_zero_for_the_same_distribution_only():
    def mean_and_error(x, y):
        values = kid(x, y, 40)
        return float(values.mean()), float(values.std()) / len(values) ** 0.5

    same, error = mean_and_error(normal(8000, 4), normal(8000, 4, seed=1))
    assert abs(same) < 4 * error
    other, error = mean_and_error(normal(8000, 4), normal(8000, 4, seed=1) + 0.2)
    assert other > 5 * error


def test_no_block():
    for n, size in [(3, 4), (5, 1), (1, 2)]:
        with pytest.raises(ValueError, match=f"kid: no block of {size} points of {n} and 9"):
            kid(normal(n, 2), normal(9, 2), size)


def test_mmd2_can_be_differentiated():
    x, y = normal(4, 3).requires_grad_(), normal(5, 3, seed=1).requires_grad_()

    assert torch.autograd.gradcheck(lambda x, y: mmd2(cubic_kernel, x, y), (x, y))


def test_in_the_features_of_a_random_network():
    for n in [2, 3, 7, 13, 40]:
        x = bars(n)
        measure = RandomNetworkKID(x, random())

        assert measure.size == n
        assert torch.isfinite(measure(x)).all()
        whitened = measure._whitened(measure.network(x))
        torch.testing.assert_close(measure.real.mean(0), torch.zeros(64), atol=1e-4, rtol=0)
        assert torch.equal(whitened.sort(0).values, measure.real.sort(0).values) or torch.allclose(
            whitened.sort(0).values, measure.real.sort(0).values, atol=1e-4
        )


def test_it_recognises_other_images():
    x = bars(400)
    measure = RandomNetworkKID(x[:200], random())

    assert abs(float(measure(x[200:]).mean())) < 0.1 * float(measure(1 - x[200:]).mean())


def test_at_most_some_images_are_used(monkeypatch):
    monkeypatch.setattr(RandomNetworkKID, "max_images", 30)
    measure = RandomNetworkKID(bars(40), random())

    assert measure.size == 30
    assert len(measure(bars(30))) == 10


def test_stalled():
    before = torch.tensor([0.5, 0.6, 0.4, 0.5])

    assert stalled(before, before)
    assert stalled(before, before + 0.1)
    assert stalled(before, before - torch.tensor([0.1, -0.1, 0.1, 0.0]))  # a fall, but within its error
    assert not stalled(before, before - torch.tensor([0.10, 0.11, 0.09, 0.10]))
