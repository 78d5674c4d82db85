"""Tests of the overrides of runs, on folders made by hand."""

import json

from cgm.records.overrides import find_differing, read_overrides


def test_overrides_are_read_from_either_file(tmp_path):
    assert read_overrides(tmp_path) == {}
    (tmp_path / ".hydra").mkdir()
    lines = [
        "seed=3",
        "++attack.party=2",
        "data_dir=a=b",
        "figures=False",
        "scheme.epsilon=1e-3",
        "sampling.betas=[1,4]",
    ]
    (tmp_path / ".hydra" / "overrides.yaml").write_text("".join(f"- {line}\n" for line in lines))
    expected = {"seed": "3", "attack.party": "2", "data_dir": "a=b", "figures": "false", "scheme.epsilon": "0.001"}
    assert read_overrides(tmp_path) == expected | {"sampling.betas": "[1, 4]"}
    (tmp_path / "error.json").write_text(json.dumps({"overrides": ["seed=4"], "message": "no"}))
    assert read_overrides(tmp_path) == {"seed": "4"}


def test_damaged_files_have_no_overrides(tmp_path):
    (tmp_path / ".hydra").mkdir()
    for text in ("", "{", "a: 1", "- !!python/object/apply:os.system ['false']", "- [", "\x00"):
        (tmp_path / ".hydra" / "overrides.yaml").write_text(text)
        (tmp_path / "error.json").write_text(text)
        assert read_overrides(tmp_path) == {}, text


def test_overrides_differ_if_some_runs_lack_them():
    runs = [{"a": "10", "b": "x", "c": "1"}, {"a": "9", "b": "x"}]
    assert find_differing(runs) == ["a", "c"]
    assert find_differing(runs[:1]) == ["a", "b", "c"]  # nothing to compare with
