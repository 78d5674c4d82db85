"""Privacy audits, which measure what rewards reveal about the rows of other parties."""

from .base import Audit, NoAudit
from .cells import AllAttacks, CellAttacks
from .membership import Membership

__all__ = ["AllAttacks", "Audit", "CellAttacks", "Membership", "NoAudit"]
