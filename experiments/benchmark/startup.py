"""How long the command line takes to answer, compared with the import of Hydra alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.benchmark.compare import compare

COMMANDS = {  # what is asked of cgm, and the status with which it answers
    "cgm --help": 0,
    "cgm --help generator=mmd_gan": 0,
    "cgm generator=kd": 1,
    "cgm seed=-1": 1,
    "cgm -m seed=0,1,2 scheme.rho=0.5,2": 1,
    "cgm settle a.csv b.csv out=out rare=2": 1,
}


def startup(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare help and refusals of the command line, each in a new process, with the import of Hydra and of torch."""

    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], object]] = {
            'python -c "import hydra"': lambda: _python(folder, "import hydra", 0),
            **{command: _call(folder, command, status) for command, status in COMMANDS.items()},
            'python -c "import torch"': lambda: _python(folder, "import torch", 0),
        }
        return {"comparisons": [compare("answers", "call", calls, calls, settings)]}


def _call(folder: str, command: str, status: int) -> Callable[[], None]:
    """Return a function that runs a command of cgm in a new process."""

    root, arguments = str(Path(__file__).resolve().parents[2]), command.split()[1:]
    code = f"import sys; sys.path.insert(0, {root!r}); sys.argv[1:] = {arguments!r}; "
    code += "from cgm.cli.main import main; main()"

    return lambda: _python(folder, code, status)


def _python(folder: str, code: str, status: int) -> None:
    """Run code in a new process, and check its status."""

    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True)
    if done.returncode != status:
        raise RuntimeError(f"{code}: status {done.returncode} where {status} is expected")
