"""Settlements of parties with tables or images of their own: forms in, files out."""

from .images import ImageMediator
from .settlement import PartySettlement
from .tables import TableMediator, settle

__all__ = ["ImageMediator", "PartySettlement", "TableMediator", "settle"]
