r"""The interface of contribution concepts: how the value of the grand coalition is shared (Sec. 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cgm.valuation.game import Game


@dataclass(frozen=True)
class Contributions:
    r"""Contributions of the parties.

    Attributes:
        phi: The contributions $\phi_i$, of shape $(n)$, float64.
        alpha: The normalised contributions $\alpha_i = \phi_i / \max_j \phi_j$.
        stderr: The standard errors of $\phi_i$; zero if the method is exact.
        method: How they were computed.
        details: What else the method reports, as numbers and strings.
        warnings: What the user should know, such as a tolerance that was not met.
    """

    phi: Tensor
    alpha: Tensor
    stderr: Tensor
    method: str
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        phi: Tensor,
        method: str,
        stderr: Tensor | None = None,
        details: Mapping[str, Any] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Contributions:
        r"""Normalise contributions $\phi$ by the largest.

        Raises:
            ValueError: If one is not finite, or if no party has a positive one, so that there is nothing to share.
        """

        phi = phi.detach().cpu().double()
        if phi.dim() != 1 or len(phi) == 0 or not torch.isfinite(phi).all():
            raise ValueError(f"contribution: expected n finite numbers, got {phi.tolist()}")
        if phi.max() <= 0:
            raise ValueError(
                f"no party has a positive contribution (the largest is {float(phi.max()):.3g}), so there is nothing to "
                "share; a larger kernel.lengthscale makes values positive"
            )

        stderr = torch.zeros_like(phi) if stderr is None else stderr
        return cls(phi, phi / phi.max(), stderr, method, details or {}, warnings)


class Contribution(ABC):
    """Base class of contribution concepts.

    A concept is a frozen dataclass of its settings with one method, `compute`.
    """

    @abstractmethod
    def compute(self, game: Game, seed: int) -> Contributions:
        r"""Compute the contributions of the parties.

        Arguments:
            game: The game that holds $v_c$.
            seed: The seed of everything random.

        Raises:
            ValueError: If the concept does not apply to the game, or no party has a positive contribution.
        """
