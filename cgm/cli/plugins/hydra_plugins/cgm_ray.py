"""A launcher for Hydra that runs the jobs of a sweep on a Ray cluster: `hydra/launcher=ray`.

Hydra has a Ray launcher of its own, hydra-ray-launcher, but that requires a cloudpickle (< 3) that current versions of
joblib do not work with.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from cgm.utils.settings import Integer, Number, Settings

log = logging.getLogger("cgm")


@dataclass  # annotations are no strings: Hydra executes this module before it is in sys.modules
class RayLauncher(Settings, Launcher):
    """Runs each job of a sweep as a task of Ray, on this machine or on a cluster.

    Arguments:
        address: The address of a cluster; `"auto"` for the one that this machine belongs to; `None` to start Ray on
            this machine, until the sweep ends.
        cpus_per_task: The number of cores that Ray reserves for a job, and of its threads.
        gpus_per_task: The number of GPUs that Ray reserves for a job.
        init: Further arguments of `ray.init`.

    Raises:
        ValueError: If a setting is out of range.
    """

    section = "hydra.launcher"
    address: str | None
    cpus_per_task: Annotated[int, Integer(min=1)]
    gpus_per_task: Annotated[float, Number(min=0)]
    init: Mapping[str, Any] | None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration, before `launch`."""

        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, as many at a time as the cluster has cores for, and return their results in order."""

        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        with open_dict(self.config):  # jobs may run in other working directories
            self.config.hydra.sweep.dir = str(Path(self.config.hydra.sweep.dir).absolute())

        started = not ray.is_initialized()
        if started:
            ray.init(address=self.address, **(self.init or {}))
        try:
            if self.address is None:
                _check_cores(self.cpus_per_task, ray.cluster_resources().get("CPU", 0))
            task = ray.remote(num_cpus=self.cpus_per_task, num_gpus=self.gpus_per_task)(_run)
            shared = ray.put((self.hydra_context, self.config, self.task_function, Singleton.get_state()))
            tasks = []
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                log.info("#%d: %s", number, " ".join(filter_overrides(overrides)))
                tasks.append(task.remote(shared, list(overrides), number))
            return ray.get(tasks)
        finally:
            if started:
                ray.shutdown()


def _check_cores(needed: float, cores: float) -> None:
    """Check that this machine has the cores of a job, for which Ray would wait forever."""

    if needed > cores:
        raise ValueError(f"hydra.launcher.cpus_per_task={needed}: Ray has {cores:g} cores on this machine")


def _run(shared: tuple[HydraContext, DictConfig, TaskFunction, Any], overrides: list[str], number: int) -> JobReturn:
    """Run a job in a worker of Ray."""

    hydra_context, config, function, state = shared
    setup_globals()
    Singleton.set_state(state)
    job = hydra_context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job):
        job.hydra.job.id = f"{job.hydra.job.name}_{number}"
        job.hydra.job.num = number
    HydraConfig.instance().set_config(job)
    return run_job(
        hydra_context=hydra_context,
        config=job,
        task_function=function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
