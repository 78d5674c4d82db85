"""Tests that `_target_` calls classes of cgm's extension points and of the user, and nothing else."""

import importlib
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cgm.cli import jobs
from cgm.cli.targets import WITHOUT_BASE, check_target, check_targets
from cgm.utils.choices import CONF

TARGETS = sorted(
    {
        str(target)
        for path in CONF.rglob("*.yaml")
        if not path.is_relative_to(CONF / "hydra")
        for content in [OmegaConf.to_container(OmegaConf.load(path))]
        for target in [content.get("_target_"), *(part["_target_"] for part in content.get("kernels", []))]
        if target
    }
)
MODULE = """
import os
from os import system
from subprocess import Popen
from cgm.generators import KDE

class Own:
    def __init__(self, x=1):
        self.x = x

    def method(self):
        raise AssertionError("it was called")

    @classmethod
    def make(cls):
        raise AssertionError("it was called")

def function(*args, **kwargs):
    raise AssertionError("it was called")

instance = Own()
"""
PLUGIN = """
from cgm.generators import KDE

class Mine(KDE):
    pass

class Other:
    pass

class Loader:
    def load(self, data_dir, seed):
        pass
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules of the user, and an installed package."""

    (tmp_path / "targets_of_the_user.py").write_text(MODULE)
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "targets_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(site)
    yield
    for name in ("targets_of_the_user", "targets_plugin"):
        sys.modules.pop(name, None)


def test_the_classes_of_every_choice_may_be_called():
    for target in TARGETS:
        check_target("x._target_", target)


def test_classes_without_a_base_class_exist():
    for path in WITHOUT_BASE:
        module, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        assert f"{found.__module__}.{found.__qualname__}" == path
        check_target("x._target_", path)


@pytest.mark.usefixtures("modules")
def test_classes_of_the_user_and_subclasses_in_packages_may_be_called():
    for name in ("targets_of_the_user.Own", "targets_of_the_user.KDE", "targets_plugin.Mine", "targets_plugin.Loader"):
        check_target("x._target_", name)


CALLBACKS = """
from pathlib import Path

from hydra.experimental.callback import Callback


def function(path):
    Path(path).touch()


class Other:
    def __init__(self, path):
        Path(path).touch()


class Own(Other, Callback):
    pass
"""
PYTHON = "is of Python's standard library"
FORBIDDEN = [
    ("os.system", PYTHON),
    ("posix.system", PYTHON),
    ("builtins.eval", PYTHON),
    ("builtins.exec", PYTHON),
    ("builtins.int", PYTHON),
    ("subprocess.Popen", PYTHON),
    ("subprocess.run", PYTHON),
    ("shutil.rmtree", PYTHON),
    ("functools.partial", PYTHON),
    ("importlib.import_module", PYTHON),
    ("pathlib.Path", PYTHON),
    ("targets_of_the_user.os.system", "a function"),
    ("targets_of_the_user.system", "a function"),
    ("targets_of_the_user.Popen", PYTHON),
    ("targets_of_the_user.function", "a function"),
    ("targets_of_the_user.Own.method", "a function"),
    ("targets_of_the_user.Own.make", "a function"),
    ("targets_of_the_user.instance", "of type Own"),
    ("targets_of_the_user", "of type module"),
    ("targets_of_the_user.Missing", "no class Missing was found in targets_of_the_user"),
    ("targets_of_the_user.Own.missing.deeper", "no class missing was found in targets_of_the_user.Own"),
    ("targets_no_module.Mine", "no module targets_no_module was found"),
    ("targets_plugin.Other", "expected a class of one of cgm's groups"),
    ("torch.nn.Linear", "expected a class of one of cgm's groups"),
    ("torch.hub.load", "a function"),
    ("hydra.utils.instantiate", "a function"),
    ("cgm.settle", "a function"),
    ("cgm.cli.sweep.Progress", "expected a class of one of cgm's groups"),
    ("cgm.cli.sweep.shutil.rmtree", "a function"),
    ("cgm.data.Dataset", "expected a class of one of cgm's groups"),
    ("", "expected the path of a class"),
    ("..x", "expected the path of a class"),
    ("cgm.KDE()", "expected the path of a class"),
    (3, "expected the path of a class"),
    (None, "expected the path of a class"),
]


def test_callbacks_of_hydra_are_checked_before_any_is_called(cgm, tmp_path, monkeypatch):
    (tmp_path / "callbacks_of_the_user.py").write_text(CALLBACKS)
    monkeypatch.syspath_prepend(tmp_path)
    for target, message in (
        ("os.mkdir", "os is of Python's standard library"),
        ("callbacks_of_the_user.function", "a function; expected a class"),
        ("callbacks_of_the_user.Other", "expected a subclass of hydra.experimental.callback.Callback"),
        ("hydra.utils.instantiate", "a function; expected a class"),
        ("callbacks_of_the_user.Own", None),
    ):
        for flags in ((), ("-m",)):
            Path("called").unlink(missing_ok=True)
            override = f"+hydra.callbacks.first._target_={target}"
            with pytest.raises(SystemExit) as caught:
                cgm(*flags, override, "+hydra.callbacks.first.path=called", "seed=-1")
            assert Path("called").exists() == (message is None)
            expected = "seed=-1: " if message is None else f"hydra.callbacks.first._target_={target}: {message}"
            assert caught.value.code.startswith(f"cgm: error: {expected}")
    sys.modules.pop("callbacks_of_the_user", None)


@pytest.mark.usefixtures("modules")
def test_nothing_else_may_be_called():
    for target, message in FORBIDDEN:
        with pytest.raises(ValueError) as caught:
            check_target("generator._target_", target)
        assert str(caught.value).startswith(f"generator._target_={target}: ")
        assert message in str(caught.value)


def test_a_module_of_python_is_refused_before_it_is_imported():
    assert "antigravity" not in sys.modules  # opens a browser
    with pytest.raises(ValueError, match=PYTHON):
        check_target("x._target_", "antigravity.fly")
    assert "antigravity" not in sys.modules


def test_an_error_in_a_module_of_the_user_is_told(tmp_path, monkeypatch):
    (tmp_path / "targets_broken.py").write_text("1 / 0\n")
    (tmp_path / "targets_needs.py").write_text("import targets_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="importing targets_broken failed with ZeroDivisionError: division by zero"):
        check_target("x._target_", "targets_broken.Mine")
    with pytest.raises(ValueError, match=r"x\._target_=targets_needs\.Mine: No module named 'targets_not_there'"):
        check_target("x._target_", "targets_needs.Mine")


@pytest.mark.usefixtures("modules")
def test_all_of_a_configuration_is_checked():
    def fill(node, target):
        if isinstance(node, dict):
            return {key: fill(value, target) for key, value in node.items()}
        if isinstance(node, list):
            return [fill(value, target) for value in node]
        return node.replace("{}", target) if isinstance(node, str) else node

    for place in (
        {"_target_": "{}", "_args_": ["{}"]},
        {"_target_": "{}", "_partial_": True},
        {"_target_": "targets_of_the_user.Own", "x": {"_target_": "{}"}},
        {"_target_": "targets_of_the_user.Own", "x": [1, [{"_target_": "{}"}]]},
        {"_target_": "targets_of_the_user.Own", "_recursive_": False, "x": {"_target_": "{}"}},
    ):
        for target in ("os.system", "targets_of_the_user.function", "builtins.print"):
            with pytest.raises(ValueError, match=target):
                check_targets(fill(place, target))
        check_targets(fill(place, "targets_of_the_user.Own"))


def test_a_reference_to_a_class_is_resolved_first(cgm):
    with pytest.raises(SystemExit, match=r"generator\._target_=os\.system: os is of Python's"):
        cgm("generator._target_=${data_dir}", "data_dir=os.system", "hydra.run.dir=run")


def test_the_name_of_a_setting_begins_with_its_section():
    settings = {"kernels": [{}, {"_target_": "os.system"}]}
    with pytest.raises(ValueError, match=r"^part\.kernels\[1\]\._target_=os\.system: "):
        check_targets({"part": settings})
    with pytest.raises(ValueError, match=r"^own\.kernels\[1\]\._target_=os\.system: "):
        check_targets(settings, "own")


def test_everything_is_checked_before_anything_is_built(cgm, monkeypatch):
    def build(*args, **kwargs):
        raise AssertionError("it was built")

    monkeypatch.setattr(jobs, "instantiate", build)
    for setting in ("generator", "kernel_search", "logger"):
        with pytest.raises(SystemExit, match=rf"{setting}\._target_=os\.system: os is of Python's"):
            cgm(f"{setting}._target_=os.system", "hydra.run.dir=run")
    with pytest.raises(AssertionError, match="it was built"):
        cgm("hydra.run.dir=run")


def test_the_command_line_executes_nothing(cgm, capsys):
    Path("mine.py").write_text("def remove(*args, **kwargs):\n    open('executed', 'w').close()\n")
    Path("kept").mkdir()
    for setting, value in (
        ("generator._target_", "os.system"),
        ("generator._target_", "shutil.rmtree"),
        ("generator._target_", "mine.remove"),
        ("kernel_search._target_", "subprocess.run"),
        ("logger._target_", "os.remove"),
        ("_target_", "builtins.print"),
        ("+hydra.callbacks.own._target_", "os.system"),
        ("+hydra.callbacks.own._target_", "subprocess.run"),
        ("+hydra.callbacks.own._target_", "mine.remove"),
    ):
        section = setting.rpartition(".")[0]
        prefix = f"+{section.lstrip('+')}." if section else "+"
        for flags in ((), ("-m",)):
            with pytest.raises(SystemExit) as caught:
                cgm(*flags, f"{setting}={value}", f"{prefix}_args_=[kept]", "hydra.run.dir=run")
            assert value in caught.value.code
            assert "\n" not in caught.value.code
            assert Path("kept").is_dir()
            assert not Path("executed").exists()
            assert capsys.readouterr().out == ""
    sys.modules.pop("mine", None)


def test_settlements_execute_nothing(cgm):
    Path("kept").mkdir()
    Path("a.csv").write_text("x\n1\n2\n")
    with pytest.raises(SystemExit, match=r"cgm: error: generator\._target_=shutil\.rmtree: shutil is of Python's"):
        cgm("settle", "a.csv", "a.csv", "out=out", "generator._target_=shutil.rmtree", "+generator._args_=[kept]")
    assert Path("kept").is_dir()
    assert not Path("out").exists()


def test_how_a_class_is_named_is_said(cgm):
    for setting, message in (
        ("generator=mine.Own", r"generator=mine\.Own: expected one of .*; .* is generator\._target_=mine\.Own"),
        ("kernel=mine.Own", r"kernel=mine\.Own: expected one of .*; .* is kernel\._target_=mine\.Own"),
        ("generator.target=mine.Own", r"generator\.target: unknown setting; did you mean generator\._target_\?"),
        ("kernel._target=mine.Own", r"kernel\._target: unknown setting; did you mean kernel\._target_\?"),
        (
            ["features.of=imagenet", "features=pca", "features.network._target_=mine.Own"],
            r"features\.network is one value; name a class by 'features\.network={_target_: my_package\.MyClass}'",
        ),
    ):
        with pytest.raises(SystemExit, match=message):
            cgm(*([setting] if isinstance(setting, str) else setting))
