"""Rewards that a party completes at home: against its exact rows, from nothing but its folder."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.cli.private import reward as cgm_reward
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.privacy.sketch import Sketch
from cgm.rewards.sampling import WeightedSampling
from cgm.settlements.certificate import readable_json, seal
from cgm.settlements.completion import FILE, CompletionFile, complete_reward
from cgm.settlements.sketches import SketchMediator
from cgm.settlements.verification import verify
from cgm.utils.files import sha256
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.settlements.test_sketches import NUMBER, rows


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A settlement of three parties with tables of numbers and a category, and its folder."""

    job = {"kind": "categorical", "levels": ["a", "b"]}
    schema = propose_schema(None, {"x": NUMBER, "y": NUMBER, "job": job}, SquaredExponential(1.5), 80)
    tables = {"north": rows(700, -0.6, 0), "south": rows(700, 0.6, 1), "west": rows(300, 0.0, 2)}
    tables = {name: table.assign(job=np.where(table["x"] > 0, "a", "b")) for name, table in tables.items()}
    sketches = [Sketch.draw(schema, table, name, 3.0) for name, table in tables.items()]
    mediator = SketchMediator(
        sampling=WeightedSampling((4.0,), tolerance=0.2),
        pool=ParticleFit(particles=100, steps=40, draws=2),
        synthetic_size=12_000,
        draws=5,
        at_home=True,
    )
    settlement = mediator.settle(sketches)
    return settlement, tables, settlement.write(tmp_path_factory.mktemp("home") / "settlement") / "parties"


@pytest.fixture
def north(case, tmp_path):
    """A copy of the folder of a party."""

    return shutil.copytree(case[2] / "north", tmp_path / "north")


def test_a_reward_is_completed_to_what_was_promised_with_the_exact_rows(case):
    settlement, tables, folder = case
    points = [settlement.schema.encode(table) for table in tables.values()]
    exact = Valuation(settlement.schema.kernel, points, settlement.game.synthetic)
    counts = []
    for k, (name, table) in enumerate(tables.items()):
        completed = complete_reward(folder / name, table)
        assert completed.promised == pytest.approx(float(settlement.rewards.values[k]))
        assert completed.own == pytest.approx(float(exact.party_values[k]), abs=0.01)
        assert completed.received_size == settlement.drawn[k].size
        union = torch.cat([points[k], settlement.game.synthetic[settlement.drawn[k].indices]])
        assert completed.received == pytest.approx(exact.value(union), abs=5 * completed.error)
        union = torch.cat([points[k], settlement.game.synthetic[completed.reward.indices]])
        assert completed.reward.value == pytest.approx(exact.value(union), abs=5 * completed.error)
        assert completed.reward.reached
        assert completed.reward.value >= completed.target * (1 - 1e-7)
        if completed.reward.size:
            before = [completed.own, *completed.reward.values.tolist()][-2]
            assert before < completed.target  # no point more than is needed
        first = settlement.drawn[k].indices[: completed.kept]
        assert torch.equal(completed.reward.indices[: completed.kept], first)
        assert completed.added == 0 or completed.kept == completed.received_size
        assert len(completed.table) == completed.reward.size
        counts.append(completed.reward.size - completed.received_size)
        again = complete_reward(folder / name, table.sample(frac=1, random_state=0))
        assert torch.equal(again.reward.indices, completed.reward.indices)  # whatever the order of rows
        assert f"{completed.kept:,} of {completed.received_size:,} points" in repr(completed)
        if completed.target < completed.promised:
            assert f"complete at {completed.target:.4f}, since it may miss 20 % of" in completed.in_words()
    assert any(counts)  # some noise is always met


def test_a_reward_that_is_not_enough_gets_further_points_and_one_that_is_too_much_loses_some(case, north):
    settlement, tables, _ = case
    schema = settlement.schema
    for change, more in ((0.01, True), (-0.01, False)):
        given = CompletionFile.from_bytes((case[2] / "north" / FILE).read_bytes(), schema)
        start = complete_reward(case[2] / "north", tables["north"])
        changed = CompletionFile(**{**vars(given), "promised": start.received + change, "tolerance": 0.0})
        replace(north, FILE, changed.to_bytes())
        completed = complete_reward(north, tables["north"])
        assert (completed.added > 0) == more
        assert (completed.kept < completed.received_size) == (not more)
        assert completed.reward.reached
    changed = CompletionFile(**{**vars(given), "promised": 2.0, "tolerance": 0.0})
    replace(north, FILE, changed.to_bytes())
    completed = complete_reward(north, tables["north"])
    assert not completed.reward.reached
    assert "2.0000 was not reached" in repr(completed)


def replace(folder, name, content):
    """Put another file into a folder, with a certificate that lists it."""

    certificate = json.loads((folder / "certificate.json").read_text())
    certificate["files"][name] = {"sha256": sha256(content), "bytes": len(content)}
    (folder / name).write_bytes(content)
    (folder / "certificate.json").write_bytes(readable_json(seal(certificate)))


def test_the_command_and_what_can_be_verified_afterwards(case, north, capsys):
    _, tables, _ = case
    tables["north"].to_csv(north.parent / "north.csv", index=False)
    arguments = [str(north), str(north.parent / "north.csv")]
    cgm_reward(arguments)
    out = capsys.readouterr().out
    for text in (
        "CompletedReward of north: promised",
        "worth r_i = 0.",
        "± ",
        "points that were received are kept",
        "keep them",
    ):
        assert text in out
    note = json.loads((north / "completed.json").read_text())
    table = pd.read_csv(north / "completed.csv")
    assert len(table) == note["points"] == note["points_kept"] + note["points_added"]
    assert list(table.columns) == ["x", "y", "job"]
    verification = verify(north, north.parent / "north.csv")
    assert verification.ok
    assert any("north.csv was not compared" in line and "say that file" in line for line in verification.lines)
    assert any("completed.csv was completed from these files" in line for line in verification.lines)
    with pytest.raises(SystemExit, match=r"completed\.csv: exists; delete the earlier one"):
        cgm_reward(arguments)
    cgm_reward([*arguments, f"out={north.parent / 'other.csv'}", "seed=1"])
    assert (north.parent / "other.json").exists()
    with pytest.raises(SystemExit, match=r"ends in \.csv"):
        cgm_reward([*arguments, "out=x.txt"])
    (north / "completed.csv").write_bytes((north / "completed.csv").read_bytes() + b"1,2,a\n")
    assert any("not as cgm reward wrote them" in line for line in verify(north).lines)
    (north / "completed.json").write_text("[]")
    assert not verify(north).ok


def test_other_rows_schemas_and_folders_are_refused(case, north, tmp_path):
    settlement, tables, folder = case
    table = tables["north"]
    other = propose_schema(None, {"x": NUMBER}, SquaredExponential(1.5), 8).write(tmp_path / "other.yaml")
    for rows_, message in (
        (table.iloc[1:], "699, but the sketch of north has 700"),
        (tables["south"], "not the rows that were sketched"),
        (table.drop(columns="y"), "lacks the columns y"),
        (table.assign(job="c"), "data row 1: 'c' is no level"),
    ):
        with pytest.raises(ValueError, match=f"your rows.*{message}"):
            complete_reward(north, rows_)
    with pytest.raises(ValueError, match=r"schema: .*was settled by the schema"):
        complete_reward(north, table, schema=SketchSchema.read(other))
    assert SketchSchema.read(north / "schema.json").digest == settlement.schema.digest  # JSON has 1e-05
    with pytest.raises(ValueError, match=r"has no certificate\.json; .*: say .*/parties/NAME"):
        complete_reward(folder.parent, table)
    with pytest.raises(ValueError, match=r"has no certificate\.json"):
        complete_reward(tmp_path, table)

    content = (north / FILE).read_bytes()
    (north / FILE).write_bytes(content[:-1] + b"!")
    with pytest.raises(ValueError, match=f"damaged: {FILE} is not as the certificate says"):
        complete_reward(north, table)
    (north / FILE).unlink()
    with pytest.raises(ValueError, match=f"damaged: {FILE} is missing"):
        complete_reward(north, table)
    (north / "certificate.json").write_text("{}")
    with pytest.raises(ValueError, match=r"damaged: certificate\.json was changed"):
        complete_reward(north, table)


def test_files_with_other_content_are_refused(case, north):
    settlement, tables, folder = case
    good = (folder / "north" / FILE).read_bytes()
    given = CompletionFile.from_bytes(good, settlement.schema)
    assert CompletionFile.from_bytes(given.to_bytes(), settlement.schema).pool.equal(given.pool)
    for changes, message in (
        ({"own": given.own[:-1]}, "79 numbers"),
        ({"pool": given.pool[:, :1]}, "not of the shape"),
        ({"pool": given.pool + 0.5}, "rows that the schema does not allow"),
        ({"reward": given.reward[:1].repeat(2)}, "different rows of the pool"),
        ({"reward": torch.tensor([12_000])}, "different rows of the pool"),
        ({"noise": -1.0}, "noise=-1"),
        ({"tolerance": 2.0}, "tolerance=2"),
        ({"promised": "x"}, "promised=x"),
        ({"schema": "0" * 64}, "by the schema 0000"),
    ):
        replace(north, FILE, CompletionFile(**{**vars(given), **changes}).to_bytes())
        with pytest.raises(ValueError, match=message):
            complete_reward(north, tables["north"])
    for content in (b"", b"12345678", good[:100], good.replace(b"patience", b"sequence")):
        replace(north, FILE, content)
        with pytest.raises(ValueError, match=FILE):
            complete_reward(north, tables["north"])


def test_folders_without_it_say_what_the_mediator_can_do(case, tmp_path):
    settlement, tables, _ = case
    plain = type(settlement)(**{**vars(settlement), "settings": SketchMediator()})
    folder = plain.write(tmp_path / "settlement")
    names = sorted(path.name for path in (folder / "parties/north").iterdir())
    assert names == ["README.txt", "certificate.json", "reward.csv"]
    with pytest.raises(ValueError, match="at_home=true have it; ask the mediator"):
        complete_reward(folder / "parties/north", tables["north"])
