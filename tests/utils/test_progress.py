import io
import sys
from types import SimpleNamespace

import pytest
from tqdm import TqdmWarning

from cgm.utils import run
from cgm.utils.run import in_notebook, progress


def advance(label="work"):
    """Run to the end; return whether there is a bar."""

    with progress(3, label) as bar:
        there = not bar.disable  # closing it disables it
        bar.delay = 0  # it appears after two seconds
        for _ in range(3):
            bar.update()
            bar.refresh()
    return there


def pretend_notebook(monkeypatch, config):
    shell = SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_no_bar_without_a_terminal(capsys):
    assert not advance()
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    assert advance()
    assert "work: 100%" in screen.getvalue()
    assert screen.getvalue().endswith("\r")  # nothing is left of it


def test_notebooks_are_recognised(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    pretend_notebook(monkeypatch, {"TerminalIPythonApp": {}})  # ipython on a terminal
    assert not in_notebook()
    pretend_notebook(monkeypatch, {"IPKernelApp": {}})
    assert in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))  # IPython as a library
    assert not in_notebook()


@pytest.mark.filterwarnings(f"error::{TqdmWarning.__module__}.{TqdmWarning.__name__}")
def test_a_bar_in_a_notebook(monkeypatch, capsys):
    """As text, since there is no kernel that shows widgets."""

    monkeypatch.setattr(run, "in_notebook", lambda: True)
    assert advance("in a notebook")
    assert "in a notebook: 100%" in capsys.readouterr().err
