"""The attack of a party that hands in noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Labelled, PartyAttack, clip_images, draw_rows, gaussian
from cgm.utils.checks import check_choice, check_number

KINDS = ("uniform", "gaussian", "shuffled")


@dataclass(frozen=True)
class Noise(PartyAttack):
    r"""A party replaces a share of its rows by noise, and keeps the real ones to itself.

    Arguments:
        party: The party that attacks, from 1.
        share: The share of its rows that are replaced.
        kind: What replaces them. `"uniform"`: uniform noise in the box of the ranges of its features. `"gaussian"`:
            Gaussian noise with the means and the standard deviations of its features; images are limited to $[0, 1]$.
            `"shuffled"`: the same rows with each feature (or pixel) permuted among them, which keeps the distribution
            of each feature and breaks their relations.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x, y = torch.tensor([[0.0, 5.0], [2.0, 9.0]]), torch.tensor([0, 1])
        >>> noise = Noise(share=1.0).apply([x], [y], seed=0).parties[0]
        >>> bool((noise >= x[0]).all() and (noise <= x[1]).all() and (noise != x).any())
        True
    """

    share: float = 0.5
    kind: str = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("attack.share", self.share, min=0, max=1, open_min=True)
        check_choice("attack.kind", self.kind, KINDS)

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the rows, a share of them replaced; the labels stay."""

        x, y = parties[self.party - 1]
        rows = draw_rows(len(x), self.share, random)
        noisy = x.clone()
        noisy[rows] = self._noise(x, rows, random)
        return [(noisy, y.clone())]

    def _noise(self, x: torch.Tensor, rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return noise in place of the rows, of shape (k, D) or (k, C, H, W)."""

        if self.kind == "gaussian":
            return clip_images(x.mean(0) + gaussian(x, len(rows), random))
        uniform = torch.rand(len(rows), *x.shape[1:], generator=random, dtype=x.dtype)
        if self.kind == "shuffled":
            return x[rows].gather(0, uniform.argsort(0))
        low, high = x.amin(0), x.amax(0)
        return low + (high - low) * uniform
