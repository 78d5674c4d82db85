"""Settlements of parties with tables, images or sketches: forms in, files out."""

from .completion import CompletedReward, complete_reward
from .images import ImageMediator
from .release import ReleasedSettlement
from .settlement import PartySettlement, Variant
from .sketches import SketchMediator, SketchSettlement
from .tables import TableMediator, settle

__all__ = [
    "CompletedReward",
    "ImageMediator",
    "PartySettlement",
    "ReleasedSettlement",
    "SketchMediator",
    "SketchSettlement",
    "TableMediator",
    "Variant",
    "complete_reward",
    "settle",
]
