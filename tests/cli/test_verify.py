"""Tests of `cgm verify`."""

import subprocess
import sys

import pytest

from cgm.settlements.folder import party_files
from tests.settlements.settled_tables import settle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("party")
    for name, data in party_files(settle(), 2).items():
        (folder / name).write_bytes(data)
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "cgm", "verify", *map(str, arguments)], capture_output=True, text=True)


def test_a_folder_is_verified(folder):
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok      certificate.json")
    assert done.stdout.endswith("nothing failed\n")


def test_what_failed_ends_with_status_1(folder, tmp_path, cgm, capsys):
    (tmp_path / "mine.csv").write_text("not mine")
    with pytest.raises(SystemExit) as end:
        cgm("verify", str(folder), str(tmp_path / "mine.csv"))
    assert end.value.code == 1
    assert "is not the file that was settled" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        cgm("verify", str(tmp_path / "none"))
    assert end.value.code == 1
    assert "cannot be read" in capsys.readouterr().out


def test_the_folder_is_named_or_the_usage_is_printed(cgm, capsys):
    with pytest.raises(SystemExit) as end:
        cgm("verify")
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "usage: cgm verify" in error
    assert "hydra" not in error.lower()


def test_a_reader_may_read_the_beginning_only(folder):
    command = [sys.executable, "-m", "cgm", "verify", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
