import re
from pathlib import Path

import numpy as np
import pytest

import cgm
from cgm.utils.random import Stream, random_state, stream_seed


def test_stream_seeds_are_fixed():
    # Results that were published with these seeds can only be repeated while they stay as they are.
    seeds = [stream_seed(seed, stream) for seed, stream in ((0, 1), (0, 2), (1, 1))]
    assert seeds == [
        673228719,
        3241444873,
        1454127163,
    ]


def test_every_stream_of_a_seed_is_one_of_the_enumeration():
    """A number that a module defines for itself may be another module's as well."""

    modules = [path.read_text(encoding="utf-8") for path in Path(cgm.__file__).parent.rglob("*.py")]
    for stream in Stream:
        assert any(f"Stream.{stream.name}" in text for text in modules), stream.name
    for text in modules:
        assert not re.search(r"stream_seed\([\w.]+, [A-Z\d]", text.replace("Stream.", "stream"))
        assert "keys of the random streams" not in text


def test_streams_differ():
    seeds = {stream_seed(seed, stream) for seed in range(50) for stream in range(20)}
    assert len(seeds) == 1000
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**64 + 1])
def test_random_state(seed):
    first, again, other = (random_state(s).random(5) for s in (seed, seed, seed + 1))

    assert isinstance(random_state(seed), np.random.RandomState)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
