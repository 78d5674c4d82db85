"""Settlements of parties with tables or images of their own: forms in, files out."""

from cgm.settlements.images import ImageMediator, ImageSettlement
from cgm.settlements.tables import TableMediator, TableSettlement, settle

__all__ = ["ImageMediator", "ImageSettlement", "TableMediator", "TableSettlement", "settle"]
