"""Tests of the program that compares generators: tables and points, what is repeated, the report."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.data.datasets.base import Dataset
from cgm.evaluation.metrics.paper import fit_gaussian
from cgm.generators import KDE, VAE
from experiments.generators import choice
from experiments.generators.judges import Judge
from experiments.generators.measures import cubic_kernel, frechet, precision_and_recall
from experiments.generators.report import GENERATOR, TEST
from experiments.lengthscales.deals import Table


def make_table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 2)).round(3)
    label = np.where(x[:, 0] > 0, "yes", "no")
    return pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "kind": random.choice(["a", "b"], 240), "label": label})


class Points:
    def load(self, data_dir, seed):
        x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        y = (x[:, 0] > 0).long()
        return Dataset("points", x[:200], y[:200], x[200:], y[200:], ("low", "high"))


def test_the_program(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(choice, "TABLES", [Table("penguins", make_table, "label", "x", "none")])
    monkeypatch.setattr(choice, "DATASETS", {"credit_card": Points})
    vae = lambda: VAE(latent=2, hidden=8, steps=3)  # noqa: E731
    monkeypatch.setattr(choice, "GENERATORS", {"kde": KDE, "vae": vae})
    arguments = ["--data", "credit_card", "penguins", "--generators", "real data", "kde", "vae", "--seeds", "2"]
    arguments += ["--folder", str(tmp_path)]
    monkeypatch.setattr(choice, "NAMES", ("penguins",))

    choice.main(arguments)
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 3 + 6
    assert {record["seed"] for record in records if record["data"] == "credit_card"} == {0}
    for record in records:
        measures = {"frechet", "precision", "recall"} if record["data"] == "credit_card" else {"logistic", "forest"}
        more = set() if record["generator"] == choice.REAL else {"copies", "seconds"}
        assert record.keys() - {"data", "generator", "seed"} == measures | more
    of = {(record["data"], record["generator"], record["seed"]): record for record in records}
    assert of["penguins", choice.REAL, 0]["logistic"] > 0.9
    assert of["penguins", "kde", 0]["logistic"] > 0.8
    assert 0.3 < of["credit_card", "kde", 0]["copies"] < 0.7
    assert (tmp_path / "penguins-vae-1" / "checkpoint.pt").is_file()
    report = (tmp_path / "README.md").read_text()
    assert "## credit_card" in report
    assert "| real data |" in report

    choice.main(arguments)  # nothing is repeated
    choice.main([*arguments, "--report"])
    assert (tmp_path / "runs.jsonl").read_text().splitlines() == lines
    assert (tmp_path / "README.md").read_text() == report


def test_samples_are_compared_by_a_judge():
    class FirstPixel(Judge):
        kernel = staticmethod(cubic_kernel)

        def features(self, x):
            return x.flatten(1).double()

        def probabilities(self, features):
            return torch.stack([features[:, 0], 1 - features[:, 0]], 1)

    drawn, test = (torch.rand(60, 1, 2, 2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    found = choice.by_judge(FirstPixel(), {GENERATOR: drawn, TEST: test})

    features = drawn.flatten(1).double(), test.flatten(1).double()
    assert found["frechet"] == frechet(*map(fit_gaussian, features))
    assert (found["precision"], found["recall"]) == precision_and_recall(*features, 3)
    share = float((drawn[:, 0, 0, 0] > 0.5).double().mean())
    assert found["min"] == pytest.approx(min(share, 1 - share))
    assert found["between"] == 0
    assert {f"imagenet_{name}" for name in found} == set(choice.INDEPENDENT)
    record = {"data": "mnist", "generator": "vae", "seed": 0, "frechet": 1.0, "seconds": 3.0}
    record |= {f"imagenet_{name}": value for name, value in found.items()}
    assert "| vae | 1 | – | – | " in choice.report([record])


def test_copies():
    random = torch.Generator().manual_seed(0)
    training, test = torch.randn(50, 2, generator=random), torch.randn(80, 2, generator=random)

    assert choice.copies(training, training, test) == 1
    assert choice.copies(test, training, test[:50]) < 0.5
    assert choice.copies(training, training, training) == 0.5
