"""No attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Attack, Attacked, Labelled


@dataclass(frozen=True)
class NoAttack(Attack):
    """No attack: all parties hand in their data."""

    def apply(
        self, parties: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], seed: int, public: Labelled | None = None
    ) -> Attacked:
        """Return the data as it is, and no identities of an attacker."""

        return Attacked(list(parties), list(labels), ())
