"""Privacy audits, which measure what rewards reveal about the rows of other parties."""

from .base import Audit
from .membership import Membership
from .none import NoAudit

__all__ = ["Audit", "Membership", "NoAudit"]
