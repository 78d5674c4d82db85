"""Tests of the command line among files and names that others made: none of them runs, or controls the terminal."""

import logging
import subprocess
import sys

import hydra_plugins
import pytest
from omegaconf import OmegaConf

from cgm.cli.targets import check_target, not_searching_here
from cgm.records.html import render
from cgm.utils.run import LogFormatter
from tests.cli.test_launchers import needs
from tests.settlements.settled_tables import settle

MODULES = (
    "pandas torch numpy yaml typing hydra omegaconf numba sklearn matplotlib jinja2 msgspec safetensors umap pyarrow "
    "scipy cryptography filelock tqdm json enum hydra_plugins/evil hydra_plugins/__init__ conf sitecustomize"
)
EVIL = "\x1b[2J\x1b[31mok\n\u202egnp"


@pytest.mark.parametrize("arguments", [("settle", "a.csv", "b.csv", "out=out", "held_out=9"), ("verify", ".")])
def test_modules_beside_the_data_are_not_run(tmp_path, arguments):
    for name in MODULES.split():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'marker')!r}, 'a').write({name + ' '!r})")
    (tmp_path / "a.csv").write_text("x\n1\n")
    run = subprocess.run(
        [sys.executable, "-m", "cgm", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "held_out=9: expected a number" in run.stderr or "certificate.json cannot be read" in run.stdout
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()


def test_the_current_folder_is_searched_last_and_only_for_classes_of_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    (tmp_path / "only_mine.py").write_text("from cgm.generators import KDE\n\nclass Mine(KDE):\n    pass\n")
    before = sys.path[:]
    check_target("generator._target_", "cgm.generators.KDE")
    assert sys.path == before
    (tmp_path / "hydra_plugins").mkdir()
    for _ in range(2):  # also if the module was imported before
        check_target("generator._target_", "only_mine.Mine")
        assert sys.path == [*before, str(tmp_path)]
        with not_searching_here():
            assert sys.path == before
        assert sys.path.pop() == str(tmp_path)
    assert str(tmp_path / "hydra_plugins") not in list(hydra_plugins.__path__)


@pytest.mark.slow
@needs("hydra_plugins.hydra_joblib_launcher", "sweep")
def test_plugins_beside_a_class_of_the_user_are_not_run_by_workers(tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "evil.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    (tmp_path / "of_mine.py").write_text("from cgm.generators import KDE\n\nclass Mine(KDE):\n    pass\n")
    sweep = ["-m", "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "generator._target_=of_mine.Mine"]
    settings = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60"]
    run = subprocess.run(
        [sys.executable, "-m", "cgm", *sweep, *settings], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "2 done" in run.stdout, run.stderr
    assert not (tmp_path / "marker").exists()


def test_settings_of_packages_beside_the_data_are_refused(cgm, tmp_path):
    for name, package in ((".numba_config.yaml", "numba"), ("matplotlibrc", "matplotlib")):
        (tmp_path / name).write_text("cache_dir: .")
        for command in ("settle", "verify", "collect"):
            with pytest.raises(SystemExit, match=f"^cgm: error: {name}: {package}, which .* run cgm in another folder"):
                cgm(command, ".")
        (tmp_path / name).unlink()


def test_environment_variables_do_not_get_into_records(cgm, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "hunter2")
    for setting in (
        "data_dir=${oc.env:SECRET}",
        "data_dir=${oc.env:SECRET,other}",
        "+other=${oc.env:SECRET} data_dir=${other}",
        "'data_dir=x${oc.decode:${oc.env:SECRET}}'",
        "+other=env 'data_dir=${oc.${other}:SECRET}'",
    ):
        with pytest.raises(SystemExit) as error:
            cgm("dataset=digits", *(part.strip("'") for part in setting.split()))
        assert "hunter2" not in str(error.value)
        if "'" not in setting:
            message = "${oc.env:SECRET}: settings are written to the record of a run, and a variable may hold a secret"
            assert message in str(error.value)
    assert not list(tmp_path.rglob("*.json"))
    assert OmegaConf.create({"x": "${oc.env:SECRET}"}).x == "hunter2"  # elsewhere, such as in names of folders


def test_names_cannot_control_the_terminal(cgm, tmp_path):
    shown = r"\x1b[2J\x1b[31mok\n\u202egnp"
    (tmp_path / f"{EVIL}.csv").write_text("x\n")
    with pytest.raises(SystemExit) as error:
        cgm("settle", f"{EVIL}.csv", f"{EVIL}.csv", "out=out")
    assert str(error.value) == f"cgm: error: {shown}.csv: has no rows".replace(r"\n", " ")
    with pytest.raises(SystemExit) as error:
        cgm("collect", EVIL)
    assert str(error.value) == f"cgm: error: {shown}: there is no such folder".replace(r"\n", " ")

    record = logging.LogRecord("cgm", logging.WARNING, "", 0, "column %s is left out", (EVIL,), None)
    assert LogFormatter("[%(asctime)s] %(message)s", "x").format(record) == f"[x] column {shown} is left out"

    text = settle((EVIL, "b", "c")).table()
    assert shown in text
    assert not any(ord(x) < 32 and x != "\n" for x in text)
    assert "\u202e" not in text


def test_names_cannot_reverse_a_page_or_add_lines_to_it(tmp_path):
    (tmp_path / "style.css").write_text("p {\n}\n")
    for name in ("page.html", "page.txt"):
        (tmp_path / name).write_text("{{ style }}{{ name }}\n")
        page = render(tmp_path / name, name=EVIL).decode()
        assert page.startswith("p {\n}\n")
        assert r"\x1b[2J\x1b[31mok\n\u202egnp" in page
