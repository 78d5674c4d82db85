"""Rows of columns of all kinds."""

import numpy as np
import pandas as pd

COLUMNS = {
    "age": {"kind": "integer", "minimum": 18, "maximum": 90, "median": 40, "missing": True},
    "income": {"kind": "numeric", "minimum": 0.0, "maximum": 100.0, "median": 30.0},
    "job": {"kind": "categorical", "levels": ["clerk", "none", "(other)"]},
    "member": {"kind": "boolean", "levels": ["false", "true"]},
    "since": {"kind": "date", "minimum": 10957, "maximum": 20089, "median": 18000},
}


def people(n, seed=0):
    """Rows of the schema `mixed`, as text."""

    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.integers(18, 91, n).astype(str),
            "income": random.uniform(0, 100, n).round(2).astype(str),
            "job": random.choice(["clerk", "none", "smith"], n),
            "member": random.choice(["true", "false"], n),
            "since": pd.to_datetime(random.integers(10957, 20089, n), unit="D").strftime("%Y-%m-%d"),
        }
    )
