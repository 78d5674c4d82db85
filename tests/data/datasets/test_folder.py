from pathlib import Path

import pytest

from cgm.data.datasets.base import data_folder, first_file, listed


@pytest.mark.parametrize(
    ("data_dir", "variable", "expected"),
    [("a", "b", "a"), ("a", None, "a"), (None, "b", "b"), (None, None, "data"), ("", "", "data")],
)
def test_data_folder(monkeypatch, data_dir, variable, expected):
    monkeypatch.delenv("CGM_DATA", raising=False)
    if variable is not None:
        monkeypatch.setenv("CGM_DATA", variable)

    assert data_folder(data_dir) == Path(expected)


def test_first_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [Path("folder"), Path("b"), Path("a"), Path("b")]
    paths[0].mkdir()
    assert first_file(paths) is None
    for name in ("a", "b"):
        (tmp_path / name).touch()
    assert first_file(paths) == Path("b")
    assert first_file(paths[:1]) is None
    assert listed(paths) == ", ".join(str(tmp_path / name) for name in ("folder", "b", "a"))
