"""Properties of every tracker: each class in `cgm.records.trackers`, and each file in `conf/logger`."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate

import cgm.records.trackers
from cgm.records.trackers import Logger, NoLogger
from tests.contracts.members import check_configuration, classes, configurations
from tests.records.results import make_record

CLASSES = classes(cgm.records.trackers, lambda cls: issubclass(cls, Logger))
FILES = configurations("logger")
MEMBERS = {name: cls() for name, cls in CLASSES.items()} | {
    f"logger={name}": instantiate(config) for name, config in FILES.items()
}
PACKAGES = {"TensorBoard": ["tensorboard"], "MLflow": ["mlflow", "filelock"]}  # that a class needs to write a run
every_logger = pytest.mark.parametrize("logger", MEMBERS.values(), ids=MEMBERS)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """The folder of a finished run; what a tracker writes elsewhere is in the current folder, a temporary one."""

    monkeypatch.chdir(tmp_path)
    make_record().save(tmp_path / "run")
    return tmp_path / "run"


def skip_unless_installed(logger: Logger) -> None:
    for package in PACKAGES.get(type(logger).__name__, []):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    check_configuration(FILES[name], {})


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_tracker_is_a_frozen_dataclass_of_its_settings(cls):
    assert cls.__dataclass_params__.frozen
    assert dataclasses.replace(cls()) == cls()


@every_logger
def test_a_run_is_there_once_it_was_written(logger, run):
    skip_unless_installed(logger)
    assert logger.has(run) == isinstance(logger, NoLogger)  # it has nothing to write
    logger.write(run)
    assert logger.has(run)


@every_logger
def test_writing_twice_is_harmless(logger, run):
    skip_unless_installed(logger)
    before = contents(run)
    logger.write(run)
    names = {path.name for path in run.iterdir()}
    logger.write(run)
    assert logger.has(run)
    assert {path.name for path in run.iterdir()} == names
    assert before.items() <= contents(run).items()  # the files of the run are the same


@every_logger
def test_a_run_without_its_points_can_be_written(logger, run):
    skip_unless_installed(logger)
    (run / "rewards.npz").unlink()
    logger.write(run)
    assert logger.has(run)
