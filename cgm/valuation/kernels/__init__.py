"""Kernels on points."""

from .base import Kernel
from .laplacian import Laplacian
from .rational_quadratic import RationalQuadratic
from .squared_exponential import SquaredExponential
from .sum import Sum

__all__ = ["Kernel", "Laplacian", "RationalQuadratic", "SquaredExponential", "Sum"]
