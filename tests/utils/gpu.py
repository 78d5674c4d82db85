"""The mark of tests that need a GPU."""

import pytest
import torch


def gpu(test):
    """Mark a test as one that needs a GPU, and skip it where there is none."""

    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch.cuda.is_available() is false")
    return pytest.mark.gpu(skip(test))
