"""Releases with differential privacy: one noisy mean embedding of each party, in place of its rows."""

from .accounting import Guarantee, compose, gaussian_epsilon, gaussian_mu
from .schema import SketchSchema, propose_schema
from .sketch import Sketch
from .valuation import SketchValuation

__all__ = [
    "Guarantee",
    "Sketch",
    "SketchSchema",
    "SketchValuation",
    "compose",
    "gaussian_epsilon",
    "gaussian_mu",
    "propose_schema",
]
