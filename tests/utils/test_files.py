import os
import threading

import pytest

from cgm.utils.files import write_whole


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    for data in (b"old, and longer", b"new", b""):
        write_whole(str(path), data)
        assert path.read_bytes() == data
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_only_the_old_file(tmp_path, monkeypatch, call, error):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for target in (path, tmp_path / "other"):
            with pytest.raises(type(error)):
                write_whole(target, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_on_disk_before_the_rename(tmp_path, monkeypatch):
    calls, replace, fsync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file)))

    def checked(part, path):
        with open(part, "rb") as file:
            calls.append(file.read())
        assert os.path.dirname(part) == os.path.dirname(path)  # a rename is atomic within a folder
        replace(part, path)

    monkeypatch.setattr(os, "replace", checked)
    write_whole(tmp_path / "file", b"all of it")
    assert calls == ["fsync", b"all of it"]


def test_readers_see_one_of_the_complete_files(tmp_path):
    path, contents = tmp_path / "file", [bytes([k]) * 100_000 for k in range(4)]
    write_whole(path, contents[0])

    def write(data):
        for _ in range(10):
            write_whole(path, data)

    writers = [threading.Thread(target=write, args=(data,)) for data in contents]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers) or seen == 0:
        assert path.read_bytes() in contents
        seen += 1
    for writer in writers:
        writer.join()
    assert os.listdir(tmp_path) == ["file"]
