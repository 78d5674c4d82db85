r"""Rules in place of a length-scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cgm.valuation.kernels.base import Kernel
from cgm.valuation.lengthscale import LengthscaleSearch, fit_lengthscale, median_distance
from cgm.valuation.monotone_lengthscale import fit_monotone
from cgm.valuation.references.base import Reference


def resolve_lengthscale(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    search: LengthscaleSearch | None = None,
    reference: Reference | None = None,
) -> Kernel:
    r"""Replace a length-scale that is a rule, `"fit"`, `"fit_monotone"` or `"median"`, by a number.

    Arguments:
        kernel: The kernel; if its length-scale is a number, the kernel itself is returned.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        search: The range of `fit_lengthscale` and `fit_monotone`; the default range, if `None`.
        reference: The reference that values are compared with; all data, if `None`. `"median"` is that of all data.

    Raises:
        ValueError: If the rule cannot be applied to the points, see `fit_lengthscale`, `fit_monotone` and
            `median_distance`.
    """

    if kernel.lengthscale in ("fit", "fit_monotone"):
        search = search or LengthscaleSearch()
        fit = fit_lengthscale if kernel.lengthscale == "fit" else fit_monotone
        return fit(kernel, parties, synthetic, search.low, search.high, search.iterations, reference)
    if kernel.lengthscale == "median":
        return kernel.with_lengthscale(median_distance(torch.cat([*parties, synthetic])))

    return kernel
