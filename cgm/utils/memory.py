"""Tells how much memory a run has taken."""

import contextlib
import sys
from pathlib import Path

STATUS, MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory() -> float:
    """Tells the greatest resident memory of this process so far, or since `reset_peak`, in MiB."""

    if STATUS.is_file():  # of this program alone; the system's other count begins with that of the parent
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Lets the greatest memory begin anew with what is resident now, where the system (Linux) can do that."""

    with contextlib.suppress(OSError):
        MARK.write_text("5")
