"""Generators of synthetic data."""

from .base import Generator
from .check import check_generator
from .copula import Copula
from .flow import Flow
from .flow_matching import FlowMatching
from .gaussian_mixture import GaussianMixture, TrueMixture
from .kde import KDE
from .mean_embedding import MeanEmbedding
from .mmd_gan.generator import MMDGAN
from .network import NetworkGenerator
from .vae import VAE

__all__ = [
    "KDE",
    "MMDGAN",
    "VAE",
    "Copula",
    "Flow",
    "FlowMatching",
    "GaussianMixture",
    "Generator",
    "MeanEmbedding",
    "NetworkGenerator",
    "TrueMixture",
    "check_generator",
]
