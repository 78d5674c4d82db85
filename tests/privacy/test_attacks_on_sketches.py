"""The audit's attacks on rewards from sketches: none is above the bound of its ε, and copies are far above it."""

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.evaluation.privacy import AllAttacks, CellAttacks, Membership
from cgm.privacy.accounting import Guarantee
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import propose_schema
from cgm.privacy.sketch import Sketch
from cgm.valuation.kernels import SquaredExponential

CONFIDENCE = 1 - 1e-6  # of each of some forty intervals
RATE = 0.05  # of false positives
AUDIT = AllAttacks(Membership(RATE, CONFIDENCE, max_rows=600), CellAttacks(confidence=CONFIDENCE, max_rows=400))
NUMBER = {"kind": "numeric", "minimum": -3.0, "maximum": 3.0, "median": 0.0}
KIND = {"kind": "categorical", "levels": ["a", "b", "c"]}


def rows(n, random):
    kind = random.integers(3, size=n)
    x = random.normal(0, 0.6, (n, 2)) + np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])[kind]
    return pd.DataFrame(x.clip(-3, 3), columns=["x", "y"]).assign(kind=np.array(["a", "b", "c"])[kind])


@pytest.fixture(scope="module", params=[None, "kind"])
def case(request):
    """A schema, the tables of two parties, and rows that were held out."""

    schema = propose_schema(
        None, {"x": NUMBER, "y": NUMBER, "kind": KIND}, SquaredExponential(0.8), 60, label=request.param
    )
    random = np.random.default_rng(0)
    return schema, [rows(600, random) for _ in range(2)], rows(600, random)


def audited(schema, parties, held_out, reward):
    """Audit a reward of the first party: what it reveals of the second."""

    def cells(table):
        return torch.from_numpy(table.assign(kind=table["kind"].map({"a": 0, "b": 1, "c": 2})).to_numpy(dtype=float))

    parts = [schema.encode(each) if part is AUDIT.membership else cells(each)
             for part in AUDIT.parts for each in (*parties, held_out, reward)]  # fmt: skip
    (members,) = AUDIT.membership.audit(parts[:2], [parts[2]], [(0, 1.0, parts[3])], seed=0)
    (guessed,) = AUDIT.cells.audit(parts[4:6], [parts[6]], [(0, 1.0, parts[7])], seed=0)
    return members.attacks, guessed.guesses


def broken(attacks, guesses, guarantee):
    """List the attacks that are above the bound for sure.

    A guess is an event of each row, which another row in its place changes by at most max_f Φ(Φ⁻¹(f) + μ) - f. For
    singling out, which is about all rows, this is a comparison and no theorem.
    """

    gap = 2 * guarantee_normal(guarantee.mu / 2) - 1
    found = [each.name for each in attacks if each.auc_low > guarantee.auc]
    found += [each.name for each in attacks if each.tpr_low > guarantee.true_positives(RATE)]
    return found + [f"{each.name} {each.column}" for each in guesses if each.excess_low > gap]


def guarantee_normal(x):
    return float(torch.special.ndtr(torch.tensor(x, dtype=torch.float64)))


def test_no_attack_on_a_reward_from_sketches_is_above_the_bound(case):
    schema, parties, held_out = case
    for epsilon in (0.5, 1.0, 3.0):
        sketches = [Sketch.draw(schema, table, name, epsilon) for name, table in zip("ab", parties, strict=True)]
        pool = ParticleFit(particles=150, steps=40, draws=2).fit(sketches, seed=0).pool(600)
        attacks, guesses = audited(schema, parties, held_out, schema.decode(pool))
        assert {each.name for each in attacks} == {"nearest", "density_ratio", "neighbourhood", "classifier"}
        assert len(guesses) == 5  # three columns, two kinds of singling out
        assert broken(attacks, guesses, Guarantee.of(epsilon, schema.delta)) == []


def test_copies_are_above_the_bound_of_any_of_these(case):
    """What the test above would find."""

    schema, parties, held_out = case
    attacks, guesses = audited(schema, parties, held_out, parties[1])
    names = broken(attacks, guesses, Guarantee.of(3.0, schema.delta))
    assert {"nearest", "attribute_inference 1", "singling_out_by_one_column None"} <= set(names)
