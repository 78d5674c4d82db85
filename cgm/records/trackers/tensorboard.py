"""TensorBoard."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.records.record import Record
from cgm.records.settings import flatten
from cgm.records.trackers.base import Logger, figures, headline_scalars, scalars


@dataclass(frozen=True)
class TensorBoard(Logger):
    r"""TensorBoard's event files, in `tensorboard/` in the folder of the run.

    There is a scalar `{metric}/party_{i}/beta_{β}` for each party, from 1, and $\beta$. The headline numbers are in the
    table of hyperparameters, next to the settings.
    """

    def has(self, folder: Path) -> bool:
        """Return whether there are event files of the run."""

        return (folder / "tensorboard").is_dir()

    def write(self, folder: Path) -> None:
        """Write the event files of the run, replacing earlier ones."""

        import matplotlib.image
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        record, part = Record.load(folder), folder / ".tensorboard"
        for old in (part, folder / "tensorboard"):
            shutil.rmtree(old, ignore_errors=True)
        with SummaryWriter(str(part)) as writer:
            for name, value in scalars(record):
                writer.add_scalar(name, value)
            for path in figures(folder):
                # the last of a pixel's four numbers is its opacity, which is the same everywhere
                writer.add_image(path.stem, matplotlib.image.imread(path)[:, :, :3], dataformats="HWC")
            settings = json.dumps(record.result.settings, indent=4)
            writer.add_text("settings", "    " + settings.replace("\n", "\n    "))  # indented: Markdown's code block
            texts = {name: _hyperparameter(value) for name, value in flatten(record.result.settings).items()}
            numbers = headline_scalars(record)
            for summary in hparams(texts, numbers):
                writer.file_writer.add_summary(summary)
            for name, value in numbers.items():
                writer.add_scalar(name, value)
        part.rename(folder / "tensorboard")  # complete or not at all


def _hyperparameter(value: Any) -> bool | int | float | str:
    """Return a setting as TensorBoard's table can show it: as text, unless it is a number, a bool or text."""

    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
