"""The structure of the package: stations in one direction, small modules, Hydra in one place."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cgm"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Imports run only to the same or an earlier station. A module belongs to the longest name that it begins with.
STATIONS = [
    "cgm.utils",
    "cgm.utils.models",
    "cgm.data",
    "cgm.valuation",
    "cgm.generators",
    "cgm.contributions",
    "cgm.rewards",
    "cgm.mediator",
    "cgm.evaluation",
    "cgm.records",
    "cgm.experiment",
    "cgm.settlements",
    "cgm.api",
    "cgm.cli",
    "cgm.__main__",
]
FRONT = "cgm"  # `cgm/__init__.py`: loads the public names when they are first used, and is the parent of all modules
MAX_LINES = 400
MAX_TOP = 15


@functools.cache
def imports(module: str) -> frozenset[str]:
    """List the modules of cgm and of other packages that a module names, those under TYPE_CHECKING as well."""

    path = MODULES[module]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            base = ".".join([*parent[: len(parent) - node.level + 1], *filter(None, [node.module])])
            base = base if node.level else node.module
            # `from a import b` is the module a.b if there is one, or else a name in the module a
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return frozenset(found - {module})


def station(module: str) -> str | None:
    """Return the station of a module; `None` for `cgm/__init__.py`."""

    own = [name for name in STATIONS if module == name or module.startswith(f"{name}.")]
    return max(own, key=len) if own else None


@functools.cache
def re_exports() -> frozenset[str]:
    """List the packages whose `__init__.py` imports names and defines nothing but `__getattr__` and `__dir__`."""

    own = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py" and imports(module)}
    bodies = {module: ast.parse(MODULES[module].read_text(encoding="utf-8")).body for module in packages}
    names = {module: {node.name for node in body if isinstance(node, own)} for module, body in bodies.items()}
    return frozenset(module for module in packages if names[module] <= {"__getattr__", "__dir__"})


def find_circle(graph: dict[str, frozenset[str]]) -> list[str]:
    """Return the modules of a circle of imports, or an empty list."""

    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if circle := visit(other, [*trail, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in sorted(graph) if (circle := visit(module, []))), [])


def test_imports_are_found():
    assert "cgm.rewards.steps" in imports("cgm.rewards.sampling")  # from cgm.rewards import steps
    assert "cgm.valuation.game" in imports("cgm.valuation")  # from .game import Game
    assert "cgm.experiment" in imports("cgm")  # under TYPE_CHECKING
    assert {"cgm", "cgm.rewards"} <= re_exports()
    assert "cgm.networks.weights" not in re_exports()
    assert find_circle({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b")}) == ["b", "c", "b"]


def test_every_module_has_a_station():
    assert {module for module in MODULES if station(module) is None} == {FRONT}


def test_there_is_no_circle_of_imports():
    circle = find_circle({module: frozenset(imports(module) & MODULES.keys()) for module in MODULES})
    assert " -> ".join(circle) == ""


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {FRONT}))
def test_no_module_imports_from_a_later_station(module):
    own = STATIONS.index(station(module))
    within = imports(module) & MODULES.keys() - {FRONT}
    assert [other for other in sorted(within) if STATIONS.index(station(other)) > own] == []


def test_no_module_imports_from_a_package_that_only_re_exports():
    """Such packages are for users: within cgm, a name is imported from the module that defines it."""

    wrong = {
        module: sorted(imports(module) & re_exports())
        for module, path in MODULES.items()
        if path.name != "__init__.py" and module != "cgm.api" and imports(module) & re_exports()
    }
    assert wrong == {}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_command_line_knows_hydra(module):
    packages = {name.split(".")[0] for name in imports(module)}
    assert "experiments" not in packages
    if station(module) != "cgm.cli":
        assert packages.isdisjoint({"hydra", "omegaconf", "hydra_plugins"})


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_is_long(module):
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES


def test_the_top_of_the_package_is_small():
    top = {path.name for path in PACKAGE.iterdir()} - {"py.typed", "conf", "__pycache__"}
    assert len(top) <= MAX_TOP, sorted(top)


def test_importing_cgm_is_quick():
    """torch takes seconds to import; the public names are loaded when they are first used."""

    code = "import cgm, sys; print(sorted({'torch', 'numpy', 'scipy', 'hydra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_classes_that_settings_name_are_imported_without_slow_packages():
    """So that a wrong setting raises an error at once; `cgm.utils.lazy` is how modules have torch nevertheless."""

    slow = {"torch", "torchvision", "numba", "pandas", "sklearn", "matplotlib", "umap"}
    slow |= {f"scipy.{part}" for part in ("optimize", "spatial", "special", "stats")}
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yaml"))
    targets = sorted({name for text in files for name in re.findall(r"_target_: (cgm\.[\w.]+)", text)})
    assert len(targets) > 50
    code = f"""
import importlib, sys
for target in {targets}:
    module, _, name = target.rpartition(".")
    getattr(importlib.import_module(module), name)
print(sorted({slow} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
