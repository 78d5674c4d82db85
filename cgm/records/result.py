r"""The content of `result.json`: every key, its type, and its reader and writer.

Parties are numbered from 0. `NaN` never occurs: what could not be computed is `None`, and `missing` has the reason.
Infinity, which JSON lacks, is written as `"inf"`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any

import msgspec

SCHEMA = 2  # raised when keys are renamed or removed


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
class Values:
    r"""Values $v$.

    Attributes:
        party: $v(D_i)$ of each party.
        grand: $v_c(N)$.
        lower, upper: The bounds $v_i^{\min}$ and $v_i^{\max}$ of each reward.
    """

    party: list[float]
    grand: float
    lower: list[float]
    upper: list[float]


@dataclass(frozen=True)
class ContributionsResult:
    """The contributions, see `cgm.contributions.Contributions`."""

    name: str
    phi: list[float]
    alpha: list[float]
    stderr: list[float]
    method: str
    details: dict[str, Any]


@dataclass(frozen=True)
class SchemeResult:
    r"""The reward values; in the file, the details stand beside the other keys.

    Attributes:
        name: The name of the scheme.
        rewards: The reward values $r_i$.
        spread: $\max_i r_i - \min_i r_i$.
        details: What else the scheme reports, such as `v_star` and `rho`.
    """

    name: str
    rewards: list[float]
    spread: float
    details: dict[str, Any]

    def number(self, name: str) -> float | None:
        """Return a number among the details, or `None` if the scheme does not report it."""

        value = self.details.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class IncentiveResult:
    """An incentive, see `cgm.rewards.Incentive`."""

    holds: bool | None
    slack: float | None
    note: str


@dataclass(frozen=True)
class ChainResult:
    """A chain of weighted sampling, see `cgm.rewards.Chain`."""

    party: int
    beta: float
    size: int
    target: float
    start: float
    value: float
    reached: bool
    increasing: float | None


@dataclass(frozen=True, kw_only=True)
class ByBeta:
    r"""Correlations for each $\beta$, their mean and standard error."""

    mean: float | None
    sem: float | None
    n: int
    by_beta: list[float | None]
    reasons: list[str]


@dataclass(frozen=True, kw_only=True)
class ByParty:
    r"""Correlations for each party, their mean and standard error."""

    mean: float | None
    sem: float | None
    n: int
    by_party: list[float | None]
    reasons: list[str]


@dataclass(frozen=True, kw_only=True)
class AlphaCorrelation(ByBeta):
    r"""Pearson's correlation of a metric with $\alpha$, and Spearman's."""

    spearman: ByBeta


@dataclass(frozen=True, kw_only=True)
class BetaCorrelation(ByParty):
    r"""Pearson's correlation of a metric with $\beta$, and Spearman's."""

    spearman: ByParty


@dataclass(frozen=True)
class Accuracy:
    r"""Accuracies of the downstream task, after training on $D_i \cup G_i$ and on $D_i$."""

    party: int
    beta: float
    accuracy: float | None
    accuracy_before: float | None
    reason: str | None


@dataclass(frozen=True)
class Missing:
    """A metric that could not be computed, and why."""

    party: int
    beta: float
    metric: str
    reason: str


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
        missing: What could not be computed.
        warnings: What the user should know.
        settings: The settings of the experiment, by section.
        seconds: The seconds that each station took.
        memory: The memory that was used.
        versions: The versions of cgm and of the packages that computed the result.
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
    sampling: list[ChainResult]
    correlations: dict[str, AlphaCorrelation]
    beta_correlations: dict[str, BetaCorrelation]
    downstream: list[Accuracy]
    missing: list[Missing]
    warnings: list[str]
    settings: dict[str, Any]
    seconds: dict[str, float]
    memory: Memory
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""

        content = msgspec.to_builtins(self)
        scheme = content["scheme"]
        scheme |= scheme.pop("details")
        return _map(content, _infinity_out)

    @classmethod
    def from_json(cls, content: Any) -> Result:
        """Read a result from what JSON holds.

        Raises:
            ValueError: If it is not a result of this schema; the message names the key.
        """

        if not isinstance(content, dict) or "schema" not in content:
            raise ValueError("not a result of cgm, or one of a version before schemas were numbered")
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, but this version of cgm reads schema {SCHEMA}")
        content = _map(content, _infinity_in)
        if isinstance(content.get("scheme"), dict):
            own = {field.name for field in fields(SchemeResult)} - {"details"}
            scheme = content["scheme"]
            details = {name: value for name, value in scheme.items() if name not in own}
            content["scheme"] = {name: scheme[name] for name in own if name in scheme} | {"details": details}
        return of_builtins(cls, content)

    @classmethod
    def loads(cls, text: str) -> Result:
        """Read a result from the text of `result.json`.

        Raises:
            ValueError: If it is not one.
        """

        return cls.from_json(json.loads(text))

    def dumps(self) -> str:
        """Return the text of `result.json`."""

        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)


def of_builtins(kind: Any, x: Any) -> Any:
    """Convert dictionaries and lists to dataclasses of this module.

    Raises:
        ValueError: If they do not fit; the message names the key.
    """

    try:
        return msgspec.convert(x, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _map(x: Any, leaf: Any) -> Any:
    """Apply a function to all leaves of nested dictionaries and lists, in a copy."""

    if isinstance(x, dict):
        return {key: _map(value, leaf) for key, value in x.items()}
    if isinstance(x, list):
        return [_map(value, leaf) for value in x]
    return leaf(x)


def _infinity_out(x: Any) -> Any:
    return ("inf" if x > 0 else "-inf") if isinstance(x, float) and math.isinf(x) else x


def _infinity_in(x: Any) -> Any:
    return float(x) if x in ("inf", "-inf") else x
