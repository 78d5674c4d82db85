"""Tests of `--help`: it has what the files of the configuration say, and they say what each setting is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cgm import __version__
from cgm.cli.conf import Configuration, read
from cgm.cli.help import WIDTH, help_text
from cgm.utils.choices import CONF

FILES = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml"))
CHOICES = [file for file in FILES if "/" in file]
ROOT = Path(__file__).resolve().parents[2]


def words(text: str) -> str:
    """The words of a text, in whichever columns and lines they are."""

    return " ".join(text.split())


def leaves(node: object, prefix: str = ""):
    """The names and values of a YAML file, read without its comments: the slow way to what the help reads as text."""

    for name, value in node.items():
        if name == "defaults" or name.startswith("_"):
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def page(choice: str) -> str:
    group, _, name = choice.rpartition("/")
    return help_text([f"{group}={name}"])


def test_every_setting_of_every_file_has_a_comment_and_is_read_as_yaml_reads_it():
    for file in FILES:
        content = yaml.safe_load((CONF / f"{file}.yaml").read_text(encoding="utf-8"))
        read_as_text = read(CONF / f"{file}.yaml")
        values = {setting.name: setting.value for setting in read_as_text.settings if setting.value}
        assert {name: yaml.safe_load(value) for name, value in values.items()} == dict(
            leaves(content, "hydra.job_logging." if "/job_logging/" in file else "")
        )
        assert read_as_text.comment
        assert read_as_text.comment[0]
        if "/" not in file or file.startswith("experiment/"):
            continue  # see below: experiments set what is declared elsewhere
        declared = page(file)
        for setting in read_as_text.settings:
            assert setting.comment or re.search(rf"{re.escape(setting.name)} = [^\n]*\n? +\w", declared), setting.name


def test_every_setting_of_a_primary_configuration_has_a_comment_and_a_heading_before_it():
    for name, heading in (("config", "Settings of the mediator"), ("settle", "Settings of files and tables")):
        settings = read(CONF / f"{name}.yaml").settings
        assert [setting.name for setting in settings if not setting.comment] == []
        assert settings[0].heading == heading
        assert sum(setting.heading != "" for setting in settings) == 3


def test_the_page_of_a_choice_has_its_settings_with_values_and_comments():
    for choice in CHOICES:
        text = page(choice)
        assert max(map(len, text.splitlines())) <= WIDTH
        group, _, name = choice.rpartition("/")
        file = Configuration([CONF], "config").read(group, name)
        assert text.startswith(f"{group}={name}\n")
        rest = words(text)
        for line in file.comment:
            assert words(line).removeprefix(f"cgm {group}={name} ") in rest
        position = 0
        for setting in file.settings:
            entry = words(f"{setting.name} = {setting.value} {setting.comment}" if setting.value else setting.name)
            position = rest.index(entry, position)
            if setting.value and not setting.comment:  # from where it is declared
                assert re.match(r"\S", rest[position + len(entry) :].strip()), setting.name
        if file.target:
            assert f"\n  class: {file.target}\n" in f"{text}\n"


@pytest.mark.parametrize(("command", "primary"), [("", "config"), ("settle", "settle")])
def test_the_overview_has_all_choices_and_all_settings(command, primary):
    text = help_text([], command)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith(f"cgm {__version__}\n")
    assert text.splitlines()[-1].endswith(f"{f'cgm {command}'.strip()} --hydra-help")
    content = yaml.safe_load((CONF / f"{primary}.yaml").read_text(encoding="utf-8"))
    rest = words(text)
    for setting in read(CONF / f"{primary}.yaml").settings:
        if not setting.name.startswith("hydra"):
            left = f"{setting.name} = {setting.value}" if setting.value else setting.name
            assert words(f"{left} {setting.comment}") in rest
    assert "hydra.run.dir" not in text
    defaults = {
        group: choice for entry in content["defaults"] if isinstance(entry, dict) for group, choice in entry.items()
    }
    for group, default in defaults.items():
        if group.startswith("override"):
            continue
        _, _, block = text.partition(f"\n\n{group}\n")
        shown = re.findall(r"^  ([* ]) (\w+)(?:$| {2,})", block.partition("\n\n")[0], re.M)
        assert [choice for _, choice in shown] == sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        assert [choice for mark, choice in shown if mark == "*"] == ([] if default is None else [default])


def test_an_overview_has_one_sentence_for_each_choice():
    text = words(help_text([]))
    assert "kde_adaptive Kernel density estimate with a width for each point: narrow where there are many" in text
    assert "mnist MNIST: 60,000 + 10,000 images of digits, 1 x 28 x 28 npz Your own" in text
    assert "debug All stations in a few seconds debug_mnist" in text
    assert "shapley Shapley values (Sec. 4, equation 5)" in text


def test_the_page_of_an_experiment_does_not_repeat_its_name_as_a_command():
    assert page("experiment/debug").startswith("experiment=debug\n  All stations in a few seconds.\n")
    assert "\n  cgm experiment=paper_mnist split=unequal\n" in page("experiment/paper_mnist")


def test_several_choices_and_whole_groups_are_shown_in_their_order():
    text = help_text(["scheme", "generator=kde", "-m"])
    heads = re.findall(r"^(\S+)$", text, re.M)
    assert heads == [*(f"scheme={path.stem}" for path in sorted((CONF / "scheme").glob("*.yaml"))), "generator=kde"]


def test_a_choice_that_is_based_on_another_has_its_settings():
    text = words(page("generator/kde_adaptive"))
    assert "generator.bandwidth = adaptive by the distance" in text
    assert "generator.share = 0.5 adaptive: the width" in text
    assert "class: cgm.generators.KDE" in text


def test_an_experiment_shows_what_it_sets_with_the_comments_of_the_declarations():
    text = words(page("experiment/paper_credit_card"))
    assert "generator=kde_adaptive" in text
    assert "synthetic_size = 100000 |G|, the number of points" in text
    assert "split.points_per_party = 5000 number of points of each party" in text
    assert "downstream.max_points = 20000 rewards have up to 100,000 points" in text


def test_a_setting_outside_of_groups_is_shown_alone():
    assert words(help_text(["seed"])) == "seed = 0 seed of everything random"
    assert words(help_text(["out"], "settle")).startswith("out = null folder of reports, certificates and rewards")


def test_a_reader_that_has_read_enough_is_no_error():
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "cgm", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_unknown_option_group_or_choice_is_refused_in_one_line(cgm):
    for arguments, message in (
        (["generatr=kde"], r"--help generatr=kde: expected one of dataset, .*; did you mean generator\?$"),
        (["zzz"], r"--help zzz: expected one of dataset, split, [^;]*$"),
        (["generator=kde_adaptve"], r"generator=kde_adaptve: expected one of copula, .*; did you mean kde_adaptive\?$"),
        (["generator="], r"generator=: expected one of copula, [^;]*$"),
        (
            ["settle", "dataset=digits"],
            r"--help dataset=digits: expected one of generator, features, .*$",
        ),
        (["--config-dir", "nowhere"], r"--config-dir nowhere: no such folder$"),
        (["--config-name", "nothing"], r"--config-name nothing: no file nothing\.yaml in .*$"),
        (["--multirunn"], r"--multirunn: unknown option; did you mean --multirun\?; --hydra-help lists all options$"),
    ):
        with pytest.raises(SystemExit) as caught:
            cgm(*arguments, "--help")
        assert re.match(f"cgm: error: {message}", caught.value.code)
        assert "\n" not in caught.value.code


def test_the_flag_may_stand_anywhere(cgm):
    expected = help_text(["generator=kde"])
    for arguments in (["--help", "generator=kde"], ["generator=kde", "-h"], ["-m", "--help", "generator=kde"]):
        assert cgm(*arguments) == f"{expected}\n"
    assert cgm("settle", "--help") == f"{help_text([], 'settle')}\n"
    assert cgm("settle", "generator=kde", "--help") == f"{help_text(['generator=kde'], 'settle')}\n"


STYLES = """# Two lines
#   about it

# above
above: 1
"quoted": "a # b"   # a comment
long: x   # begins
# A heading
next: 2   # own
section:   # of two
  list: [1,
         2]   # of numbers
  block:   # a list of
    - a: 1
    - 2
empty:   # nothing
empty_section: {}   # no entries
text: |   # lines
  # no comment
  more
bare: 3
"""


def test_styles_of_yaml(tmp_path):
    (tmp_path / "generator").mkdir()
    path = tmp_path / "generator" / "own.yaml"
    path.write_text(STYLES)
    file = read(path, "generator")
    assert file.comment == ("Two lines", "  about it")
    assert [(s.name.removeprefix("generator."), s.value, s.comment, s.heading) for s in file.settings] == [
        ("above", "1", "above", ""),
        ("quoted", '"a # b"', "a comment", ""),
        ("long", "x", "begins", ""),
        ("next", "2", "own", "A heading"),
        ("section", "", "of two", ""),
        ("section.list", "[1, 2]", "of numbers", ""),
        ("section.block", "[{a: 1}, 2]", "a list of", ""),
        ("empty", "null", "nothing", ""),
        ("empty_section", "{}", "no entries", ""),
        ("text", '"# no comment\\nmore\\n"', "lines", ""),
        ("bare", "3", "", ""),
    ]


def test_files_of_the_user_are_shown(cgm):
    Path("mine/generator").mkdir(parents=True)
    Path("mine/own_group").mkdir()
    Path("mine/generator/wide.yaml").write_text("# A wide one\ndefaults: [kde]\nbandwidth: 2.0  # wide\n")
    Path("mine/generator/kde.yaml").write_text("# hidden by that of cgm\n")
    Path("mine/own_group/bare.yaml").write_text("_target_: my.Bare\nx: 1\n")
    for flags in (["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"]):
        text = words(cgm(*flags, "--help"))
        assert "true_mixture The distribution" in text
        assert " wide A wide one" in text
        assert " own_group bare my.Bare" in text
        assert "hidden" not in text
    text = words(cgm("--help", "--config-dir", "mine", "generator=wide", "own_group"))
    assert "generator.bandwidth = 2.0 wide" in text
    assert "generator.neighbours = 5 adaptive:" in text
    assert text.endswith("own_group=bare class: my.Bare own_group.x = 1")

    Path("mine/generator/odd.yaml").write_text("# Odd\n_target_: 3\ndefaults: no_such\n")
    assert cgm("--help", "--config-dir", "mine", "generator=odd") == "generator=odd\n  Odd\n  class: 3\n"

    Path("mine/generator/broken.yaml").write_text("# x\na: [1\n")
    with pytest.raises(SystemExit) as caught:
        cgm("--config-dir", "mine", "--help")
    assert re.fullmatch(r"cgm: error: mine.generator.broken\.yaml, line 3: not valid YAML: \S.*", caught.value.code)


def test_the_options_of_hydra_are_shown_on_request(cgm, capsys):
    with pytest.raises(SystemExit) as caught:
        cgm("--hydra-help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "--shell-completion" in out
    assert "--config-dir" in out
