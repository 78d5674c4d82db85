import torch

from cgm.data.features import Identity

POINTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 6.0))
IMAGES = torch.rand(30, 2, 3, 4, generator=torch.Generator().manual_seed(0))


def test_points_stay_and_flattens_images():
    assert torch.equal(Identity().fit(POINTS, seed=0).transform(POINTS), POINTS.double())
    assert torch.equal(Identity().fit(IMAGES, seed=0).transform(IMAGES), IMAGES.double().reshape(30, 24))
