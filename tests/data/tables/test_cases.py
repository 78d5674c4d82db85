"""Tests of tables as people have them: each case is read right, or refused with a message that helps."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from cgm.cli.settle import OF_THE_COMMAND, Command, to_overrides
from cgm.data.tables.files import read_parties
from cgm.data.tables.schema import Schema
from cgm.settlements import tables
from cgm.settlements.tables import TableMediator
from tests.data.tables.cases import CASES, Case, Refused, Settled

SMALL = ("synthetic_size=400", "max_growth=2", "sensitivity=false", "threads=1", "seed=1", "audit=none")


class Described(Exception):
    """A schema, raised in place of valuing the rows."""


def write(case: Case, folder: Path) -> list[str]:
    """Write the files of a case, and return the arguments of the command."""

    contents = case.write()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [*contents, *case.arguments]


def describe(arguments: list[str], monkeypatch) -> Schema:
    """Return the schema that `cgm settle` finds, without valuing the rows."""

    def stop(schema, *_):
        raise Described(schema)

    monkeypatch.setattr(tables, "TableEncoding", stop)
    parsed = OverridesParser.create().parse_overrides(to_overrides(arguments))
    settings = {override.key_or_group: override.value() for override in parsed}
    command = Command(**{name: settings.pop(name) for name in OF_THE_COMMAND if name in settings})
    mediator = TableMediator(**settings, seed=1)
    parties = read_parties(command.files, command.party_column, command.names, *command.reading)
    with pytest.raises(Described) as described:
        mediator.settle_tables(*parties)
    return described.value.args[0]


def check(outcome: Settled, schema: Schema, log: str) -> None:
    """Check the kinds of columns, what is left out, and that both are told."""

    assert {column.name for column in schema.columns} == set(outcome.columns)
    for column in schema.columns:
        assert column.kind in outcome.columns[column.name], column.name
        if column.name in outcome.levels:
            assert len(column.levels) == outcome.levels[column.name], column.levels
    assert set(schema.dropped) == set(outcome.left)
    for pattern in outcome.warns:
        assert re.search(pattern, log, re.DOTALL), (pattern, log)


def check_message(outcome: Settled | Refused, message: str) -> None:
    """Check that tables are refused, and that the message has all that helps."""

    assert isinstance(outcome, Refused), message
    for pattern in outcome.patterns:
        assert re.search(pattern, message), (pattern, message)


def parametrised(whole: bool) -> list:
    """Return the cases of reading alone, or those of whole runs."""

    return [pytest.param(case, id=name) for name, case in CASES.items() if case.whole == whole]


@pytest.mark.parametrize("case", parametrised(whole=False))
def test_a_case_is_read_right_or_refused_with_a_remedy(case, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    arguments = write(case, tmp_path)
    try:
        schema = describe(arguments, monkeypatch)
    except (ValueError, FileNotFoundError) as error:
        check_message(case.outcome, str(error))
    else:
        assert isinstance(case.outcome, Settled), [(column.name, column.kind) for column in schema.columns]
        check(case.outcome, schema, caplog.text)


@pytest.mark.parametrize("case", parametrised(whole=True))
def test_a_case_is_settled_or_refused_with_a_remedy(case, cgm, tmp_path, capsys):
    arguments = write(case, tmp_path)
    if isinstance(case.outcome, Settled):
        assert cgm("settle", *arguments, *SMALL, "out=out").rstrip().endswith("out")
        schema = yaml.safe_load((tmp_path / "out/mediator/schema.yaml").read_text(encoding="utf-8"))
        check(case.outcome, Schema.from_dict(schema), capsys.readouterr().err)
    else:
        with pytest.raises(SystemExit) as refused:
            cgm("settle", *arguments, *SMALL, "out=out")
        check_message(case.outcome, str(refused.value))
        assert not (tmp_path / "out").exists()
