"""Properties of every metric: each class in `cgm.evaluation.metrics`, and each file in `conf/metric`."""

import dataclasses
from inspect import isabstract, signature

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

import cgm.evaluation.metrics
from cgm.evaluation.metrics import Metric, check_metric, paper_metrics
from cgm.evaluation.metrics.check import blobs
from tests.contracts.members import CONF, classes

CLASSES = classes(cgm.evaluation.metrics, lambda cls: issubclass(cls, Metric))
FILES = {path.stem: OmegaConf.load(path) for path in sorted((CONF / "metric").glob("*.yaml"))}
SETS = {"paper": list(paper_metrics()), "none": []}  # choices of several metrics, or of no metric
SECTIONS = {name: file[name] for name, file in FILES.items() if name not in SETS}
MEMBERS = {name: cls() for name, cls in CLASSES.items()} | {
    f"metric={name}": instantiate(section, _convert_="all") for name, section in SECTIONS.items()
}
every_metric = pytest.mark.parametrize("metric", MEMBERS.values(), ids=MEMBERS)


def test_every_class_has_a_file_named_after_it():
    assert {get_class(section._target_) for section in SECTIONS.values()} == set(CLASSES.values())
    assert all(list(FILES[name]) == [name] for name in SECTIONS)
    assert list(FILES["paper"].defaults) == SETS["paper"]
    assert FILES["none"].metric == {}
    for name, metric in paper_metrics().items():
        assert instantiate(SECTIONS[name], _convert_="all") == metric


def test_files_state_every_setting_with_its_default():
    for name, section in SECTIONS.items():
        cls = get_class(section._target_)
        assert list(section) == ["_target_", *(field.name for field in dataclasses.fields(cls))], name
        if name != "mmd2_laplacian":  # a choice of settings of another class
            assert instantiate(section, _convert_="all") == cls(), name


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_metric_is_a_frozen_dataclass_of_its_settings(cls):
    assert not isabstract(cls)
    assert cls.__dataclass_params__.frozen
    assert dataclasses.replace(cls()) == cls()
    assert list(signature(cls.measure).parameters) == ["self", "s", "t"]


@every_metric
def test_rules(metric):
    check_metric(metric)


@every_metric
def test_points_of_float32_and_of_one_dimension(metric):
    t = blobs()
    for x in (t.x.float(), t.x[:, :1]):
        check_metric(metric, dataclasses.replace(t, x=x))


@every_metric
def test_the_same_number_with_any_number_of_threads(metric):
    t, before, numbers = blobs(), torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            numbers.append(metric.measure(t.select(t.rows[::3]), dataclasses.replace(t)))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert numbers[0] == numbers[1]
