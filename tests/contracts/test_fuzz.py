"""Some mutated files of each kind that strangers deliver. The whole campaign: python -m tests.contracts.fuzz."""

import logging
import shutil
import warnings

import pytest

from tests.contracts.fuzz import GIB, case, kinds

CASES = 40  # of each kind


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "npz", "png", "yaml", "certificate"])
def test_a_mutated_file_is_read_or_refused_in_one_line(kind, tmp_path, monkeypatch, caplog):
    if kind not in kinds():
        pytest.skip("Parquet needs pyarrow")
    monkeypatch.setenv("CGM_MAX_GIB", GIB)
    caplog.set_level(logging.CRITICAL)
    for number in range(CASES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome, text = case(kind, number, tmp_path / str(number) / "party")
        assert outcome in ("read", "refused"), (kind, number, text)
        shutil.rmtree(tmp_path / str(number))


def test_the_files_themselves_are_read(tmp_path):
    for kind, files in kinds().items():
        for k, (name, data) in enumerate(files.files.items()):
            path = tmp_path / kind / str(k) / name
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
            if kind != "certificate" or "/" not in name:
                assert files.read(path), (kind, name)
