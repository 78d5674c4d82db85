"""`cgm schema` and `cgm sketch`, as a party runs them."""

import json
import os
import sys

import pytest

from cgm.cli.private import SketchSettings, key, schema, settings_of, sketch
from cgm.privacy.schema import SketchSchema
from cgm.privacy.sketch import Sketch
from tests.privacy.rows_of_people import people


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with public rows and those of a party."""

    monkeypatch.chdir(tmp_path)
    people(200).to_csv("public.csv", index=False)
    people(600, seed=1).to_csv("north.csv", index=False)
    return tmp_path


def test_a_schema_and_two_sketches(folder, capsys):
    schema(["public=public.csv", "out=schema.yaml", "landmarks=40"])
    out = capsys.readouterr().out
    public = SketchSchema.read("schema.yaml")
    assert public.digest in out
    assert "must not hold rows that are to be protected" in out
    assert "% of the weight of a public row" in out
    schema(["schema=schema.yaml"])
    assert public.digest in capsys.readouterr().out
    sketch(["north.csv", "schema=schema.yaml", "epsilon=1", "out=north.sketch"])
    out = capsys.readouterr().out
    assert "ε = 1 and δ = 1e-05" in out
    assert "earlier" not in out
    made = Sketch.read("north.sketch", public)
    assert (made.party, made.rows, made.epsilon) == ("north", 600, 1)
    sketch(["north.csv", "schema=schema.yaml", "epsilon=2", "out=second.sketch", "party=n"])
    out = capsys.readouterr().out
    assert "there are earlier sketches: north.sketch (ε = 1)" in out
    assert "the guarantee is ε = 2.3 at δ = 1e-05" in out
    assert len(json.loads((folder / "sketches.ledger.json").read_text())["sketches"]) == 2
    first, second = (Sketch.read(f"{name}.sketch", public).released for name in ("north", "second"))
    assert not (first == second).any()  # nothing is drawn again


def test_a_schema_from_a_description(folder, capsys):
    (folder / "columns.yaml").write_text("age: {kind: integer, minimum: 18, maximum: 90, median: 40}\n")
    schema(["columns=columns.yaml", "out=schema.yaml", "features=fourier", "lengthscale=0.5", "delta=1e-6"])
    public = SketchSchema.read("schema.yaml")
    assert (public.landmarks, public.kernel.lengthscale, public.delta) == (None, 0.5, 1e-6)


def test_errors_in_one_line(folder, capsys):
    schema(["public=public.csv", "out=schema.yaml", "landmarks=10"])
    broken = people(50).assign(age="old")
    broken.to_csv("broken.csv", index=False)
    for command, arguments, message in (
        (schema, ["out=x.yaml"], "needs public=FILE"),
        (schema, ["public=public.csv"], "out: the file of the schema is missing"),
        (schema, ["public=public.csv", "out=schema.yaml"], "out=schema.yaml: exists"),
        (schema, ["public=public.csv", "out=x.yaml", "lengthscale=fit"], "lengthscale=fit: expected a number"),
        (schema, ["public=none.csv", "out=x.yaml"], "none.csv: there is no such file"),
        (sketch, ["north.csv", "epsilon=1", "out=n.sketch"], "schema: is missing"),
        (sketch, ["north.csv", "schema=schema.yaml", "out=n.sketch"], "epsilon: is missing"),
        (sketch, ["north.csv", "schema=schema.yaml", "epsilon=0", "out=n.sketch"], "epsilon=0"),
        (sketch, ["north.csv", "schema=schema.yaml", "epsilon=1", "out=n", "seed=1"], "seed=1: expected schema="),
        (sketch, ["north.csv", "schema=north.csv", "epsilon=1", "out=n.sketch"], "north.csv: schema: expected format"),
        (sketch, ["broken.csv", "schema=schema.yaml", "epsilon=1", "out=n.sketch"], "data row 1: 'old' is no number"),
    ):
        with pytest.raises(SystemExit) as error:
            command(arguments)
        assert str(error.value).startswith("cgm: error: ")
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert not (folder / "n.sketch").exists()
    assert not (folder / "sketches.ledger.json").exists()  # nothing was released
    (folder / "n.sketch").write_text("")
    with pytest.raises(SystemExit, match="exists; another sketch is another release"):
        sketch(["north.csv", "schema=schema.yaml", "epsilon=1", "out=n.sketch"])


def test_settings_are_those_of_the_class():
    given = settings_of(SketchSettings, ["schema=s.yaml", "out=n.sketch", "epsilon=5e-1", "party=007"])
    assert (given.epsilon, given.party) == (0.5, "007")
    for arguments, message in (
        (["epsilon"], "expected schema="),
        (["party=a", "party=b"], "given twice"),
        (["schema=s.yaml", "out=n.sketch"], "epsilon: is missing, say for example epsilon=1"),
        (["schema=s.yaml", "out=n.sketch", "epsilon=0"], r"epsilon=0: expected a number in \(0, 100\]$"),
    ):
        with pytest.raises(ValueError, match=message):
            settings_of(SketchSettings, arguments)


def test_a_key_is_for_its_owner_alone(folder, capsys, monkeypatch):
    pytest.importorskip("cryptography")
    key(["out=north.key"])
    public = capsys.readouterr().out.split()[0]
    assert (folder / "north.key").stat().st_mode & 0o077 == 0 or os.name == "nt"
    key(["key=north.key"])
    assert capsys.readouterr().out.split() == [public]
    schema(["public=public.csv", "out=schema.yaml", "landmarks=10"])
    sketch(["north.csv", "schema=schema.yaml", "epsilon=1", "out=north.sketch", "key=north.key"])
    assert f"the public key is {public}" in capsys.readouterr().out
    assert Sketch.read("north.sketch", SketchSchema.read("schema.yaml")).public_key == public
    other = ["north.csv", "schema=schema.yaml", "epsilon=1", "out=n.sketch"]
    for command, arguments, message in (
        (key, ["out=north.key"], "out=north.key: exists; a key that is replaced is lost"),
        (key, [], "expected either out=, .* or key="),
        (key, ["out=a", "key=b"], "expected either out=, .* or key="),
        (key, ["key=north.csv"], "key=north.csv: expected an Ed25519 private key in PEM"),
        (sketch, [*other, "key=none.key"], "none.key"),
        (sketch, [*other, "key=north.csv"], "key=north.csv: expected an Ed25519"),
    ):
        with pytest.raises(SystemExit, match=message):
            command(arguments)
    assert not (folder / "n.sketch").exists()
    assert len(json.loads((folder / "sketches.ledger.json").read_text())["sketches"]) == 1
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for command, arguments in ((key, ["out=new.key"]), (sketch, [*other, "key=north.key"])):
        with pytest.raises(SystemExit, match="signatures need the extra sign: install cryptography"):
            command(arguments)
    assert not (folder / "new.key").exists()
