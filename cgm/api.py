"""The stable public names of cgm; "Public names" in the documentation has a line on each."""

import warnings
from typing import TYPE_CHECKING, Any

from cgm.clusters import *
from cgm.contributions import *
from cgm.data import *
from cgm.data.attacks import *
from cgm.data.features import *
from cgm.engines import *
from cgm.evaluation.labellers import *
from cgm.evaluation.metrics import *
from cgm.evaluation.privacy import *
from cgm.evaluation.tasks import *
from cgm.experiment import Experiment as Experiment
from cgm.generators import *
from cgm.mediator import Mediator as Mediator
from cgm.mediator import Settlement as Settlement
from cgm.privacy import *
from cgm.records.record import Record as Record
from cgm.records.result import Result as Result
from cgm.records.sweep.load import Sweep as Sweep
from cgm.records.sweep.load import load_sweep as load_sweep
from cgm.rewards import *
from cgm.settlements import *
from cgm.settlements.folder import certificate as certificate
from cgm.settlements.folder import check_folder as check_folder
from cgm.settlements.folder import write_settlement as write_settlement
from cgm.settlements.report import report as report
from cgm.settlements.verification import Verification as Verification
from cgm.settlements.verification import sign as sign
from cgm.settlements.verification import verify as verify
from cgm.valuation import *
from cgm.valuation.kernels import *
from cgm.valuation.mmd import block_sums as block_sums
from cgm.valuation.mmd import mmd2_biased as mmd2_biased
from cgm.valuation.mmd import mmd2_unbiased as mmd2_unbiased
from cgm.valuation.references import *

__all__ = sorted(name for name, thing in globals().items() if getattr(thing, "__module__", "").startswith("cgm."))

RENAMED = {"Chain": "Reward", "ImageSettlement": "PartySettlement", "TableSettlement": "PartySettlement"}

if not TYPE_CHECKING:  # type checkers would take any name for one of this module

    def __getattr__(name: str) -> Any:
        """Return the thing that an old name stood for, with a warning."""

        if name not in RENAMED:
            raise AttributeError(f"module 'cgm.api' has no attribute {name!r}")
        new = RENAMED[name]
        warnings.warn(f"cgm.api.{name} is now cgm.api.{new}", DeprecationWarning, stacklevel=2)
        return globals()[new]
