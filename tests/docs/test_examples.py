"""The examples of README.md and of docs/: Python is run, commands are composed, names exist."""

import ast
import functools
import importlib
import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import cgm
from cgm.cli.commands import collect_parser, verify_parser
from cgm.cli.jobs import Job
from cgm.cli.private import (
    KeySettings,
    RewardSettings,
    SchemaSettings,
    SettleSettings,
    SketchSettings,
    key_parser,
    reward_parser,
    schema_parser,
    settings_of,
    settle_parser,
    sketch_parser,
)
from cgm.cli.settle import OF_THE_COMMAND, to_overrides
from cgm.evaluation import entries
from cgm.evaluation.entries import AttackResult
from cgm.evaluation.labellers import NoLabeller
from cgm.evaluation.privacy import NoAudit
from cgm.generators import check_generator
from cgm.records import result
from cgm.utils.choices import CONF
from cgm.utils.plain import NOT_WRITTEN
from cgm.valuation import TableGame

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in PAGES} | {
    name: ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")
}
README = PAGES["README.md"].read_text(encoding="utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROGRAMS = "cgm|python|make|pip|tensorboard|mlflow|pre-commit"


class Block(NamedTuple):
    """A block of code.

    Attributes:
        line: The number of its first line of code.
        language: What stands behind its fence; empty for an indented block.
        code: Its lines.
    """

    line: int
    language: str
    code: str

    @property
    def file(self) -> str | None:
        """The file that the block is to be saved as, if its first line says so."""

        first = re.match(r"# ([\w/]+\.(?:py|yaml))\n", self.code)
        return first[1] if first else None


@functools.cache
def blocks(page: str) -> list[Block]:
    """List the fenced and the indented blocks of a page."""

    found, lines = [], PAGES[page].read_text(encoding="utf-8").splitlines()
    k = 0
    while k < len(lines):
        fence, start = re.match(r"(```+|:::+)\{?([\w-]*)", lines[k]), k + 1
        if fence:
            k = next(j for j in range(start, len(lines)) if lines[j].startswith(fence[1]))
            found.append(Block(start + 1, fence[2], "\n".join(lines[start:k]) + "\n"))
        elif lines[k].startswith("    ") and (k == 0 or not lines[k - 1].strip()):
            while k + 1 < len(lines) and (lines[k + 1].startswith("    ") or not lines[k + 1].strip()):
                k += 1
            found.append(Block(start, "", "\n".join(line[4:] for line in lines[start - 1 : k + 1])))
        k += 1
    return found


def commands(page: str) -> list[list[str]]:
    """List the commands in a page's indented, console and bash blocks, without comments and variables."""

    found = []
    for block in blocks(page):
        if block.language in ("", "console", "bash", "sh"):
            for line in block.code.replace("\\\n", " ").splitlines():
                if re.match(rf"(\$ )?(\w+=\S+ )*(.venv/bin/)?({PROGRAMS})( |$)", line):
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    words = words[next(k for k, word in enumerate(words) if not re.match(r"\w+=", word)) :]
                    found.append([words[0].removeprefix(".venv/bin/"), *words[1:]])
    return found


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]


def of_program(name: str) -> list[list[str]]:
    """List the arguments of the commands of a program, each once."""

    return [list(words) for words in dict.fromkeys(tuple(c[1:]) for _, c in COMMANDS if c[0] == name)]


@pytest.fixture
def page_folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty working directory, from which modules can be imported."""

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def save_files(page: str, folder: Path) -> None:
    """Write the blocks of a page whose first line names a file."""

    for block in blocks(page):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.code, encoding="utf-8")
    importlib.invalidate_caches()


def test_blocks_are_found():
    languages = {block.language for page in PAGES for block in blocks(page)}
    directives = {"toctree", "include", "eval-rst", "code-cell"}
    assert languages <= {"", "python", "yaml", "bash", "console", "bibtex", "text"} | directives
    assert sum(block.language == "python" for page in PAGES for block in blocks(page)) >= 15
    assert len(COMMANDS) >= 40
    assert ["cgm", "generator._target_=my_package.MyGenerator", "+generator.jitter=0.2"] in commands(
        "docs/how_to/own_generator.md"
    )


PYTHON = ("python", "code-cell")  # a cell is one of a tutorial, which the documentation runs and shows with its outputs


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language in PYTHON for b in blocks(page))])
def test_the_python_of_a_page_runs(page, page_folder, capsys):
    """Run the blocks of a page one after the other: a block may use the names of those before it.

    Tutorials run in this process as well, which takes seconds less than a kernel: their cells are plain Python, and
    `make docs` runs them in a kernel.
    """

    save_files(page, page_folder)
    names = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language in PYTHON:
            code = ast.parse("\n" * (block.line - 1) + block.code)  # errors show the line of the page
            shown = code.body.pop() if isinstance(code.body[-1], ast.Expr) and block.language == "code-cell" else None
            exec(compile(code, page, "exec"), names)
            if shown is not None:  # as a notebook does
                value = eval(compile(ast.Expression(shown.value), page, "eval"), names)
                assert len(repr(value)) < 3000
                getattr(value, "_repr_html_", str)()
    if page.startswith("docs/tutorials/"):
        assert {block.language for block in blocks(page)} <= {"code-cell", ""}
        plt.close("all")


def test_the_table_of_the_hospitals_is_what_is_printed(page_folder):
    """The rewards that `cgm settle` prints do not depend on audits, classifiers and other settings, which take long."""

    page = "docs/how_to/settle.md"
    python, *_ = (block for block in blocks(page) if block.language == "python")
    exec(python.code, {})
    tables = {name: pd.read_csv(f"{name}.csv") for name in ("north", "east", "west")}
    without = {"audit": NoAudit(), "labeller": NoLabeller(), "sensitivity": False}
    settlement = cgm.settle(tables, label_column="diagnosis", seed=1, **without)
    (printed,) = (block.code for block in blocks(page) if block.code.startswith("party  rows"))
    assert settlement.table() == printed.rstrip()


def test_the_generator_of_the_docs_is_short_and_keeps_the_contract(page_folder):
    page = "docs/how_to/own_generator.md"
    save_files(page, page_folder)
    (block,) = (block for block in blocks(page) if block.file == "my_package.py")
    assert len(block.code.splitlines()) <= 30
    generator = importlib.import_module("my_package").MyGenerator()
    check_generator(generator)
    check_generator(generator, torch.randn(50, 5, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("page", ["README.md", "docs/how_to/own_contribution.md"])
def test_the_contribution_of_the_docs_is_short_and_right(page, page_folder):
    """Compare the Banzhaf values of three parties with their definition."""

    save_files(page, page_folder)
    (block,) = (block for block in blocks(page) if block.file == "my_package.py")
    assert len(block.code.splitlines()) <= 16
    values = [0.0, 1.0, 2.0, 4.0, 3.0, 5.0, 7.0, 10.0]
    contributions = importlib.import_module("my_package").Banzhaf().compute(TableGame(values), seed=0)
    expected = [sum(values[c | 2**i] - values[c] for c in range(8) if not c & 2**i) / 4 for i in range(3)]
    assert contributions.phi.tolist() == pytest.approx(expected, abs=1e-12)


def composed(config_dir: list[str], overrides: list[str], name: str = "config") -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        path = [f"hydra.searchpath=[{','.join(f'file://{Path(folder).absolute()}' for folder in config_dir)}]"]
        return compose(name, overrides + path * bool(config_dir))


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher:UserWarning")  # Hydra's, about its own plugins
def test_commands_are_understood(page_folder, monkeypatch):
    monkeypatch.setattr("cgm.clusters.Cluster.check_package", lambda engine: None)  # extras need not be installed
    for page in PAGES:
        save_files(page, page_folder)
        sys.modules.pop("my_package", None)  # pages have modules of the same name
        for command in commands(page):
            if command[0] == "cgm":
                understand(command[1:])


def understand(arguments: list[str]) -> None:
    """Compose what a command asks for, and build it. Of a sweep, the first of its values is taken."""

    config_dir: list[str] = []
    if "--help" in arguments:
        return
    if arguments[:1] == ["settle"] and any(argument.endswith(".sketch") for argument in arguments):
        given = [argument for argument in settle_parser().parse_args(arguments[1:]).arguments if "=" in argument]
        settings_of(SettleSettings, given)
        return
    if arguments[:1] == ["settle"]:
        config = composed([], to_overrides(arguments[1:]), "settle")
        own = {name: value for name, value in config.items() if name not in OF_THE_COMMAND}
        assert isinstance(instantiate(OmegaConf.create(own), _convert_="all"), cgm.TableMediator)
        return
    if arguments[:1] in (["collect"], ["verify"]):
        {"collect": collect_parser, "verify": verify_parser}[arguments[0]]().parse_args(arguments[1:])
        return
    private = {
        "schema": (schema_parser, SchemaSettings),
        "sketch": (sketch_parser, SketchSettings),
        "key": (key_parser, KeySettings),
        "reward": (reward_parser, RewardSettings),
    }
    if arguments[:1] and arguments[0] in private:
        parser, cls = private[arguments[0]]
        settings_of(cls, parser().parse_args(arguments[1:]).settings)
        return
    if "--config-dir" in arguments:
        k = arguments.index("--config-dir")
        config_dir = [arguments[k + 1]]
        del arguments[k : k + 2]
    sweep = "-m" in arguments
    parsed = OverridesParser.create().parse_overrides([word for word in arguments if word != "-m"])
    assert any(override.is_sweep_override() for override in parsed) == sweep
    first = [
        f"{override.key_or_group}={_first(override)}" if override.is_sweep_override() else override.input_line
        for override in parsed
    ]
    config = composed(config_dir, first)
    built = Job.construct(config, first).experiment
    assert isinstance(built, cgm.Experiment)


def _first(override) -> str:
    value = override.value()
    if type(value).__name__ == "Glob":
        return value.filter(sorted(path.stem for path in (ROOT / "conf" / override.key_or_group).glob("*.yaml")))[0]
    return str(value.start) if type(value).__name__ == "IntervalSweep" else next(override.sweep_string_iterator())


def test_a_module_that_a_command_runs_exists():
    for arguments in of_program("python"):
        assert arguments[0] == "-m"
        module = arguments[1]
        if module == "venv":
            continue
        spec = importlib.util.find_spec(module)
        assert spec is not None
        if spec.submodule_search_locations:
            assert importlib.util.find_spec(f"{module}.__main__") is not None
        if module.startswith("experiments"):
            folder = ROOT / Path(*module.split("."))
            settings = [OmegaConf.load(path) for path in (folder if folder.is_dir() else folder.parent).glob("*.yaml")]
            known = set()
            for config in settings:
                groups = [next(iter(d)) for d in config.get("defaults", []) if isinstance(d, DictConfig)]
                known |= set(config) | set(groups)
            rest = arguments[2:]
            if rest and "=" not in rest[0]:  # a command of the program
                assert importlib.util.find_spec(f"{module}.{rest.pop(0)}") is not None
            assert {override.lstrip("+").split("=")[0].split(".")[0] for override in rest} <= known


def test_a_target_of_make_exists():
    for arguments in of_program("make"):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in arguments:
            assert "=" in target or re.search(rf"^{target}:", makefile, re.M)


def test_an_extra_that_a_command_installs_exists():
    for arguments in of_program("pip"):
        extras = [extra for word in arguments for group in re.findall(r"\[(.*)\]", word) for extra in group.split(",")]
        assert set(extras) <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("page", PAGES)
def test_the_names_on_a_page_exist(page):
    text = PAGES[page].read_text(encoding="utf-8")
    if page == "CHANGELOG.md":
        text = text.split("\n## ")[1]  # the newest version
        text = re.sub(r"^\| `[^|]*\|", "|", text, flags=re.M)  # the first column has the names of before
    names = re.findall(r"`(cgm(?:\.\w+)+)[`(]|^\.\. auto\w+:: (cgm(?:\.\w+)+)", text, re.M)
    for name in {a or b for a, b in names} - {"cgm.log"}:  # a file
        parents = name.split(".")
        rest: list[str] = []
        while not _is_module(".".join(parents)):
            rest.insert(0, parents.pop())
        functools.reduce(getattr, rest, importlib.import_module(".".join(parents)))


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_the_links_of_a_page_lead_somewhere():
    for page in PAGES:
        text = PAGES[page].read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not target.startswith("http"):
                path, _, anchor = target.partition("#")
                file = (PAGES[page].parent / path) if path else PAGES[page]
                assert file.exists(), target
                if anchor:
                    heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
                    assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_every_page_is_in_the_table_of_contents():
    listed = set()
    for block in blocks("docs/index.md"):
        if block.language == "toctree":
            listed |= {f"docs/{line}.md" for line in block.code.split("\n") if line and not line.startswith(":")}
    assert listed == {page for page in PAGES if page.startswith("docs/")} - {"docs/index.md"}


def test_every_public_name_is_in_the_reference():
    text = "".join(PAGES[page].read_text(encoding="utf-8") for page in PAGES if page.startswith("docs/reference/"))
    modules = re.findall(r"^\.\. automodule:: (\S+)", text, re.M)
    shown = {f"cgm.{name.split('.')[-1]}" for name in re.findall(r"^\.\. auto(?:class|function):: (\S+)", text, re.M)}
    assert shown | {"cgm.__version__"} == {f"cgm.{name}" for name in cgm.__all__}
    packages = ["data", "data.attacks", "data.features", "valuation", "valuation.kernels", "generators"]
    packages += ["contributions", "rewards", "evaluation.labellers", "evaluation.tasks", "evaluation.privacy"]
    assert {f"cgm.{name}" for name in packages} <= set(modules)


def documented() -> set[int]:
    """Identify the modules, classes and functions that the pages in docs/reference document."""

    found: set[int] = set()
    text = "\n".join(PAGES[page].read_text(encoding="utf-8") for page in PAGES if page.startswith("docs/reference/"))
    for kind, name, options in re.findall(r"^\.\. auto(\w+):: (\S+)\n((?:   :.*\n?)*)", text, re.M):
        thing = module = importlib.import_module(name if kind == "module" else name.rpartition(".")[0])
        if kind == "module":
            members = (re.search(r":members:(.*)", options) or ["", "__doc__"])[1]  # without: the module's text alone
            names = members.split(",") if members.strip() else getattr(module, "__all__", vars(module))
            things = [getattr(module, each.strip()) for each in names]
            if not members.strip() and ":imported-members:" not in options:
                things = [each for each in things if getattr(each, "__module__", "") == name]
            found |= set(map(id, things))
        else:
            thing = getattr(module, name.rpartition(".")[2])
        found.add(id(thing))
    return found


def test_the_mathematics_has_every_statement_of_the_paper():
    """Each with a name in the code that is in the reference, and with tests that exist."""

    text = PAGES["docs/mathematics.md"].read_text(encoding="utf-8")
    table = text.split("\n\n| in the paper |")[1].split("\n\n")[0].splitlines()[2:]
    statements = " ".join(row.split("|")[1] + row.split("|")[2] for row in table)
    expected = [f"eq. ({k})" for k in range(1, 9)] + [f"Prop. {k}" for k in (1, 2, "3a", "3b", "3c", 4, 5)]
    expected += ["Theorem 1", "Cor. 1", "Algo. 1", *(f"Def. {k}" for k in (1, 2, 3))]
    expected += [f"R{k}" for k in range(1, 8)] + [f"F{k}" for k in range(1, 5)]
    for statement in expected:
        assert re.search(rf"(?<!\w){re.escape(statement)}(?!\w)", statements), statement
    known = documented()
    for row in table:
        *_, code, tests, _ = row.split("|")
        names = re.findall(r"`(cgm[\w.]+)`", code)
        assert names, row
        for name in names:
            parents, thing = name.split("."), None
            while not _is_module(".".join(parents)):
                parents.pop()
            thing = importlib.import_module(".".join(parents))
            for part in name.split(".")[len(parents) :][:1]:
                thing = getattr(thing, part)  # a method is documented with its class
            assert id(thing) in known, name
        names, source = re.findall(r"`([\w/.]+)`", tests), ""
        assert names, row
        for name in names:
            if name.endswith(".py"):
                source = (ROOT / name).read_text(encoding="utf-8")
            assert f"\ndef {'test_' if name.endswith('.py') else f'{name}('}" in source, name


def test_the_readme_is_short_and_begins_with_two_commands():
    assert len(README) <= 180
    code = [line.split("#")[0].strip() for line in README if line.startswith("    ")]
    assert code[:2] == ["make run", "make test"]
    assert next(k for k, line in enumerate(README) if line.startswith("    make")) <= 3


def test_the_drawing_on_the_front_pages():
    """It has a background and colours of its own for light and for dark pages, and names the stations of a mediator."""

    file = ROOT / "docs" / "_static" / "overview.svg"
    tree = ElementTree.parse(file)
    assert tree.getroot().get("viewBox").split()[2] <= "700"  # readable on narrow pages as well
    text = "".join(tree.getroot().itertext())
    style = re.search(r"\.page(.*?)@media \(prefers-color-scheme: dark\) \{(.*)\}", text, re.S)
    for name in ("page", "mediator", "stage", "evaluation", "note", "code", "arrow", "head"):
        assert all(f".{name} {{" in part for part in (f".page{style[1]}", style[2])), name
    for section in ("Sec. 3, 5", "Sec. 4", "Sec. 4.1", "Sec. 4.2", "Sec. 6"):
        assert section in text
    assert "](docs/_static/overview.svg)" in PAGES["README.md"].read_text(encoding="utf-8")
    assert "](_static/overview.svg)" in PAGES["docs/index.md"].read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_table_of_groups_is_complete(page):
    rows = re.findall(r"^\| `(\w+)` \| (`.*?`) \|", PAGES[page].read_text(encoding="utf-8"), re.M)
    shown = {group: set(re.findall(r"`(\w+)`", choices)) for group, choices in rows}
    groups = {
        folder.name: {path.stem for path in folder.glob("*.yaml")}
        for folder in CONF.iterdir()
        if folder.name != "hydra" and any(folder.glob("*.yaml"))
    }
    assert {group: shown.get(group) for group in groups} == groups


def test_all_settings_outside_of_groups_are_in_the_quickstart():
    text = PAGES["docs/quickstart.md"].read_text(encoding="utf-8")
    config = OmegaConf.load(CONF / "config.yaml")
    for setting, value in config.items():
        if setting not in ("_target_", "defaults", "hydra"):
            first = rf"\| (`[\w.]+`,? )*`{setting}(\.\w+)?`"  # in the first column
            row = next(line for line in text.splitlines() if re.match(first, line))
            values = value.values() if isinstance(value, DictConfig) else [value]
            shown = [value if isinstance(value, str) else json.dumps(value) for value in values]
            for each in shown:
                assert each.startswith("cgm.") or f"`{each.removesuffix('.0')}`" in row.replace(".0`", "`"), each


def test_the_keys_of_a_result_are_on_their_page():
    """The tables of `result.json` have the fields of the dataclasses behind it."""

    sections = re.split(r"^##+ (.*)$", PAGES["docs/how_to/reading_a_run.md"].read_text(encoding="utf-8"), flags=re.M)
    tables = dict(zip(sections[1::2], sections[2::2], strict=True))

    def keys(section: str) -> set[str]:
        rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", tables[section].split("\n| metric ")[0], re.M)
        return {key for row in rows for key in re.findall(r"`(\w+)`", row)}

    def names(kind: type) -> set[str]:
        scores = result.SCORES.get(kind, {})
        written = {field.name for field in fields(kind) if field.metadata != NOT_WRITTEN and field.name not in scores}
        return written | {f"accuracy{end}" for end in scores.values()}  # the score of the paper's task

    kinds = {field.name: field.type for field in fields(result.Result)}
    assert keys("result.json") == set(kinds)
    assert keys("scheme") == {"name", "rewards", "spread", "details"}
    expected = {
        "kernel": [result.KernelBounds],
        "values": [result.Values],
        "increments": [result.Increments],
        "contributions": [result.Contributions],
        "incentives": [result.Incentive],
        "sampling": [result.Reward],
        "correlations and beta_correlations": [result.AlphaCorrelation, result.BetaCorrelation],
        "downstream": [result.Scores],
        "audit": [result.RewardAudit],
        "attacks": [AttackResult],
        "missing": [result.Missing],
        "attack": [result.AttackGains, entries.Change, entries.BetaGain],
        "memory": [result.Memory],
    }
    for section, classes in expected.items():
        assert keys(section) == set().union(*map(names, classes)), section
