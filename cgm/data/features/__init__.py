"""Features: the dimensions in which data is valued."""

from .autoencoder import Autoencoder, Automatic
from .base import Features, Identity
from .deep import Deep
from .encoder import Encoder
from .linear import ARD, PCA
from .umap import UMAP

__all__ = ["ARD", "PCA", "UMAP", "Autoencoder", "Automatic", "Deep", "Encoder", "Features", "Identity"]
