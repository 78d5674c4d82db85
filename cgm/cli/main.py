"""Composes an experiment by Hydra, and runs it: `cgm` and `python -m cgm`."""

import os
import sys
from pathlib import Path

import hydra

from cgm.cli.jobs import run

HERE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (HERE / "conf", HERE.parent / "conf") if folder.is_dir())  # installed, or a checkout


def main() -> None:
    """Runs the command line."""

    sys.path.insert(0, os.getcwd())  # `python -m cgm` finds classes of the user's own here; so shall `cgm`
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)()
