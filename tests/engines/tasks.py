"""Functions of tasks, which processes find by their names."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch
from threadpoolctl import threadpool_info

from cgm.valuation.kernels import Laplacian


@dataclass(frozen=True)
class Deadly(Laplacian):
    """A kernel that kills the first process, other than its own, that computes it."""

    marker: str = ""
    parent: int = 0

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Return the kernel at some squared distances, in units of the length-scale."""

        if os.getpid() != self.parent and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().profile(q)


def total(shared, first: int, step: int) -> float:
    """Return the sum of some entries of an array, whose hash tells whether it is the same one each time."""

    return float(shared["x"][first::step].sum())


def place(shared, _: int) -> tuple[int, bool]:
    """Return the process, and whether it may write to the array."""

    return os.getpid(), shared.flags.writeable


def threads(shared, _: int) -> set[int]:
    """Return the numbers of threads that libraries use."""

    blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    return {torch.get_num_threads(), numba.get_num_threads(), np.size(shared)} | blas


def refuse(shared, k: int) -> int:
    if k == 3:
        raise ValueError(f"{shared}={k}: not possible")
    return k


def die_once(marker: Path, k: int) -> int:
    """Kill the process of task 5 at the first time."""

    if k == 5 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * k


def die(shared, k: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return k
