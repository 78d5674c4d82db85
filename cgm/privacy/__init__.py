"""Releases with differential privacy: one noisy mean embedding of each party, in place of its rows."""

from .accounting import Guarantee
from .pool import ParticleFit, Particles
from .release import NoPrivacy, Privacy, Release
from .schema import SketchSchema, propose_schema
from .sketch import Sketch
from .valuation import SketchValuation

__all__ = [
    "Guarantee",
    "NoPrivacy",
    "ParticleFit",
    "Particles",
    "Privacy",
    "Release",
    "Sketch",
    "SketchSchema",
    "SketchValuation",
    "propose_schema",
]
