"""Properties of every labeller: each class in `cgm.evaluation.labellers`, and each file in `conf/labeller`."""

import dataclasses
from inspect import isabstract

import pytest
import torch
from hydra.utils import get_class, instantiate
from sklearn.datasets import load_digits

import cgm.evaluation.labellers
from cgm.evaluation.labellers import Labeller
from cgm.networks.classifier import Classifier
from tests.contracts.members import check_configuration, classes, configurations

CLASSES = classes(cgm.evaluation.labellers, lambda cls: issubclass(cls, Labeller))
FILES = configurations("labeller")
MEMBERS = {name: cls() for name, cls in CLASSES.items()} | {
    f"labeller={name}": instantiate(config) for name, config in FILES.items()
}
IMAGE = (1, 28, 28)  # of MNIST, which cgm has a classifier for


def labels_points(labeller: Labeller) -> bool:
    try:
        labeller.label(torch.rand(9, 2), torch.arange(9), torch.rand(3, 2))
    except ValueError:
        return False
    return True


OF_POINTS = {name: labeller for name, labeller in MEMBERS.items() if labels_points(labeller)}
every_labeller = pytest.mark.parametrize("labeller", MEMBERS.values(), ids=MEMBERS)
every_labeller_of_points = pytest.mark.parametrize("labeller", OF_POINTS.values(), ids=OF_POINTS)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x) / 16, torch.from_numpy(y)


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    check_configuration(FILES[name], {})


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_labeller_is_a_frozen_dataclass_of_its_settings(cls):
    assert not isabstract(cls)
    assert cls.__dataclass_params__.frozen
    assert cls() == cls()
    assert dataclasses.replace(cls()) == cls()


@every_labeller_of_points
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_are_classes_of_the_real_points(labeller, digits, dtype):
    x, y = digits[0].to(dtype), 3 * digits[1] + 1  # classes that are not consecutive
    labels = labeller.label(x[:400], y[:400], x[400:500])
    if labels is None:
        return
    assert labels.shape == (100,)
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) <= set(y[:400].tolist())
    assert (labels == y[400:500]).double().mean() > 0.8


@every_labeller_of_points
def test_the_same_points_have_the_same_labels(labeller, digits):
    x, y = digits
    before = x[:300].clone(), y[:300].clone(), x[300:360].clone()
    labels = labeller.label(x[:300], y[:300], x[300:360])
    again = labeller.label(x[:300], y[:300], x[300:360])
    assert (labels is None) == (again is None)
    for tensor, copy in zip((x[:300], y[:300], x[300:360]), before, strict=True):
        assert torch.equal(tensor, copy)  # not changed in place
    if labels is not None:
        assert torch.equal(labels, again)
        backwards = labeller.label(x[:300], y[:300], x[300:360].flip(0))
        assert torch.equal(backwards.flip(0), labels)  # one point's label does not depend on the others


@every_labeller_of_points
def test_points_that_do_not_fit_are_refused(labeller, digits):
    x, y = digits
    if labeller.label(x[:100], y[:100], x[100:110]) is None:
        return
    for real, classes_of, synthetic in (
        (x[:100], y[:100], x[100:110, 1:]),
        (x[:100], y[:50], x[100:110]),
        (x[:100], y[:100].double(), x[100:110]),
        (x[:100] * float("nan"), y[:100], x[100:110]),
    ):
        with pytest.raises(ValueError, match="points"):
            labeller.label(real, classes_of, synthetic)


@every_labeller
def test_classifiers_label_images(labeller):
    classifier = labeller.classifier("mnist", IMAGE)
    if classifier is None:
        return
    assert isinstance(classifier, Classifier)
    images = torch.rand(20, *IMAGE, generator=torch.Generator().manual_seed(0))
    labels = classifier.predict(images)
    assert labels.shape == (20,)
    assert labels.dtype == torch.int64
    assert ((labels >= 0) & (labels < 10)).all()
    assert torch.equal(labeller.classifier("mnist", IMAGE).predict(images), labels)


@every_labeller
@pytest.mark.parametrize(("dataset", "image"), [("mnist", None), ("digits", (1, 8, 8))])
def test_without_a_classifier_points_are_labelled_or_there_is_an_error(labeller, dataset, image):
    if labels_points(labeller):
        assert labeller.classifier(dataset, image) is None
        return
    with pytest.raises(ValueError, match=r"^labeller=\w+: .*; use labeller="):
        labeller.classifier(dataset, image)
    with pytest.raises(ValueError, match=r"^labeller=\w+: labels images, not points; use labeller="):
        labeller.label(torch.rand(9, 2), torch.arange(9), torch.rand(3, 2))
