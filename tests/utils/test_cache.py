import logging
import os

import pytest
import torch

from cgm.utils import cache
from cgm.utils.cache import cached

KEY = {"seed": 0, "weights": "abc"}
TENSORS = {"points": torch.arange(6.0, dtype=torch.float64).reshape(3, 2).T, "labels": torch.tensor([1, 0, 2])}


def make() -> dict[str, torch.Tensor]:
    return dict(TENSORS)


def fail() -> dict[str, torch.Tensor]:
    pytest.fail("computed although it was in the cache")


def same(tensors: dict[str, torch.Tensor]) -> bool:
    return tensors.keys() == TENSORS.keys() and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_results_are_stored_and_each_use_is_logged(tmp_path, caplog) -> None:
    folder = tmp_path / "new"
    with caplog.at_level(logging.INFO, "cgm"):
        assert same(cached(folder, "pool", KEY, make))
        (path,) = folder.iterdir()
        assert f"cache: pool written to {path}" in caplog.text
        assert same(cached(str(folder), "pool", dict(reversed(KEY.items())), fail))
        assert f"cache: pool read from {path}" in caplog.text


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, caplog) -> None:
    cached(tmp_path / "mine", "pool", KEY, make)
    (path,) = (tmp_path / "mine").iterdir()
    for place in (tmp_path / "mine", path):
        mode = place.stat().st_mode
        place.chmod(0o777)
        caplog.clear()
        assert torch.equal(cached(tmp_path / "mine", "pool", KEY, lambda: {"x": torch.ones(1)})["x"], torch.ones(1))
        assert f"other users can write to {place} (chmod go-w)" in caplog.text
        place.chmod(mode)
    assert path.stat().st_mode & 0o022 == 0  # written anew


def test_a_pipe_or_a_link_in_the_place_of_a_file_is_not_read(tmp_path, caplog) -> None:
    cached(tmp_path, "pool", KEY, make)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "moved")
    for make_it in (os.mkfifo, lambda path: path.symlink_to(tmp_path / "moved")):
        path.unlink(missing_ok=True)
        make_it(path)
        caplog.clear()
        assert same(cached(tmp_path, "pool", KEY, make))
        assert "recomputing" in caplog.text
        assert path.is_file()
        assert not path.is_symlink()


@pytest.mark.parametrize("key", [KEY | {"seed": 1}, KEY | {"more": None}, {"seed": 0}])
def test_another_key_is_another_entry(tmp_path, key) -> None:
    cached(tmp_path, "pool", KEY, make)
    assert torch.equal(cached(tmp_path, "pool", key, lambda: {"x": torch.ones(1)})["x"], torch.ones(1))
    assert same(cached(tmp_path, "pool", KEY, fail))
    assert same(cached(tmp_path, "other", KEY, make))
    assert len(list(tmp_path.iterdir())) == 3


def test_another_version_is_another_entry(tmp_path, monkeypatch) -> None:
    cached(tmp_path, "pool", KEY, make)
    monkeypatch.setattr(cache, "__version__", "999")
    assert list(cached(tmp_path, "pool", KEY, lambda: {"x": torch.ones(1)})) == ["x"]


def test_without_a_folder_nothing_is_stored(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert same(cached(None, "pool", KEY, make))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["bit", "truncated", "text", "empty", "other"])
def test_a_damaged_entry_is_reported_and_replaced(tmp_path, caplog, damage) -> None:
    cached(tmp_path, "pool", KEY, make)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    if damage == "other":
        cached(tmp_path, "pool", {"seed": 5}, lambda: {"points": torch.zeros(2)})
        (stranger,) = set(tmp_path.iterdir()) - {path}
        bad = stranger.read_bytes()
    else:
        bit = good[:-1] + bytes([good[-1] ^ 1])
        bad = {"bit": bit, "truncated": good[:-9], "text": b"points", "empty": b""}[damage]
    path.write_bytes(bad)

    assert same(cached(tmp_path, "pool", KEY, make))
    assert f"cache: {path}: " in caplog.text
    assert "recomputing" in caplog.text
    assert same(cached(tmp_path, "pool", KEY, fail))


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("")
    assert same(cached(tmp_path / "file" / "folder", "pool", KEY, make))
    assert "could not be written" in caplog.text
