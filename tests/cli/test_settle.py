"""The command `cgm settle`, from files to a folder."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from sklearn.datasets import load_digits

from cgm.cli import main as program
from cgm.cli.settle import to_overrides
from cgm.settlements.verification import verify
from cgm.utils.choices import CONF

FAST = ["synthetic_size=400", "sensitivity=false", "audit=none", "seed=0"]


def hospital(seed, n=80):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": random.integers(20, 90, n),
            "bmi": random.normal(25, 4, n).round(1),
            "unit": random.choice(["a", "b", "=c()"], n),
            "smoker": random.choice(["TRUE", "FALSE"], n),
        }
    )
    table.loc[::7, "bmi"] = np.nan
    return table


@pytest.fixture(autouse=True)
def logging_as_before():
    """Hydra sets up logging for the whole process."""

    loggers = [logging.getLogger(), logging.getLogger("cgm")]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["north", "east", "west"]):
        hospital(seed).to_csv(f"{name}.csv", index=False)
    return tmp_path


def run(*arguments):
    before = sys.argv
    sys.argv = ["cgm", "settle", *arguments]
    try:
        program.main()
    finally:
        sys.argv = before


def refused(*arguments) -> str:
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert "\n" not in str(end.value)
    return str(end.value)


def test_files_are_what_is_no_setting():
    arguments = ["a.csv", "out=o", "--config-dir", "conf", "+x.y=1", "it's.csv"]
    overrides = ["out=o", "--config-dir", "conf", "+x.y=1", r"files=['a.csv','it\'s.csv']"]
    assert to_overrides(arguments) == overrides
    assert to_overrides(["out=o"]) == ["out=o"]


def test_an_argument_that_is_a_file_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["data=2024.csv", "${x}.csv", "it's [1], {2}.csv", "year=2024/a.csv", "-x.csv"]
    if os.name != "nt":
        names += ["a\\b.csv", "a\\${x}.csv", "a\\'.csv"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (override,) = to_overrides(names)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert list(compose("settle", overrides=[override, "seed=1"]).files) == names
    assert to_overrides(["out=o", "--config-dir", "conf", "-x.csv"])[-1] == "files=['-x.csv']"  # also after options
    with pytest.raises(ValueError, match=r"drop=\[Income \(k\$\)\]: .* put them in quotes, such as 'drop=\[Income"):
        to_overrides(["a.csv", "drop=[Income", "(k$)]"])


def test_a_value_with_signs_gets_a_hint(folder):
    message = refused("north.csv", "east.csv", "out=o", "drop=[Income (k$)]")
    assert message.endswith("""put such text in quotes, and the setting as well: "drop=['Income (k$)']\"""")


def test_settings_of_cells_reach_the_tables(folder):
    for name in ("north", "east"):
        text = (folder / f"{name}.csv").read_text(encoding="utf-8")
        (folder / f"{name}.csv").write_text("made by hand, in 2024\n" + text.replace(",", "^"), encoding="utf-8")
    assert "skip=[1]: expected" in refused("north.csv", "east.csv", "out=o", "skip=[1]")
    assert "separator=||: expected comma, semicolon" in refused("north.csv", "east.csv", "out=o", "separator=||")
    settings = ["skip=1", "separator='^'", "missing=[-999, none]", "decimal='.'", "dates={day: '%d.%m.%Y'}"]
    message = refused("north.csv", "east.csv", "out=o", *settings)
    assert "dates=day: there is no such column; there are age, bmi, smoker, unit" in message


def test_a_settlement_of_files(folder, capsys):
    run("north.csv", "east.csv", "west.csv", "out=settlement", *FAST)

    assert "gain: what the reward adds" in capsys.readouterr().out
    out = folder / "settlement"
    assert {path.name for path in out.iterdir()} == {"report.html", "mediator", "parties"}
    for name in ("north", "east", "west"):
        lines = (out / "parties" / name / "reward.csv").read_text(encoding="utf-8").splitlines()
        assert lines[0] == "age,bmi,unit,smoker"
        smokers = {line.rpartition(",")[2] for line in lines[1:]}
        assert smokers <= {"TRUE", "FALSE"}
        units = {line.split(",")[2] for line in lines[1:]}
        assert units <= {"a", "b", "'=c()"}  # a formula would be run by a spreadsheet
        certificate = json.loads((out / "parties" / name / "certificate.json").read_text(encoding="utf-8"))
        assert certificate["party"] == name
        assert str(folder) not in json.dumps(certificate)
        others = {"north", "east", "west"} - {name}
        assert not any(f'"{other}"' in json.dumps(certificate) for other in others)
    assert not list(folder.glob(".*"))  # nothing of Hydra, no half folder
    assert sorted(path.name for path in folder.iterdir()) == ["east.csv", "north.csv", "settlement", "west.csv"]

    # the schema can be given back, and the same seed gives the same files
    shutil.copy(out / "mediator" / "schema.yaml", "schema.yaml")
    run("north.csv", "east.csv", "west.csv", "out=again", "schema=schema.yaml", *FAST)
    first, again = (folder / name / "parties" / "east" / "reward.csv" for name in ("settlement", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_one_file_with_a_column_of_parties(folder):
    tables = {name: pd.read_csv(f"{name}.csv").assign(bank=name) for name in ("north", "east", "west")}
    pd.concat(list(tables.values())).to_csv("all.csv.gz", index=False)
    run("all.csv.gz", "party_column=bank", "out=o", "generator=kde", *FAST)
    assert sorted(path.name for path in (folder / "o" / "parties").iterdir()) == ["east", "north", "west"]
    assert len(pd.read_csv(folder / "o" / "parties" / "east" / "reward.csv.gz").columns) == 4


def test_a_party_verifies_its_rows_of_the_file_of_all(folder):
    read = {"dtype": str, "keep_default_na": False}  # cells stay as they are
    tables = {name: pd.read_csv(f"{name}.csv", **read).assign(bank=name) for name in ("north", "east", "west")}
    pd.concat(list(tables.values())).to_csv("all.csv", index=False)
    run("all.csv", "party_column=bank", "out=o", *FAST)
    own = folder / "o" / "parties" / "east"
    digests = {json.loads((own.parent / name / "certificate.json").read_text())["data"]["sha256"] for name in tables}
    assert len(digests) == 3
    for data in ("all.csv", "east.csv"):
        verification = verify(own, data)
        assert verification.ok
        assert any(f"{data} has the rows of east that were settled" in line for line in verification.lines)
    assert not verify(own, "north.csv").ok
    changed = pd.concat(list(tables.values()))
    changed.loc[changed["bank"] == "north", "age"] = "1"  # rows of others do not matter
    changed.to_csv("all.csv", index=False)
    assert verify(own, "all.csv").ok
    changed.loc[changed["bank"] == "east", "age"] = "1"
    changed.to_csv("all.csv", index=False)
    assert any("does not have the rows of east" in line for line in verify(own, "all.csv").lines)
    assert any("nothing.csv cannot be read" in line for line in verify(own, "nothing.csv").lines)


def test_a_file_of_all_is_verified_as_it_was_read(folder):
    """Its separator and the lines around its table are in the certificate; a file of the own rows is recognised."""

    read = {"dtype": str, "keep_default_na": False}
    tables = {name: pd.read_csv(f"{name}.csv", **read).assign(bank=name) for name in ("north", "east", "west")}
    text = pd.concat(list(tables.values())).to_csv(index=False, sep="^", encoding="latin-1")
    (folder / "all.csv").write_text(f"made by us\nSpital Z\xfcrich\n{text}total^1^2^3^4\n", encoding="latin-1")
    run("all.csv", "party_column=bank", "separator=^", "skip=[2, 1]", "encoding=latin-1", "out=o", *FAST)
    own = folder / "o" / "parties" / "east"
    data = json.loads((own / "certificate.json").read_text())["data"]
    assert [data[key] for key in ("separator", "skip", "encoding")] == ["^", [2, 1], "latin-1"]
    for name in ("all.csv", "east.csv"):
        verification = verify(own, name)
        assert verification.ok, verification.lines
        assert any(f"{name} has the rows of east that were settled" in line for line in verification.lines)


def test_signs_need_no_quotes(folder):
    assert to_overrides(["separator=,", "decimal=.", "seed=1"]) == ["separator=','", "decimal='.'", "seed=1"]
    files = ["north.csv", "east.csv", "west.csv", "out=o"]
    for separator in ("comma", "','", ","):
        run(*files, f"separator={separator}", *FAST)
        shutil.rmtree(folder / "o")
    for arguments, message in (
        (["seperator=,"], "seperator: unknown setting; did you mean separator?"),
        (["seperator=;"], "seperator: unknown setting; did you mean separator?"),
        (["separator=colon"], "separator=colon: expected comma, semicolon, tab, bar, pipe, space, or one character"),
        (["separator=semicolon"], "age,bmi,unit,smoker"),
    ):
        assert message in refused(*files, *arguments)


def test_errors_come_before_warnings(folder, capsys):
    (folder / "east.csv").write_text((folder / "east.csv").read_text().replace("bmi", "BMI", 1))
    assert "east: its columns are not those of north" in refused("north.csv", "east.csv", "west.csv", "out=o")
    assert "held out" not in capsys.readouterr().err


def test_folders_of_images(folder, capsys):
    images = (load_digits().images / 16 * 255).astype(np.uint8)
    for name, part in {"A": images[:60], "B": images[60:100]}.items():
        (folder / name).mkdir()
        np.savez(folder / name / "x.npz", images=part)
    run("A", "B", "out=o", "features=pca", *FAST)
    assert re.search(r"gain  images β=\d", capsys.readouterr().out)
    with np.load(folder / "o" / "parties" / "B" / "reward.npz") as file:
        assert file["images"].shape[1:] == (8, 8)
    settings = json.loads((folder / "o" / "mediator" / "settings.json").read_text())["settings"]
    assert settings["generator"]["bandwidth"] == "scott"
    for given, message in [
        ("label_column=y", "label_column=y: for tables; the parties have folders of images"),
        ("party_column=y", "party_column=y: for tables"),
        ("numbers=quantiles", "numbers=quantiles: for tables"),
    ]:
        assert message in refused("A", "B", "out=p", "features=pca", given, *FAST)
    assert "north.csv: a file; if one party gives a folder of images, all do" in refused("A", "north.csv", "out=p")
    (folder / "B" / "x.npz").write_bytes(b"PK")
    assert "x.npz: not a file of arrays" in refused("A", "B", "out=p")
    assert not (folder / "p").exists()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_leaves_nothing(folder):
    (folder / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", "disk"], check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        assert "No space left on device" in refused("north.csv", "east.csv", "out=disk/o", *FAST)
        assert list((folder / "disk").iterdir()) == []
    finally:
        subprocess.run(["umount", "disk"], check=True)


def test_semicolons_and_decimal_commas_come_back(folder):
    for name in ("north", "east"):
        pd.read_csv(f"{name}.csv").to_csv(f"{name}.csv", index=False, sep=";", decimal=",")
    run("north.csv", "east.csv", "out=o", "names=[A,B]", *FAST)
    reward = pd.read_csv(folder / "o" / "parties" / "B" / "reward.csv", sep=";", decimal=",")
    assert list(reward.columns) == ["age", "bmi", "unit", "smoker"]
    assert reward["bmi"].dtype == float


def test_names_that_are_paths_stay_inside(folder):
    run("north.csv", "east.csv", "out=o", "names=['../../evil','/etc/x']", *FAST)
    assert not (folder.parent / "evil").exists()
    inside = list((folder / "o" / "parties").iterdir())
    assert len(inside) == 2
    assert all(path.parent == folder / "o" / "parties" for path in inside)


def test_what_is_wrong_is_told_before_any_work(folder):
    for arguments, message in (
        (["north.csv", "east.csv"], "cgm: error: out: the folder of the results is missing, say for example out="),
        (["out=o"], "cgm: error: no files: cgm settle a.csv b.csv out=FOLDER"),
        (["north.csv", "nothing.csv", "out=o"], "nothing.csv: there is no such file"),
        (["north.csv", "out=o"], "north.csv: one file; give one for each party, or say party_column=NAME"),
        (["north.csv", "east.csv", "out=o", "held_out=2"], "held_out=2: expected a number in [0, 0.5]"),
        (["north.csv", "east.csv", "out=o", "drop=[ages]"], "drop=ages: there is no such column; there are age, bmi"),
        (["north.csv", "east.csv", "out=o", "label_column=x"], "label_column=x: north has the columns age, bmi"),
        (["north.csv", "east.csv", "out=o", "generator=magic"], "generator=magic: expected one of copula, flow"),
        (["north.csv", "east.csv", "out=o", "nope=1"], "nope: unknown setting"),
        (["north.csv", "east.csv", "out=o", "disclose=[all]"], "disclose"),
        (["north.csv", "east.csv", "out=o", "alternatives=3"], "alternatives=3: expected true or false"),
        (["north.csv", "east.csv", "out=o", "schema=none.yaml"], "none.yaml"),
        (["north.csv", "east.csv", "out=.", "seed=1"], "expected a new or empty folder"),
    ):
        assert message in refused(*arguments)
        assert sorted(path.name for path in folder.iterdir()) == ["east.csv", "north.csv", "west.csv"]


def test_damaged_tables_are_told(folder):
    text = (folder / "east.csv").read_text(encoding="utf-8")
    cases = {
        "": "east.csv: the file is empty",
        "age,bmi,unit,smoker\n1,2,a,TRUE\n": "east: has 1 rows, at least 10 are needed",
        text.replace("bmi", "BMI", 1): "east: its columns are not those of north: it lacks bmi and has also BMI",
        text.replace("unit", "age", 1): "east.csv: the column age occurs 2 times",
        text.replace("\n", ",7\n").replace(",7", ",", 1): "east.csv: column 5 has no name",
        text[: len(text) // 2].rpartition(",")[0]: "cells where 4 are expected",
    }
    for content, message in cases.items():
        (folder / "east.csv").write_text(content, encoding="utf-8")
        assert message in refused("north.csv", "east.csv", "out=o")

    table = pd.read_csv("north.csv")
    for column, values, message in [
        ("age", "inf", "east: categorical (data row 1: 'inf')"),
        ("age", "old", "column age: the parties disagree on its kind"),
    ]:
        table.assign(**{column: values}).to_csv("east.csv", index=False)
        assert message in refused("north.csv", "east.csv", "out=o")


def test_an_edited_schema_of_another_kind_is_told(folder):
    schema = {"columns": {"age": {"kind": "date", "minimum": 0, "maximum": 1, "median": 0}}, "dropped": {}}
    (folder / "s.yaml").write_text(yaml.safe_dump(schema), encoding="utf-8")
    message = refused("north.csv", "east.csv", "out=o", "schema=s.yaml")
    assert "have also bmi" in message
    (folder / "s.yaml").write_text("columns: [1", encoding="utf-8")
    assert "schema=s.yaml: not a schema" in refused("north.csv", "east.csv", "out=o", "schema=s.yaml")


def test_a_folder_that_cannot_be_written_leaves_nothing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cgm.utils.files.os.fsync", full)
    assert "No space left" in refused("north.csv", "east.csv", "out=deep/o", *FAST)
    assert [name for _, _, names in os.walk(folder / "deep") for name in names] == []
