"""Tests of records: what is saved is loaded, and damaged files are refused without running code in them."""

import csv
import dataclasses
import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cgm.evaluation.entries import AttackResult, MetricRow, RewardAudit
from cgm.records import record as module
from cgm.records.record import Record
from cgm.rewards.incentives import Incentive
from cgm.utils.files import write_whole
from tests.records import results
from tests.records.results import make_gains, make_result, make_rewards

INF = float("inf")
BETAS = (0.0, 0.12345678901234566, 2.0, INF)
COUNTS = [f"|G_i| β={beta}" for beta in ("0", "0.123457", "2", "inf")]
FILES = ["metrics.csv", "result.json", "rewards.npz"]
SUMS = "SHA256SUMS"


def make_record(parties: int = 2) -> Record:
    rng = np.random.default_rng(0)
    keys = [(i, beta) for i in range(parties) for beta in BETAS]
    metrics = [MetricRow(i, beta, "value", float(rng.normal())) for i, beta in keys]
    metrics += [MetricRow(0, 0.0, "accuracy", None), MetricRow(0, 0.0, "size", 7)]
    rewards = {key: torch.from_numpy(rng.permutation(30)[: 5 * k]) for k, key in enumerate(keys)}
    return results.make_record(
        make_result(parties, BETAS), metrics, rewards, torch.from_numpy(rng.normal(size=(30, 3)))
    )


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
    assert sorted(os.listdir(tmp_path / "new" / "run")) == [SUMS, *FILES]
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


def test_the_table_of_an_attack():
    assert "attack" not in make_record().table()
    record = dataclasses.replace(
        make_record(), result=make_result(attack=make_gains((1.0, INF), scores={"accuracy": None}))
    )
    assert record.table().splitlines()[-4:] == [
        "attack split_party by party 2, as 2, 4; honest -> attacked: α 0.5000 -> 0.7500 (max 0.5000), "
        "r_i 0.2500 -> 0.3750 (max 0.2500)",
        "  β     |G_i|        v(D_i∪G_i)       accuracy  others' v, mean    worst",
        "  1  10 -> 30  0.5000 -> 0.5625  0.5000 -> n/a          -0.0625  -0.2500",
        "inf  10 -> 30  0.5000 -> 0.5625  0.5000 -> n/a          -0.0625  -0.2500",
    ]


def test_nan_is_not_written(tmp_path):
    record = make_record()
    record.result.values.party[0] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        record.save(tmp_path)
    assert not (tmp_path / "result.json").exists()


def test_a_save_that_breaks_off_leaves_no_complete_run(tmp_path, monkeypatch):
    for broken in [SUMS, *FILES]:
        make_record(3).save(tmp_path)

        def write(path, data, broken=broken):
            if path.name == broken:
                raise KeyboardInterrupt
            write_whole(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_whole", write)
            with pytest.raises(KeyboardInterrupt):
                make_record().save(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [SUMS, "metrics.csv", "rewards.npz"]
        with pytest.raises(FileNotFoundError, match=r"no result\.json: the run is not finished, or was interrupted"):
            Record.load(tmp_path)
        make_record().save(tmp_path)
        assert same(Record.load(tmp_path), make_record())


def test_result_is_written_last(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(module, "write_whole", lambda path, data: written.append(path.name))
    make_record().save(tmp_path)
    assert sorted(written) == [SUMS, *FILES]
    assert written[-1] == "result.json"


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Record.load(tmp_path / "nowhere")
    for name in FILES:
        make_record().save(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"{re.escape(str(tmp_path))}: no {name}"):
            _ = Record.load(tmp_path).rewards


def test_a_record_without_rewards_is_loaded_until_they_are_used(tmp_path, monkeypatch):
    record = make_record()
    record.save(tmp_path)
    content = (tmp_path / "rewards.npz").read_bytes()
    (tmp_path / "rewards.npz").unlink()
    monkeypatch.chdir(tmp_path)
    loaded = Record.load(".")
    monkeypatch.chdir("/")
    assert loaded.result == record.result
    assert loaded.metrics == record.metrics
    assert loaded.table() == record.table()
    assert repr(loaded) == repr(record)
    for name in ("rewards", "pool"):
        with pytest.raises(FileNotFoundError, match=r"no rewards\.npz, although there is a result\.json"):
            getattr(loaded, name)
    with pytest.raises(FileNotFoundError):
        loaded.save(tmp_path)
    assert (tmp_path / "result.json").exists()  # the run is still complete

    (tmp_path / "rewards.npz").write_bytes(content)
    unread = pickle.loads(pickle.dumps(loaded))
    assert same(dataclasses.replace(loaded), record)
    assert loaded.pool is loaded.pool  # is read once
    (tmp_path / "rewards.npz").unlink()
    assert same(loaded, record)
    with pytest.raises(FileNotFoundError):
        _ = unread.pool


def test_a_loaded_record_can_be_saved_to_its_own_folder(tmp_path):
    make_record().save(tmp_path)
    Record.load(tmp_path).save(tmp_path)
    assert same(Record.load(tmp_path), make_record())


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_damaged_files_are_refused_and_nothing_in_them_is_run(tmp_path):
    run, marker = tmp_path / "run", tmp_path / "marker"
    make_record().save(run)
    whole = {name: (run / name).read_bytes() for name in FILES}
    objects, no_pool, foreign, odd_beta = (io.BytesIO() for _ in range(4))
    np.savez(objects, pool=np.array([Touch(marker)], dtype=object))
    np.savez(no_pool, party_0_beta_1=np.arange(3))
    np.savez(foreign, pool=np.zeros((2, 2)), something_else=np.arange(3))
    np.savez(odd_beta, pool=np.zeros((2, 2)), party_0_beta_x=np.arange(3))
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
        ("rewards.npz", odd_beta.getvalue()),
    ]
    for name, data in damaged:
        (run / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"^{re.escape(str(run))}: {name} is damaged"):
            _ = Record.load(run).pool
        assert not marker.exists()
        (run / name).write_bytes(whole[name])
    assert same(Record.load(run), make_record())


def test_every_flipped_bit_is_noticed(tmp_path):
    (tmp_path / "configuration.json").write_text('{"seed": 0}')
    make_record().save(tmp_path)
    for name in [SUMS, *FILES, "configuration.json"]:
        path, rng = tmp_path / name, np.random.default_rng(0)
        content, noticed = path.read_bytes(), r"\S+" if name == SUMS else re.escape(name)
        for k, bit in zip(rng.integers(len(content), size=100), rng.integers(8, size=100), strict=True):
            path.write_bytes(content[:k] + bytes([content[k] ^ 1 << bit]) + content[k + 1 :])
            with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path))}: ({noticed}) is damaged"):
                _ = Record.load(tmp_path).pool
        path.write_bytes(content)
        assert same(Record.load(tmp_path), make_record())


def test_the_error_of_a_damaged_file_has_the_key(tmp_path):
    make_record().save(tmp_path)
    (tmp_path / SUMS).unlink()  # as in the records of older versions
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    (tmp_path / "result.json").write_text(text.replace('"v_star"', '"vstar"'), encoding="utf-8")
    assert Record.load(tmp_path).result.scheme.number("v_star") is None
    (tmp_path / "result.json").write_text(text.replace('"grand"', '"great"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"result\.json is damaged .*field `grand` - at `\$\.values`"):
        Record.load(tmp_path)


def test_table_shows_the_record():
    record = make_record()
    result = record.result
    lines = record.table().splitlines()
    assert re.split(r"  +", lines[0]) == ["party", "α", "v(D_i)", "v_min", "r_i", "v(D_i∪G)", *COUNTS]
    values, sizes = result.values, {(chain.party, chain.beta): str(chain.size) for chain in result.sampling}
    columns = result.contributions.alpha, values.party, values.lower, result.scheme.values, values.upper
    for i, (line, numbers) in enumerate(zip(lines[1:3], zip(*columns, strict=True), strict=True)):
        assert line.split() == [str(i + 1), *(f"{x:.4f}" for x in numbers), *(sizes[i, beta] for beta in BETAS)]
    assert len({len(line) for line in lines[:3]}) == 1  # columns are aligned
    v_star, spread = result.scheme.number("v_star"), result.scheme.spread
    assert lines[3] == f"v* = {v_star:.6f}, ρ = 0.1000, spread of rewards max r - min r = {spread:.4f}"
    assert lines[4] == "incentives (slack): " + ", ".join(f"R{k} held (0.{k})" for k in range(1, 7))
    assert lines[5] == ""
    assert [re.split(r"  +", line.strip()) for line in lines[6:]] == [
        ["correlation of", "with α", "with β"],
        ["neg_mmd2_unbiased", "+0.990 ± 0.010", "n/a"],
        ["size", "-0.700 ± 0.050", "-0.800"],
        ["my_metric", "+0.200 ± 0.300", "n/a"],
    ]
    assert len({len(line) for line in lines[6:]}) == 1
    none = dataclasses.replace(record, result=dataclasses.replace(result, correlations={}))
    assert none.table().splitlines() == lines[:5]


def test_table_marks_what_was_not_reached_held_or_known():
    record = make_record()
    sampling, incentives = record.result.sampling, record.result.incentives
    sampling[1] = dataclasses.replace(sampling[1], reached=False)
    incentives["R4"] = Incentive(False, -0.5, "")
    incentives["R6"] = Incentive(None, None, "")
    lines = record.table().splitlines()
    sizes = [str(chain.size) for chain in sampling[:4]]
    assert lines[1].split()[-4:] == [sizes[0], f"{sizes[1]}*", *sizes[2:]]
    assert lines[3] == "* stopped before v(D_i ∪ G_i) reached r_i"
    assert "R3 held (0.3), R4 NOT held (-0.5), R5 held (0.5), R6 unknown" in lines[5]


def test_table_of_a_scheme_without_v_star_and_rho():
    for details in ({}, {"v_star": None, "rho": None}, {"levels": [1, 2]}):
        result = make_result(2, BETAS, scheme=make_rewards([0.5, 0.625], **details))
        table = dataclasses.replace(make_record(), result=result).table()
        assert table.splitlines()[3] == "spread of rewards max r - min r = 0.1250"


def test_table_has_a_row_for_each_audit():
    record = make_record()
    attacks = [
        AttackResult("nearest", 0.71234, 0.65, 0.75, 0.1, 0.05, 0.2),
        AttackResult("classifier", 0.9, 0.875, 0.925, 0.25, 0.125, 0.5),
    ]
    audit = [
        RewardAudit(0, 2.0, 30, 10, attacks, "classifier", 7, 1, 0.8125, 0.75),
        RewardAudit(1, INF, 30, 10, [], None, None, None, None, None, "no point was accepted"),
    ]
    before = record.table().splitlines()
    record = dataclasses.replace(record, result=dataclasses.replace(record.result, audit=audit))
    lines = record.table().splitlines()
    assert lines[: len(before)] == before
    blank, head, row, reason = lines[len(before) :]
    assert blank == ""
    assert re.split(r"  +", head.strip())[:4] == ["party", "β", "strongest attack", "AUC"]
    cells = ["1", "2", "classifier", "0.900 [0.875, 0.925]", "0.250 [0.125, 0.500]", "7", "0.812 (0.750)"]
    assert re.split(r"  +", row.strip()) == cells
    assert reason == "no audit of party 2, β=inf: no point was accepted"
    only = dataclasses.replace(record, result=dataclasses.replace(record.result, audit=audit[1:]))
    assert only.table().splitlines() == [*before, reason]


def test_rows_and_parties_that_there_are_not_are_refused(tmp_path):
    record = make_record()
    for key, rows, message in [
        ((0, 2.0), [0, 30], r"rows 0 to 30 of a pool of 30"),
        ((0, 2.0), [-1], r"rows -1 to -1 of a pool of 30"),
        ((0, 2.0), [0.5], "has the type torch.float"),
        ((0, 2.0), [[1]], r"the shape \(1, 1\)"),
        ((0, 2.0), [True], "has the type torch.bool"),
        ((7, 2.0), [1], "party 7, beta 2.0 is not in result.json"),
    ]:
        changed = {
            **record.rewards,
            key: torch.tensor(rows, dtype=None if isinstance(rows[0], list | bool | int) else torch.float64),
        }
        results.make_record(record.result, record.metrics, changed, record.pool).save(tmp_path)
        with pytest.raises(ValueError, match=rf"rewards\.npz is damaged: .*{message}"):
            _ = Record.load(tmp_path).rewards
    for pool, message in [(torch.full((30, 3), float("nan")), "finite points"), (torch.ones(30), r"the shape \(30,\)")]:
        results.make_record(record.result, record.metrics, record.rewards, pool).save(tmp_path)
        with pytest.raises(ValueError, match=message):
            _ = Record.load(tmp_path).pool


def test_metrics_of_parties_that_there_are_not_are_refused(tmp_path):
    record = make_record()
    for row, message in [
        (MetricRow(-1, 1.0, "value", 1.0), r"metrics\.csv is damaged: has parties that are not in result\.json"),
        (MetricRow(2, 1.0, "value", 1.0), r"metrics\.csv is damaged: has parties that are not in result\.json"),
        (MetricRow(0, 1.0, "value", float("nan")), "NaN is not a number that a metric has"),
        (MetricRow(0, float("nan"), "value", 1.0), "NaN is not a number that a metric has"),
    ]:
        dataclasses.replace(record, metrics=[row]).save(tmp_path)
        with pytest.raises(ValueError, match=message):
            Record.load(tmp_path)


def test_names_of_metrics_are_no_formulas(tmp_path):
    record = dataclasses.replace(make_record(), metrics=[MetricRow(0, 1.0, "=1+1", -1.0)])
    record.save(tmp_path)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1] == "0,1,'=1+1,-1.0"
    assert Record.load(tmp_path).metrics == record.metrics
