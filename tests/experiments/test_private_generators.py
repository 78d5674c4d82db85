"""Private generators side by side, on a small table: what is measured, what is not repeated, what is not installed."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from experiments.generators import private


@pytest.fixture(autouse=True)
def small(monkeypatch):
    def table(seed):
        random = np.random.default_rng(seed)
        label = random.integers(2, size=700)
        x = random.normal(0, 0.7, (700, 2)) + 2.0 * label[:, None]
        frame = pd.DataFrame(x, columns=["x", "y"]).assign(label=np.where(label == 1, "one", "two"))
        return private._divided(frame, 100, 200, seed)

    monkeypatch.setattr(private, "DATA", {"small": table})
    monkeypatch.setattr(private, "LANDMARKS", 30)
    monkeypatch.setattr(private, "FEATURES", 40)
    monkeypatch.setattr(private, "STEPS", 150)
    monkeypatch.setenv("PEERS_PYTHON", "true")  # a program that writes nothing


def test_methods_are_compared_and_what_is_there_is_not_repeated(tmp_path, monkeypatch, caplog):
    arguments = ["--methods", "real", "codes", "label", "random_features", "--epsilons", "20", "--seeds", "1"]
    arguments += ["--folder", str(tmp_path)]
    private.main(arguments)
    runs = {each["method"]: each for each in map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())}
    assert list(runs) == ["real", "codes", "label", "random_features"]
    assert runs["real"]["accuracy"] > 0.9
    for method in ("label", "random_features"):
        assert runs[method]["accuracy"] > 0.8
        assert runs[method]["mmd"] < 0.3
    assert "| sketch with `label=` | 20 |" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(private, "METHODS", dict.fromkeys(private.METHODS))  # none of them can be called again
    private.main(arguments)
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 4


def test_methods_that_are_not_installed_are_left_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PEERS_PYTHON", "false")  # a program that fails
    with caplog.at_level(logging.WARNING):
        private.main(["--methods", "real", "mst", "--epsilons", "1", "--seeds", "1", "--folder", str(tmp_path)])
    assert "mst: not installed" in caplog.text
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 1
