"""The records of a study."""

from pathlib import Path

from cgm.records.record import find_runs, read_error, read_run
from cgm.records.result import Result


def read_results(folder: Path) -> tuple[dict[str, Result], dict[str, str]]:
    """Read the results of all runs in a folder and below it, which need not exist.

    Returns:
        The result of each complete run, by its folder relative to the folder's own parent, and the reasons why others
        have none.
    """

    results, broken = {}, {}
    for path in find_runs(folder) if folder.is_dir() else ():
        name = path.relative_to(folder.parent).as_posix()
        try:
            failure = read_error(path)
            if failure is not None:
                raise ValueError(f"failed: {failure}")
            results[name], _ = read_run(path)
        except (FileNotFoundError, ValueError) as error:
            broken[name] = str(error)
    return results, broken
