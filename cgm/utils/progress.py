"""Progress bars for computations that take longer than two seconds."""

from tqdm import tqdm


def progress(total: int, label: str) -> tqdm:
    """Return a progress bar that appears after two seconds, and only on a terminal."""

    return tqdm(total=total, desc=label, delay=2, disable=None, leave=False, dynamic_ncols=True)
