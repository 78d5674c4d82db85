"""Hydra's callbacks, of which a configuration may name classes only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import hydra._internal.hydra as program
from hydra._internal.callbacks import Callbacks
from omegaconf import DictConfig, OmegaConf

from cgm.cli.targets import check_callback, targets


class CheckedCallbacks(Callbacks):
    """Hydra's callbacks, each checked before the first is created.

    Arguments:
        config: The whole configuration.

    Raises:
        ValueError: If one is not a subclass of `hydra.experimental.callback.Callback`.
    """

    def __init__(self, config: DictConfig | None = None) -> None:
        if config is not None:
            for key, target in targets(OmegaConf.to_container(config.hydra.callbacks), "hydra.callbacks"):
                check_callback(key, target)
        super().__init__(config)


@contextmanager
def checked_callbacks() -> Iterator[None]:
    """Let Hydra check callbacks: it creates them before anything of cgm runs, and has no setting for that."""

    before = program.Callbacks
    program.Callbacks = CheckedCallbacks  # type: ignore[misc]
    try:
        yield
    finally:
        program.Callbacks = before  # type: ignore[misc]
