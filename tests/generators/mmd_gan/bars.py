"""Small images and small MMD-GANs, for the tests of the MMD-GAN."""

import torch

from cgm.generators import MMDGAN
from cgm.generators.mmd_gan.training import GANTraining

TINY = {
    "pretrained": False,
    "channels": 3,
    "latent": 5,
    "steps": 2,
    "batch_size": 8,
    "evaluate_every": 2,
    "patience": 1,
}


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def bars(n=40):
    """Images of a bright bar, upright or lying, on a dark ground."""

    x = 0.2 * torch.rand(n, 1, 8, 8, generator=random())
    x[: n // 2, :, :, 3:5] += 0.8
    x[n // 2 :, :, 3:5, :] += 0.8
    return x


def tiny(**settings):
    return MMDGAN(**{**TINY, **settings})


def training_of(gan, x, seed=0, folder=None):
    """The training of an MMD-GAN on images x."""

    return GANTraining(gan, gan.make_loss(), x, seed, folder)
