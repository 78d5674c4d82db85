"""Tests of the labels of synthetic points."""

from collections import Counter

import pytest
import torch
from sklearn.datasets import load_digits

from cgm.evaluation.labellers import CNN, KNN, AutoLabeller, NoLabeller
from cgm.networks.classifier import Classifier

IMAGE = (1, 28, 28)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x) / 16, torch.from_numpy(y)


def test_knn_from_a_plain_vote(digits):
    x, y = digits
    labels = KNN(n_neighbors=3).label(x[:300], y[:300], x[300:400].float())
    assert labels.dtype == torch.int64
    for point, label in zip(x[300:400].float().double(), labels.tolist(), strict=True):
        nearest = ((x[:300] - point) ** 2).sum(1).argsort()[:3]
        votes = Counter(y[nearest].tolist())
        assert votes[label] == max(votes.values())
    assert (labels == y[300:400]).double().mean() > 0.9
    assert torch.equal(AutoLabeller(n_neighbors=3).label(x[:300], y[:300], x[300:400].float()), labels)


def test_knn_labels_images():
    x = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    assert KNN(n_neighbors=1).label(x, torch.tensor([4, 7]), x.flip(0)).tolist() == [7, 4]


def test_no_labels(digits):
    x, y = digits
    assert NoLabeller().label(x, y, x) is None


def test_images_are_labelled_by_a_classifier_if_there_is_one():
    for labeller in (AutoLabeller(), CNN()):
        assert isinstance(labeller.classifier("mnist", IMAGE), Classifier)
    for labeller in (KNN(), NoLabeller()):
        assert labeller.classifier("mnist", IMAGE) is None
    for dataset, shape in (("mnist", None), ("digits", (1, 8, 8)), ("fashion", IMAGE)):
        assert AutoLabeller().classifier(dataset, shape) is None


def test_cnn_refuses_what_it_has_no_classifier_for():
    with pytest.raises(ValueError, match=r"labeller=cnn: the generator makes no images; use labeller=knn"):
        CNN().classifier("mnist", None)
    with pytest.raises(ValueError, match=r"labeller=cnn: .* no classifier for images of shape \(1, 8, 8\) of .*digits"):
        CNN().classifier("digits", (1, 8, 8))
    with pytest.raises(ValueError, match="labeller=cnn: labels images, not points; use labeller=knn"):
        CNN().label(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), torch.zeros(1, 2))


def test_points_refused(digits):
    x, y = digits
    with pytest.raises(ValueError, match=r"labeller\.n_neighbors=5: expected at most the number of real points, 4"):
        KNN().label(x[:4], y[:4], x)
    with pytest.raises(ValueError, match="synthetic points: has 63 columns where 64 are expected"):
        KNN().label(x, y, x[:, 1:])
    with pytest.raises(ValueError, match="real points: 1797 points but 3 labels"):
        KNN().label(x, y[:3], x)
