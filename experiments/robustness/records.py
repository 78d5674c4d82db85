"""The records of the study, and means over their seeds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from cgm.evaluation.correlations import Summary, summarise
from cgm.records.headline import headline
from cgm.records.result import Result
from experiments.records import read_results
from experiments.robustness.plan import (
    ATTACKERS,
    ATTACKS,
    BASE,
    COMPARED,
    DATASETS,
    FEATURE_CHOICES,
    VARIANTS,
    WEAKEST,
)
from experiments.text import SPLITS, Setting, minus

PERCENT = ("reward", "value", "others")  # gains in per cent of the honest v_c(N)


@dataclass(frozen=True)
class Honest:
    """A run without an attack.

    Attributes:
        variant: What was changed, one of `VARIANTS`.
        setting: The dataset and the split.
        seed: The seed.
        result: Its result.
    """

    variant: str
    setting: Setting
    seed: int
    result: Result


@dataclass(frozen=True)
class Gain:
    r"""What an attack changes.

    Attributes:
        variant: What was changed, one of `VARIANTS`.
        attacker: `"weakest"` or `"strongest"`.
        attack: The attack.
        setting: The dataset and the split.
        seed: The seed.
        party: The attacker, from 0.
        alpha: The gain in $\alpha$, of the sum over identities.
        reward: The gain in $r$, the same, in per cent of the honest $v_c(N)$.
        value: The gain in true value, the mean over $\beta$, in per cent of the honest $v_c(N)$.
        others: The change of the other parties' true values, the mean over them and $\beta$, in the same unit.
    """

    variant: str
    attacker: str
    attack: str
    setting: Setting
    seed: int
    party: int
    alpha: float
    reward: float
    value: float
    others: float


@dataclass(frozen=True)
class FeatureRun:
    """A run with other features of images.

    Attributes:
        choice: One of `FEATURE_CHOICES`.
        kind: `"honest"` or the attack.
        setting: The dataset and the split.
        seed: The seed.
        result: Its result.
    """

    choice: str
    kind: str
    setting: Setting
    seed: int
    result: Result


@dataclass(frozen=True)
class Records:
    """The records in a folder.

    Attributes:
        honest: The honest runs.
        gains: What the attacks gained.
        broken: For each folder without a complete result, the reason.
        attacked: The results of the runs with an attack.
        features: The runs with other features.
    """

    honest: list[Honest]
    gains: list[Gain]
    broken: dict[str, str]
    attacked: list[Result]
    features: list[FeatureRun] = field(default_factory=list)


def read_honest(folder: Path) -> dict[str, Result]:
    """Read the results of the honest runs, by their folders."""

    return read_results(folder / "honest")[0]


def read_features(folder: Path) -> dict[str, Result]:
    """Read the results of the runs with other features, by their folders."""

    return read_results(folder / "features")[0]


def read_records(folder: Path) -> Records:
    """Read the records of a study, in the order of the report."""

    results, broken = read_results(folder / "honest")
    honest = [Honest(name.split("/")[1], (r.dataset, r.split), r.seed, r) for name, r in results.items()]
    honest.sort(key=lambda run: (_place(run.variant, VARIANTS), _setting_key(run.setting), run.seed))
    grand = {(run.variant, run.setting, run.seed): run.result.values.grand for run in honest}
    results, more = read_results(folder / "attacks")
    gains = []
    for name, result in results.items():
        _, variant, attacker, attack, _ = name.split("/")
        whole = grand.get((variant, (result.dataset, result.split), result.seed))
        if whole is None:
            more[name] = "no complete honest run to compare with"
        elif result.attack is not None:
            gains.append(_gain(variant, attacker, attack, result, whole))
    gains.sort(key=_gain_key)
    found, lacking = read_results(folder / "features")
    parts = {name: name.split("/") for name in found}  # features, choice, kind, run
    features = [FeatureRun(parts[k][1], parts[k][2], (r.dataset, r.split), r.seed, r) for k, r in found.items()]
    features.sort(key=lambda run: (_setting_key(run.setting), _place(run.choice, FEATURE_CHOICES), run.kind, run.seed))
    return Records(honest, gains, broken | more | lacking, list(results.values()), features)


def _gain(variant: str, attacker: str, attack: str, result: Result, whole: float) -> Gain:
    """Return what an attack changes; `whole` is the honest value of all data."""

    assert result.attack is not None
    numbers = headline(result)

    def percent(name: str) -> float:
        return 100 * (numbers[name] or 0.0) / whole

    return Gain(
        variant=variant,
        attacker=attacker,
        attack=attack,
        setting=(result.dataset, result.split),
        seed=result.seed,
        party=result.attack.party,
        alpha=numbers["attack_gain_alpha"] or 0.0,
        reward=percent("attack_gain_reward"),
        value=percent("attack_gain_value"),
        others=percent("attack_others_mean"),
    )


def choose(gains: Iterable[Gain], **wanted: object) -> list[Gain]:
    """Return the gains that have the given attributes."""

    return [gain for gain in gains if all(getattr(gain, name) == value for name, value in wanted.items())]


def on_variants(gains: Sequence[Gain]) -> list[Gain]:
    """Return the gains of the weakest party by the attacks, and in the settings, that there are for all variants."""

    changed = [gain for gain in gains if gain.variant != BASE] or gains
    fewer = [gain for gain in changed if gain.variant not in COMPARED] or changed  # those have fewer settings
    settings, attacks = {gain.setting for gain in fewer}, {gain.attack for gain in changed}
    own = (gain for gain in gains if gain.attacker == WEAKEST)
    return [gain for gain in own if gain.setting in settings and gain.attack in attacks]


def compared(gains: Iterable[Gain]) -> dict[str, list[Gain]]:
    """Return the gains with each scheme of `COMPARED`, by the same attacks in the same runs; nothing for one scheme.

    Settings of fewer seeds than others, for which a scheme has no rewards, are left out.
    """

    own: dict[str, dict[tuple[str, str, Setting, int], Gain]] = {}
    for gain in gains:
        if gain.variant in COMPARED:
            own.setdefault(gain.variant, {})[gain.attacker, gain.attack, gain.setting, gain.seed] = gain
    if len(own) < 2:
        return {}
    common = set.intersection(*map(set, own.values()))
    seeds = Counter(setting for setting, _ in {run[2:] for run in common})
    common = {run for run in common if seeds[run[2]] == max(seeds.values())}
    schemes = [name for name in COMPARED if name in own]
    return {name: [gain for run, gain in own[name].items() if run in common] for name in schemes}


def by_setting(gains: Iterable[Gain], number: str) -> dict[Setting, float]:
    """Return the mean over seeds of a number for each setting."""

    found: dict[Setting, list[float]] = {}
    for gain in gains:
        found.setdefault(gain.setting, []).append(getattr(gain, number))
    return {setting: fmean(values) for setting, values in found.items()}


def over_seeds(gains: Iterable[Gain], number: str) -> Summary:
    """Return the mean over settings and seeds, and the standard error over seeds of the means over settings."""

    return seed_means((gain.seed, gain.setting, getattr(gain, number)) for gain in gains)


def seed_means(values: Iterable[tuple[int, Setting, float | None]]) -> Summary:
    """Average values with a seed and a setting over settings, and then over seeds, see `by_seed`."""

    return summarise(list(by_seed(values).values()))


def by_seed(values: Iterable[tuple[int, Setting, float | None]]) -> dict[int, float]:
    """Average values with a seed and a setting over settings, for each seed.

    Settings that some seeds lack are left out of the others as well, as long as one remains: otherwise their
    differences would pass for those of seeds.
    """

    seeds: dict[int, dict[Setting, float]] = {}
    for seed, setting, value in values:
        if value is not None:
            seeds.setdefault(seed, {})[setting] = value
    common = set.intersection(*(set(own) for own in seeds.values())) if seeds else set()
    return {seed: fmean(own[s] for s in own if s in common or not common) for seed, own in seeds.items()}


def write_number(summary: Summary, digits: int, sign: bool = True) -> str:
    """Write a mean and its standard error, if there is one."""

    if summary.mean is None:
        return "–"
    mean = f"{summary.mean:+.{digits}f}" if sign else f"{summary.mean:.{digits}f}"
    if not float(mean):
        mean = mean.lstrip("+-")
    return minus(mean) + ("" if summary.sem is None else f" ± {summary.sem:.{digits}f}")


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else len(names)


def _setting_key(setting: Setting) -> tuple[int, int, Setting]:
    return _place(setting[0], list(DATASETS)), _place(setting[1], list(SPLITS)), setting


def _gain_key(gain: Gain) -> tuple[int, int, int, tuple[int, int, Setting], int]:
    attack = _place(gain.attack, list(ATTACKS))
    return (
        _place(gain.variant, VARIANTS),
        _place(gain.attacker, ATTACKERS),
        attack,
        _setting_key(gain.setting),
        gain.seed,
    )


Number = Callable[[Honest], float | None]


def honest_means(honest: Iterable[Honest], number: Number) -> Summary:
    """Average a number of honest runs like `over_seeds`."""

    return seed_means((run.seed, run.setting, number(run)) for run in honest)


def versions(results: Iterable[Result]) -> Mapping[str, None]:
    """Return the distinct versions that made some results, each as a text."""

    return dict.fromkeys(", ".join(f"{k} {v}" for k, v in sorted(result.versions.items())) for result in results)
