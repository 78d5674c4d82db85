"""Errors in one line, and the `error.json` of a failed job."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from cgm.utils.files import write_whole

REFUSALS = (ValueError, OSError, HydraException, OmegaConfBaseException)  # errors that one line explains


def explain(error: BaseException) -> str:
    """Describe an error in one line: which setting is wrong and why, without the place in the code."""

    if isinstance(error, OverrideParseException):
        details = [line for line in error.message.splitlines() if not line.startswith(("Error parsing", "See http"))]
        if any(line.startswith("missing EQUAL") for line in details):
            return f"{error.override}: expected name=value"
        return f"{error.override}: invalid syntax ({'; '.join(details)})"
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice}: expected one of {', '.join(error.options)}"
    unknown = re.match(r"Could not override '(.+?)'", str(error))
    if isinstance(error, HydraException) and unknown:
        return f"{unknown[1]}: unknown setting; --help lists all settings"

    key = re.search(r"^\s*full_key: (\S+)$", str(error), re.M)
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    missing = re.match(r"Error loading '((\S+)\.(\w+))':\s+ModuleNotFoundError\(.No module named '\1'", str(error))
    if missing:  # Hydra imports a name that a module does not have as a submodule, and explains only that
        path, module, name = missing.groups()
        return f"{key[1] + '.' if key else ''}_target_={path}: no class {name} was found in {module}"
    text = " ".join(re.sub(r"^\s*(full_key: |object_type=).*$", "", str(error), flags=re.M).split())
    return text if key is None or key[1] in text else f"{text} (in {key[1]})"


def reason(error: Exception) -> str:
    """Describe an error in one line, with its type if it is not one that cgm or Hydra raise on purpose."""

    return explain(error) if isinstance(error, REFUSALS) else f"{type(error).__name__}: {explain(error)}"


def write_error(folder: Path, overrides: Sequence[str], error: Exception) -> None:
    """Write `error.json`: the overrides of a job, the reason for its failure and the traceback."""

    content = {
        "overrides": list(overrides),
        "message": reason(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    write_whole(folder / "error.json", json.dumps(content, indent=2, ensure_ascii=False).encode())
