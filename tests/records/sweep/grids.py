"""Runs of sweeps that never took place."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cgm.records.collect import Run, Table
from cgm.records.settings import find_varying


def grid(number: Callable[[Mapping[str, Any]], float | None], **settings: Sequence[Any]) -> list[Run]:
    """A run for each combination of settings, whose `__` is a dot; its number `v_star` is a function of them."""

    names = [name.replace("__", ".") for name in settings]
    runs = [dict(zip(names, values, strict=True)) for values in itertools.product(*settings.values())]
    return [Run(f"run{k}", own, {"v_star": number(own), "t": 100}, []) for k, own in enumerate(runs)]


def table(runs: Sequence[Run], **failed: str) -> Table:
    return Table(list(runs), find_varying([run.settings for run in runs]), failed)
