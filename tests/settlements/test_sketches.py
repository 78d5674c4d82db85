"""Settlements of sketches: what parties and mediator do, in three folders, from the command line."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.cli.private import key as cgm_key
from cgm.cli.private import schema as cgm_schema
from cgm.cli.private import settle as cgm_settle
from cgm.cli.private import sketch as cgm_sketch
from cgm.privacy.accounting import Guarantee
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.privacy.sketch import Sketch
from cgm.rewards.incentives import Incentive
from cgm.rewards.sampling import WeightedSampling
from cgm.settlements.certificate import seal
from cgm.settlements.sketches import SketchMediator
from cgm.settlements.verification import verify
from cgm.sketches import _margin, _resolved
from cgm.utils.signing import read_key
from cgm.valuation.kernels import SquaredExponential

NUMBER = {"kind": "numeric", "minimum": -3.0, "maximum": 3.0, "median": 0.0}
FIT = ParticleFit(particles=100, steps=60, draws=2)


def rows(n, mean, seed):
    random = np.random.default_rng(seed)
    return pd.DataFrame(random.normal(mean, 0.8, (n, 2)).clip(-3, 3), columns=["x", "y"])


@pytest.fixture(scope="module")
def settled():
    schema = propose_schema(None, {"x": NUMBER, "y": NUMBER}, SquaredExponential(1.2), 80)
    tables = {"north": rows(1500, -0.8, 0), "south": rows(1500, 0.8, 1), "west": rows(300, 0.0, 2)}
    sketches = [Sketch.draw(schema, table, name, 2.0) for name, table in tables.items()]
    return SketchMediator(pool=FIT, draws=20).settle(sketches)


def test_a_settlement_has_errors_of_all_that_it_states(settled):
    frame = settled.to_frame()
    assert list(frame["name"]) == ["north", "south", "west"]
    for name in ("value", "alpha", "reward"):
        assert np.isfinite(frame[f"{name}_stderr"]).all()
        assert (frame[f"{name}_stderr"] >= 0).all()
    assert frame["alpha"].max() == 1
    assert (frame["value_stderr"] < 0.05).all()
    for party in range(3):
        table = settled.reward_table(party)
        assert len(table) == settled.drawn[party].size
        assert list(table.columns) == ["x", "y"]
        assert table.abs().max().max() <= 3
    assert settled.incentives["R1"].holds
    assert settled.incentives["R6"].holds is not False
    assert settled.guarantee(0)["mu"] == pytest.approx(Guarantee.of(2.0, 1e-5).mu, rel=1e-5)
    assert "north" in repr(settled)


def test_the_same_sketches_give_the_same_settlement(settled):
    again = SketchMediator(pool=FIT, draws=20).settle(settled.sketches)
    assert again.to_frame().equals(settled.to_frame())
    assert again.reward_table(0).equals(settled.reward_table(0))
    priced = SketchMediator(pool=FIT, draws=20, price="bias").settle(settled.sketches)
    assert (priced.game.party_values < settled.game.party_values).all()


def test_what_is_written(settled, tmp_path):
    folder = settled.write(tmp_path / "settlement")
    report = (folder / "report.html").read_text()
    for text in ("the mediator has seen sketches only", "Largest AUC", "one row replaced", "not resolved", "<svg"):
        assert text in report
    assert "<script" not in report
    assert "No attack on this report, the rewards, or anything else" in report
    words = (folder / "parties/north/README.txt").read_text()
    assert words.startswith(f"reward.csv is your reward: {settled.drawn[0].size:,} rows of synthetic data")
    assert "Your rows are protected with ε = 2 and δ = 1e-05" in words
    assert "cgm verify . north.sketch" in words
    assert "cgm reward" not in words
    assert max(map(len, words.split("\n"))) < 120
    assert "_stderr: one standard error" in settled.table()
    assert "north: " in report  # the figure in words
    certificate = json.loads((folder / "parties/north/certificate.json").read_text())
    assert seal(certificate)["sha256"] == certificate["sha256"]
    assert certificate["privacy"]["epsilon"] == 2
    assert certificate["privacy"]["max_true_positives"]["0.01"] == pytest.approx(0.034, abs=0.001)
    assert certificate["incentives"]["R1"] == "holds"
    assert "south" not in json.dumps(certificate)
    own = settled.sketches[0].write(tmp_path / "north.sketch")
    assert verify(folder / "parties/north", own).ok
    assert not verify(folder / "parties/north", settled.sketches[1].write(tmp_path / "south.sketch")).ok
    reward = folder / "parties/north/reward.csv"
    assert certificate["files"]["reward.csv"]["bytes"] == reward.stat().st_size
    assert pd.read_csv(reward).shape == settled.reward_table(0).shape
    assert json.loads((folder / "mediator/result.json").read_text())["parties"][2]["name"] == "west"
    with pytest.raises(ValueError, match="new or empty folder"):
        settled.write(folder)


def test_an_incentive_is_one_of_three():
    def entry(slack, holds=True):
        return Incentive(holds, slack, "margin")

    spread = np.linspace(-1, 1, 41).tolist()  # a standard deviation of 0.6
    for slack, expected in ((5.0, True), (-5.0, False), (0.5, None), (-0.5, None), (0.0, None)):
        drawn = [entry(slack + each, slack + each >= 0) for each in spread]
        assert _resolved(entry(slack, slack >= 0), drawn).holds is expected
    assert _resolved(entry(0.0), [entry(0.0)] * 10).holds is True  # does not depend on the noise
    assert _resolved(entry(0.1), [entry(0.1), entry(-0.1, False)] * 10).holds is None
    assert _resolved(entry(None), [entry(None)] * 10).holds is None
    assert "± 1.2" in _resolved(entry(5.0), [entry(5.0 + each) for each in spread]).note


def test_bounds_may_cross_by_what_is_not_resolved():
    random = torch.Generator().manual_seed(0)
    errors = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    own = errors * torch.randn(4000, 3, generator=random, dtype=torch.float64)
    together = errors * torch.randn(4000, 1, generator=random, dtype=torch.float64)
    for upper, multiple in ((own, 1.5), (together, 2.0)):
        assert torch.allclose(_margin(upper) / errors, torch.tensor(multiple).double(), rtol=0.06)
    assert _margin(torch.ones(10, 2, dtype=torch.float64)).tolist() == [0, 0]
    # rewards that are above their bounds by the margin do not break R2
    for upper in (own[:, :1], together[:, :1]):
        margin = float(_margin(upper)[0])
        drawn = [Incentive(slack >= 0, slack, "") for slack in (upper[:, 0] - upper.mean() - margin).tolist()]
        assert _resolved(Incentive(False, -margin, ""), drawn).holds is None
        assert (
            _resolved(Incentive(False, -2.5 * float(upper.std()), ""), [replace(e, holds=False) for e in drawn]).holds
            is False
        )


def test_settings_and_sketches_that_are_not_possible(settled):
    with pytest.raises(ValueError, match="expected one, of the reward of each party"):
        SketchMediator(sampling=WeightedSampling((1.0, 2.0)))
    with pytest.raises(ValueError, match="price=half"):
        SketchMediator(price="half")
    with pytest.raises(ValueError, match="two sketches of this name"):
        SketchMediator().settle([settled.sketches[0]] * 2)
    with pytest.raises(ValueError, match="at least one"):
        SketchMediator().settle([])
    with pytest.raises(ValueError, match=r"expected sketches, as Sketch.draw makes them, got DataFrame"):
        SketchMediator().settle([rows(9, 0.0, 0)])


def test_two_parties_and_a_mediator(tmp_path, monkeypatch, capsys):
    """Nothing but the schema and the sketches crosses."""

    pytest.importorskip("cryptography")

    monkeypatch.chdir(tmp_path)
    rows(300, 0.0, 9).to_csv("public.csv", index=False)
    cgm_schema(["public=public.csv", "out=schema.yaml", "landmarks=60"])
    public = {}
    for k, party in enumerate(("north", "south")):
        (tmp_path / party).mkdir()
        rows(800, k - 0.5, k).to_csv(tmp_path / party / f"{party}.csv", index=False)
        monkeypatch.chdir(tmp_path / party)
        capsys.readouterr()
        cgm_key([f"out={party}.key"])
        public[party] = capsys.readouterr().out.split()[0]
        signed = [f"key={party}.key"] if party == "north" else []
        cgm_sketch([f"{party}.csv", "schema=../schema.yaml", "epsilon=2", f"out={party}.sketch", *signed])
    mediator = tmp_path / "mediator"
    mediator.mkdir()
    for name in ("north/north.sketch", "south/south.sketch", "schema.yaml"):
        (mediator / name.split("/")[-1]).write_bytes((tmp_path / name).read_bytes())
    monkeypatch.chdir(mediator)
    capsys.readouterr()
    quick = ["particles=50", "steps=20", "draws=5", "synthetic_size=3000"]
    cgm_settle(["north.sketch", "south.sketch", "schema=schema.yaml", "out=settlement", *quick])
    assert "SketchSettlement: 2 parties" in capsys.readouterr().out
    assert sorted(path.name for path in (mediator / "settlement/parties").iterdir()) == ["north", "south"]
    report = (mediator / "settlement/report.html").read_text()
    assert "by the keys that they name themselves, which were not compared with others: north by " in report
    assert f"{public['north']}. Not signed: south." in report
    (mediator / "keys.yaml").write_text("".join(f'{name}: "{each}"\n' for name, each in public.items()))
    unsigned = Sketch.read("south.sketch", SketchSchema.read("schema.yaml"))
    unsigned.signed(read_key(tmp_path / "south/south.key")).write("signed.sketch")
    cgm_settle(["north.sketch", "signed.sketch", "schema=schema.yaml", "out=signed", "keys=keys.yaml", *quick])
    assert "by the keys given for them" in (mediator / "signed/report.html").read_text()
    both = ["north.sketch", "south.sketch"]
    for arguments, message in (
        ([*both, "out=x"], "schema: is missing"),
        ([*both, "schema=schema.yaml"], "out: is missing"),
        ([*both, "schema=schema.yaml", "out=settlement"], "expected a new or empty folder"),
        (["north.sketch", "south.sketch", "schema=schema.yaml", "out=x", "keys=keys.yaml"], "south: is not signed"),
        (["north.sketch", "none.sketch", "schema=schema.yaml", "out=x"], "none.sketch"),
        ([*both, "schema=schema.yaml", "out=x", "scheme=fairest"], "scheme=fairest"),
        ([*both, "schema=schema.yaml", "out=x", "epsilon=1"], "epsilon=1: expected schema="),
        (["north.sketch", "schema=schema.yaml", "out=x"], "north.sketch: one sketch; give one for each party"),
        (["north.sketch", "south.csv", "schema=schema.yaml", "out=x"], "south.csv: expected a file that ends in"),
    ):
        with pytest.raises(SystemExit) as error:
            cgm_settle(arguments)
        assert message in str(error.value)
