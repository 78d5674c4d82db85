r"""The content of `result.json`: every key, its type, its writer and its only reader.

Parties are numbered from 0. `NaN` never occurs: what could not be computed is `None`, and `missing` has the reason.
JSON has no infinity: it is written as `"inf"`. Numbers are read back as numbers; the sections without a fixed layout,
`settings` and `details`, are what JSON holds.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from cgm.evaluation.entries import Accuracy, AlphaCorrelation, AttackGains, BetaCorrelation, Missing, RewardAudit

SCHEMA = 2  # increased when keys are renamed or removed


@dataclass(frozen=True)
class KernelResult:
    r"""The kernel of the valuation.

    Attributes:
        name: Its name.
        lengthscale: The length-scale $\ell$.
        min, max: $\gamma$ and $\eta$, the smallest and largest off-diagonal kernel values on $T$.
        nonnegative, monotone: Runs [first, last] of set sizes for which Proposition 4 and Theorem 1 hold.
    """

    name: str
    lengthscale: float
    min: float
    max: float
    nonnegative: list[list[int]]
    monotone: list[list[int]]


@dataclass(frozen=True)
class IncrementsResult:
    r"""The changes $v_c(C \cup \{i\}) - v_c(C)$ over all coalitions, see `cgm.valuation.negative_increments`.

    Attributes:
        negative: The share of them that is negative; 0 if $v_c$ is non-negative and monotone.
        smallest: The smallest of them.
    """

    negative: float
    smallest: float


@dataclass(frozen=True)
class Values:
    r"""Values $v$.

    Attributes:
        party: $v(D_i)$ of each party.
        grand: $v_c(N)$.
        lower, upper: The bounds $v_i^{\min}$ and $v_i^{\max}$ of each reward.
        increments: How values change when parties join coalitions; `None` for more than 20 parties, and in older
            records.
    """

    party: list[float]
    grand: float
    lower: list[float]
    upper: list[float]
    increments: IncrementsResult | None = None


@dataclass(frozen=True)
class ContributionsResult:
    r"""The contributions, see `cgm.contributions.Contributions`.

    Attributes:
        name: The name of the contribution concept.
        phi: The contributions $\phi_i$.
        alpha: The normalised contributions $\alpha_i$.
        stderr: The standard errors of $\phi_i$.
        method: How they were computed.
        details: What else the concept reports.
    """

    name: str
    phi: list[float]
    alpha: list[float]
    stderr: list[float]
    method: str
    details: dict[str, Any]


@dataclass(frozen=True)
class SchemeResult:
    r"""The reward values. In the file, the details are beside the other keys.

    Attributes:
        name: The name of the scheme.
        rewards: The reward values $r_i$.
        spread: $\max_i r_i - \min_i r_i$.
        details: What else the scheme reports, such as `v_star` and `rho`, by other names than those above.

    Raises:
        ValueError: If a detail has the name of another key.
    """

    name: str
    rewards: list[float]
    spread: float
    details: dict[str, Any]

    def __post_init__(self) -> None:
        taken = {entry.name for entry in fields(self)} & set(self.details)
        if taken:
            raise ValueError(f"scheme.details: {', '.join(sorted(taken))} are keys of every scheme; rename the details")

    def number(self, name: str) -> float | None:
        """Return a number among the details, or `None` if the scheme does not report it."""

        value = self.details.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class IncentiveResult:
    """An incentive, see `cgm.rewards.Incentive`.

    Attributes:
        holds: Whether it is held; `None` if that is unknown.
        slack: By how much, in units of v, it is held (or missed, if negative); `None` if there is no comparison.
        note: What was compared, or why it is unknown.
    """

    holds: bool | None
    slack: float | None
    note: str


@dataclass(frozen=True)
class RewardResult:
    r"""A chain of weighted sampling, see `cgm.rewards.Reward`.

    Attributes:
        party: The party.
        beta: The inverse temperature $\beta$.
        size: $|G_i|$.
        target: The reward value $r_i$.
        start: $v(D_i)$.
        value: $v(D_i \cup G_i)$.
        reached: Whether the value reached the target.
        increasing: The share of accepted points that raised the value; `None` if none was accepted.
    """

    party: int
    beta: float
    size: int
    target: float
    start: float
    value: float
    reached: bool
    increasing: float | None


@dataclass(frozen=True)
class Memory:
    """Memory used.

    Attributes:
        peak_mib: The peak resident memory of the process, in MiB.
    """

    peak_mib: float


@dataclass(frozen=True, kw_only=True)
class Result:
    r"""The result of a run, the content of `result.json`.

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
        kernel, values, contributions, scheme, incentives, sampling: The settlement.
        correlations, beta_correlations: Correlations of each metric with $\alpha$ and with $\beta$.
        downstream: The accuracies of the downstream task.
        audit: What rewards reveal about the rows of other parties; empty without an audit, and in older records.
        missing: What could not be computed.
        warnings: What the user should know.
        settings: The settings of the experiment, by section.
        seconds: The seconds that each station took.
        memory: The memory that was used.
        versions: The versions of cgm and of the packages that computed the result.
        attack: What an attack changes; `None` if there was none.
    """

    schema: int
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
    kernel: KernelResult
    values: Values
    contributions: ContributionsResult
    scheme: SchemeResult
    incentives: dict[str, IncentiveResult]
    sampling: list[RewardResult]
    correlations: dict[str, AlphaCorrelation]
    beta_correlations: dict[str, BetaCorrelation]
    downstream: list[Accuracy]
    audit: list[RewardAudit] = field(default_factory=list)
    missing: list[Missing]
    warnings: list[str]
    settings: dict[str, Any]
    seconds: dict[str, float]
    memory: Memory
    versions: dict[str, str]
    attack: AttackGains | None = None
    reference: str = "all"

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""

        content = _write_infinity(msgspec.to_builtins(self))
        scheme = content["scheme"]
        scheme |= scheme.pop("details")
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
        scheme = content.get("scheme")
        if isinstance(scheme, dict):
            own = {entry.name for entry in fields(SchemeResult)} - {"details"}
            details = {name: value for name, value in scheme.items() if name not in own}
            scheme = {name: value for name, value in scheme.items() if name in own} | {"details": details}
            content = content | {"scheme": scheme}
        try:
            return msgspec.convert(_read_infinity(cls, content), cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def loads(cls, text: str) -> Result:
        """Read a result from the text of `result.json`.

        Raises:
            ValueError: If it is not one.
        """

        return cls.from_json(json.loads(text))

    def dumps(self) -> str:
        """Return the text of `result.json`.

        Raises:
            ValueError: If a number is NaN.
        """

        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)


def _write_infinity(x: Any) -> Any:
    """Replace infinity by "inf" in nested dictionaries and lists."""

    if isinstance(x, dict):
        return {key: _write_infinity(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_write_infinity(value) for value in x]
    if isinstance(x, float) and math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return x


@cache
def _field_types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read_infinity(kind: Any, x: Any) -> Any:
    """Replace "inf" by infinity wherever a type declares a float."""

    arguments = get_args(kind)
    if get_origin(kind) is UnionType and len(arguments) == 2 and arguments[1] is NoneType:
        return x if x is None else _read_infinity(arguments[0], x)
    if isinstance(x, dict) and isinstance(kind, type) and is_dataclass(kind):
        kinds = _field_types(kind)
        return {key: _read_infinity(kinds.get(key), value) for key, value in x.items()}
    if isinstance(x, dict) and len(arguments) == 2:
        return {key: _read_infinity(arguments[1], value) for key, value in x.items()}
    if isinstance(x, list) and len(arguments) == 1:
        return [_read_infinity(arguments[0], value) for value in x]
    if x in ("inf", "-inf") and kind is float:
        return float(x)
    return x
