r"""Sketches: the noisy mean embedding of a party's rows, in one small file.

A sketch releases $\tilde S = \sum_{x \in D_i} \psi(x) + z$, with features that are rounded to a grid with the step
$h = 2^{-20}$ and discrete Gaussian noise $z$ on the same grid, whose standard deviation in each coordinate is
$c_i = \Delta / \mu$. Everything that is computed from sketches, the values of coalitions, rewards and reports, is then
private as well, whoever computes it.

The file is in the safetensors format, with one tensor of whole numbers and a header of JSON. The header has what the
sketch does not follow from the rows: the name of the party, the number of rows, $\varepsilon$, and the digest of the
schema. It has no digest of the rows: by it, guesses of them could be confirmed. It may be signed: then the header has
the party's public key, and the signature beside it is that of the header and the numbers.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cgm.privacy.accounting import MAX_EPSILON, UNIT, Guarantee
from cgm.privacy.features import SLACK, rounded_sums, sensitivity
from cgm.privacy.noise import noise
from cgm.privacy.schema import SketchSchema
from cgm.utils.checks import check_integer, check_number, check_points
from cgm.utils.files import read_plain, write_whole
from cgm.utils.shown import Shown
from cgm.utils.signing import PUBLIC, is_signed, public_key
from cgm.utils.text import printable, shortened

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "cgm sketch 1"
STEP = 2.0**-20  # of the grid
TENSOR = "sums"
KEYS = ("format", "party", "rows", "epsilon", "schema")
KEY = "public_key"  # of a sketch that is signed, in the header as well
MAX_NAME = 200  # characters of the name of a party
MAX_ROWS = 2**40
MAX_HEADER = 10_000  # bytes
WEAK = 0.9  # area under the ROC curve of an attack, above which a guarantee protects hardly anything
FEW_ROWS = 500  # below which sketches with ε <= 1 say little
SUFFIX = ".sketch"


@dataclass(frozen=True, repr=False, eq=False)
class Sketch(Shown):
    r"""The noisy sum of the features of a party's rows.

    Arguments:
        schema: The public schema.
        party: The name of the party.
        rows: The number of rows $N_i$, which is public.
        epsilon: $\varepsilon$ of this release, with the schema's $\delta$.
        released: What was released: the sums of the rounded features with noise, in steps of the grid, int64.
        public_key, signature: The Ed25519 key by which it is signed, and the signature, in hexadecimal digits; empty,
            if it is not signed. They are verified when a file is read.

    Raises:
        ValueError: If something is out of range.
    """

    schema: SketchSchema
    party: str
    rows: int
    epsilon: float
    released: torch.Tensor
    public_key: str = ""
    signature: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.party, str) or not 0 < len(self.party) <= MAX_NAME:
            raise ValueError(f"sketch: party: expected a name of up to {MAX_NAME} characters")
        check_integer("sketch: rows", self.rows, 2, MAX_ROWS)
        check_number("sketch: epsilon", self.epsilon, 0.0, MAX_EPSILON, open_min=True)
        width = self.schema.embedding.released_width
        if self.released.shape != (width,) or self.released.dtype != torch.int64:
            raise ValueError(f"sketch: {len(self.released)} numbers, but the schema's features have {width}")
        norm = float(self.released.double().norm()) * STEP
        bound = math.sqrt(self.schema.kernel.diagonal) * (1 + SLACK) + math.sqrt(width) * STEP
        if norm > self.rows * bound + self.noise * (math.sqrt(width) + 10):
            raise ValueError(
                f"sketch of {printable(self.party)}: its norm is {norm:.4g}, more than features of {self.rows} "
                "rows and noise can have; it was not made from rows by this schema"
            )

    @classmethod
    def draw(cls, schema: SketchSchema, rows: pd.DataFrame, party: str, epsilon: float) -> Sketch:
        r"""Sketch a table. Each call draws other noise, and is another release: see `compose`.

        Arguments:
            schema: The public schema.
            rows: The table, see `SketchSchema.encode`.
            party: The name of the party.
            epsilon: $\varepsilon$.

        Raises:
            ValueError: If the table does not fit the schema.
        """

        return cls.of_points(schema, schema.encode(rows, party), party, epsilon)

    @classmethod
    def of_points(cls, schema: SketchSchema, points: torch.Tensor, party: str, epsilon: float) -> Sketch:
        """Sketch rows that the schema has encoded as points, of shape (N, d), each between its ranges."""

        check_number("epsilon", epsilon, 0.0, MAX_EPSILON, open_min=True)
        points = check_points(points, party, schema.dimensions, min=2)
        sums = rounded_sums(schema.embedding, points, STEP)
        sigma = _sigma(schema, epsilon)
        released = sums + torch.tensor(noise(len(sums), sigma), dtype=torch.int64)
        return cls(schema, party, len(points), float(epsilon), released)

    @cached_property
    def guarantee(self) -> Guarantee:
        """What is guaranteed to the party, if this is the only release of its rows."""

        return Guarantee.of(self.epsilon, self.schema.delta)

    @cached_property
    def noise(self) -> float:
        r"""The standard deviation $c_i$ of the noise in each coordinate of the sum."""

        return _sigma(self.schema, self.epsilon) * STEP

    @cached_property
    def sums(self) -> torch.Tensor:
        r"""The noisy sum $\tilde S_i$ in the coordinates of the embedding, of shape (D), float64."""

        return self.schema.embedding.receive(self.released.double() * STEP)

    @property
    def mean(self) -> torch.Tensor:
        r"""The noisy mean embedding $\tilde \mu_i$, of shape (D), float64."""

        return self.sums / self.rows

    def to_bytes(self) -> bytes:
        """Return the content of the file."""

        header, data = self._parts()
        described = {"dtype": "I64", "shape": [len(self.released)], "data_offsets": [0, len(data)]}
        metadata = {"sketch": header, **({"signature": self.signature} if self.signature else {})}
        text = json.dumps({"__metadata__": metadata, TENSOR: described}).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data

    def _parts(self) -> tuple[str, bytes]:
        """Return the text of the header, and the bytes of the numbers."""

        header = {
            "format": FORMAT,
            "party": self.party,
            "rows": self.rows,
            "epsilon": self.epsilon,
            "schema": self.schema.digest,
            **({KEY: self.public_key} if self.public_key else {}),
        }
        return json.dumps(header), self.released.numpy().astype("<i8").tobytes()

    @property
    def _message(self) -> bytes:
        """What is signed."""

        header, data = self._parts()
        return header.encode() + b"\n" + data

    def signed(self, private: Any) -> Sketch:
        """Return the sketch with a signature.

        Arguments:
            private: The private key, see `read_key` in `cgm.utils.signing`.
        """

        named = replace(self, public_key=public_key(private))
        return replace(named, signature=private.sign(named._message).hex())

    def write(self, path: str | Path) -> Path:
        """Write the file."""

        write_whole(path, self.to_bytes())
        return Path(path)

    @classmethod
    def read(cls, path: str | Path, schema: SketchSchema) -> Sketch:
        """Read the file of a sketch, which may come from anybody.

        Arguments:
            path: The file.
            schema: The schema that the sketch must have been made by.

        Raises:
            ValueError: If it is no sketch, is damaged, was made by another schema, or has a signature that is not its
                own; the message names the file.
            ImportError: If it is signed and cryptography is not installed.
        """

        try:
            return cls.from_bytes(read_plain(path), schema)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_bytes(cls, content: bytes, schema: SketchSchema) -> Sketch:
        """Return the sketch of the content of a file, see `read`."""

        header, signature, released = _parse(content)
        if header["schema"] != schema.digest:
            raise ValueError(
                f"sketch by the schema {shortened(printable(str(header['schema'])), 16)}, expected "
                f"{schema.digest[:12]}...: all parties need the same schema"
            )
        public = header.get(KEY, "")
        made = cls(schema, header["party"], header["rows"], header["epsilon"], released, public, signature)
        if signature and not (made.to_bytes() == content and is_signed(made._message, public, signature)):
            raise ValueError(
                f"sketch of {printable(made.party)}: its signature is not that of its content: it was changed after it "
                "was signed"
            )
        return made

    def in_words(self) -> list[str]:
        """Say in some sentences what the sketch reveals, and what it does not."""

        features, relative = self.schema.embedding.width, self.relative_noise
        lines = [
            f"This sketch has {len(self.released):,} numbers: the mean of {features:,} features over {self.rows:,} "
            "rows, with noise from this computer's operating system, which nobody can draw again.",
            f"It is (ε, δ)-differentially private with ε = {self.epsilon:g} and δ = {self.schema.delta:g} "
            f"(Gaussian: μ = {self.guarantee.mu:.4g}); the unit is {UNIT}.",
            f"In other words: {self.guarantee.in_words()}. This holds for all that is ever computed from this "
            "file, and against everybody who has it, whatever else they know, if these rows have no other release.",
            "It reveals: the name of the party, the number of rows, and how the rows are distributed as a whole, up to "
            f"noise of {100 * relative:.2g} % of the largest possible mean.",
            "It does not reveal more of a single row than stated. A person with k rows is protected with k times μ "
            "only. It does not prove that it was made from real rows.",
        ]
        if self.schema.delta * self.rows >= 1:
            lines.append(
                f"δ = {self.schema.delta:g} is large for {self.rows:,} rows: agree on a schema with less than one "
                "divided by the number of rows."
            )
        if self.guarantee.auc > WEAK:
            lines.append(
                f"WARNING: ε = {self.epsilon:g} protects hardly anything, see the area under the ROC curve. Usual "
                "are values from 0.5 to 3."
            )
        if relative >= 1:
            lines.append(
                f"WARNING: with ε = {self.epsilon:g}, the noise is larger than all that {self.rows:,} rows could show: "
                "nothing can be learnt from this sketch. A larger ε or more rows help."
            )
        elif self.rows < FEW_ROWS and self.epsilon <= 1:
            lines.append(
                f"With {self.rows} rows and ε = {self.epsilon:g}, noise is about as large as what differs between "
                "parties: the values that follow from this sketch will hardly be resolved."
            )
        return lines

    @property
    def relative_noise(self) -> float:
        r"""The norm of the noise of $\tilde \mu_i$ as a share of the largest norm that $\mu_i$ can have."""

        largest = self.rows * math.sqrt(self.schema.kernel.diagonal)
        return self.noise * math.sqrt(self.schema.embedding.width) / largest

    def to_frame(self) -> pd.DataFrame:
        """Return the sketch as a table of pandas with one row."""

        import pandas as pd

        guarantee = self.guarantee
        numbers = {"epsilon": self.epsilon, "delta": self.schema.delta, "mu": guarantee.mu, "auc": guarantee.auc}
        return pd.DataFrame([{"name": self.party, "rows": self.rows, **numbers, "noise": self.relative_noise}])

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        return f"Sketch: {len(self.released):,} numbers, schema {self.schema.digest[:12]}", self.to_frame(), ""


def check_sketches(sketches: Sequence[Sketch]) -> None:
    """Check that sketches can be settled together.

    Raises:
        ValueError: If there are none, if they have different schemas, or if a name or a sketch occurs twice.
    """

    if not sketches:
        raise ValueError("sketches: expected at least one")
    for sketch in sketches:
        if not isinstance(sketch, Sketch):
            raise ValueError(f"sketches: expected sketches, as Sketch.draw makes them, got {type(sketch).__name__}")
    first, names, seen = sketches[0], set(), set()
    for sketch in sketches:
        name, content = printable(sketch.party), sketch.released.numpy().tobytes()
        if sketch.schema.digest != first.schema.digest:
            raise ValueError(f"{name}: its schema {sketch.schema.digest[:12]} is not that of {printable(first.party)}")
        if sketch.party in names:
            raise ValueError(f"{name}: two sketches of this name; each party gives one")
        if content in seen:
            raise ValueError(f"{name}: the same sketch as that of another party")
        names.add(sketch.party)
        seen.add(content)


def check_keys(sketches: Sequence[Sketch], keys: Any) -> None:
    """Check that each sketch is signed by the key of its party.

    Arguments:
        sketches: The sketches, whose signatures were verified when they were read.
        keys: The public key of each party, by its name, in hexadecimal digits.

    Raises:
        ValueError: If a party has no key, or if its sketch is not signed by it.
    """

    if not isinstance(keys, Mapping) or not keys:
        raise ValueError("keys: expected a public key for each name of a party")
    for name, key in keys.items():
        if not isinstance(key, str) or not PUBLIC.fullmatch(key):
            raise ValueError(
                f"keys: {printable(str(name))}: {shortened(printable(str(key)), 40)}: expected a public key of 64 "
                "hexadecimal digits, in quotes, as cgm key prints it"
            )
    for sketch in sketches:
        name = printable(sketch.party)
        if sketch.party not in keys:
            raise ValueError(f"keys: has no key of {name}, but there is a sketch of this name")
        if not sketch.signature:
            raise ValueError(f"sketch of {name}: is not signed, but keys has a key of this party")
        if sketch.public_key != keys[sketch.party]:
            raise ValueError(
                f"sketch of {name}: is signed by the key {sketch.public_key[:16]}..., but that of the party is "
                f"{keys[sketch.party][:16]}...: it comes from somebody else, or the party has a new key"
            )


def _sigma(schema: SketchSchema, epsilon: float) -> int:
    r"""Return the standard deviation of the noise in steps of the grid, rounded up."""

    mu = Guarantee.of(epsilon, schema.delta).mu
    return math.ceil(sensitivity(schema.embedding, STEP) / (mu * STEP))


def _parse(content: bytes) -> tuple[dict[str, Any], str, torch.Tensor]:
    """Return header, signature and numbers of a file, after its sizes and types were checked."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else MAX_HEADER + 1
    if size > MAX_HEADER or len(content) < 8 + size:
        raise ValueError("no sketch, or a truncated one")
    try:
        values = json.loads(content[8 : 8 + size].decode(), parse_constant=refuse, object_pairs_hook=_once)
        _expect(isinstance(values, dict) and set(values) == {"__metadata__", TENSOR}, "expected one tensor, sums")
        metadata, described = values["__metadata__"], values[TENSOR]
        is_text = isinstance(metadata, dict) and all(isinstance(each, str) for each in metadata.values())
        _expect(is_text and {"sketch"} <= set(metadata) <= {"sketch", "signature"}, "expected a header")
        header = json.loads(metadata["sketch"], parse_constant=refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no sketch ({shortened(printable(str(error)), 100)})") from None
    signature = metadata.get("signature", "")
    keys = {*KEYS, KEY} if signature else set(KEYS)
    _expect(isinstance(header, dict) and set(header) == keys, f"no sketch (its header needs {', '.join(KEYS)})")
    _expect(isinstance(header.get(KEY, ""), str), "no sketch (public_key: expected text)")
    data = content[8 + size :]
    _expect(header["format"] == FORMAT, f"no sketch of the format {FORMAT}")
    _expect(isinstance(header["schema"], str), "no sketch (schema: expected a digest)")
    expected = {"dtype": "I64", "shape": [len(data) // 8], "data_offsets": [0, len(data)]}
    _expect(described == expected and len(data) % 8 == 0, "damaged: its numbers do not fit its header")
    return header, signature, torch.from_numpy(np.frombuffer(data, "<i8").astype(np.int64))


def _once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    """Return the values of a JSON object, in which no name may occur twice."""

    _expect(len(dict(pairs)) == len(pairs), "a name occurs twice")
    return dict(pairs)


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
