"""Random streams made from seeds."""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """The random streams that the seed of a run is split into: a number for each use, no two alike.

    A number is part of the numbers that a seed gives, and never changes without a rise of `NUMERICS`.
    """

    FIT_FEATURES = 0
    FIT_GENERATOR = 1
    SAMPLE_POOL = 2
    CONTRIBUTIONS = 3
    EMBED = 4  # the plane of the figures
    HOLD_OUT_ROWS = 11  # of the parties of a settlement
    AUDIT_ROWS = 12
    SENSITIVITY = 13
    FILL_CELLS = 14
    SPREAD_NUMBERS = 15  # of columns, that are not repeated
    ORDER_REWARDS = 16
    SAMPLE_ROWS = 17  # of a large settlement, for what takes more than linear time
    PARTICLES = 18  # where they start
    LANDMARKS = 19  # of particles
    JITTER = 20  # around particles
    REPEATED_FITS = 21  # of particles to sketches, with more noise
    SKETCH_DRAWS = 22  # of noise, for the intervals of a settlement of sketches; releases have no seed
    PUBLIC_ROWS = 23  # of the held-out rows
    LEARN_FEATURES = 27  # from labelled points that no party has
    COMPLETED_REWARDS = 26  # at home, of sketches
    HOLD_OUT = 101  # of a dataset
    SHUFFLE = 102
    SHARES = 103
    ATTACK = 104
    MATCH_PARTIES = 105
    AUDIT = 106
    TRAINING_POINTS = 111  # of simulated data
    TEST_POINTS = 112


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
