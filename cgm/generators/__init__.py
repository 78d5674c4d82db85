"""Generators of synthetic data."""

from .base import Generator
from .check import check_generator
from .gaussian_mixture import GaussianMixture
from .kde import KDE
from .mmd_gan import MMDGAN
from .true_mixture import TrueMixture

__all__ = ["KDE", "MMDGAN", "GaussianMixture", "Generator", "TrueMixture", "check_generator"]
