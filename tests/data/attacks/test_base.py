"""Tests of what attacks share."""

import pytest
import torch

from cgm.data.attacks import clip_images, draw_rows, gaussian


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("n", "share", "min_rows", "expected"),
    [(10, 0.5, 1, 5), (10, 0.01, 1, 1), (10, 0.01, 2, 2), (10, 1.0, 1, 10), (1, 0.5, 2, 1), (7, 0.5, 1, 4)],
)
def test_draw_rows(random, n, share, min_rows, expected):
    rows = draw_rows(n, share, random, min_rows)
    assert len(rows) == len(rows.unique()) == expected
    assert rows.tolist() == sorted(rows.tolist())
    assert rows.min() >= 0
    assert rows.max() < n


def test_all_rows_are_drawn_equally_often(random):
    times = torch.zeros(10)
    for _ in range(2000):
        times[draw_rows(10, 0.3, random)] += 1
    assert (times / 2000 - 0.3).abs().max() < 4 * (0.3 * 0.7 / 2000) ** 0.5


def test_only_images_are_limited():
    x = torch.tensor([-1.0, 0.5, 2.0])
    assert torch.equal(clip_images(x[:, None]), x[:, None])
    assert clip_images(x[:, None, None, None]).flatten().tolist() == [0, 0.5, 1]


def test_gaussian_noise_has_the_deviations_of_the_data(random):
    x = torch.tensor([[0.0, 5.0, 1.0], [2.0, 5.0, 7.0]], dtype=torch.float64)
    noise = gaussian(x, 20_000, random)
    assert noise.shape == (20_000, 3)
    assert noise.dtype == torch.float64
    torch.testing.assert_close(noise.std(0), torch.tensor([1.0, 0, 3.0]).double(), rtol=0.03, atol=0)
    torch.testing.assert_close(noise.mean(0), torch.zeros(3).double(), rtol=0, atol=0.1)
