"""Random streams of trainings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

ORDER, STEP, RECALIBRATION = 201, 202, 203  # keys of streams


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global random state, from which networks are initialised, and restore it afterwards."""

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(stream(seed).initial_seed())
        yield


def stream(seed: int, *key: int) -> torch.Generator:
    """Return the random stream of a seed and a key."""

    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)

    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
