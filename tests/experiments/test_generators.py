import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from cgm.data import MNIST, Dataset, Digits
from cgm.generators import KDE, MMDGAN, Generator
from cgm.utils.models.classifier import Classifier

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("evaluate_generator", ROOT / "experiments" / "evaluate_generator.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_frechet_distance():
    x = normal(200, 5)
    assert script.frechet(x, x) == pytest.approx(0, abs=1e-10)
    assert script.frechet(x + 2, x) == pytest.approx(5 * 2**2)  # moved alone
    scaled = script.frechet(3 * (x - x.mean(0)), x - x.mean(0))
    assert scaled == pytest.approx((3 - 1) ** 2 * float(x.var(0).sum()))  # stretched alone


def test_kid_is_that_of_a_plain_double_loop():
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

    mean, error = script.kid(s, t, size)
    assert mean == pytest.approx(sum(values) / 3, rel=1e-10)
    assert error == pytest.approx((sum((v - mean) ** 2 for v in values) / 2 / 3) ** 0.5, rel=1e-10)


def test_kid_is_unbiased():
    same, error = script.kid(normal(8000, 4), normal(8000, 4, seed=1), 40)
    assert abs(same) < 4 * error
    other, error = script.kid(normal(8000, 4), normal(8000, 4, seed=1) + 0.2, 40)
    assert other > 4 * error

    with pytest.raises(ValueError, match=r"^kid_block=6: a standard error needs two blocks"):
        script.kid(normal(11, 2), normal(20, 2), 6)


def test_class_shares():
    p = torch.tensor([[0.95, 0.03, 0.02], [0.2, 0.5, 0.3], [0.05, 0.92, 0.03], [0.0, 1.0, 0.0], [0.88, 0.12, 0.0]])
    assert script.class_shares(p, 0.9) == {"shares": [0.4, 0.6, 0.0], "least": 0.0, "sure": pytest.approx(0.6)}


def test_nearest_is_that_of_brute_force(monkeypatch):
    monkeypatch.setattr(script, "TILE", 7)
    x, candidates = normal(9, 1, 4, 4, dtype=torch.float32), normal(30, 1, 4, 4, seed=1, dtype=torch.float32)
    x[2], x[5] = candidates[17], candidates[29] + 1e-6  # a copy, and next to one
    every = np.linalg.norm(x.double().numpy()[:, None] - candidates.double().numpy(), axis=(3, 4))[..., 0]

    distances, rows = script.nearest(x, candidates)
    assert rows.tolist() == every.argmin(1).tolist()
    np.testing.assert_allclose(distances.numpy(), every.min(1), rtol=1e-12, atol=0)
    assert distances[2] == 0


def test_closeness():
    ratios = [1 / 2, 0 / 1, 3 / 2, 2 / 1e-12, 1.0]  # a copy of a test image is no less finite; 0 / 0 counts as 1
    found = script.closeness(torch.tensor([1.0, 0.0, 3.0, 2.0, 0.0]), torch.tensor([2.0, 5.0, 2.0, 0.0, 0.0]))
    assert found["quartiles"] == sorted(ratios)[1:4]
    assert found["below_1"] == 0.4


def test_layout_of_figures():
    images = torch.arange(23.0)[:, None, None, None] / 100
    labels = torch.tensor([0] * 11 + [2] * 12)
    rows = script.one_row_a_class(images, labels, 3).reshape(3, 10)
    torch.testing.assert_close(rows[0], torch.arange(10.0) / 100)
    torch.testing.assert_close(rows[1], torch.full((10,), 0.5))  # of this class there is none
    torch.testing.assert_close(rows[2], torch.arange(11.0, 21.0) / 100)

    both = script.one_above_the_other(images, 1 - images).reshape(-1, 10)
    torch.testing.assert_close(both, torch.stack([rows[0], 1 - rows[0], rows[0] + 0.1, 0.9 - rows[0]]))


def test_what_can_not_be_measured_is_refused(tmp_path):
    gan, digits = MMDGAN(pretrained=False, channels=2, steps=1), Digits().load(None, 0)
    with pytest.raises(ValueError, match=r"^dataset=digits: distances .* name its weights by classifier=PATH"):
        script.evaluate(gan, digits, tmp_path)
    with pytest.raises(ValueError, match=r"^generator: KDE makes no images; use generator=mmd_gan"):
        script.evaluate(KDE(), digits, tmp_path)
    assert not list(tmp_path.iterdir())


class Copies(Generator):
    """Gives out its training images."""

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

    result = script.evaluate(
        Copies(), dataset, tmp_path, kid_block=5, privacy_samples=20, bandwidths=[], classifier=classifier
    )

    copies, test = result["sets"]["generator"], result["sets"]["test images"]
    assert copies["to_nearest_training_image"] == {"least": 0, "median": 0}
    assert copies["nearer_to_training"] == 1
    assert copies["privacy"]["below_1"] > 0.2  # those whose original is among the 20 candidates, at the least
    assert test["classes"]["shares"] == script.class_shares(classifier.probabilities(x[40:]), 0.9)["shares"]
    with Image.open(tmp_path / "nearest.png") as image:
        pixels = torch.tensor(list(image.convert("RGB").tobytes())).reshape(image.height, image.width, 3)
    side = 3 * 8 + 3
    assert torch.equal(pixels[3:side], pixels[side + 3 : 2 * side])  # each stands above its like


def test_the_whole_program(data_dir, tmp_path):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("evaluate_generator", ["generator.pretrained=false", "generator.channels=2"])
    gan = instantiate(config.generator, steps=2, batch_size=4)
    mnist = MNIST().load(str(data_dir), 0)
    few = replace(mnist, x=mnist.x[:400], y=mnist.y[:400], x_test=mnist.x_test[:120], y_test=mnist.y_test[:120])

    result = script.evaluate(gan, few, tmp_path, samples=10_000, kid_block=30, privacy_samples=50, bandwidths=[1e-3])

    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["samples"] == result["candidates"] == 120
    sets = result["sets"]
    assert list(sets) == ["generator", "training images", "test images", "KDE, h = 0.001"]
    assert sets["training images"]["frechet"] < sets["generator"]["frechet"]
    assert sets["training images"]["kid"]["mean"] < sets["generator"]["kid"]["mean"]
    for found in sets.values():
        assert sum(found["classes"]["shares"]) == pytest.approx(1)
    assert sets["test images"]["classes"]["sure"] > 0.9

    copies = sets["KDE, h = 0.001"]
    assert copies["nearer_to_training"] == 1
    assert (
        copies["to_nearest_training_image"]["median"] < 0.1 < sets["test images"]["to_nearest_training_image"]["least"]
    )

    text = (tmp_path / "README.md").read_text()
    for name in ("samples", "classes", "nearest"):
        assert f"({name}.png)" in text
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size == (10 * (3 * 28 + 3) + 3,) * 2
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {6, 7}  # no cell is missing
