r"""The content of `result.json`: every key, its type, its writer and its only reader.

Sections are the objects that the stations of a run return, as dataclasses. Parties are numbered from 0. `NaN` never
occurs: what could not be computed is `None`, and `missing` has the reason. JSON has no infinity: it is written as
`"inf"`. Numbers are read back as numbers, and tensors as tensors of float64; the sections without a fixed layout,
`settings` and `details`, are what JSON holds. Scores of the downstream task have names that the task chooses: in the
file they are beside the other keys of their entry, such as `accuracy` and `accuracy_before`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import torch

from cgm.contributions.base import Contributions
from cgm.evaluation.entries import (
    AlphaCorrelation,
    AttackGains,
    BetaCorrelation,
    BetaGain,
    Missing,
    RewardAudit,
    Scores,
)
from cgm.records.settings import union
from cgm.release import Released
from cgm.rewards.incentives import Incentive, Incentives
from cgm.rewards.sampling import Reward
from cgm.rewards.schemes.base import Rewards
from cgm.utils.plain import plain
from cgm.utils.text import suggestion
from cgm.valuation.bounds import Increments, KernelBounds
from cgm.valuation.method import Approximation

SCHEMA = 2  # increased when keys are renamed or removed

# fields of entries that have a number for each score, and what is added to the name of the score in the file
SCORES: dict[type, dict[str, str]] = {
    Scores: {"after": "", "before": "_before"},
    BetaGain: {"scores_honest": "_honest", "scores": ""},
}


class Correlations(dict[str, Any]):
    """Correlations by the names of what is correlated: a dict."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"{name}: there is no such correlation; there are {', '.join(self)}{suggestion(name, self)}")


@dataclass(frozen=True)
class Values:
    r"""Values $v$.

    Attributes:
        party: $v(D_i)$ of each party, of shape $(n)$.
        grand: $v_c(N)$.
        lower, upper: The bounds $v_i^{\min}$ and $v_i^{\max}$ of each reward, of shape $(n)$.
        increments: How values change when parties join coalitions; `None` for more than 20 parties, and in older
            records.
    """

    party: torch.Tensor
    grand: float
    lower: torch.Tensor
    upper: torch.Tensor
    increments: Increments | None = None


@dataclass(frozen=True)
class Memory:
    """Memory used.

    Attributes:
        peak_mib: The peak resident memory of the process, in MiB.
    """

    peak_mib: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    r"""The result of a run, the content of `result.json`. Results are equal if they are written as the same JSON.

    Attributes:
        schema: The version of this layout.
        dataset, split, generator, features, labeller: What was run, by name.
        reference: The data that values were compared with, by name; all data, in results that do not state it.
        seed: The seed of everything random.
        n_parties: The number $n$ of parties.
        classes: The names of the classes.
        points_per_party: $|D_i|$.
        dimensions: The dimension $d$ of the features.
        t: $|T|$.
        synthetic_size: $|G|$.
        kernel: The kernel of the valuation.
        values: The values of the parties' data, and the bounds of the rewards.
        contributions: The contributions $\phi$ and $\alpha$.
        scheme: The reward values. In the file, their details are beside the other keys.
        incentives: Which incentives the rewards hold.
        sampling: The numbers of each reward $G_i$; `rewards.npz` has its points.
        correlations, beta_correlations: Correlations of each metric with $\alpha$ and with $\beta$.
        distances: $\text{MMD}_u^2$ (`mmd2_unbiased`) and the squared Wasserstein-2 distance (`wasserstein2`) of each
            party's own points and $T$; empty with `metric=none`, and in older records.
        downstream: The scores of the downstream task.
        audit: What rewards reveal about the rows of other parties; empty without an audit, and in older records.
        missing: What could not be computed.
        warnings: What the user should know.
        settings: The settings of the experiment, by section.
        seconds: The seconds that each station took.
        memory: The memory that was used.
        versions: The versions of cgm and of the packages that computed the result.
        attack: What an attack changes; `None` if there was none.
        approximation: The errors of an approximate valuation; `None` if values are exact.
        privacy: With `privacy=release`, what is guaranteed and what it costs; otherwise `None`. Then `values`,
            `contributions`, `scheme` and `incentives` follow from sketches, and `sampling` from a party's own rows and
            the sketches of the others; all else measures with the rows, and is not private.
    """

    schema: int = SCHEMA
    dataset: str
    split: str
    generator: str
    features: str
    labeller: str
    seed: int
    n_parties: int
    classes: list[str]
    points_per_party: list[int]
    dimensions: int
    t: int
    synthetic_size: int
    kernel: KernelBounds
    values: Values
    contributions: Contributions
    scheme: Rewards
    incentives: Mapping[str, Incentive]
    sampling: list[Reward]
    correlations: dict[str, AlphaCorrelation]
    beta_correlations: dict[str, BetaCorrelation]
    distances: dict[str, list[float]] = field(default_factory=dict)
    downstream: list[Scores]
    audit: list[RewardAudit] = field(default_factory=list)
    missing: list[Missing]
    warnings: list[str]
    settings: dict[str, Any]
    seconds: dict[str, float]
    memory: Memory
    versions: dict[str, str]
    attack: AttackGains | None = None
    approximation: Approximation | None = None
    privacy: Released | None = None
    reference: str = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "incentives", Incentives(self.incentives))  # which a file has as a plain object
        for name in ("correlations", "beta_correlations"):
            object.__setattr__(self, name, Correlations(getattr(self, name)))

    def __repr__(self) -> str:
        names = "dataset", "split", "generator", "seed", "n_parties", "synthetic_size"
        return f"Result({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self.to_json() == other.to_json()

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""

        content = plain(self, classes=False)
        scheme = content["scheme"]
        numbers = {"name": scheme["name"], "rewards": scheme["values"], "spread": self.scheme.spread}
        content |= {
            "scheme": numbers | scheme["details"],
            "downstream": [scores_beside(entry, Scores) for entry in content["downstream"]],
        }
        if self.attack is not None:
            content["attack"]["by_beta"] = [scores_beside(entry, BetaGain) for entry in content["attack"]["by_beta"]]
        return content

    @classmethod
    def from_json(cls, content: Any) -> Result:
        """Read a result from what JSON holds.

        Raises:
            ValueError: If it is not a result of this schema; the message has the path of the key.
        """

        if not isinstance(content, dict) or "schema" not in content:
            raise ValueError("not a result of cgm, or one of a version before schemas were numbered")
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, but this version of cgm reads schema {SCHEMA}")
        scheme, values = content.get("scheme"), content.get("values")
        if isinstance(scheme, dict) and isinstance(values, dict):
            details = {name: value for name, value in scheme.items() if name not in ("name", "rewards", "spread")}
            bounds = {name: values[name] for name in ("lower", "upper") if name in values}
            rewards = {"values": scheme["rewards"]} if "rewards" in scheme else {}
            content = content | {"scheme": {"name": scheme.get("name"), **rewards, **bounds, "details": details}}
        if "downstream" in content:
            content = content | {"downstream": _scores_apart(content["downstream"], Scores, "$.downstream")}
        if isinstance(attack := content.get("attack"), dict) and "by_beta" in attack:
            gains = _scores_apart(attack["by_beta"], BetaGain, "$.attack.by_beta")
            content = content | {"attack": attack | {"by_beta": gains}}
        try:
            result = msgspec.convert(_read_infinity(cls, content), cls, dec_hook=_read_tensor)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
        result.check()
        return result

    def check(self) -> None:
        """Check that counts are possible, and that there is a number for each party.

        Raises:
            ValueError: If not; the message has the key.
        """

        for name, minimum in (("n_parties", 1), ("seed", 0), ("dimensions", 1), ("t", 1), ("synthetic_size", 0)):
            if (number := getattr(self, name)) < minimum:
                raise ValueError(f"{name}={number}: expected an integer >= {minimum}")
        n, contributions, values = self.n_parties, self.contributions, self.values
        lists: dict[str, Sized] = {
            "points_per_party": self.points_per_party,
            "values.party": values.party,
            "values.lower": values.lower,
            "values.upper": values.upper,
            "contributions.phi": contributions.phi,
            "contributions.alpha": contributions.alpha,
            "contributions.stderr": contributions.stderr,
            "scheme.rewards": self.scheme.values,
            **{f"distances.{name}": numbers for name, numbers in self.distances.items()},
        }
        for name, numbers in lists.items():
            if len(numbers) != n:
                raise ValueError(f"{name}: has {len(numbers)} numbers for {n} parties")
        if min(self.points_per_party) < 1:
            raise ValueError(f"points_per_party={self.points_per_party}: expected integers >= 1")
        for name in ("sampling", "downstream", "audit", "missing"):
            for entry in getattr(self, name):
                if not 0 <= entry.party < n or math.isnan(entry.beta):
                    raise ValueError(f"{name}: party {entry.party}, beta {entry.beta}: there are parties 0 to {n - 1}")
        for entry in self.sampling:
            if not 0 <= entry.size <= self.synthetic_size:
                raise ValueError(f"sampling: size {entry.size} of {self.synthetic_size} points")

    @classmethod
    def loads(cls, text: str) -> Result:
        """Read a result from the text of `result.json`.

        Raises:
            ValueError: If it is not one.
        """

        return cls.from_json(json.loads(text, parse_constant=_refuse_constant))

    def dumps(self) -> str:
        """Return the text of `result.json`.

        Raises:
            ValueError: If a number is NaN.
        """

        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that a result has")


def scores_beside(entry: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Return an entry as the file has it, with its scores beside its other keys.

    Arguments:
        entry: The fields of the entry.
        cls: Its class, a key of `SCORES`.
    """

    parts = SCORES[cls]
    written: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in parts:
            written[key] = value
        elif key == next(iter(parts)):  # the others with it, score by score
            written |= {name + end: entry[part][name] for name in value for part, end in parts.items()}
    return written


def _scores_apart(entry: Any, cls: type, path: str) -> Any:
    """Return the fields of an entry in the file, or of a list of entries, as they were before `scores_beside`.

    Raises:
        ValueError: If a score is not a number, or is there before or after the reward alone; the message has the path.
    """

    if isinstance(entry, list):
        return [_scores_apart(each, cls, f"{path}[{k}]") for k, each in enumerate(entry)]
    if not isinstance(entry, dict):
        return entry
    names, parts = {field.name for field in fields(cls)}, SCORES[cls]
    scores = {key: value for key, value in entry.items() if key not in names}
    ends = tuple(filter(None, parts.values()))
    of_part = {
        part: {key.removesuffix(end): key for key in scores if key.endswith(end) and (end or not key.endswith(ends))}
        for part, end in parts.items()
    }
    for part, end in parts.items():
        for name in union(of_part.values()):
            if name not in of_part[part]:
                raise ValueError(f"Object missing required field `{name}{end}` - at `{path}`")
    for key, value in scores.items():
        try:
            msgspec.convert(value, float | None)
        except msgspec.ValidationError as error:
            raise ValueError(f"{error} - at `{path}.{key}`") from error
    read = {key: value for key, value in entry.items() if key in names}
    return read | {part: {name: scores[key] for name, key in keys.items()} for part, keys in of_part.items()}


def _read_tensor(kind: type, x: Any) -> torch.Tensor:
    """Read a tensor of float64, for msgspec."""

    if kind is not torch.Tensor:
        raise NotImplementedError(kind)
    try:
        return torch.tensor(msgspec.convert(x, list[float]), dtype=torch.float64)
    except msgspec.ValidationError as error:
        raise ValueError("expected a list of numbers") from error  # msgspec adds the path


@cache
def _field_types(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _read_infinity(kind: Any, x: Any) -> Any:
    """Replace "inf" by infinity wherever a type declares a float."""

    parts = get_args(kind)
    if x in ("inf", "-inf"):
        return float(x) if kind is float or float in parts else x
    if isinstance(x, list):
        return [_read_infinity(parts[0] if parts else Any, value) for value in x]
    if isinstance(x, dict) and get_origin(kind) in (dict, Mapping):
        return {key: _read_infinity(parts[1], value) for key, value in x.items()}
    cls: Any = next((part for part in (kind, *parts) if is_dataclass(part)), None)  # of a class, or of a class or None
    if isinstance(x, dict) and cls is not None:
        kinds = _field_types(cls)
        return {key: _read_infinity(kinds.get(key), value) for key, value in x.items()}
    return x
