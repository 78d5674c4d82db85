import csv
import io
import json
import os
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import cgm.records.record
from cgm.records.plain import plain, snake, versions
from cgm.records.record import Record, rewards_of
from cgm.rewards.sampling import Chain
from cgm.utils.files import write_whole

INF = float("inf")
BETAS = (0.0, 0.12345678901234566, 2.0, INF)
COUNTS = [f"|G_i| β={beta}" for beta in ("0", "0.123457", "2", "inf")]
FILES = ["metrics.csv", "result.json", "rewards.npz"]


def make_record(parties: int = 2) -> Record:
    rng = np.random.default_rng(0)
    keys = [(i, beta) for i in range(parties) for beta in BETAS]
    alpha, own = rng.uniform(size=(2, parties)).tolist()
    result = {
        "name": "créancé ∪ β",
        "n_parties": parties,
        "shapley": {"alpha": alpha},
        "values": {"party": own, "lower": own, "upper": [x + 1 for x in own]},
        "scheme": {"rewards": [x + 0.5 for x in own], "v_star": 1 / 3, "rho": 0.25, "spread": 0.125},
        "incentives": {f"R{k}": {"holds": True, "slack": 0.1 * k} for k in range(1, 7)},
        "sampling": [{"party": i, "beta": plain(beta), "size": 7, "reached": True} for i, beta in keys],
        "missing": [{"party": 0, "beta": 0.0, "metric": "accuracy", "reason": "one class"}],
    }
    metrics = [(i, beta, "value", float(rng.normal())) for i, beta in keys]
    metrics += [(0, 0.0, "accuracy", None), (0, 0.0, "size", 7)]
    rewards = {key: torch.from_numpy(rng.permutation(30)[: 5 * k]) for k, key in enumerate(keys)}
    return Record(result, metrics, rewards, torch.from_numpy(rng.normal(size=(30, 3))))


def same(a: Record, b: Record) -> bool:
    return (
        a.result == b.result
        and a.metrics == b.metrics
        and a.rewards.keys() == b.rewards.keys()
        and all(torch.equal(rows, b.rewards[key]) and rows.dtype == torch.int64 for key, rows in a.rewards.items())
        and torch.equal(a.pool, b.pool)
    )


def test_reading_back_gives_the_same_to_the_last_digit(tmp_path):
    record = make_record()
    record.save(tmp_path / "new" / "run")
    assert sorted(os.listdir(tmp_path / "new" / "run")) == FILES
    loaded = Record.load(str(tmp_path / "new" / "run"))
    assert same(record, loaded)
    assert loaded.rewards[0, 0.0].shape == (0,)  # nothing was accepted

    loaded.save(tmp_path / "again")
    assert same(record, Record.load(tmp_path / "again"))


def test_files_are_what_other_programs_read(tmp_path):
    record = make_record()
    record.save(tmp_path)
    rows = list(csv.reader(io.StringIO((tmp_path / "metrics.csv").read_text(encoding="utf-8"))))
    assert rows[0] == ["party", "beta", "metric", "value"]
    assert [row[:3] for row in rows[1:5]] == [["0", beta, "value"] for beta in ("0", str(BETAS[1]), "2", "inf")]
    assert rows[9] == ["0", "0", "accuracy", ""]
    assert rows[10] == ["0", "0", "size", "7"]

    with np.load(tmp_path / "rewards.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"pool"} | {f"party_{i}_beta_{beta!r}" for i in range(2) for beta in BETAS}
        assert np.array_equal(arrays["pool"], record.pool.numpy())

    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert "créancé ∪ β" in text


@pytest.mark.parametrize("value", [float("nan"), INF])
def test_what_is_no_json_is_not_written(tmp_path, value):
    record = make_record()
    record.result["values"]["grand"] = value
    with pytest.raises(ValueError, match="JSON"):
        record.save(tmp_path)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("broken", FILES)
def test_a_save_that_breaks_off_leaves_no_complete_run(tmp_path, monkeypatch, broken):
    make_record(3).save(tmp_path)

    def write(path, data):
        if path.name == broken:
            raise KeyboardInterrupt
        write_whole(path, data)

    monkeypatch.setattr(cgm.record, "write_whole", write)
    with pytest.raises(KeyboardInterrupt):
        make_record().save(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["metrics.csv", "rewards.npz"]
    with pytest.raises(FileNotFoundError, match=r"no result\.json, so there is no complete run"):
        Record.load(tmp_path)

    monkeypatch.undo()
    make_record().save(tmp_path)
    assert same(Record.load(tmp_path), make_record())


def test_result_is_written_last(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(cgm.record, "write_whole", lambda path, data: written.append(path.name))
    make_record().save(tmp_path)
    assert sorted(written) == FILES
    assert written[-1] == "result.json"


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Record.load(tmp_path / "nowhere")
    for name in FILES:
        make_record().save(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            Record.load(tmp_path)


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_damaged_files_are_refused_and_nothing_in_them_is_run(tmp_path):
    run, marker = tmp_path / "run", tmp_path / "marker"
    make_record().save(run)
    whole = {name: (run / name).read_bytes() for name in FILES}
    objects, no_pool, foreign = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(objects, pool=np.array([Touch(marker)], dtype=object))
    np.savez(no_pool, party_0_beta_1=np.arange(3))
    np.savez(foreign, pool=np.zeros((2, 2)), something_else=np.arange(3))
    damaged = [
        *((name, data[: len(data) // 2]) for name, data in whole.items() if name != "metrics.csv"),
        *((name, b"") for name in FILES),
        ("result.json", b"\xff" + whole["result.json"]),
        ("metrics.csv", whole["metrics.csv"] + b"0,1,value,many\n"),
        ("metrics.csv", whole["metrics.csv"] + b"0,1\n"),
        ("metrics.csv", b"party,beta,value\n0,1,2\n"),
        ("rewards.npz", pickle.dumps(Touch(marker))),
        ("rewards.npz", objects.getvalue()),
        ("rewards.npz", no_pool.getvalue()),
        ("rewards.npz", foreign.getvalue()),
    ]
    for name, data in damaged:
        (run / name).write_bytes(data)
        with pytest.raises(ValueError, match="a file of this run is damaged"):
            Record.load(run)
        assert not marker.exists()
        (run / name).write_bytes(whole[name])
    assert same(Record.load(run), make_record())


def test_table_says_what_the_record_holds():
    record = make_record()
    lines = record.table().splitlines()
    assert re.split(r"  +", lines[0]) == ["party", "α", "v(D_i)", "v_min", "r_i", "v(D_i∪G)", *COUNTS]
    for i, line in enumerate(lines[1:3]):
        own = record.result["values"]["party"][i]
        numbers = (record.result["shapley"]["alpha"][i], own, own, own + 0.5, own + 1)
        assert line.split() == [str(i + 1), *(f"{x:.4f}" for x in numbers), "7", "7", "7", "7"]
    assert len({len(line) for line in lines[:3]}) == 1  # columns stand below one another
    assert lines[3] == "v* = 0.333333, ρ = 0.2500, spread of rewards max r - min r = 0.1250"
    assert lines[4] == "incentives (slack): " + ", ".join(f"R{k} held (0.{k})" for k in range(1, 7))
    assert len(lines) == 5


def test_table_marks_what_was_not_reached_held_or_told():
    record = make_record()
    record.result["sampling"][1]["reached"] = False
    record.result["incentives"]["R4"] = {"holds": False, "slack": -0.5}
    record.result["incentives"]["R6"] = {"holds": None, "slack": None}
    lines = record.table().splitlines()
    assert lines[1].split()[-4:] == ["7", "7*", "7", "7"]
    assert lines[3] == "* stopped before v(D_i ∪ G_i) reached r_i"
    assert "R3 held (0.3), R4 NOT held (-0.5), R5 held (0.5), R6 not told" in lines[-1]


class Pair(NamedTuple):
    a: float
    b: object


@dataclass
class Settings:
    path: Path
    betas: tuple[float, ...]
    inner: object = None
    cache: int = field(default=3, init=False)


def test_plain():
    x = {
        "tensor": torch.tensor([[1.5, INF], [-INF, 2.0]], dtype=torch.float64),
        "whole": torch.tensor([True, False]),
        "array": np.arange(3, dtype=np.int32),
        "number": np.float64(0.1),
        "pair": Pair(1.0, (np.int64(2), None)),
        "settings": Settings(Path("a") / "b", (1.0, INF), Settings(Path("c"), ())),
        3: "text",
        "object": object(),
        "none": None,
    }
    assert plain(x) == {
        "tensor": [[1.5, "inf"], ["-inf", 2.0]],
        "whole": [True, False],
        "array": [0, 1, 2],
        "number": 0.1,
        "pair": {"a": 1.0, "b": [2, None]},
        "settings": {
            "class": "Settings",
            "path": str(Path("a") / "b"),
            "betas": [1.0, "inf"],
            "inner": {"class": "Settings", "path": "c", "betas": [], "inner": None},
        },
        "3": "text",
        "object": "object",
        "none": None,
    }
    assert json.loads(json.dumps(plain(x), allow_nan=False)) == plain(x)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SquaredExponential", "squared_exponential"),
        ("KDE", "kde"),
        ("PCA", "pca"),
        ("MyGAN", "my_gan"),
        ("Sum(SquaredExponential, Laplacian)", "sum(squared_exponential, laplacian)"),
    ],
)
def test_snake(name, expected):
    assert snake(name) == expected


def test_versions_are_those_that_run():
    found = versions()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["numpy"] == np.__version__
    assert found["cgm"] == cgm.__version__
    assert int(found["numerics"]) >= 1
    assert {"python", "scipy", "scikit-learn", "umap-learn"} <= set(found)


def test_rewards_of():
    chains = [
        Chain(i, beta, 1.0, torch.arange(i), torch.zeros(i), 0.0, True, 0.0, 0.0) for i in range(2) for beta in BETAS
    ]
    assert {key: len(rows) for key, rows in rewards_of(chains).items()} == {
        (i, beta): i for i in range(2) for beta in BETAS
    }
