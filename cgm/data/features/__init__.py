"""Features: the dimensions in which data is valued."""

from .autoencoder import Autoencoder
from .automatic import Automatic
from .base import Features
from .identity import Identity
from .pca import PCA
from .umap import UMAP

__all__ = ["PCA", "UMAP", "Autoencoder", "Automatic", "Features", "Identity"]
