"""The contract of a generator, and what generators share."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Units:
    """Measures each dimension from its least value, in standard deviations, and drops constant ones.

    Arguments:
        origin: The least values, of shape $(d)$.
        scale: The standard deviations, of shape $(d)$. Zero: the dimension is constant.
    """

    origin: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> "Units":
        """Takes the units from points of shape (N, d)."""

        with np.errstate(over="ignore"):
            origin, span = points.min(0), np.ptp(points, 0)
        if not np.isfinite(span).all():
            raise ValueError(f"points: dimension {int(np.argmax(span))} spans more than a float64 can hold; rescale it")
        share = (points - origin) / np.where(span > 0, span, 1.0)  # in [0, 1]: its square can't overflow

        return cls(origin, span * share.std(0, ddof=1))

    @property
    def varying(self) -> np.ndarray:
        """The dimensions that are not constant, as indices."""

        return np.flatnonzero(self.scale)

    def reduced(self, points: np.ndarray) -> np.ndarray:
        """Turns points of shape (N, d) into their varying dimensions, of unit variance."""

        return (points - self.origin)[:, self.varying] / self.scale[self.varying]

    def restored(self, z: np.ndarray) -> np.ndarray:
        """Turns varying dimensions back into points of shape (N, d)."""

        points = np.tile(self.origin, (len(z), 1))
        points[:, self.varying] += self.scale[self.varying] * z

        return points
