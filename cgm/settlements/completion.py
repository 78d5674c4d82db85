r"""Completion of a reward at home: against the party's own rows, exactly, in place of its sketch.

A settlement of sketches draws the reward of a party until $v(D_i \cup G_i)$, computed from its noisy sketch, is what
was promised. At home the rows are known, and the value of the same reward is another one, by about its standard error.
`complete_reward` goes through the points of the reward in the order in which they were drawn, and stops when the value
with the exact rows is what was promised; if it is not reached, further points of the pool are drawn by the same
weighted sampling.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cgm.data.tables.files import table_file
from cgm.privacy.features import rounded_sums
from cgm.privacy.home import OWN, POOL, HomeValuation, Others
from cgm.privacy.schema import SketchSchema
from cgm.privacy.sketch import STEP
from cgm.privacy.valuation import ERRORS
from cgm.rewards.sampling import Draws, PoolArrays, Reward
from cgm.settlements.certificate import SEAL, readable_json, rounded
from cgm.settlements.verification import CERTIFICATE, read_certificate
from cgm.utils.checks import check_integer, check_number
from cgm.utils.files import check_bytes, read_plain, sha256, write_whole
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import limited
from cgm.utils.shown import Shown
from cgm.utils.text import printable, shortened

if TYPE_CHECKING:
    import pandas as pd

FILE, SCHEMA = "completion.safetensors", "schema.json"
FORMAT = "cgm completion 1"
KEYS = ("format", "party", "rows", "noise", "others", "others_noise", "followed", "promised", "beta", "tolerance",
        "patience", "schema")  # fmt: skip
TENSORS = ("others", "own", "pool", "reward")
UNLIKELY = 10.0  # standard deviations of the norm of a sketch's noise, beyond which it was made of other rows


@dataclass(frozen=True)
class CompletionFile:
    r"""What a party's folder holds, besides its reward, so that it can be completed at home.

    Attributes:
        party: The name of the party.
        rows: The number of rows that it sketched.
        noise: The standard deviation of the noise of its sketch.
        own: What it released, of shape (released_width), int64.
        others: The sum of what all others released, of the same shape.
        others_rows: The number of their rows.
        others_noise: The standard deviation of the sum's noise.
        followed: How far the pool follows this noise, see `Others`.
        pool: The codes of the pool's rows, of shape $(|G|, p)$.
        reward: The rows of the pool in the reward, in order of acceptance.
        promised: The reward value $r_i$.
        beta, tolerance, patience: Settings of weighted sampling.
        schema: The digest of the schema.
    """

    party: str
    rows: int
    noise: float
    own: torch.Tensor
    others: torch.Tensor
    others_rows: int
    others_noise: float
    followed: float
    pool: torch.Tensor
    reward: torch.Tensor
    promised: float
    beta: float
    tolerance: float
    patience: float | None
    schema: str

    def to_bytes(self) -> bytes:
        """Return the content of the file, in the safetensors format with a header of JSON."""

        from safetensors.torch import save

        header = {
            "format": FORMAT,
            "party": self.party,
            "rows": self.rows,
            "noise": self.noise,
            "others": self.others_rows,
            "others_noise": self.others_noise,
            "followed": self.followed,
            "promised": self.promised,
            "beta": str(self.beta),  # may be infinite
            "tolerance": self.tolerance,
            "patience": self.patience,
            "schema": self.schema,
        }
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        return save(tensors, {"completion": json.dumps(header)})

    @classmethod
    def from_bytes(cls, content: bytes, schema: SketchSchema) -> CompletionFile:
        """Return what the content of a file says.

        Raises:
            ValueError: If it is damaged, or by another schema.
        """

        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(content)
            start = int.from_bytes(content[:8], "little")
            header = json.loads(json.loads(content[8 : 8 + start])["__metadata__"]["completion"])
        except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{FILE}: damaged ({shortened(printable(str(error)), 100)})") from None
        if not isinstance(header, dict) or set(header) != set(KEYS) or header["format"] != FORMAT:
            raise ValueError(f"{FILE}: not of the format {FORMAT}")
        if header["schema"] != schema.digest:
            raise ValueError(f"{FILE}: by the schema {shortened(str(header['schema']), 16)}, not {schema.digest[:12]}")
        width, places = schema.embedding.released_width, len(schema.columns.sizes)
        shapes = {"others": (width,), "own": (width,), "pool": (-1, places), "reward": (-1,)}
        for name, shape in shapes.items():
            kind = torch.float64 if name == "pool" else torch.int64
            tensor = tensors.get(name, torch.empty(0))
            if tensor.dtype != kind or tensor.dim() != len(shape) or tensor.shape[1:] != shape[1:]:
                raise ValueError(f"{FILE}: {name}: not of the shape that the schema needs")
            if shape[0] >= 0 and len(tensor) != shape[0]:
                raise ValueError(f"{FILE}: {name}: {len(tensor)} numbers, but the schema's features have {width}")
        pool, reward = tensors["pool"], tensors["reward"]
        if not len(pool) or len(reward.unique()) != len(reward) or ((reward < 0) | (reward >= len(pool))).any():
            raise ValueError(f"{FILE}: reward: expected different rows of the pool")
        if not torch.equal(schema.columns.nearest(pool), pool):
            raise ValueError(f"{FILE}: pool: has rows that the schema does not allow")
        check_integer(f"{FILE}: rows", header["rows"], 2)
        check_integer(f"{FILE}: others", header["others"], 0)
        for name in ("noise", "others_noise"):
            check_number(f"{FILE}: {name}", header[name], 0.0)
        for name in ("followed", "promised"):
            check_number(f"{FILE}: {name}", header[name])
        check_number(f"{FILE}: tolerance", header["tolerance"], 0.0, 1.0)
        check_number(f"{FILE}: beta", float(header["beta"]), 0.0)
        if header["patience"] is not None:
            check_number(f"{FILE}: patience", header["patience"], 0.0, 1.0)
        return cls(
            header["party"], header["rows"], header["noise"], tensors["own"], tensors["others"], header["others"],
            header["others_noise"], header["followed"], pool, reward, header["promised"], float(header["beta"]),
            header["tolerance"], header["patience"], header["schema"],
        )  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class CompletedReward(Shown):
    r"""A reward that was completed against the party's own rows.

    Attributes:
        party: The name of the party.
        table: The reward, with the columns of the schema, in order of acceptance.
        promised: The reward value $r_i$.
        target: The value that was drawn to, which is less by the tolerance, see `WeightedSampling`.
        own: $v(D_i)$ with the exact rows.
        upper: $v(D_i \cup G)$, with all of the pool.
        received: $v(D_i \cup G_i)$ of the reward as it was received.
        received_size: The number of its points.
        reward: The completed reward, with its value.
        kept: The number of points of it that were received.
        error: The standard error of $v(D_i \cup G_i)$ because of the others' noise.
        numeric: The half width of its interval because of approximate sums; 0, if they are exact.
        certificate: The digest of the certificate.
        schema: The schema.
        tolerance: The share of the possible gain that the reward may miss.
    """

    party: str
    table: pd.DataFrame
    promised: float
    target: float
    own: float
    upper: float
    received: float
    received_size: int
    reward: Reward
    kept: int
    error: float
    numeric: float
    certificate: str
    schema: SketchSchema
    tolerance: float

    @property
    def half_width(self) -> float:
        r"""The half width of the interval of $v(D_i \cup G_i)$: two standard errors, and that of approximate sums."""

        return ERRORS * self.error + self.numeric

    def in_words(self) -> str:
        """Say in a sentence what was promised, and what the reward was drawn to."""

        drawn = f"; it is complete at {self.target:.4f}, since it may miss {100 * self.tolerance:g} % of what all of "
        share = f"{drawn}the pool would add to these rows (tolerance)" if self.target < self.promised else ""
        return f"Rows and reward together were promised to be worth r_i = {self.promised:.4f}{share}."

    @property
    def added(self) -> int:
        """The number of points that were not received."""

        return self.reward.size - self.kept

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""

        names = ("promised", "target", "own", "upper", "received")
        numbers = {name: rounded(float(getattr(self, name))) for name in names}
        return {
            "format": "cgm completed reward 1",
            "party": self.party,
            "certificate": self.certificate,
            **numbers,
            "value": rounded(self.reward.value),
            "half_width": rounded(self.half_width),
            "reached": self.reward.reached,
            "points": self.reward.size,
            "points_received": self.received_size,
            "points_kept": self.kept,
            "points_added": self.added,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers as a table of pandas."""

        import pandas as pd

        rows = [
            ("own rows", self.own, 0),
            ("with the reward as received", self.received, self.received_size),
            ("with the completed reward", self.reward.value, self.reward.size),
            ("with all of the pool", self.upper, None),
        ]
        return pd.DataFrame(rows, columns=["data", "value", "points"]).astype({"points": "Int64"})

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        head = (
            f"CompletedReward of {self.party}: promised {self.promised:.4f}, drawn to {self.target:.4f}; with the "
            f"exact rows {self.reward.value:.4f} ± {self.half_width:.2g}"
        )
        dropped = self.received_size - self.kept
        foot = (
            f"{self.kept:,} of {self.received_size:,} points that were received are kept"
            + (f", the last {dropped:,} are not needed" if dropped else "")
            + f"; {self.added:,} were added"
        )
        if not self.reward.reached:
            foot += (
                f". {self.target:.4f} was not reached: the pool has no more points that would raise the value of these "
                "rows"
            )
        return head, self.to_frame(), foot + "."

    def write(self, path: str | Path) -> Path:
        """Write the reward as a CSV file, and its numbers beside it, in a JSON file of the same name."""

        path = Path(path)
        content = table_file(self.table, self.schema.columns.columns).content
        write_whole(path, content)
        write_whole(path.with_suffix(".json"), readable_json({**self.to_dict(), "sha256": sha256(content)}))
        return path


@limited(1)  # sums, and so all draws, depend on the number of threads
def complete_reward(
    folder: str | Path, rows: pd.DataFrame, seed: int = 0, schema: SketchSchema | None = None
) -> CompletedReward:
    r"""Complete the reward of a settlement of sketches against the party's own rows.

    The result depends on the exact rows: no guarantee of the sketch covers it, and it is to stay with the party.

    Arguments:
        folder: The folder that the party received.
        rows: The party's own rows, those that it sketched, as the schema encodes them.
        seed: The seed of the draws of further points.
        schema: The schema that the rows were sketched by, which is compared with that of the folder.

    Raises:
        ValueError: If the folder cannot be completed or is damaged, or if these are not the rows that were sketched.
        OSError: If a file cannot be read.
    """

    check_integer("seed", seed, min=0)
    folder = Path(folder)
    certificate, public, given = _read(folder)
    if schema is not None and schema.digest != public.digest:
        raise ValueError(
            f"schema: {schema.digest[:12]}..., but {folder} was settled by the schema {public.digest[:12]}..., by "
            "which these rows were not sketched"
        )
    schema = public
    own = schema.encode(rows, "your rows")
    if len(own) != given.rows:
        raise ValueError(
            f"your rows: {len(own):,}, but the sketch of {printable(given.party)} has {given.rows:,}: these are not "
            "the rows that were sketched"
        )
    z = (given.own - rounded_sums(schema.embedding, own, STEP)).double() * STEP
    width = len(z)
    if float(z.norm()) > given.noise * (width**0.5 + UNLIKELY):
        raise ValueError(
            f"your rows: the sketch of {printable(given.party)} is further from their features than its noise "
            f"({float(z.norm()) / given.noise / width**0.5:.3g} times): these are not the rows that were sketched"
        )
    pool = schema.encoding.transform(given.pool)
    sums = schema.embedding.receive(given.others.double() * STEP)
    others = Others(sums, given.others_rows, given.others_noise, given.followed)
    game = HomeValuation(schema, own, others, pool)
    target = given.promised
    if given.tolerance:
        gain = max(game.own_with_synthetic - game.own_value, 0.0)
        target = min(target, game.own_value + (1 - given.tolerance) * gain)
    arrays = PoolArrays(game)
    place = np.empty(len(arrays.order), dtype=np.int64)
    place[arrays.order] = np.arange(len(arrays.order))
    received = place[given.reward.numpy()].tolist()
    everything = Draws(arrays, OWN, given.beta, seed)
    everything.accept_until(received, float("inf"))
    draws = Draws(arrays, OWN, given.beta, stream_seed(seed, Stream.COMPLETED_REWARDS))
    draws.accept_until(received, target)
    kept = len(draws.accepted)
    reward = draws.run(target, given.promised, given.patience)
    size, within = float(draws.totals[0]), float(draws.totals[1])
    widths = game.half_widths(lambda each: torch.tensor([each._value([OWN]), each._value([OWN, POOL])]).double())
    return CompletedReward(
        given.party, schema.decode(pool[reward.indices]), given.promised, target, game.own_value,
        game.own_with_synthetic, everything.value, len(received), reward, kept,
        game.standard_error(int(size), within), float(widths.max()), certificate, schema, given.tolerance,
    )  # fmt: skip


def _read(folder: Path) -> tuple[str, SketchSchema, CompletionFile]:
    """Read the folder of a party: the digest of its certificate, the schema, and what its reward is completed by."""

    try:
        certificate = read_certificate(read_plain(folder / CERTIFICATE))
    except FileNotFoundError:
        hint = f": say {folder}/parties/NAME" if (folder / "parties").is_dir() else ""
        raise ValueError(f"{folder}: has no {CERTIFICATE}; expected the folder that you received{hint}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder}: damaged: {CERTIFICATE} was changed: {error}") from None
    listed: Mapping[str, Mapping[str, Any]] = certificate["files"]
    if FILE not in listed or SCHEMA not in listed:
        raise ValueError(
            f"{folder}: has no {FILE}, by which its reward could be completed: only settlements of sketches with "
            "at_home=true have it; ask the mediator"
        )
    contents = {}
    for name in (FILE, SCHEMA):
        try:
            contents[name] = read_plain(folder / name)
        except FileNotFoundError:
            raise ValueError(f"{folder}: damaged: {name} is missing") from None
        check_bytes(folder / name, len(contents[name]))
        if sha256(contents[name]) != listed[name].get("sha256"):
            raise ValueError(f"{folder}: damaged: {name} is not as the certificate says; ask for the folder once more")
    schema = SketchSchema.read(folder / SCHEMA)
    try:
        return str(certificate[SEAL]), schema, CompletionFile.from_bytes(contents[FILE], schema)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
