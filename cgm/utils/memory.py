"""Peak memory of a run."""

import contextlib
import sys
from pathlib import Path

STATUS, MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory() -> float:
    """Return the maximum resident memory of this process since its start, or since `reset_peak`, in MiB."""

    if STATUS.is_file():  # counts this program alone; `getrusage` starts from the peak of the parent process
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Set the peak memory to what is resident now; no effect where the system (other than Linux) cannot do this."""

    with contextlib.suppress(OSError):
        MARK.write_text("5")
