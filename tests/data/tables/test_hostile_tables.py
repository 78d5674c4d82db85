"""Tests of tables that strangers deliver: limits are met before anything is read, and schemas hold plain values."""

import gzip
import io
import os
import time
from itertools import pairwise

import numpy as np
import pytest
import yaml

from cgm.cli.settle import Command
from cgm.data.tables.files import party_names, read_table
from cgm.data.tables.schema import Schema

NUMERIC = {"kind": "numeric", "minimum": 0.0, "maximum": 2.0, "median": 1.0}


def test_only_plain_files_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.parquet")
    assert len(read_table(tmp_path / "a.csv")[0]) == 1
    for name, message in [
        ("link.csv", "a link; expected the file itself"),
        ("zero.csv", "a link; expected the file itself"),
        ("pipe.csv", "a pipe or a device; expected a plain file"),
        ("pipe.parquet", "a pipe or a device; expected a plain file"),
    ]:
        with pytest.raises(ValueError, match=f"{name}: {message}"):
            read_table(tmp_path / name)


def test_large_tables_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("CGM_MAX_GIB", "0.015625")  # 16 MiB
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"x\n" + bytes(2**25), 9))
    (tmp_path / "cells.csv").write_text("a,b\n" + 2**18 * ",\n")
    for name, message in [
        ("a.csv.gz", "is decompressed to 0.0166? GiB of memory or more, the limit is 0.015625 GiB; .* CGM_MAX_GIB"),
        ("cells.csv", "262,144 rows of 2 columns take"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_table(tmp_path / name)
    (tmp_path / "wide.csv").write_text(",".join(f"c{k}" for k in range(10_001)) + "\n")
    with pytest.raises(ValueError, match="has 10,001 columns, at most 10,000 are possible"):
        read_table(tmp_path / "wide.csv")


def test_a_small_parquet_file_of_many_rows_is_refused(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    from pyarrow import parquet

    monkeypatch.setenv("CGM_MAX_GIB", "0.015625")
    file = io.BytesIO()
    parquet.write_table(pa.table({"a": pa.array(np.zeros(10**6, np.int64))}), file)
    (tmp_path / "a.parquet").write_bytes(file.getvalue())
    assert len(file.getvalue()) < 10_000
    with pytest.raises(ValueError, match=r"a\.parquet: 1,000,000 rows of 1 columns take .* CGM_MAX_GIB"):
        read_table(tmp_path / "a.parquet")


def test_schemas_hold_plain_values():
    for column, message in [
        (NUMERIC | {"minimum": float("nan")}, "minimum=nan: expected a number"),
        (NUMERIC | {"maximum": float("inf")}, "maximum=inf: expected a number"),
        (NUMERIC | {"minimum": 1.5}, r"expected minimum <= median <= maximum, got \[1.5, 1.0, 2.0\]"),
        (NUMERIC | {"minimum": [0.0]}, "minimum: expected a number or a text, without parts"),
        (NUMERIC | {"minimum": "0"}, "minimum=0: expected a number"),
        (NUMERIC | {"minimum": True}, "minimum=true: expected a number"),
        (NUMERIC | {"median": {}}, "median: expected a number or a text"),
        (NUMERIC | {"missing": "yes"}, "missing=yes: expected"),
        ({"kind": "categorical", "levels": "abc"}, "levels=abc: expected a list"),
        ({"kind": "categorical", "levels": [["a"], "b"]}, "levels: expected a number or a text, without parts"),
        ({"kind": "categorical", "levels": [{"a": 1}]}, "levels: expected a number or a text, without parts"),
        ({"kind": ["numeric"]}, "kind of column x"),
        ([], "column x: expected kind"),
    ]:
        with pytest.raises(ValueError, match=message):
            Schema.from_dict({"columns": {"x": column}})
    with pytest.raises(ValueError, match="below dropped: a text for each"):
        Schema.from_dict({"columns": {"x": NUMERIC}, "dropped": {"y": ["z"]}})
    with pytest.raises(ValueError, match="below dropped: a text for each"):
        Schema.from_dict({"columns": {("x", "y"): NUMERIC}})
    with pytest.raises(ValueError, match="below dropped: a text for each"):
        Schema.from_dict({"columns": {"x": NUMERIC}, "dropped": ["y"]})


def test_files_of_schemas_are_read_in_bounded_time(tmp_path):
    def refused(text: str, message: str) -> None:
        (tmp_path / "schema.yaml").write_text(text)
        begin = time.monotonic()
        with pytest.raises(ValueError, match=message) as error:
            Command(schema=str(tmp_path / "schema.yaml")).read_schema()
        assert time.monotonic() - begin < 5
        assert len(str(error.value)) < 1000

    letters = "abcdefghijklmnopqrstuvwxyz"
    laughs = [f"{y}: &{y} [{', '.join(9 * [f'*{x}'])}]" for x, y in pairwise(letters)]
    refused(
        "\n".join(["a: &a [x]", *laughs, "columns: *z"]), r"schema\.yaml: not a schema \(line 2: a reference \(\*a\)"
    )
    refused("columns: " + "[" * 20_000, r"schema\.yaml: not a schema \(")
    refused("columns: {x: " + "[" * 30 + "]" * 30 + "}", r"nested in more than 20 levels")
    refused(yaml.safe_dump({"columns": {"x": NUMERIC | {"minimum": float("nan")}}}), "minimum=nan: expected a number")
    refused("columns: {x: {kind: numeric, minimum: !!python/name:os.system }}", "not a schema")
    (tmp_path / "schema.yaml").unlink()
    os.mkfifo(tmp_path / "schema.yaml")
    with pytest.raises(ValueError, match="a pipe or a device; expected a plain file"):
        Command(schema=str(tmp_path / "schema.yaml")).read_schema()


def test_names_of_parties_are_not_empty_or_endless():
    assert party_names(["a", "b"], None) == ["a", "b"]
    for name, message in [
        ("", "a name has 0 characters"),
        (" \n", "a name has 2 characters"),
        ("x" * 201, "201 characters, expected 1 to 200, .*: xxx"),
    ]:
        with pytest.raises(ValueError, match=f"parties: .*{message}"):
            party_names(["a", name], None)
