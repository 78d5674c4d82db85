"""Methods of SmartNoise for tables of categories, in a process and an environment of their own, without cgm.

    PYTHON peers.py mst EPSILON DELTA SEED < table.csv > sample.csv

The package smartnoise-synth brings many packages that cgm does not need.
"""

import sys

import numpy as np
import pandas as pd


def main() -> None:
    """Read a table of categories, fit a method to it, and write as many rows."""

    name, epsilon, delta, seed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    from snsynth import Synthesizer

    np.random.seed(seed)  # noqa: NPY002  # the package has no other
    table = pd.read_csv(sys.stdin, dtype=str)
    sys.stdout, out = sys.stderr, sys.stdout  # of the package's own messages
    made = Synthesizer.create(name, epsilon=epsilon, delta=delta)
    made.fit(table, categorical_columns=list(table.columns), preprocessor_eps=0.0)
    made.sample(len(table)).to_csv(out, index=False)


if __name__ == "__main__":
    main()
