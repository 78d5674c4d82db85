"""A public schema, small enough for tests."""

import pytest

from cgm.privacy.schema import propose_schema
from cgm.valuation.kernels import SquaredExponential
from tests.privacy.rows_of_people import COLUMNS


@pytest.fixture(scope="session")
def mixed():
    """A schema of columns of all kinds."""

    return propose_schema(columns=COLUMNS, landmarks=64)


@pytest.fixture(scope="session")
def plane():
    """Builds schemas of two columns of numbers, x and y from -3 to 3."""

    def build(lengthscale=0.5, landmarks=128, features="landmarks", delta=1e-5, kernel=None):
        number = {"kind": "numeric", "minimum": -3.0, "maximum": 3.0, "median": 0.0}
        kernel = kernel or SquaredExponential(lengthscale)
        return propose_schema(None, {"x": number, "y": number}, kernel, landmarks, features, delta)

    return build
