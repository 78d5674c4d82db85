"""Reference datasets: the data that values compare with (Sec. 3)."""

from .all import AllReference
from .base import Reference
from .leave_one_out import LeaveOneOutReference
from .pool import PoolReference
from .real import RealReference

__all__ = ["AllReference", "LeaveOneOutReference", "PoolReference", "RealReference", "Reference"]
