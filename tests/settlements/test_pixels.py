"""Images of 8 bits, drawn by generators of features or of images."""

import pytest
import torch

from cgm.data.features import PCA, Identity
from cgm.data.features.umap import UMAP
from cgm.generators import KDE
from cgm.generators.mmd_gan import MMDGAN
from cgm.settlements.images import Pixels

X = torch.rand(60, 1, 6, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "generator", [KDE(), MMDGAN(pretrained=False, channels=2, steps=1, batch_size=4)], ids=lambda g: type(g).__name__
)
def test_pixels_are_whole_bytes_of_the_seed(generator):
    drawn = Pixels(generator, PCA(components=4).fit(X, seed=0)).fit(X, seed=1)
    sample = drawn.sample(20, seed=2)
    assert sample.shape == (20, 1, 6, 5)
    assert torch.equal(sample, (255 * sample).round() / 255)
    assert torch.equal(sample, drawn.sample(20, seed=2))
    assert 0 <= sample.min() < sample.max() <= 1


def test_a_generator_of_features_follows_their_decoder():
    features = PCA(components=30).fit(X, seed=0)  # all directions: nothing is lost
    assert torch.allclose(features.decode(features.transform(X)), X.flatten(1).double(), atol=1e-9)
    sample = Pixels(KDE(bandwidth=1e-6), features).fit(X, seed=1).sample(20, seed=2)
    nearest = torch.cdist(sample.flatten(1), X.flatten(1)).min(1).values
    assert float(nearest.max()) < 0.5 / 255 * 30**0.5 + 1e-4


def test_features_without_a_decoder_are_refused():
    for features in (UMAP(), Identity()):
        with pytest.raises(ValueError, match=r"features of the class \w+; use generator=mmd_gan, or features=auto"):
            features.decode(torch.zeros(1, 2))
