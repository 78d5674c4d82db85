"""The structure of the package: stations in one direction, no circle, Hydra in one place, a quick start."""

import ast
import functools
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "cgm").rglob("*.py"))
}
# Imports run only to the same or an earlier station. A module belongs to the longest name that it begins with.
STATIONS = [
    "cgm.utils",
    "cgm.engines",
    "cgm.clusters",
    "cgm.networks",
    "cgm.data",
    "cgm.valuation",
    "cgm.generators",
    "cgm.privacy",
    "cgm.contributions",
    "cgm.rewards",
    "cgm.figures",
    "cgm.mediator",
    "cgm.sketches",
    "cgm.release",
    "cgm.evaluation",
    "cgm.records",
    "cgm.experiment",
    "cgm.settlements",
    "cgm.api",
    "cgm.cli",
    "cgm.__main__",
]
FRONT = "cgm"  # `cgm/__init__.py`: loads the public names when they are first used, and is the parent of all modules


@functools.cache
def imports(module: str, inside: bool = True) -> frozenset[str]:
    """List the modules of cgm and of other packages that a module names, also within functions."""

    path = MODULES[module]
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            base = ".".join([*parent[: len(parent) - node.level + 1], *filter(None, [node.module])])
            base = base if node.level else node.module
            # `from a import b` is the module a.b if there is one, or else a name in the module a
            names |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return frozenset(names - {module})


def station(module: str) -> int:
    """Return the place of a module's station."""

    return max(
        (len(name), place) for place, name in enumerate(STATIONS) if module == name or module.startswith(f"{name}.")
    )[1]


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


def run(*arguments: str) -> tuple[str, float]:
    """Run Python; return what it prints, and the seconds of the quickest of three times."""

    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    return done.stdout, min(seconds)


def test_imports_and_circles_are_found():
    assert "cgm.rewards.steps" in imports("cgm.rewards.sampling")  # from cgm.rewards import steps
    assert "cgm.valuation.game" in imports("cgm.valuation")  # from .game import Game
    assert "cgm.experiment" in imports("cgm")  # under TYPE_CHECKING
    assert find_circle({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b")}) == ["b", "c", "b"]


def test_there_is_no_circle_of_imports():
    names = MODULES.keys() - {FRONT}
    # but for those inside functions: a settlement writes itself, by functions that take settlements
    circle = find_circle({module: frozenset(imports(module, inside=False) & names) for module in names})
    assert " -> ".join(circle) == ""


def test_no_module_imports_from_a_later_station():
    backward = [
        f"{module} -> {other}"
        for module in sorted(MODULES.keys() - {FRONT})
        for other in sorted(imports(module) & MODULES.keys() - {FRONT})
        if station(other) > station(module)
    ]
    assert backward == []


def test_only_the_command_line_knows_hydra_and_nothing_knows_the_studies():
    for module in MODULES:
        packages = {name.split(".")[0] for name in imports(module)}
        assert "experiments" not in packages, module
        if not module.startswith("cgm.cli"):
            assert packages.isdisjoint({"hydra", "omegaconf", "hydra_plugins"}), module


def test_names_are_imported_from_the_modules_that_define_them():
    """Packages and `cgm.api` re-export names for users; imported from there, stations would not be what they seem."""

    for module, path in MODULES.items():
        if path.name != "__init__.py" and module != "cgm.api":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and MODULES.get(node.module, path).name == "__init__.py":
                    defined = ast.parse(MODULES[node.module].read_text(encoding="utf-8")).body
                    names = {name.id for each in defined for name in ast.walk(each) if isinstance(name, ast.Name)}
                    names |= {each.name for each in defined if isinstance(each, ast.FunctionDef | ast.ClassDef)}
                    for alias in node.names:
                        is_module = f"{node.module}.{alias.name}" in MODULES
                        assert is_module or alias.name in names, f"{module}: {node.module}.{alias.name}"


def test_the_package_and_its_help_are_quick():
    """torch takes a second to import, Hydra a fifth of it."""

    code = "import cgm, sys; print(sorted({'torch', 'numpy', 'scipy', 'hydra'} & set(sys.modules)))"
    out, seconds = run("-c", code)
    assert out == "[]\n"
    assert seconds < 0.3
    out, seconds = run("-X", "importtime", "-m", "cgm", "--help")
    assert out.startswith("cgm ")
    assert seconds < 1
    for option in ("--help", "--version"):
        code = f"import sys; sys.argv = ['cgm', '{option}']; from cgm.cli.main import main; main(); "
        out, _ = run("-c", code + "print(sorted({'hydra', 'omegaconf', 'torch', 'numpy'} & set(sys.modules)))")
        assert out.splitlines()[-1] == "[]"
