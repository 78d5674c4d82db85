"""`cgm settle` of tables with `privacy=release`: what one party's rows change, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cgm.generators.mean_embedding import MeanEmbedding
from cgm.privacy.release import Release
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.privacy.sketch import Sketch
from cgm.settlements.tables import TableMediator, settle
from cgm.settlements.verification import verify
from cgm.valuation.kernels import SquaredExponential
from tests.cli.test_settle import logging_as_before  # noqa: F401  # a fixture of all tests
from tests.cli.test_settle import run as cgm_settle

FEW = MeanEmbedding(particles=60, steps=20)


def rows(n, mean, seed):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(random.normal(mean, 0.8, (n, 2)).clip(-3, 3).round(3), columns=["x", "y"])
    return table.assign(z=random.choice(["a", "=b"], n, p=[0.5 + mean / 4, 0.5 - mean / 4]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    rows(300, 0.0, 9).to_csv(folder / "public.csv", index=False)
    for seed, (name, n, mean) in enumerate((("north", 600, -0.8), ("south", 600, 0.8), ("west", 300, 0.0))):
        rows(n, mean, seed).to_csv(folder / f"{name}.csv", index=False)
    propose_schema(rows(300, 0.0, 9), None, SquaredExponential(1.5), 50).write(folder / "schema.yaml")
    return folder


def mediator(files, public="schema.yaml", **settings):
    privacy = Release(epsilon=[1, 2, 3], public=str(files / public), landmarks=50, draws=10)
    return TableMediator(**{"privacy": privacy, "generator": FEW, "synthetic_size": 3000, "seed": 3} | settings)


def parties(files):
    return {name: pd.read_csv(files / f"{name}.csv") for name in ("north", "south", "west")}


def content(settlement, folder):
    replace(settlement, date="2026-01-01T00:00:00Z").write(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_rows_with_the_same_sketch_change_the_folder_of_their_owner_alone(files, tmp_path, monkeypatch):
    """The proof of the docs as a test: all that others have follows from the sketch, byte for byte."""

    sketches, draw = {}, Sketch.of_points.__func__
    monkeypatch.setattr(
        Sketch,
        "of_points",
        classmethod(lambda cls, *given: sketches.setdefault(given[2], draw(cls, *given))),
    )
    tables = parties(files)
    before = content(mediator(files).settle_tables(tables), tmp_path / "one" / "settled")
    others = tables | {"north": rows(600, 0.6, 77)}
    after = content(mediator(files).settle_tables(others), tmp_path / "two" / "settled")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert {"parties/north/reward.csv", "parties/north/certificate.json"} <= changed
    own = {f"parties/north/{name}" for name in ("reward.csv", "certificate.json", "README.txt")}
    assert changed <= own | {"mediator/result.json"}
    one, two = (json.loads(each["mediator/result.json"]) for each in (before, after))
    assert one.pop("seconds") != two.pop("seconds")
    assert one == two
    own, same = (json.loads(each["parties/north/certificate.json"]) for each in (before, after))
    assert own["value"]["by_own_rows"]["value"] != same["value"]["by_own_rows"]["value"]
    for numbers in (own["value"], same["value"]):
        del numbers["by_own_rows"], numbers["points"]
    assert own["value"] == same["value"]


def test_what_is_written(files, tmp_path):
    settlement = mediator(files).settle_tables(parties(files))
    written = content(settlement, tmp_path / "settled")
    report = written["report.html"].decode()
    for text in ("the mediator holds the rows", "Largest AUC", "one row replaced", "no seed draws it again", "1e-05"):
        assert text in report
    assert "Points of the reward" not in report
    assert "No attack on this report, what the other parties have, or anything else" in report
    words = written["parties/south/README.txt"].decode()
    assert "passed on, it, and how many rows it has, are not covered" in " ".join(words.split())
    assert "size" not in settlement.to_frame()
    certificate = json.loads(written["parties/south/certificate.json"])
    assert certificate["privacy"]["epsilon"] == 2
    assert certificate["privacy"]["public"][0].startswith("the schema")
    assert certificate["value"]["points"] == settlement.drawn[1].size
    assert verify(tmp_path / "settled/parties/south").ok
    reward = pd.read_csv(tmp_path / "settled/parties/south/reward.csv")
    assert list(reward.columns) == ["x", "y", "z"]
    assert set(reward["z"]) <= {"a", "'=b"}  # a spreadsheet does not run it
    assert json.loads(written["mediator/result.json"])["replay"].startswith("the noise came from the operating system")
    schema = SketchSchema.read(tmp_path / "settled/mediator/schema.json")
    assert schema.digest == settlement.schema.digest
    for k, name in enumerate(("north", "south", "west")):
        sketch = Sketch.from_bytes(written[f"mediator/sketches/{name}.sketch"], schema)
        assert (sketch.party, sketch.epsilon, sketch.rows) == (name, float(k + 1), len(parties(files)[name]))
        assert (sketch.released == settlement.sketches[k].released).all()


def test_the_same_seed_is_another_release(files):
    first, second = (mediator(files).settle_tables(parties(files)) for _ in range(2))
    assert not first.contributions.phi.equal(second.contributions.phi)
    assert not first.sketches[0].released.equal(second.sketches[0].released)


def test_the_command_with_public_rows(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(files)
    out = tmp_path / "settled"
    quick = ["generator.particles=60", "generator.steps=20", "privacy.draws=5", "synthetic_size=3000"]
    release = ["privacy=release", "privacy.public=public.csv", "privacy.landmarks=50", "kernel=squared_exponential"]
    cgm_settle("north.csv", "south.csv", *release, *quick, "kernel.lengthscale=median", f"out={out}")
    assert "ReleasedSettlement: 2 parties" in capsys.readouterr().out
    assert verify(out / "parties/north", files / "north.csv").ok
    for arguments, message in (
        (["generator=kde"], "generator=kde: would be fitted to the parties' rows; with privacy=release say "),
        (["privacy.public=0.5"], "privacy.public=0.5: of tables, expected the file of public rows"),
        (["alternatives=true"], "alternatives=true: with privacy=release"),
        (["missing=[-9]"], "missing=[-9]: has no effect with privacy=release"),
        (["label_column=z"], "label_column=z: has no effect"),
        (["features=pca"], "features=pca: with privacy=release the public schema encodes tables"),
        (["kernel.lengthscale=fit"], "kernel.lengthscale=fit: would be fitted to the parties' rows"),
        (["reference=pool"], "reference=pool: with privacy=release values are compared with all data"),
        (["contribution=pointwise"], "contribution=pointwise: needs the rows themselves"),
        (["privacy.epsilon=[1,2,3]"], "privacy.epsilon=[1, 2, 3]: expected a number, or one for each of 2 parties"),
        (["schema=schema.yaml"], "schema=schema.yaml: with privacy=release, say privacy.public=schema.yaml"),
    ):
        with pytest.raises(SystemExit) as error:
            cgm_settle("north.csv", "south.csv", *release, *arguments, f"out={tmp_path / 'other'}")
        assert message in str(error.value)


def test_a_generator_that_is_fitted_to_public_rows_and_wrong_settings(files):
    privacy = Release(public=str(files / "public.csv"), landmarks=50, draws=5, pool="public")
    settlement = mediator(files, generator="copula", privacy=privacy, audit="membership").settle_tables(parties(files))
    assert "fitted to the public rows alone" in settlement.report().decode()
    assert "audit: is not run" in " ".join(settlement.warnings)
    with pytest.raises(ValueError, match=r"privacy.pool=public: .*schema.yaml is a schema"):
        mediator(files, privacy=replace(privacy, public=str(files / "schema.yaml")))
    with pytest.raises(ValueError, match=r"drop=.*has no effect"):
        mediator(files, drop=["x"])
    with pytest.raises(ValueError, match="generator=copula"):
        settle(parties(files), privacy=replace(privacy, pool="sketches"))
    with pytest.raises(ValueError, match=r"privacy.delta=0.001: .*says δ = 1e-05"):
        mediator(files, privacy=Release(delta=1e-3, public=str(files / "schema.yaml"))).settle_tables(parties(files))
