"""The encoding of tables as points, in which they are valued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from sklearn.compose import ColumnTransformer

from cgm.data.features.base import Features, flatten_points
from cgm.data.tables.schema import Schema
from cgm.utils.settings import Choice

NUMBER_ENCODINGS = ("standardise", "quantiles")
QUANTILES = 1000


@dataclass(eq=False)
class TableEncoding(Features):
    r"""Points of a table's codes: standardised numbers, scaled one-hot vectors of categories.

    A number $x$ becomes $(x - \mu) / \sigma$, or $\sqrt{12}$ times its rank in $[0, 1]$, whose variance is 1 as well. A
    category becomes $s$ times the unit vector of its level. For a row $x$ with columns $c$, the squared exponential
    kernel is a product over the columns,

    .. math::
        k(x, x') = \exp\left(-\frac{\|z - z'\|^2}{2 \ell^2}\right) = \prod_c k_c(x_c, x'_c), \qquad
        k_c = \exp\left(-\frac{(z_c - z'_c)^2}{2 \ell^2}\right) \quad \text{or} \quad
        k_c = \begin{cases} 1 & x_c = x'_c \\ \exp(-s_c^2 / \ell^2) & x_c \neq x'_c \end{cases}

    for numbers and categories, since two different unit vectors scaled by $s$ have the squared distance $2 s^2$. Each
    factor is positive definite, and so is their product. The mean squared distance of two rows is 2 in a standardised
    column. With level shares $p_l$, it is $2 s^2 (1 - \sum_l p_l^2)$ in a category, so that

    .. math:: s = \left(1 - \sum_l p_l^2\right)^{-1/2}

    gives all columns the same weight. A missing category is a level of its own. A missing number has the code of the
    median, and an indicator that counts as a category with two levels. No entry is skipped: a kernel that compares two
    rows only in the columns that both have is not positive definite.

    The encoding is computed by scikit-learn's `ColumnTransformer`, and can be inverted: `decode`.

    Arguments:
        schema: The columns.
        numbers: `"standardise"`, or `"quantiles"` for columns with long tails.

    Raises:
        ValueError: If a setting is out of range.
    """

    section = ""  # its settings are those of `TableMediator`

    schema: Schema
    numbers: Annotated[str, Choice(NUMBER_ENCODINGS)] = "standardise"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.transformer: ColumnTransformer | None = None

    def fit(self, x: torch.Tensor, seed: int) -> TableEncoding:
        """Fit the encoding to codes x, of shape (N, p)."""

        from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

        codes = self.schema.filled(flatten_points(x, "codes to fit the encoding to", min=2)).numpy()
        sizes = self.schema.sizes
        numbers = [place for place, size in enumerate(sizes) if size == 0]
        weights: dict[str, float] = {}
        parts: list[tuple[str, Any, list[int]]] = []
        if numbers:
            scaler: Any = StandardScaler()
            if self.numbers == "quantiles":
                count = min(QUANTILES, len(codes))
                scaler = QuantileTransformer(n_quantiles=count, subsample=None)
                weights["numbers"] = np.sqrt(12)
            parts.append(("numbers", scaler, numbers))
        for place, size in enumerate(sizes):
            if size == 0:
                continue
            shares = np.bincount(codes[:, place].astype(int), minlength=size) / len(codes)
            spread = 1 - (shares**2).sum()
            weights[f"category {place}"] = 1 / np.sqrt(spread) if spread > 0 else 1.0
            encoder = OneHotEncoder(categories=[np.arange(size)], handle_unknown="ignore", sparse_output=False)
            parts.append((f"category {place}", encoder, [place]))
        self.transformer = ColumnTransformer(parts, transformer_weights=weights, sparse_threshold=0).fit(codes)

        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Encode codes of shape (N, p) as points of shape (N, d), float64."""

        x = flatten_points(x, "codes to encode", width=len(self.schema.sizes))
        codes = self.schema.filled(x).numpy()

        return torch.from_numpy(np.ascontiguousarray(self._fitted().transform(codes)))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the nearest valid codes of points z of shape (N, d), of shape (N, p), float64."""

        transformer, values = self._fitted(), z.double().cpu().numpy()
        codes = np.empty((len(values), len(self.schema.sizes)))
        for name, encoder, places in transformer.transformers_:
            part = values[:, transformer.output_indices_[name]]
            if name == "numbers":
                codes[:, places] = encoder.inverse_transform(
                    part / (transformer.transformer_weights or {}).get(name, 1)
                )
            elif name != "remainder":
                codes[:, places[0]] = part.argmax(1)

        return self.schema.nearest(torch.from_numpy(codes))

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """Return the points, of shape (N, d), of the rows that points z decode to."""

        return self.transform(self.decode(z))

    def _fitted(self) -> ColumnTransformer:
        if self.transformer is None:
            raise ValueError("TableEncoding is not fitted; call fit first")
        return self.transformer
