"""Standard deviations as units of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Units:
    """Coordinates in which each dimension has minimum zero and unit variance, and constant dimensions are left out.

    Arguments:
        origin: The minima, of shape $(d)$.
        scale: The standard deviations, of shape $(d)$; zero for a constant dimension.
    """

    origin: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> Units:
        """Compute the units of points of shape (N, d)."""

        with np.errstate(over="ignore"):
            origin, span = points.min(0), np.ptp(points, 0)
        if not np.isfinite(span).all():
            raise ValueError(f"points: dimension {int(np.argmax(span))} spans more than a float64 can hold; rescale it")
        share = (points - origin) / np.where(span > 0, span, 1.0)  # in [0, 1]: its square cannot overflow

        return cls(origin, span * share.std(0, ddof=1))

    @property
    def varying(self) -> np.ndarray:
        """The indices of the dimensions that are not constant."""

        return np.flatnonzero(self.scale)

    def reduced(self, points: np.ndarray) -> np.ndarray:
        """Convert points of shape (N, d) to their varying dimensions in these units, of shape (N, v)."""

        return (points - self.origin)[:, self.varying] / self.scale[self.varying]

    def restored(self, z: np.ndarray) -> np.ndarray:
        """Convert varying dimensions of shape (N, v) back to points of shape (N, d)."""

        points = np.tile(self.origin, (len(z), 1))
        points[:, self.varying] += self.scale[self.varying] * z

        return points
