import pytest
import torch

from cgm.data.features import Autoencoder, Automatic, Identity

IMAGES = torch.rand(30, 2, 3, 4, generator=torch.Generator().manual_seed(0))


def test_the_kind_of_the_data_determines_the_features():
    assert type(Automatic(3).choose(IMAGES)) is Autoencoder
    assert Automatic(3).choose(IMAGES).components == 3
    assert type(Automatic().choose(torch.zeros(3, 2))) is Identity
    with pytest.raises(ValueError, match=r"features\.components=0"):
        Automatic(0)
