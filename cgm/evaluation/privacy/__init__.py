"""Privacy audits, which measure what rewards reveal about the rows of other parties."""

from .base import Audit, NoAudit
from .membership import Membership

__all__ = ["Audit", "Membership", "NoAudit"]
