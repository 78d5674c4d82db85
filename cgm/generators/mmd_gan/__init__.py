"""The MMD-GAN, a generator of images."""

from .generator import MMDGAN

__all__ = ["MMDGAN"]
