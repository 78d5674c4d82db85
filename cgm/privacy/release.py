r"""How the mediator protects the rows that it holds from what it releases: the group `privacy`.

With `Release`, the mediator has the rows (the central model of differential privacy), but computes what others see
from one sketch of each party, see `cgm.privacy.sketch`. The rows of a party are used exactly for its own reward alone.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cgm.privacy.accounting import MAX_EPSILON, RATES, UNIT
from cgm.privacy.schema import MAX_LANDMARKS
from cgm.privacy.sketch import Sketch
from cgm.privacy.valuation import PRICES
from cgm.utils.settings import Choice, Integer, Listed, Number, Settings, Text

Epsilon = Number(min=0, max=MAX_EPSILON, open_min=True)
NO_REPLAY = "the noise came from the operating system: no seed draws it again, and another run is another release"


class Privacy(Settings, ABC):
    """Base class of the ways to protect the rows of parties from each other."""

    section = "privacy"


@dataclass(frozen=True)
class NoPrivacy(Privacy):
    """Rewards that are computed from the rows themselves, without a guarantee."""


@dataclass(frozen=True)
class Release(Privacy):
    r"""Rewards of which all that reaches other parties follows from one sketch of each party.

    Arguments:
        epsilon: $\varepsilon$: a number, or one for each party, in their order.
        delta: $\delta$, less than one divided by the number of rows of a party.
        landmarks: The number of landmarks, which are public rows.
        price: `"none"`: noise costs a party nothing in expectation; `"bias"`: values fall with privacy.
        public: Rows that nobody owns, to which features, length-scale and landmarks are fitted. Of an experiment: the
            share of the dataset's held-out rows that is public; the others are for evaluation. Of tables: the file of
            public rows, or of a schema as `cgm schema` writes.
        pool: What $G$ follows: `"sketches"`, particles that are fitted to all sketches, or `"public"`, a generator that
            is fitted to the public rows, which may be any.
        draws: The number of draws of noise from which standard errors are computed.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> Release(epsilon=[1, 3]).epsilons(2)
        [1.0, 3.0]
    """

    epsilon: Annotated[float, Epsilon] | Annotated[list, Listed(Epsilon, min=1)] = 1.0
    delta: Annotated[float, Number(min=0, max=0.1, open_min=True)] = 1e-5
    landmarks: Annotated[int, Integer(min=1, max=MAX_LANDMARKS)] = 512
    price: Annotated[str, Choice(PRICES)] = "none"
    public: Annotated[float, Number(min=0, max=1, open_min=True, open_max=True)] | Annotated[str, Text(path=True)] = 0.5
    pool: Literal["sketches", "public"] = "sketches"
    draws: Annotated[int, Integer(min=2)] | None = None

    def epsilons(self, n: int) -> list[float]:
        r"""Return $\varepsilon$ of each of n parties.

        Raises:
            ValueError: If there is another number of them.
        """

        given = self.epsilon if isinstance(self.epsilon, list | tuple) else [self.epsilon] * n
        if len(given) != n:
            raise ValueError(f"privacy.epsilon={list(given)}: expected a number, or one for each of {n} parties")
        return [float(epsilon) for epsilon in given]


def guarantee_of(sketch: Sketch) -> dict[str, Any]:
    """Return what is guaranteed to the party of a sketch, as plain values."""

    given = sketch.guarantee
    return {
        "epsilon": sketch.epsilon,
        "delta": sketch.schema.delta,
        "mu": given.mu,
        "unit": UNIT,
        "max_auc": given.auc,
        "max_true_positives": {f"{rate:g}": given.true_positives(rate) for rate in RATES},
        "in_words": given.in_words(),
    }
