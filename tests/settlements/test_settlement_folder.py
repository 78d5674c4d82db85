"""Tests of the folder of a settlement: complete or not at all, safe names, nothing in a wrong place."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
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
    assert safe_names(["nul.txt", "COM1", "con ", "console"]) == ["nul_.txt-1", "COM1_-2", "con_-3", "console"]
    assert safe_names(["Müller & Söhne", "b.", ".c", "x" * 200])[0] == "Müller _ Söhne-1"
    assert safe_names(["a!", "a-1", "A-1-1"]) == ["a-1-1-1", "a-1", "A-1-1"]
    assert safe_names(["a", "a", "a-2"]) == ["a", "a-2-2", "a-2"]


def test_names_that_look_alike_are_numbered():
    cyrillic = "\u0432\u0430nk"  # its second letter looks like a Latin a
    for names, expected in [
        (["bank", "b\u0430nk", "other"], ["bank", "b\u0430nk-2", "other"]),
        (["Köln", "Ko\u0308ln"], ["Köln", "Köln-2"]),  # composed and decomposed
        (["Bank l", "Bank I", "Bank 1"], ["Bank l", "Bank I-2", "Bank 1-3"]),
        (["b0", "bO"], ["b0", "bO-2"]),
        (["Банк", "Север"], ["Банк", "Север"]),  # one script
        (["Банк", "Bank"], ["Банк-1", "Bank"]),
        ([cyrillic, "x"], [f"{cyrillic}-1", "x"]),
        (["北京", "さくら"], ["北京", "さくら"]),
        (["ｂａｎｋ", "𝐛𝐚𝐧𝐤", "bank", "ı"], ["ｂａｎｋ-1", "𝐛𝐚𝐧𝐤-2", "bank", "ı-4"]),
        (["con.txt", "aux .csv", "com¹"], ["con_.txt-1", "aux_ .csv-2", "com¹_-3"]),
        (["trailing.", "dots..."], ["trailing-1", "dots-2"]),
    ]:
        assert safe_names(names) == expected
    (long,) = safe_names(["𝒜" * 80])
    assert len(long.encode()) < 200
    assert long.endswith("𝒜-1")


def test_a_name_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="is too long a name, of at most 221 bytes"):
        check_folder(tmp_path / ("𝒜" * 60))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="no folder can be created in"):
        check_folder(tmp_path / "file" / "out")


def test_only_the_mediator_can_read_the_folder(tmp_path):
    folder = write_settlement(tmp_path / "out", settle())
    assert folder.stat().st_mode & 0o777 == (folder / "mediator").stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    write_settlement(shared, settle())
    assert shared.stat().st_mode & 0o777 == 0o755  # what was chosen stays
    assert (shared / "mediator").stat().st_mode & 0o777 == (shared / "parties").stat().st_mode & 0o777 == 0o700
    umask = os.umask(0)
    os.umask(umask)
    for party in (shared / "parties").iterdir():  # is handed over
        assert party.stat().st_mode & 0o777 == 0o777 & ~umask
    assert (shared / "report.html").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_leftovers_of_a_killed_run_are_private_and_deleted_by_the_next(tmp_path, name):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom cgm.settlements import folder\n"
        "from cgm.utils.run import ending\n"
        "def slow(path, data):\n    path.write_bytes(data)\n    print('writing', flush=True)\n    time.sleep(60)\n"
        "folder.write_whole = slow\n"
        "with ending():\n    folder.write_files(Path(sys.argv[1]), {'mediator/settings.json': b'seed'})"
    )
    run = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "writing\n"
    (left,) = tmp_path.glob(".out.*[0-9a-f]")
    assert left.stat().st_mode & 0o777 == 0o700
    assert check_folder(tmp_path / "out")
    assert left.is_dir()  # it is not left over yet
    run.send_signal(getattr(signal, name))
    run.wait()
    assert left.exists() == (name == "SIGKILL")
    check_folder(tmp_path / "other")
    assert left.exists() == (name == "SIGKILL")
    check_folder(tmp_path / "out")
    assert not list(tmp_path.glob(".out*"))


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
