"""Releases with differential privacy: one noisy mean embedding of each party, in place of its rows."""

from .accounting import Guarantee, compose, gaussian_epsilon, gaussian_mu

__all__ = ["Guarantee", "compose", "gaussian_epsilon", "gaussian_mu"]
