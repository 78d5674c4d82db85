"""Tests of the folder of a settlement: complete or not at all, safe names, nothing in a wrong place."""

import csv
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cgm.settlements import folder as module
from cgm.settlements.folder import check_folder, safe_names, write_settlement
from cgm.settlements.verification import verify
from tests.settlements.settled_tables import EVIL, settle


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Leave out the report, whose figures take seconds."""

    with monkeypatch.context() as patch:
        patch.setattr(module, "report", lambda settlement, seed, alternatives: b"<html></html>")
        yield patch


def test_a_settlement_is_written_for_the_mediator_and_each_party(tmp_path):
    settlement = settle()
    folder = write_settlement(tmp_path / "deep" / "out", settlement)
    party = {"reward.csv", "certificate.json", "certificate.html", "README.txt"}
    mediator = {"result.json", "settings.json", "pool.csv", "rewards.csv", "schema.yaml", "certificates.csv"}
    expected = {"report.html", *(f"mediator/{name}" for name in mediator)}
    for name in settlement.names:
        expected |= {f"parties/{name}/{file}" for file in party}
        expected |= {f"mediator/alternatives/{name}/reward-beta-{beta}.csv" for beta in (1, 4)}
        assert verify(folder / "parties" / name).ok
    assert tree(folder) == expected
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]

    result = json.loads((folder / "mediator/result.json").read_text())
    assert [party["name"] for party in result["parties"]] == list(settlement.names)
    assert [party["reward"] for party in result["parties"]] == settlement.rewards.values.tolist()
    assert next(iter(yaml.safe_load((folder / "mediator/schema.yaml").read_text())["columns"])) == "income"


def test_rewards_are_rows_of_the_pool(tmp_path):
    folder = write_settlement(tmp_path / "out", settle())

    def rows(path: str) -> list[list[str]]:
        with (folder / path).open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    header, *pool = rows("mediator/pool.csv")
    chosen = rows("mediator/rewards.csv")[1:]
    for party, name in enumerate(settle().names):
        for beta, path in (
            ("8", f"parties/{name}/reward.csv"),
            ("1", f"mediator/alternatives/{name}/reward-beta-1.csv"),
        ):
            own = [pool[int(row)] for p, b, row in chosen if (p, b) == (str(party), beta)]
            assert rows(path) == [header, *own]
            assert len(own) > 10


def test_alternatives_go_to_the_party_if_the_mediator_wants_so(tmp_path):
    folder = write_settlement(tmp_path / "out", settle(), alternatives=True)
    assert "alternatives/reward-beta-4.csv" in tree(folder / "parties" / "West Bank")
    assert not (folder / "mediator/alternatives").exists()
    assert "Use one reward" in (folder / "parties/West Bank/README.txt").read_text()
    assert verify(folder / "parties" / "West Bank").ok


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    write = module.write_whole
    (tmp_path / "empty").mkdir()
    for fails in range(0, 20, 3):
        count = iter(range(1000))

        def full(path, data, count=count, fails=fails):
            if next(count) == fails:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            write(path, data)

        monkeypatch.setattr(module, "write_whole", full)
        with pytest.raises(OSError, match="No space left on device"):
            write_settlement(tmp_path / "out", settle())
        assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    write_settlement(tmp_path / "empty", settle())  # the write that failed is over; an empty folder may be there
    assert len(tree(tmp_path / "empty")) == 25


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(path, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_whole", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_settlement(tmp_path / "out", settle())
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_refused_before_any_work(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in ("full", "full/x", "link"):
        with pytest.raises(ValueError, match="expected a new or empty folder"):
            check_folder(tmp_path / path)
        with pytest.raises(ValueError, match="expected a new or empty folder"):
            write_settlement(tmp_path / path, None)  # not even the settlement is looked at
    assert (tmp_path / "full" / "x").read_text() == "mine"
    assert check_folder(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()


def test_unknown_disclosures_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="disclose=all: expected one of"):
        write_settlement(tmp_path / "out", None, disclose=["all"])


def test_safe_names():
    assert safe_names(["a", "A", "b"]) == ["a", "A-2", "b"]
    assert safe_names(["../x", "..", "", "/etc/passwd", "a\\b"]) == [
        "x-1",
        "party-2",
        "party-3",
        "etc_passwd-4",
        "a_b-5",
    ]
    assert safe_names(["nul.txt", "COM1", "con ", "console"]) == ["nul.txt_-1", "COM1_-2", "con_-3", "console"]
    assert safe_names(["Müller & Söhne", "b.", ".c", "x" * 200])[0] == "Müller _ Söhne-1"
    assert safe_names(["a!", "a-1", "A-1-1"]) == ["a-1-1-1", "a-1", "A-1-1"]
    assert safe_names(["a", "a", "a-2"]) == ["a", "a-2-2", "a-2"]


@given(st.lists(st.text(alphabet="aAbſß./\\-_ :\0\n1éCONnul‮", max_size=6), min_size=1, max_size=6))
def test_names_are_safe_and_different(names):
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names)
    for name in safe:
        assert name
        assert not set(name) & set('/\\:*?"<>|\0\n‮')
        assert name == name.strip(" .")
        assert not module.RESERVED.fullmatch(name)


def test_names_from_outside_stay_in_the_folder(tmp_path, no_figures):
    no_figures.undo()
    settlement = replace(settle(), names=("../../x", EVIL, "CON"))
    folder = write_settlement(tmp_path / "out", settlement)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert len(list((folder / "parties").iterdir())) == 3
    for path in folder.rglob("*.html"):
        assert b"<script" not in path.read_bytes()
    for path in (folder / "parties").iterdir():
        assert verify(path).ok
