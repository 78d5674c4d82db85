r"""The public schema of sketches: everything that turns a row into features, agreed before any row is looked at."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from cgm.data.tables.columns import BOUNDS, MAX_LEVELS, LevelColumn, NumberColumn
from cgm.data.tables.encoding import TableEncoding
from cgm.data.tables.kinds import ConstantColumn
from cgm.data.tables.schema import Schema, infer_schema
from cgm.privacy.accounting import UNIT
from cgm.privacy.features import Classes, Grid, Landmarks, PublicEmbedding, check_not_negative, separation
from cgm.privacy.rows import to_codes
from cgm.utils.checks import check_choice, check_integer, check_number
from cgm.utils.convert import is_frame, to_frame
from cgm.utils.files import read_plain, sha256, write_whole
from cgm.utils.shown import Shown
from cgm.utils.text import listed, shortened, suggestion
from cgm.utils.untrusted import load_yaml
from cgm.valuation.embedding import MAX_DIMENSIONS
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FORMAT = "cgm sketch schema 1"
KERNELS: dict[str, type[Kernel]] = {
    "squared_exponential": SquaredExponential,
    "rational_quadratic": RationalQuadratic,
    "laplacian": Laplacian,
}
FEATURES = ("landmarks", "fourier")
KEYS = ("format", "unit", "delta", "kernel", "columns", "dropped", "scales", "features")
LABEL = "label"  # a key of schemas with one
MAX_LANDMARKS = 4096
MAX_WIDTH = 65_536  # numbers of a sketch
DIGITS = 6  # of landmarks and scales that are proposed
RARELY = 0.1  # share of missing numbers in rows that fill the ranges
MEDIAN_ROWS = 1000  # rows whose distances are the proposed length-scale
COMMENT = """\
# What all parties agree on before anything is sketched. It is public; nothing in it may come from private rows.
# scales: what the numbers of a column are multiplied by, or what the distance of two levels is divided by √2.
# label, if there is one: the column whose levels are classes; two rows of different classes have the kernel 0.
"""


@dataclass(frozen=True, repr=False, eq=False)
class SketchSchema(Shown):
    r"""The public schema of sketches.

    A number $x$ becomes $s (x - x_{\min})$, after it was clipped to its range, and a level $s$ times a unit vector, see
    `TableEncoding`. A missing number is the schema's median, with an indicator, which is a category with two levels and
    $s = \sqrt 2$.

    With a label, rows have classes: the kernel is $k(x, x') \cdot 1[y = y']$ with the class $y$ and the other columns
    $x$, and features are released for each class. The scale of the label's unit vectors is so large that the kernel of
    two classes is 0 to rounding.

    Attributes:
        columns: The columns with their ranges and levels; not fitted to private rows.
        scales: The scale $s$ of each column.
        kernel: The kernel, with a number as its length-scale.
        landmarks: The landmarks, points of shape $(m, d)$, without the columns of the label. `None`: a Fourier grid on
            the ranges.
        delta: $\delta$ of all sketches.
        label: The column of levels that is the class of a row. `None`: rows have none.

    Raises:
        ValueError: If something is missing, or is a rule that would be fitted to rows.
    """

    columns: Schema
    scales: Mapping[str, float]
    kernel: Kernel
    landmarks: torch.Tensor | None = None
    delta: float = 1e-5
    label: str | None = None

    def __post_init__(self) -> None:
        check_number("schema: delta", self.delta, 0.0, 0.1, open_min=True)
        if isinstance(self.kernel.lengthscale, str):
            raise ValueError(
                f"schema: kernel.lengthscale={self.kernel.lengthscale}: a rule would be fitted to private rows; "
                "expected a number that all parties agree on, such as the median distance of public rows"
            )
        check_not_negative(self.kernel)
        names = [column.name for column in self.columns.columns]
        if set(self.scales) != set(names):
            lacks, more = (", ".join(sorted(x)) for x in (set(names) - set(self.scales), set(self.scales) - set(names)))
            raise ValueError(f"schema: scales: lacks {lacks or 'nothing'}, and has also {more or 'nothing'}")
        for name, scale in self.scales.items():
            check_number(f"schema: scales.{name}", scale, 0.0, open_min=True)
        for column in self.columns.columns:
            if isinstance(column, ConstantColumn):
                raise ValueError(f"schema: column {column.name} is constant: move it to dropped:, it has no effect")
            if isinstance(column, NumberColumn) and not column.minimum < column.maximum:
                raise ValueError(f"schema: column {column.name}: expected minimum < maximum")
            if isinstance(column, LevelColumn) and len(column.levels) > MAX_LEVELS:
                raise ValueError(f"schema: column {column.name}: {len(column.levels)} levels, at most {MAX_LEVELS}")
        width = self.dimensions
        if self.label is not None:
            width -= self._check_label()
        if self.landmarks is not None:
            if self.landmarks.dim() != 2 or self.landmarks.shape[1] != width:
                raise ValueError(
                    f"schema: landmarks of shape {tuple(self.landmarks.shape)}; expected (m, {width}), "
                    "points as columns and scales encode them"
                )
            check_integer("schema: number of landmarks", len(self.landmarks), 1, MAX_LANDMARKS)
            if not torch.isfinite(self.landmarks).all():
                raise ValueError("schema: landmarks must be finite numbers")

    def _check_label(self) -> int:
        """Check the label, and return the number of its levels."""

        assert self.label is not None
        levels = _levels_of_label(self.label, self.columns)
        if len(self.columns.columns) < 2:
            raise ValueError(f"schema: label={self.label}: expected another column beside it")
        if not self.scales[self.label] >= (least := separation(self.kernel)):
            raise ValueError(
                f"schema: scales.{self.label}={self.scales[self.label]:g}: expected {least:g} or more for a label, so "
                "that rows of two classes have nothing in common"
            )
        return levels

    @cached_property
    def label_slice(self) -> slice:
        """The columns of points that have the label's unit vector; none without a label."""

        parts = zip(self.columns.columns, self.columns.slices, strict=True)
        start = next((part.start for column, part in parts if column.name == self.label), None)
        return next((where for place, where in self.encoding.levels if place == start), slice(0, 0))

    def with_classes(self, points: torch.Tensor) -> torch.Tensor:
        """Return points without the columns of the label, such as landmarks, once with each class."""

        where = self.label_slice
        scale = 1.0 if self.label is None else self.scales[self.label]
        unit = scale * torch.eye(where.stop - where.start, dtype=torch.float64)
        parts = [
            torch.cat([points[:, : where.start], row.expand(len(points), -1), points[:, where.start :]], 1)
            for row in unit
        ]
        return torch.cat(parts) if parts else points

    @property
    def dimensions(self) -> int:
        """The number of dimensions $d$ of encoded rows."""

        return sum(max(size, 1) for size in self.columns.sizes)

    @cached_property
    def encoding(self) -> TableEncoding:
        """The encoding of codes as points, by the scales."""

        from sklearn.preprocessing import StandardScaler

        encoding = TableEncoding(self.columns)
        places = {part.start: column for column, part in zip(self.columns.columns, self.columns.slices, strict=True)}
        numbers = [places[place] for place in encoding.places]
        encoding.centre = np.zeros(len(numbers))
        if numbers:
            scaler = encoding.scaler = StandardScaler(copy=False)
            scaler.mean_ = np.array([column.minimum for column in numbers])  # type: ignore[attr-defined]
            scaler.scale_ = 1 / np.array([self.scales[column.name] for column in numbers])
            scaler.var_, scaler.n_features_in_ = scaler.scale_**2, len(numbers)
        encoding.scales = {
            place: self.scales[places[place].name] if place in places else np.sqrt(2) for place, _ in encoding.levels
        }
        return encoding

    @cached_property
    def embedding(self) -> PublicEmbedding:
        """The features of points."""

        where = self.label_slice
        if self.landmarks is not None:
            base: PublicEmbedding = Landmarks(self.kernel, self.landmarks)
        else:
            corners, width = self.corners(), self.dimensions - (where.stop - where.start)
            if width > MAX_DIMENSIONS:
                raise ValueError(
                    f"schema: features=fourier: encoded rows have {width} numbers, and a grid is for up to "
                    f"{MAX_DIMENSIONS}; say features=landmarks"
                )
            base = Grid(self.kernel, torch.cat([corners[:, : where.start], corners[:, where.stop :]], 1))
        embedding = base if self.label is None else Classes(base, where)
        if embedding.width > MAX_WIDTH:
            raise ValueError(
                f"schema: a sketch would have {embedding.width:,} numbers, at most {MAX_WIDTH:,}; fewer landmarks or "
                "levels of the label, landmarks in place of a Fourier grid, narrower ranges, or a larger length-scale "
                "help"
            )
        return embedding

    def encode(self, table: pd.DataFrame, name: str = "the table") -> torch.Tensor:
        r"""Encode the rows of a table as points, of shape (N, d), each row by itself.

        Arguments:
            table: The table, with the columns of the schema.
            name: Its name in errors.

        Raises:
            ValueError: If columns differ, or a cell is not what the schema says; the message names column and row.
        """

        if not is_frame(table):
            raise ValueError(f"{name}: expected a table with the columns of the schema, got {type(table).__name__}")
        table = to_frame(table)
        return self.encoding.transform(to_codes(self.columns, table, name))

    def decode(self, points: torch.Tensor) -> pd.DataFrame:
        """Return the table of the rows that are nearest to points of shape (N, d)."""

        return self.columns.to_table(self.encoding.decode(points))

    def uniform(self, count: int) -> torch.Tensor:
        r"""Return rows that fill the ranges and levels evenly, as points of shape (count, d): public, and no draws."""

        from scipy.stats import qmc

        sizes = self.columns.sizes
        unit = qmc.Halton(len(sizes), scramble=True, rng=np.random.default_rng(0)).random(count)
        codes, low, high = np.empty_like(unit), *self._ranges()
        indicators = {part.start + 1 for part in self.columns.slices if part.stop - part.start == 2}
        for place, size in enumerate(sizes):
            u = unit[:, place]
            if place in indicators:
                codes[:, place] = u < RARELY
            else:
                codes[:, place] = np.floor(u * size) if size else low[place] + u * (high[place] - low[place])
        for column, part in zip(self.columns.columns, self.columns.slices, strict=True):
            codes[:, part] = column.nearest(codes[:, part])
        return self.encoding.transform(torch.from_numpy(codes))

    def _ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest and largest codes."""

        low, high = np.zeros(len(self.columns.sizes)), np.ones(len(self.columns.sizes))
        for column, part in zip(self.columns.columns, self.columns.slices, strict=True):
            if isinstance(column, NumberColumn):
                low[part.start], high[part.start] = column.minimum, column.maximum
        return low, high

    def corners(self) -> torch.Tensor:
        """Return two points between which all rows lie, of shape (2, d)."""

        low, high = self._ranges()
        numbers = [(high - low)[place] * 1.0 for place in self.encoding.places]
        names = [
            c.name
            for c, p in zip(self.columns.columns, self.columns.slices, strict=True)
            if p.start in self.encoding.places
        ]
        top = [gap * self.scales[name] for gap, name in zip(numbers, names, strict=True)]
        for place, where in self.encoding.levels:
            top += [self.encoding.scales[place]] * (where.stop - where.start)
        return torch.tensor([[0.0] * len(top), top], dtype=torch.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, for a YAML file."""

        kernel: dict[str, Any] = _kernel_to_dict(self.kernel)
        columns = {
            column.name: {k: float(x) if k in BOUNDS and not column.dates else x for k, x in plain.items()}
            for column in self.columns.columns
            for plain in (column.to_dict(),)
        }
        features: dict[str, Any] = {"kind": "fourier"}
        if self.landmarks is not None:
            features = {"kind": "landmarks", "points": self.landmarks.double().tolist()}
        return {
            "format": FORMAT,
            "unit": UNIT,
            "delta": float(self.delta),
            "kernel": kernel,
            "columns": columns,
            "dropped": dict(self.columns.dropped),
            "scales": {column.name: float(self.scales[column.name]) for column in self.columns.columns},
            **({} if self.label is None else {LABEL: self.label}),
            "features": features,
        }

    @classmethod
    def from_dict(cls, values: Any) -> SketchSchema:
        """Return the schema that `to_dict` has written.

        Raises:
            ValueError: If values are missing, unknown, or of another type.
        """

        has_label = isinstance(values, Mapping) and LABEL in values
        _check_keys("schema", values, (*KEYS, LABEL) if has_label else KEYS)
        if has_label and not isinstance(values[LABEL], str):
            raise ValueError("schema: label: expected the name of a column")
        if values["format"] != FORMAT:
            raise ValueError(f"schema: format={shortened(str(values['format']), 60)}: expected {FORMAT}")
        if values["unit"] != UNIT:
            raise ValueError(f"schema: unit={shortened(str(values['unit']), 60)}: expected {UNIT!r}, the only one")
        columns = Schema.from_dict({"columns": values["columns"], "dropped": values["dropped"]})
        features = values["features"]
        kind = features.get("kind") if isinstance(features, Mapping) else None
        check_choice("schema: features.kind", kind, FEATURES)
        _check_keys("schema: features", features, ("kind", "points") if kind == "landmarks" else ("kind",))
        landmarks = _points(features["points"]) if kind == "landmarks" else None
        if not isinstance(values["scales"], Mapping):
            raise ValueError("schema: scales: expected a number for each column")
        scales = {str(name): scale for name, scale in values["scales"].items()}
        return cls(columns, scales, _kernel_from_dict(values["kernel"]), landmarks, values["delta"], values.get(LABEL))

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the schema's JSON text with sorted keys and no spaces: of its content, not of its file."""

        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return sha256(text.encode())

    def write(self, path: str | Path) -> Path:
        """Write the file of the schema."""

        text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        write_whole(path, (COMMENT + text).encode())
        return Path(path)

    @classmethod
    def read(cls, path: str | Path) -> SketchSchema:
        """Read the file of a schema, YAML or JSON.

        Raises:
            ValueError: If it is not one; the message names the file.
        """

        try:
            text = read_plain(path, links=True).decode()
            # in YAML, the JSON number 1e-05 would be text
            return cls.from_dict(json.loads(text) if text.lstrip().startswith("{") else load_yaml(text))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error

    def to_frame(self) -> pd.DataFrame:
        """Return the columns as a table of pandas: `column`, `kind`, `missing`, `values`, `scale`."""

        frame = self.columns.to_frame()
        return frame.assign(scale=[self.scales.get(name) for name in frame["column"]])

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        kind = "a Fourier grid" if self.landmarks is None else f"{len(self.landmarks):,} landmarks"
        of_class = "" if self.label is None else f" for each class of {self.label}"
        head = f"SketchSchema: {self.kernel!r}, {kind}{of_class}, delta={self.delta:g}, digest {self.digest[:12]}"
        return head, self.to_frame(), ""


def propose_schema(
    public: pd.DataFrame | None = None,
    columns: Mapping[str, Any] | None = None,
    kernel: Kernel | str | None = None,
    landmarks: int = 512,
    features: str = "landmarks",
    delta: float = 1e-5,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    label: str | None = None,
) -> SketchSchema:
    r"""Propose a schema from public rows, from a description of the columns, or from both.

    Arguments:
        public: Rows that anybody may see. Ranges, levels, scales (one standard deviation becomes 1), length-scale
            (the median distance of two rows) and half of the landmarks are from them.
        columns: The description, kind and range or levels of each column, as in `Schema.to_dict`. Without public rows,
            scales are those of even distributions, and so are landmarks.
        kernel: The kernel, or its name; the length-scale `"median"` is replaced by a number. `None`: the squared
            exponential kernel.
        landmarks: The number of landmarks.
        features: `"landmarks"`, or `"fourier"` for squared exponential kernels in up to three dimensions.
        delta: $\delta$.
        categorical: Columns of the public rows to treat as categories.
        drop: Columns of the public rows to leave out.
        label: The column that is the class of a row, see `SketchSchema`; its scale is chosen so that classes are apart.

    Raises:
        ValueError: If there is neither, or if they do not belong together.
    """

    check_choice("features", features, FEATURES)
    check_integer("landmarks", landmarks, 1, MAX_LANDMARKS)
    if isinstance(kernel, str):
        check_choice("kernel", kernel, tuple(KERNELS))
        kernel = KERNELS[kernel]("median")
    kernel = kernel or SquaredExponential("median")
    if kernel.lengthscale not in ("median",) and isinstance(kernel.lengthscale, str):
        raise ValueError(
            f"kernel.lengthscale={kernel.lengthscale}: is fitted to the parties' rows; say a number, or median, "
            "which is that of public rows"
        )
    if columns is not None:
        table = Schema.from_dict({"columns": columns, "dropped": dict.fromkeys(drop, "drop")})
    elif public is not None:
        table, _ = infer_schema({"the public rows": public}, categorical=categorical, drop=drop)
        constant = {c.name: "constant" for c in table.columns if isinstance(c, ConstantColumn)}
        table = Schema(tuple(c for c in table.columns if c.name not in constant), {**table.dropped, **constant})
    else:
        raise ValueError("cgm schema needs public=FILE with public rows, or columns=FILE with a description of columns")
    even = SketchSchema(table, {c.name: _even_scale(c) for c in table.columns}, kernel.with_lengthscale(1.0))
    schema = even
    if public is not None:
        codes = to_codes(table, public, "the public rows")
        fitted = TableEncoding(table).fit(codes, seed=0)
        places = [part.start for part in table.slices]
        scales = {}
        for column, place in zip(table.columns, places, strict=True):
            if place in fitted.scales:
                scales[column.name] = _rounded(fitted.scales[place])
            else:
                scales[column.name] = _rounded(1 / float(fitted.scaler.scale_[fitted.places.index(place)]))
        schema = SketchSchema(table, scales, kernel.with_lengthscale(1.0))
    if label is not None:
        _levels_of_label(label, table)
    apart = SketchSchema(table, dict(schema.scales) | _apart(label, schema.kernel), schema.kernel, None, delta, label)
    where = apart.label_slice

    def without_label(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, : where.start], x[:, where.stop :]], 1)

    points = without_label(schema.uniform(landmarks))
    rows = points
    if public is not None:
        rows = without_label(schema.encode(public, "the public rows"))
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        half = rows[order[: landmarks - landmarks // 2]]
        points = torch.cat([half, points[: landmarks - len(half)]]).unique(dim=0)
    lengthscale = kernel.lengthscale
    if lengthscale == "median":
        distances = torch.pdist(rows[:MEDIAN_ROWS]) if public is None else torch.pdist(rows[order[:MEDIAN_ROWS]])
        lengthscale = _rounded(float(distances.median()))
    points = torch.tensor([[_rounded(x) for x in row] for row in points.tolist()], dtype=torch.float64)
    chosen = points if features == "landmarks" else None
    scaled = kernel.with_lengthscale(lengthscale)
    return SketchSchema(table, dict(schema.scales) | _apart(label, scaled), scaled, chosen, delta, label)


def _levels_of_label(label: str, table: Schema) -> int:
    """Return the number of levels of a label; a ValueError, if it is no column of levels."""

    levels = {column.name: column.sizes[0] for column in table.columns if isinstance(column, LevelColumn)}
    if label not in levels:
        near = suggestion(label, list(levels))
        raise ValueError(f"schema: label={label}: expected a column of levels, {listed(list(levels)) or 'none'}{near}")
    return levels[label]


def _apart(label: str | None, kernel: Kernel) -> dict[str, float]:
    """Return the scale of a label, if there is one."""

    return {} if label is None else {label: separation(kernel)}


def _even_scale(column: Any) -> float:
    """Return the scale with which an even distribution of a column has the variance 1."""

    if isinstance(column, NumberColumn):
        return _rounded(np.sqrt(12) / max(column.maximum - column.minimum, 1e-300))
    levels = column.sizes[0]
    return _rounded(1 / np.sqrt(1 - 1 / levels)) if levels > 1 else 1.0


def _rounded(x: float) -> float:
    return float(f"{x:.{DIGITS}g}")


def _check_keys(name: str, values: Any, keys: Sequence[str]) -> None:
    """Check that values are a mapping with these keys."""

    if not isinstance(values, Mapping) or set(values) != set(keys):
        has = shortened(", ".join(map(str, values)), 100) if isinstance(values, Mapping) else type(values).__name__
        raise ValueError(f"{name}: expected {', '.join(keys)}; got {has or 'nothing'}")


def _kernel_to_dict(kernel: Kernel) -> dict[str, Any]:
    """Return a kernel as plain values."""

    if isinstance(kernel, Sum):
        return {"name": "sum", "lengthscale": kernel.lengthscale, "kernels": [*map(_kernel_to_dict, kernel.kernels)]}
    name = next(name for name, kind in KERNELS.items() if kind is type(kernel))
    return {"name": name, **{f.name: getattr(kernel, f.name) for f in fields(kernel)}}


def _kernel_from_dict(values: Any, inner: bool = False) -> Kernel:
    """Return the kernel of plain values."""

    names = tuple(KERNELS) if inner else (*KERNELS, "sum")
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise ValueError(f"schema: kernel: expected name, one of {', '.join(names)}, and lengthscale")
    check_choice("schema: kernel.name", values["name"], names)
    if values["name"] == "sum":
        _check_keys("schema: kernel", values, ("name", "lengthscale", "kernels"))
        if not isinstance(values["kernels"], list) or not 1 <= len(values["kernels"]) <= 16:
            raise ValueError("schema: kernel.kernels: expected a list of 1 to 16 kernels")
        return Sum([_kernel_from_dict(part, inner=True) for part in values["kernels"]], values["lengthscale"])
    kind = KERNELS[values["name"]]
    _check_keys("schema: kernel", values, ("name", *(f.name for f in fields(kind))))
    return kind(**{f.name: values[f.name] for f in fields(kind)})


def _points(values: Any) -> torch.Tensor:
    """Return landmarks of a file as a tensor."""

    is_table = isinstance(values, list) and values and all(isinstance(row, list) for row in values)
    if not is_table or len({len(row) for row in values}) != 1 or len(values) > MAX_LANDMARKS:
        raise ValueError(f"schema: features.points: expected up to {MAX_LANDMARKS} lists of as many numbers")
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for row in values for x in row):
        raise ValueError("schema: features.points: expected numbers")
    return torch.tensor([[float(x) for x in row] for row in values], dtype=torch.float64)
