"""Settlements of parties with tables or images of their own: forms in, files out."""

from .images import ImageMediator
from .settlement import PartySettlement, Variant
from .tables import TableMediator, settle

__all__ = ["ImageMediator", "PartySettlement", "TableMediator", "Variant", "settle"]
