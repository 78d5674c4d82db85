import errno
import multiprocessing
import os
import re
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from cgm.utils.files import Locked, locked, remove_parts, write_whole


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


def test_an_error_names_the_file(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"No space left on device: '{re.escape(str(tmp_path / 'file'))}'"):
        write_whole(tmp_path / "file", b"new")


def test_parts_of_killed_processes_are_removed(tmp_path):
    names = [".file.json." + "0a" * 16, ".lock", ".hidden.json", "file." + "0a" * 16, ".x." + "0a" * 15]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / names[0]).touch()
    remove_parts(tmp_path, min_age=60)
    assert (tmp_path / names[0]).exists()
    os.utime(tmp_path / names[0], (0, 0))
    remove_parts(tmp_path, tmp_path / "none", min_age=60)
    assert sorted(os.listdir(tmp_path)) == sorted([*names[1:], "inner"])
    remove_parts(tmp_path / "inner")
    assert not os.listdir(tmp_path / "inner")


def test_a_lock_is_for_one_at_a_time(tmp_path):
    path = tmp_path / "new" / ".lock"
    message = rf"^{re.escape(str(path.parent))}: in use by process {os.getpid()} on \S+$"
    with locked(path), pytest.raises(Locked, match=message):
        locked(path).__enter__()
    with locked(path), locked(tmp_path / ".lock"):
        pass
    with pytest.raises(RuntimeError), locked(path):
        raise RuntimeError
    with locked(path):
        pass


def hold(path: Path) -> None:
    with locked(path):
        time.sleep(60)


def test_a_lock_ends_with_its_process(tmp_path):
    path, calls = tmp_path / ".lock", []
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(path,))
    process.start()
    while not path.exists() or not path.read_text():
        time.sleep(0.01)
    with pytest.raises(Locked, match=f"in use by process {process.pid} on "):
        locked(path).__enter__()
    with locked(path, wait=lambda: (calls.append("wait"), process.kill())):
        calls.append("locked")
    process.join()
    assert calls == ["wait", "locked"]


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def fail(number):
        def acquire(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        return acquire

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", fail(errno.ENOLCK))
        with locked(tmp_path / ".lock"), locked(tmp_path / ".lock"):
            pass
        patch.setattr(FileLock, "acquire", fail(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"), locked(tmp_path / ".lock"):
            pass
