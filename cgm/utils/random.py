"""Random streams made from seeds."""

from __future__ import annotations

import numpy as np


def stream_seed(seed: int, stream: int) -> int:
    """Return the seed of one of the independent random streams of a run.

    Arguments:
        seed: The seed of the run, any non-negative integer.
        stream: The number of the stream.

    Example:
        >>> stream_seed(0, stream=1) == stream_seed(0, stream=1) != stream_seed(0, stream=2)
        True
    """

    return int(np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1)[0])


def random_state(seed: int) -> np.random.RandomState:
    """Return a random stream for scikit-learn, whose own seeds are limited to 32 bits.

    Arguments:
        seed: Any non-negative integer.
    """

    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
