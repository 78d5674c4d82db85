"""Attacks: what a party hands in instead of its own data."""

from .base import Attack, Attacked, PartyAttack
from .clone import Clone
from .duplicate import Duplicate
from .free_ride import FreeRide
from .noise import Noise
from .none import NoAttack
from .poison import Poison
from .split import SplitParty

__all__ = [
    "Attack",
    "Attacked",
    "Clone",
    "Duplicate",
    "FreeRide",
    "NoAttack",
    "Noise",
    "PartyAttack",
    "Poison",
    "SplitParty",
]
