"""Random streams made from seeds."""

import numpy as np


def stream_seed(seed: int, stream: int) -> int:
    """Return the seed of one of the streams that a seed is split into."""

    return int(np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1)[0])


def random_state(seed: int) -> np.random.RandomState:
    """Return the kind of random stream that scikit-learn takes; any integer from 0 is a seed."""

    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
