"""Settlements of tables, from end to end."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch

import cgm
from cgm.contributions import Shapley
from cgm.contributions.base import compute_contributions
from cgm.data.features import PCA, UMAP
from cgm.data.tables import Schema
from cgm.evaluation.labellers import NoLabeller
from cgm.evaluation.privacy import NoAudit
from cgm.generators import KDE, Copula, GaussianMixture
from cgm.mediator import Mediator, Pooled
from cgm.rewards import EqualRewards, Gain, WeightedSampling
from cgm.rewards.schemes import InfeasibleScheme
from cgm.settlements.tables import TableMediator
from cgm.utils.random import Stream, stream_seed
from cgm.valuation import Valuation
from cgm.valuation.references import LeaveOneOutReference, PoolReference, RealReference


def hospital(seed, n=120, shift=0.0):
    random = np.random.default_rng(seed)
    age = random.integers(20, 90, n)
    table = pd.DataFrame(
        {
            "age": age,
            "bmi": (random.normal(25, 4, n) + shift).round(1),
            "unit": random.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
            "smoker": random.choice([True, False], n),
            "country": "CH",
            "ill": np.where(age + random.normal(0, 10, n) > 55, "yes", "no"),
        }
    )
    table.loc[random.random(n) < 0.1, "bmi"] = np.nan
    table["unit"] = table["unit"].astype(object)
    table.loc[random.random(n) < 0.1, "unit"] = None
    return table


TABLES = {"north": hospital(0), "east": hospital(1, 150, 2.0), "west": hospital(2, 100, -3.0)}
FAST = {"synthetic_size": 600, "sensitivity": False, "seed": 0}


@pytest.fixture(scope="module")
def settlement():
    return cgm.settle(TABLES, label_column="ill", synthetic_size=600, seed=0)


def test_rewards_are_tables_of_the_same_columns(settlement):
    assert settlement.names == ("north", "east", "west")
    columns = ["age", "bmi", "unit", "smoker", "country"]
    for party in range(3):
        table = settlement.reward_table(party, settlement.recommended[party])
        assert table.dtypes.to_dict() == TABLES[settlement.names[party]][columns].dtypes.to_dict()
        assert len(table) == len(settlement.drawn[party, settlement.recommended[party]].indices)
        assert list(settlement.tables[party].columns) == columns  # the label is not valued
        assert table["age"].between(20, 90).all()
        assert (table["bmi"].dropna().round(1) == table["bmi"].dropna()).all()
        assert set(table["unit"].dropna()) <= {"a", "b", "c"}
        assert (table["country"] == "CH").all()
    with pytest.raises(ValueError, match=f"beta=3: {settlement.names[0]} has no such reward; expected one of "):
        settlement.reward_table(0, 3)
    name = settlement.names[1]
    assert settlement.recommended[name] == settlement.recommended[1]
    assert settlement.recommended[:2] == settlement.recommended[1:]
    pd.testing.assert_frame_equal(
        settlement.reward_table(name), settlement.reward_table(1, settlement.recommended[name])
    )
    again = pickle.loads(pickle.dumps(settlement.recommended))
    assert again == settlement.recommended
    assert again[name] == settlement.recommended[name]
    with pytest.raises(ValueError, match=r"party=nobody: expected an integer from 0 to 2, or one of "):
        settlement.recommended["nobody"]


def test_what_is_valued_is_what_is_handed_out(settlement):
    codes = settlement.schema.to_codes(settlement.pool_table)
    assert torch.equal(settlement.features.transform(codes), settlement.pool.points)

    own = [settlement.features.transform(settlement.schema.to_codes(table)) for table in settlement.tables]
    game = Valuation(settlement.game.kernel, own, settlement.pool.points)
    assert torch.equal(game.party_values, settlement.game.party_values)
    # the reward that is read from its table has the value that it was drawn for
    party, beta = 1, settlement.recommended[1]
    reward = settlement.features.transform(settlement.schema.to_codes(settlement.reward_table(party, beta)))
    kernel, t = game.kernel, torch.cat([*own, settlement.pool.points])
    s = torch.cat([own[party], reward])
    value = 2 * kernel(s, t).mean() - kernel(s, s).mean()
    assert float(value) == pytest.approx(settlement.drawn[party, beta].value, abs=1e-9)


def test_held_out_rows_are_seen_by_nobody(settlement):
    for name, used, apart in zip(settlement.names, settlement.tables, settlement.held_out, strict=True):
        n = len(TABLES[name])
        assert len(apart) == round(0.1 * n)
        assert len(used) == n - len(apart)
    changed = {name: table.copy() for name, table in TABLES.items()}
    mediator = TableMediator(label_column="ill", **FAST)
    masks = mediator.choose_rows(changed, seed=0)
    for name, table in changed.items():
        table.loc[~masks[name], "age"] = 50
        table.loc[~masks[name], "bmi"] = 1000.0
    other = mediator.settle_tables(changed)
    assert other.contributions.alpha.tolist() == settlement.contributions.alpha.tolist()
    pd.testing.assert_frame_equal(other.pool_table, settlement.pool_table)


def test_the_seed_determines_everything(settlement):
    again = cgm.settle(TABLES, label_column="ill", **FAST)
    pd.testing.assert_frame_equal(again.pool_table, settlement.pool_table)
    other = cgm.settle(TABLES, label_column="ill", **{**FAST, "seed": None})
    assert not other.pool_table.equals(settlement.pool_table)


def test_the_recommended_rewards_are_the_nearest_to_all_data(settlement):
    def distance(beta):
        rewards = [settlement.drawn[party, beta] for party in range(3)]
        return sum(not reward.reached for reward in rewards), sum(reward.mmd2_unbiased for reward in rewards)

    assert len(set(settlement.recommended)) == 1  # the same β for all parties: their rows can be compared
    assert settlement.recommended[0] == min(settlement.betas, key=distance)


def test_sensitivity_audits_and_accuracies(settlement):
    assert set(settlement.sensitivity) == {"length-scale × 0.5", "length-scale × 2", "another seed"}
    assert all(max(variant.alpha) == pytest.approx(1) for variant in settlement.sensitivity.values())
    assert [(audit.party, audit.beta) for audit in settlement.audits] == [
        (c.party, c.beta) for c in settlement.drawn.values()
    ]
    assert settlement.accuracies == ()
    assert settlement.warnings[0].startswith("37 rows are held out for checks: the privacy audit is imprecise")
    assert "models are not tested with and without rewards (at least 50 are needed)" in settlement.warnings[0]

    more = cgm.settle(TABLES, label_column="ill", held_out=0.3, **FAST)
    assert all(0.4 < accuracy.accuracy <= 1 for accuracy in more.accuracies)


def test_the_printed_table(settlement):
    lines = settlement.table().splitlines()
    assert lines[0].split()[:6] == ["party", "rows", "v(D_i)", "α", "±", "error"]
    assert [line.split()[0] for line in lines[1:4]] == ["north", "east", "west"]


@pytest.mark.parametrize("generator", [KDE(), GaussianMixture(components=3), Copula()], ids=lambda g: type(g).__name__)
def test_generators(generator):
    settlement = cgm.settle(TABLES, drop=["ill"], generator=generator, audit=NoAudit(), **FAST)
    assert set(settlement.pool_table["unit"].dropna()) == {"a", "b", "c"}
    assert len(settlement.pool_table) == settlement.game.sizes[-1]
    assert generator.state is None  # the user's own object is not fitted


def test_the_order_of_columns_does_not_matter_for_parties():
    tables = {name: table[sorted(table.columns)] if name == "east" else table for name, table in TABLES.items()}
    a, b = (cgm.settle(t, drop=["ill"], audit=NoAudit(), **FAST) for t in (TABLES, tables))
    assert a.contributions.phi.tolist() == b.contributions.phi.tolist()


def test_a_schema_of_ones_own(settlement):
    values = settlement.schema.to_dict()
    values["columns"]["age"] = {"kind": "categorical", "levels": [str(age) for age in range(20, 90)]}
    schema = Schema.from_dict(values)
    other = TableMediator(label_column="ill", audit=NoAudit(), **FAST).settle_tables(TABLES, schema=schema)
    assert other.schema == schema
    assert set(other.pool_table["age"]) <= {str(age) for age in range(20, 90)}


def test_no_labeller_means_no_accuracies():
    assert cgm.settle(TABLES, label_column="ill", labeller=NoLabeller(), held_out=0.3, **FAST).accuracies == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_column": "sick"}, "label_column=sick: north has the columns age, bmi, unit"),
        ({"label_column": "country"}, "label_column=country: 1 different labels, at least two are needed"),
        ({"drop": "age"}, r"drop=age: expected a list of columns, such as \[age\]"),
        ({"drop": ["ages"]}, "drop=ages: there is no such column"),
        ({"held_out": 0.9}, r"held_out=0.9: expected a number in \[0, 0.5\]"),
        ({"numbers": "ranks"}, "numbers=ranks: expected one of standardise, quantiles"),
        ({"rare": 0.7}, r"rare=0.7: expected a number in \[0, 0.5\]"),
        ({"sensitivity": 1}, "sensitivity=1: expected true or false"),
        ({"audit": None}, "audit: expected an Audit"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        cgm.settle(TABLES, **settings)


def test_a_pool_that_is_too_small_is_told_with_the_right_size(caplog):
    with pytest.raises(
        InfeasibleScheme,
        match=r"^synthetic_size=3: G has too few points, at most 24, where the parties have 333; say "
        r"synthetic_size=333 or more \(tried up to synthetic_size=24, max_growth=8: scheme: .*(north|east|west)'s",
    ):
        cgm.settle(TABLES, **FAST | {"synthetic_size": 3})
    assert "there may be no rewards; say synthetic_size=333 or more" in caplog.text
    assert re.search("scheme: .*(north|east|west)'s .*; G grows from 3 to 6 points", caplog.text)
    assert not re.search(r"party \d", caplog.text)


def test_small_parties_are_refused():
    with pytest.raises(ValueError, match="tiny: has 9 rows, at least 10 are needed"):
        cgm.settle({"north": TABLES["north"], "tiny": TABLES["east"][:9]})


def test_the_median_of_missing_numbers_is_not_frequent_in_the_pool():
    tables = {name: hospital(seed, 300) for seed, name in enumerate(["north", "east", "west"])}
    for table in tables.values():
        table["bmi"] = np.random.default_rng(len(table)).normal(25, 4, len(table)).round(3)
        table.loc[::5, "bmi"] = np.nan
    settlement = cgm.settle(tables, drop=["ill"], audit=NoAudit(), **{**FAST, "synthetic_size": 3000})
    (median,) = (column.median for column in settlement.schema.columns if column.name == "bmi")
    drawn = settlement.pool_table["bmi"]
    assert drawn.isna().mean() == pytest.approx(0.2, abs=0.04)
    assert (drawn == median).mean() < 0.02


def test_a_sensitivity_that_cannot_be_computed_is_told():
    class Fragile(Shapley):
        def compute(self, game, seed):
            if game.kernel.lengthscale < self.limit:
                raise ValueError("no party has a positive contribution")
            return super().compute(game, seed)

    lengthscale = float(cgm.settle(TABLES, drop=["ill"], audit=NoAudit(), **FAST).game.kernel.lengthscale)
    contribution = Fragile()
    object.__setattr__(contribution, "limit", 0.9 * lengthscale)
    settings = {**FAST, "sensitivity": True, "contribution": contribution}
    settlement = cgm.settle(TABLES, drop=["ill"], audit=NoAudit(), **settings)
    assert set(settlement.sensitivity) == {"length-scale × 2", "another seed"}
    assert "sensitivity, length-scale × 0.5: no party has a positive contribution" in settlement.warnings


@pytest.mark.parametrize(
    "reference", [RealReference(), PoolReference(), LeaveOneOutReference()], ids=lambda r: type(r).__name__
)
def test_the_sensitivity_is_of_the_same_reference(reference):
    settings = {"drop": ["ill"], "audit": NoAudit(), "synthetic_size": 600, "seed": 0, "scheme": EqualRewards()}
    settlement = cgm.settle(TABLES, reference=reference, **settings)
    assert list(settlement.sensitivity) == ["length-scale × 0.5", "length-scale × 2", "another seed"]
    for factor in (0.5, 2):
        kernel = settlement.game.kernel.with_lengthscale(factor * float(settlement.game.kernel.lengthscale))
        game = Valuation(kernel, settlement.parties, settlement.pool.points, reference=reference)
        expected = compute_contributions(Shapley(), game, 0).alpha
        variant = settlement.sensitivity[f"length-scale × {factor:g}"]
        assert variant.alpha == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("scheme", [Gain(), EqualRewards()], ids=repr)
def test_what_rewards_are_with_other_settings(scheme):
    """The same as the rewards of a mediator with these settings, of which only those are drawn that are delivered."""

    sampling = WeightedSampling((2.0, 8.0), tolerance=0.01)
    settings = {"audit": NoAudit(), "synthetic_size": 1000, "seed": 0, "scheme": scheme, "sampling": sampling}
    settlement = cgm.settle(TABLES, drop=["ill"], **settings)
    seed = stream_seed(0, Stream.SENSITIVITY)
    pooled = Pooled(settlement.parties, settlement.pool, settlement.features, settlement.generator)
    for factor in (0.5, 2):
        kernel = settlement.game.kernel
        kernel = kernel.with_lengthscale(factor * float(kernel.lengthscale))
        mediator = Mediator(kernel=kernel, scheme=scheme, sampling=sampling)
        game = mediator.value(pooled)
        other = mediator.reward(pooled, game, mediator.contribute(game, seed), seed)
        drawn = [other.drawn[party, beta] for party, beta in enumerate(settlement.recommended)]
        variant = settlement.sensitivity[f"length-scale × {factor:g}"]
        assert variant.rows == [len(reward.indices) for reward in drawn]
        assert variant.shares == pytest.approx([reward.share_of_gain for reward in drawn], abs=1e-12)
    assert all(0 < share <= 1.05 for share in settlement.sensitivity["another seed"].shares)


def test_other_settings_without_rewards():
    class Never(EqualRewards):
        def solve(self, contributions, game, upper):
            if game.kernel.lengthscale < self.limit:
                raise InfeasibleScheme("no rewards for party 2")
            return super().solve(contributions, game, upper)

    scheme = Never()
    object.__setattr__(scheme, "limit", 0.0)
    settings = {"drop": ["ill"], "audit": NoAudit(), "scheme": scheme, **FAST}
    limit = 0.9 * float(cgm.settle(TABLES, **settings).game.kernel.lengthscale)
    object.__setattr__(scheme, "limit", limit)
    variant = cgm.settle(TABLES, **settings | {"sensitivity": True}).sensitivity["length-scale × 0.5"]
    assert (variant.shares, variant.rows, variant.reason) == (None, None, "no rewards for east")
    assert max(variant.alpha) == pytest.approx(1)


@pytest.mark.parametrize("generator", [Copula(), KDE()], ids=repr)
@pytest.mark.parametrize("features", [PCA(2), UMAP(2, n_neighbors=5)], ids=repr)
def test_rows_are_valued_in_features(features, generator):
    settings = {"audit": NoAudit(), "scheme": EqualRewards(), "generator": generator, "label_column": "ill"}
    settlement = cgm.settle(TABLES, features=features, **settings, **FAST)
    assert settlement.pool.points.shape == (600, 2)
    codes = settlement.schema.to_codes(settlement.pool_table)
    if not features.joint:  # what is valued is what is handed out
        torch.testing.assert_close(settlement.features.transform(codes), settlement.pool.points)
    assert list(settlement.reward_table(0, settlement.recommended[0]).columns) == list(settlement.tables[0].columns)
    with_default = cgm.settle(TABLES, **settings, **FAST)
    assert with_default.pool_table.equals(settlement.pool_table)  # features change values, and not the pool
