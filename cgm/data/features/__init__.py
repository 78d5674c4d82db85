"""Features: the dimensions in which data is valued."""

from .autoencoder import Autoencoder
from .automatic import Automatic
from .base import Features
from .encoder import Encoder
from .identity import Identity
from .pca import PCA
from .umap import UMAP

__all__ = ["PCA", "UMAP", "Autoencoder", "Automatic", "Encoder", "Features", "Identity"]
