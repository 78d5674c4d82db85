"""Tests of files that come from outside: limits are measured before anything is read, and only plain files are."""

import gzip
import io
import os
import tracemalloc
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cgm.utils.files import (
    MAX_COLUMNS,
    TooLarge,
    check_cells,
    check_file_name,
    gunzip,
    max_bytes,
    open_plain,
    read_plain,
)
from cgm.utils.text import csv_text, printable
from cgm.utils.untrusted import check_parquet, load_yaml, open_arrays


def bomb(size: int) -> bytes:
    """Return a gzip file of zeros, made without holding them."""

    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(squeeze.compress(bytes(2**20)) for _ in range(size // 2**20)), squeeze.flush()])


@pytest.fixture
def small(monkeypatch):
    """A limit of 16 MiB."""

    monkeypatch.setenv("CGM_MAX_GIB", "0.015625")
    assert max_bytes() == 2**24


def test_the_limit_is_a_setting(monkeypatch):
    assert max_bytes() == 2 * 2**30
    monkeypatch.setenv("CGM_MAX_GIB", "0.5")
    assert max_bytes() == 2**29
    for value in ("0", "-1", "much", "nan", "inf"):
        monkeypatch.setenv("CGM_MAX_GIB", value)
        with pytest.raises(ValueError, match=f"CGM_MAX_GIB={value}: expected a number of GiB, such as 8"):
            max_bytes()


def test_only_plain_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(tmp_path / "file") == read_plain(tmp_path / "link", links=True) == b"content"
    for name, links, message in [
        ("link", False, "link: a link; expected the file itself"),
        ("zero", False, "zero: a link"),
        ("zero", True, "zero: a pipe or a device; expected a plain file"),
        ("pipe", False, "pipe: a pipe or a device"),
        (".", False, "a folder; expected a plain file"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_plain(tmp_path / name, links)
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "none")


def test_large_files_are_refused_before_they_are_read(tmp_path, small):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10 * 2**30)  # takes no place on the disk
    tracemalloc.start()
    with pytest.raises(
        TooLarge, match=r"large: takes 10 GiB of memory or more, the limit is 0\.015625 GiB; .*CGM_MAX_GIB"
    ):
        read_plain(tmp_path / "large")
    with pytest.raises(TooLarge, match=r"x\.gz: is decompressed to .* GiB of memory or more"):
        gunzip(bomb(2**28), "x.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"b"), "x.gz") == b"ab"
    with pytest.raises(ValueError, match=r"x\.gz: not a gzip file, or a truncated one"):
        gunzip(gzip.compress(b"a")[:-1], "x.gz")


def test_tables_have_a_limited_size(small):
    check_cells("x.csv", 1000, 100)
    with pytest.raises(TooLarge, match=r"x\.csv: 10,000 rows of 100 columns take"):
        check_cells("x.csv", 10_000, 100)
    with pytest.raises(TooLarge, match=r"x\.csv: has 10,001 columns, at most 10,000 are possible"):
        check_cells("x.csv", 1, MAX_COLUMNS + 1)


def test_parquet_is_measured_by_its_metadata(small):
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    rows = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, np.int8)), pa.array(["x"]))
    parquet.write_table(pa.table({"a": rows}), file)
    assert len(file.getvalue()) < 10_000
    with pytest.raises(TooLarge, match=r"a\.parquet: 1,000,000 rows of 1 columns take"):
        check_parquet("a.parquet", file.getvalue())


def npz(path: Path, header: bytes, content: bytes = b"", **options) -> Path:
    """Write an `.npz` file with one array, whose header says what it says."""

    text = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)
    return path


def test_arrays_are_compared_with_their_headers(tmp_path, small):
    good = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }"
    with open_arrays(npz(tmp_path / "a.npz", good, b"abcd")) as arrays:
        assert arrays["images"].tolist() == list(b"abcd")
    for header, content, options, message in [
        (good.replace(b"(4,)", b"(10**18,)"), b"", {}, "'images' is not an array of numbers, or a damaged one"),
        (
            good.replace(b"(4,)", b"(1000000000000,)"),
            b"abcd",
            {},
            r"has 4 bytes where its shape \(1000000000000,\) needs",
        ),
        (good.replace(b"(4,)", b"(-4,)"), b"abcd", {}, "has 4 bytes where its shape"),
        (good.replace(b"(4,)", b"(2, -2, -1)"), b"abcd", {}, "has 4 bytes where its shape"),
        (good.replace(b"|u1", b"|O"), b"abcd", {}, "holds objects, expected an array of numbers"),
        (good.replace(b"(4,)", b"(" * 3000 + b")" * 3000), b"", {}, "damaged"),
        (b"", b"", {}, "damaged"),
        (good, b"abcd", {"compression": zipfile.ZIP_LZMA}, "is compressed by another method"),
        (
            good.replace(b"(4,)", b"(268435456,)"),
            bytes(2**28),
            {"compression": zipfile.ZIP_DEFLATED},
            "its arrays take",
        ),
    ]:
        path = npz(tmp_path / "b.npz", header, content, **options)
        with pytest.raises(ValueError, match=message), open_arrays(path):
            pass
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the bit for encrypted members
    (tmp_path / "c.npz").write_bytes(data)
    with pytest.raises(ValueError, match="'images' is encrypted"), open_arrays(tmp_path / "c.npz"):
        pass


def test_yaml_has_neither_references_nor_depth():
    assert load_yaml("a: [1, {b: x}]\n") == {"a": [1, {"b": "x"}]}
    laughs = "a: &a [x, x]\n" + "".join(f"{k}: &{k} [*{j}, *{j}]\n" for j, k in pairwise("abcdefghijklm"))
    for text, message in [
        (laughs, r"line 2: a reference \(\*a\); write the values"),
        ("a: &a {b: *a}", "a reference"),
        ("[" * 20_000, "nest"),
        ("[" * 21 + "]" * 21, "nested in more than 20 levels"),
        ("{a: " * 21 + "1" + "}" * 21, "nested in more than 20 levels"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("? [a]\n: 1", "unhashable"),
        ("a: 2024-99-99", "month"),
        ("a: " + "9" * 5000, "4300"),
        ("a: [", "parsing"),
        ("\x00", "control|character|special"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_yaml(text)


def test_names_are_shown_without_what_controls_a_terminal():
    assert printable("Zürich \u00a0 β 北京 −1") == "Zürich \u00a0 β 北京 −1"
    assert printable("a\x1b[2J\nb\r\x9b\u202egnp\u2028\x7f\udcff") == r"a\x1b[2J\nb\r\x9b\u202egnp\u2028\x7f\udcff"
    for name in ("a\nb", "a\\b", "\x1b", "\u2028", "\udcff", "\x7f"):
        with pytest.raises(ValueError, match="a name with a control character or a backslash; rename the file"):
            check_file_name(name)
    check_file_name("Zürich 北京 \u00a0(1).png")


def test_tables_of_cgm_hold_no_formulas():
    rows = [["=1+1", "-0.5", "x;=1", "[1, -2]"], ["+x", "1e-3", "inf", "a=b"]]
    assert csv_text(["@a", "b", "c", "d"], rows).splitlines() == [
        "'@a,b,c,d",
        "'=1+1,-0.5,x;'=1,\"[1, -2]\"",
        "'+x,1e-3,inf,a=b",
    ]
