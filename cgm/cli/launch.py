"""How a program is run: its configuration is composed by Hydra, once, and errors end it with one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.core.utils import run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from cgm.cli.errors import REFUSALS, explain
from cgm.cli.help import split_options
from cgm.cli.targets import check_callback, targets
from cgm.utils.choices import is_group
from cgm.utils.text import printable

OF_SEVERAL = ("metric", "experiment", "hparams_search")  # groups of which several choices are used together
SHOWING = {"--cfg", "--info", "--hydra-help", "--shell-completion"}  # options of Hydra with which nothing is run


def launch(
    prepare: Callable[[DictConfig], Callable[[], Any]],
    folder: Path,
    name: str,
    program: str = "cgm",
    sweep: Callable[[DictConfig, HydraContext], int] | None = None,
) -> None:
    """Run a program with the configuration that the command line describes.

    Invalid settings end the program with status 1 and one line on stderr, unless `HYDRA_FULL_ERROR=1` is set.

    Arguments:
        prepare: Checks a configuration before anything is written, and returns the work.
        folder: The folder of the configuration.
        name: The name of the primary configuration in it, without `.yaml`.
        program: The name of the program, for error messages.
        sweep: Runs several jobs and returns the exit status; `None` if the program has no sweeps.
    """

    with refusing(program):
        options, overrides = split_options(sys.argv[1:])
        given = options.keys() & SHOWING
        if not given or given == {"--cfg"}:
            folder, name = Path(options.get("--config-path", folder)).absolute(), options.get("--config-name", name)
            with hydra.initialize_config_dir(str(folder), job_name=name, version_base="1.3"):
                loader = GlobalHydra.instance().config_loader()
                config = _compose(name.removesuffix(".yaml"), options, overrides)
                if not given:
                    is_sweep = "--multirun" in options or config.hydra.mode == RunMode.MULTIRUN
                    callbacks = _callbacks(config)
                    if not is_sweep:
                        _run(prepare, config, HydraContext(loader, callbacks), program)
                    elif sweep is None:
                        raise ValueError("--multirun: this program has no sweeps")
                    else:
                        callbacks.on_multirun_start(config=config, config_name=name)
                        status = sweep(config, HydraContext(loader, callbacks))
                        callbacks.on_multirun_end(config=config, config_name=name)
                        if status:
                            raise SystemExit(status)
                    return
    show(folder, name)


def show(folder: Path, name: str) -> None:
    """Let Hydra print what an option of its own asks for, such as `--cfg job`."""

    hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(lambda config: None)()


@contextmanager
def refusing(program: str) -> Iterator[None]:
    """End the program with one line if settings are invalid, or if it is interrupted."""

    try:
        yield
    except REFUSALS as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        raise SystemExit(printable(f"{program}: error: {explain(error)}")) from error
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _compose(name: str, options: dict[str, str], overrides: list[str]) -> DictConfig:
    """Compose the configuration of a run or of a sweep."""

    check_single(overrides)
    if (added := options.get("--config-dir")) is not None:
        if not Path(added).is_dir():
            raise ValueError(f"--config-dir {added}: no such folder")
        quoted = str(Path(added).absolute()).replace("\\", "\\\\").replace("'", "\\'")
        overrides = [*overrides, f"hydra.searchpath=['file://{quoted}']"]
    load = partial(GlobalHydra.instance().config_loader().load_configuration, name, overrides)
    if "--multirun" in options:
        return load(run_mode=RunMode.MULTIRUN)
    try:
        config = load(run_mode=RunMode.RUN)
    except HydraException:  # such as several values, which are right if a file sets hydra.mode=MULTIRUN
        config = load(run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False)
        if config.hydra.mode != RunMode.MULTIRUN:
            raise
    return load(run_mode=RunMode.MULTIRUN) if config.hydra.mode == RunMode.MULTIRUN else config


def check_single(overrides: Sequence[str]) -> None:
    """Check that no group that takes one choice is given a list of them, of which Hydra would use the last.

    Raises:
        ValueError: If one is.
        OverrideParseException: If an override cannot be read.
    """

    for override in OverridesParser.create().parse_overrides(list(overrides)):
        name = override.key_or_group
        if not is_group(name) or name in OF_SEVERAL or override.is_delete():
            continue
        value = override.value()
        for each in value.list if isinstance(value, ChoiceSweep) else [value]:
            if isinstance(each, list):
                names = ",".join(map(str, each))
                advice = f"a sweep over several is -m {name}={names}" if len(each) > 1 else f"write {name}={names}"
                raise ValueError(f"{override.input_line}: {name} takes one choice; {advice}")


def _run(
    prepare: Callable[[DictConfig], Callable[[], Any]], config: DictConfig, context: HydraContext, program: str
) -> None:
    context.callbacks.on_run_start(config=config, config_name=config.hydra.job.config_name)
    work = prepare(config)

    def task(_: DictConfig) -> Any:
        with refusing(program):  # here as well: Hydra keeps errors of a job, and prints lines of its own
            return work()

    job = run_job(task, config, "hydra.run.dir", None, context)
    context.callbacks.on_run_end(config=config, config_name=config.hydra.job.config_name, job_return=job)
    _ = job.return_value  # raises the error of the job


def _callbacks(config: DictConfig) -> Callbacks:
    """Create Hydra's callbacks, each checked before the first is created."""

    for key, target in targets(OmegaConf.to_container(config.hydra.callbacks), "hydra.callbacks"):
        check_callback(key, target)
    return Callbacks(config)
