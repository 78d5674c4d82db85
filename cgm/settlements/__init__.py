"""Settlements of parties with tables or images: from their data to rewards of the same form."""

from cgm.settlements.images import ImageMediator, ImageSettlement
from cgm.settlements.tables import TableMediator, TableSettlement, settle

__all__ = ["ImageMediator", "ImageSettlement", "TableMediator", "TableSettlement", "settle"]
