"""Features: the dimensions in which data is valued."""

from .ard import ARD
from .autoencoder import Autoencoder
from .automatic import Automatic
from .base import Features
from .deep import Deep
from .encoder import Encoder
from .identity import Identity
from .pca import PCA
from .umap import UMAP

__all__ = ["ARD", "PCA", "UMAP", "Autoencoder", "Automatic", "Deep", "Encoder", "Features", "Identity"]
