"""How long the paper's experiments take, all of one seed in one go."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgm.records.result import Result
from experiments.benchmark.compare import measure
from experiments.benchmark.parts import stations

ROOT = Path(__file__).resolve().parents[2]


def reproduction(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Run both splits of the paper's datasets with one seed by one command, and report the seconds of each station.

    Returns:
        The command, its wall and processor seconds, the number of pools and features that the cache did not have, and
        the stations of each run.

    Raises:
        RuntimeError: If a run fails.
    """

    more = [f"threads={settings['threads']}", *settings["sizes"]["paper_more"]]
    command = ["experiments.paper", "what=[paper]", "seeds=1", "figures=false", *settings["sizes"]["paper"]]
    command.append(f"more={json.dumps(more)}")
    cached = _cached()
    with tempfile.TemporaryDirectory() as folder:

        def run() -> None:
            call = [sys.executable, "-m", *command, f"folder={folder}"]
            done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(call)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")

        wall, cpu = measure(run)
        texts = [path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("runs/*/result.json"))]

    return {
        "command": f"python -m {' '.join(command)}",
        "wall": wall,
        "cpu": cpu,
        "computed": len(_cached() - cached),
        "runs": [stations(Result.loads(text)) for text in texts],
    }


def _cached() -> set[Path]:
    """Return the files of the cache of pools and features."""

    return set((ROOT / "outputs/cache").glob("*.safetensors"))
