"""Tests of settlements of many rows: all are valued, and what takes more than linear time uses stated samples."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.evaluation.privacy import cells
from cgm.evaluation.privacy.cells import AllAttacks, CellAttacks
from cgm.mediator import Mediator
from cgm.rewards import WeightedSampling
from cgm.rewards.candidates import Candidates, drawn_from
from cgm.settlements import TableMediator, certificate, figures, party
from cgm.settlements.folder import write_settlement
from cgm.settlements.verification import verify
from cgm.settlements.view import values_in_words
from cgm.valuation import Valuation
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.method import ValuationMethod


def tables(rows: int = 120) -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(0)

    def table(shift: float) -> pd.DataFrame:
        x = random.normal(shift, 1, (rows, 4))
        kind = np.where(x[:, 3] > 0, "b", np.where(x[:, 2] > 0, "c", "a"))
        return pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "z": x[:, 2], "kind": kind})

    return {name: table(shift) for name, shift in (("north", 0.0), ("south", 0.4), ("west", 0.8))}


@pytest.fixture
def small_limits(monkeypatch):
    """Let samples begin at sizes that a test can afford."""

    monkeypatch.setattr(party, "COMPARED", 150)
    monkeypatch.setattr(party, "MAX_SHOWN", 60)
    monkeypatch.setattr(figures, "MAX_SHOWN", 60)
    monkeypatch.setattr(cells, "MAX_SEARCHED", 100)


LARGE = {
    "valuation": ValuationMethod("nystrom", tolerance=1.0),
    "candidates": 200,
    "sampling": WeightedSampling((2.0,), tolerance=0.2),
    "seed": 5,
}


def test_all_rows_are_valued_and_samples_are_stated(tmp_path, small_limits):
    settlement = TableMediator(**LARGE).settle_tables(tables())
    assert [len(rows) for rows in settlement.tables] == [108, 108, 108]  # all but a tenth, which is held out
    assert list(settlement.samples) == ["lengthscale", "rewards", "audit", "sensitivity", "figures"]
    assert len(settlement.pool.points) == 3000
    assert all(int(reward.indices.max()) < 200 for reward in settlement.drawn.values())
    names = ["150 rows", *(f"150 rows, {x}" for x in ("length-scale × 0.5", "length-scale × 2", "another seed"))]
    assert list(settlement.sensitivity) == names
    assert settlement.approximation.method == "nystrom"

    folder = write_settlement(tmp_path / "out", settlement)
    report = (folder / "report.html").read_text(encoding="utf-8")
    result = json.loads((folder / "mediator/result.json").read_text())
    words = values_in_words(result["approximation"])
    for text in (words, *settlement.samples.values()):
        assert text in report.replace("&#39;", "'").replace("\n", " ")
    assert result["samples"] == dict(settlement.samples)
    own = json.loads((folder / "parties/south/certificate.json").read_text())
    assert own["method"]["samples"] == [settlement.samples["rewards"], settlement.samples["audit"]]
    assert own["method"]["values"].startswith("Values are computed from the likeness of all rows to 512 of them")
    assert "3,000" not in json.dumps(own)  # the size of the pool is that of all parties' data
    assert verify(folder / "parties/south").ok


def test_the_same_seed_draws_the_same_samples(small_limits):
    first, again = (TableMediator(**LARGE).settle_tables(tables()) for _ in range(2))
    assert first.sensitivity == again.sensitivity
    assert first.audits == again.audits
    assert all(torch.equal(first.drawn[key].indices, again.drawn[key].indices) for key in first.drawn)


def test_few_rows_have_no_samples():
    settings = {"audit": AllAttacks(cells=CellAttacks(predicates=20)), "sensitivity": False, "synthetic_size": 400}
    settlement = TableMediator(**settings, sampling=WeightedSampling((8.0,)), seed=1).settle_tables(tables(60))
    assert (settlement.samples, settlement.approximation) == ({}, None)
    assert TableMediator().max_rows is None


def test_values_and_targets_are_those_of_the_whole_pool():
    random = torch.Generator().manual_seed(0)
    parties = [torch.randn(40, 2, generator=random).double() + shift for shift in (0.0, 0.5)]
    game = Valuation(SquaredExponential(1.0), parties, torch.randn(300, 2, generator=random).double())
    part = Candidates(game, 100)
    assert drawn_from(game, None) is game
    assert drawn_from(game, 300) is game
    assert torch.equal(part.with_synthetic, game.with_synthetic)
    assert torch.equal(part.reference_points, game.points)
    assert (part.t, part.sizes) == (game.t, game.sizes)

    values = game.party_values + 0.5 * (game.with_synthetic - game.party_values).clamp(min=0)
    sampling = WeightedSampling((1.0, 8.0), patience=None)
    for reward in sampling.draw(part, values, seed=0):
        assert int(reward.indices.max()) < 100
        s = torch.cat([parties[reward.party], game.synthetic[reward.indices]])
        assert reward.value == pytest.approx(game.value(s), rel=1e-9)
        assert reward.target == pytest.approx(float(values[reward.party]))
        assert reward.upper == float(game.with_synthetic[reward.party])


def test_a_mediator_draws_from_its_candidates():
    random = torch.Generator().manual_seed(1)
    parties = [torch.randn(50, 2, generator=random) + shift for shift in (0.0, 1.0)]
    settings = {"kernel": SquaredExponential(1.0), "synthetic_size": 400}
    whole = Mediator(**settings).settle(parties)
    part = Mediator(**settings, candidates=150).settle(parties)
    assert torch.equal(part.rewards.values, whole.rewards.values)
    assert max(int(reward.indices.max()) for reward in part.drawn.values()) < 150
    assert max(int(reward.indices.max()) for reward in whole.drawn.values()) >= 150


def test_methods_in_words():
    assert values_in_words(None, "images") == "Values are computed from all pairs of images."
    stated = {"size": 2048, "value_error": 0.00012345, "alpha_error": 0.001}
    for method, words in (
        ("nufft", "from sums over a grid of 2,048 frequencies"),
        ("hybrid", "from all pairs with rows of parties, and for pairs within the pool from 2,048 landmarks in it"),
        ("nystrom", "from the likeness of all rows to 2,048 of them, the landmarks"),
    ):
        text = values_in_words({"method": method, **stated})
        assert text.startswith(f"Values are computed {words}, in place of all pairs of rows")
        assert "by up to 0.00012 from those of all pairs, and α by up to 0.001 (99 % intervals" in text


def test_errors_in_certificates_are_rounded_up():
    for error, stated in ((9.004e-5, 1e-4), (1.2e-3, 2e-3), (1e-4, 1e-4), (0.0, 0.0), (0.99, 1.0), (9.5, 10.0)):
        assert certificate._rounded_up(error) == pytest.approx(stated, rel=1e-12)
        assert certificate._rounded_up(error) >= error
