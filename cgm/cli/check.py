"""Checks of the settings of a job, and of those of a sweep before its first job.

Settings are checked by the classes that have them, when they are constructed. Classes of cgm are constructed without
torch. Those of the user's own modules may import anything, so they come last.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cgm.cli.errors import REFUSALS
from cgm.cli.settings import check_extras, check_program, own_settings
from cgm.cli.targets import check_name, check_targets, targets
from cgm.records.settings import canonical

MAX_JOBS = 10  # of a sweep in which a value is tried before it is refused


def check_job(config: DictConfig, overrides: Sequence[str], choices: Mapping[str, str | None]) -> None:
    """Check the settings of a job, except those of the user's own classes, as far as that is possible without data.

    Arguments:
        config: The whole configuration of the job.
        overrides: The overrides of the job.
        choices: The chosen option of each group.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: If a setting is invalid; the message names it.
    """

    check_extras(choices)
    check_program(config)
    sections = _sections(config, overrides)
    for name, section in sections.items():
        for key, target in targets(section, name):
            check_name(key, target)
    for name, section in sections.items():
        check_built_in(section, name)


def check_built_in(settings: Mapping[Any, Any], name: str = "") -> None:
    """Check settings by constructing the object that they describe, without the sections that name a class of the user.

    Arguments:
        settings: The settings.
        name: The name of their section, for error messages; empty for the whole.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: If a setting is invalid; the message names it.
    """

    if _is_own(settings.get("_target_", "cgm.")):
        return
    kept = {key: value for key, value in settings.items() if not _names_own(value)}
    if "split" in settings.keys() - kept.keys():  # numbers of parties that the default split may not have
        kept = {key: value for key, value in kept.items() if key not in ("attack", "embedding_party")}
    built_in = OmegaConf.create(kept)
    check_targets(built_in, name)
    instantiate(built_in, _convert_="all")


def check_own(config: DictConfig, overrides: Sequence[str], known: set[str]) -> None:
    """Check the settings of the user's own classes by constructing them.

    Arguments:
        config: The whole configuration of the job.
        overrides: The overrides of the job.
        known: Sections that have been checked, which are left out; those that are checked are added.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: If a setting is invalid; the message names it.
    """

    sections = _sections(config, overrides)
    for name, section in {**sections.pop(""), **sections}.items():
        if _names_own(section) and canonical([name, section]) not in known:
            settings = OmegaConf.create({name: section})
            check_targets(settings)
            instantiate(settings, _convert_="all")
            known.add(canonical([name, section]))


def check_sweep(config: DictConfig, overrides: Sequence[Override], loader: ConfigLoader) -> None:
    """Check that each value of a sweep is valid in one of its jobs.

    A value is tried in up to `MAX_JOBS` jobs that have it, and refused if all of them are invalid. If a value is
    valid in some of its jobs only, such as a source of copies that must not be the attacker, the sweep runs, and its
    invalid jobs fail.

    Arguments:
        config: The configuration of the sweep.
        overrides: The overrides of the sweep; later ones replace earlier ones of the same key.
        loader: Composes the configurations of the jobs.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: If a value is refused; the message names it.
    """

    jobs = SweepJobs(config, overrides, loader)
    known: set[str] = set()
    jobs.check(lambda job, given: check_job(job, given, job.hydra.runtime.choices))
    jobs.check(lambda job, given: check_own(job, given, known))


class SweepJobs:
    """The configurations of the jobs of a sweep.

    Arguments:
        config: The configuration of the sweep.
        overrides: The overrides of the sweep; later ones replace earlier ones of the same key.
        loader: Composes the configurations.

    Attributes:
        values: For each key, its overrides in the jobs; of an interval, those of its ends.
    """

    def __init__(self, config: DictConfig, overrides: Sequence[Override], loader: ConfigLoader) -> None:
        self.config, self.loader = config, loader
        values = {override.get_key_element(): _single(override) for override in overrides}
        self.values = {key: overrides for key, overrides in values.items() if overrides}
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def check(self, function: Callable[[DictConfig, Sequence[str]], None]) -> None:
        """Call a function with jobs and their overrides until each value has been in a job for which it raised nothing.

        Raises:
            ValueError, HydraException, OmegaConfBaseException: What the function raised, if there is no such job for a
                value among some jobs that have it.
        """

        if not self.values:
            function(self.config, [])
        passed: set[str] = set()
        short_first = sorted(self.values.items(), key=lambda item: len(item[1]))
        for key, value in [(key, value) for key, values in short_first for value in values]:
            errors = []
            for job in islice(self._jobs(key, value), MAX_JOBS):
                if value in passed:
                    break
                try:
                    function(self._configuration(job), job)
                    passed.update(job)
                except REFUSALS as error:
                    errors.append(error)
            if value not in passed:
                raise errors[0]

    def _jobs(self, key: str, value: str) -> Iterator[list[str]]:
        """Yield the overrides of the jobs in which a key has a value; settings with few values change first."""

        order = sorted(self.values, key=lambda other: -len(self.values[other]))
        for job in product(*([value] if other == key else self.values[other] for other in order)):
            by_key = dict(zip(order, job, strict=True))
            yield [by_key[other] for other in self.values]

    def _configuration(self, job: Sequence[str]) -> DictConfig:
        """Return the configuration of a job. Composing one takes long, so each choice of groups is composed once."""

        changing = self._parser.parse_overrides(
            [o for o, values in zip(job, self.values.values(), strict=True) if len(values) > 1]
        )
        groups = tuple(str(o.input_line) for o in changing if self.loader.get_group_options(o.key_or_group))
        if groups not in self._composed:
            self._composed[groups] = self.loader.load_sweep_config(self.config, list(job))
        config = copy.deepcopy(self._composed[groups])
        for override in changing:
            if override.input_line not in groups:
                adds = override.is_add() or override.is_force_add()
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=adds)

        return config


def _single(override: Override) -> list[str]:
    """Return the overrides that a sweep makes of one; of an interval, those of its ends."""

    key = override.get_key_element()
    interval = override.value()
    if not override.is_sweep_override():
        values = [override.get_value_element_as_str()]
    elif override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
    else:
        ends = (interval.start, interval.end) if isinstance(interval, IntervalSweep) else ()
        values = [str(end) for end in ends if end is not None]
    return [f"{key}={value}" for value in dict.fromkeys(values)]


def _sections(config: DictConfig, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the resolved settings of the experiment, named "", and those of the tracker."""

    sections = {"": own_settings(config, overrides)}
    if "logger" in config:
        sections["logger"] = config.logger
    return {name: cast(dict, OmegaConf.to_container(section, resolve=True)) for name, section in sections.items()}


def _names_own(node: Any) -> bool:
    """Decide whether a section, or one in it, names something outside of cgm."""

    return any(_is_own(target) for _, target in targets(node))


def _is_own(target: Any) -> bool:
    """Decide whether a `_target_` names something outside of cgm."""

    return not str(target).startswith("cgm.")
