"""Properties of every reward scheme: each class in `cgm.rewards`, and each file in `conf/scheme`."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
from hydra.utils import get_class, instantiate
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import cgm.rewards
from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.semivalues import Shapley
from cgm.mediator import Mediator
from cgm.rewards.incentives import check_incentives
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme, Rewards, Scheme
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.valuation.game import Game, TableGame
from cgm.valuation.kernels import SquaredExponential
from tests.contracts.games import OwnValues, renamed, seeds, table, tensor, valuation
from tests.contracts.members import check_configuration, classes, configurations
from tests.contracts.test_contributions import CONTRIBUTIONS

INCENTIVES = {"R1", "R2", "R3", "R4", "R5", "R6", "F1", "F2", "F3", "F4"}


class Halfway(Scheme):
    """A scheme of a user, without v* and ρ: half way from the parties' own values to the largest possible ones."""

    def solve(self, contributions: Contributions, game: Game, upper: Tensor) -> Rewards:
        own = game.party_values
        if (upper < own).any():
            raise InfeasibleScheme("halfway: an upper bound is below the party's own value")
        return Rewards((own + upper) / 2, own, upper, {"share": 0.5})


CLASSES = classes(cgm.rewards, lambda cls: issubclass(cls, Scheme))
FILES = configurations("scheme")
OF_CGM: dict[str, Scheme] = (
    {name: cls() for name, cls in CLASSES.items()}
    | {f"scheme={name}": instantiate(config, _convert_="all") for name, config in FILES.items()}
    | {f"rho={rho}": ShapleyFair(rho=rho) for rho in (0, 0.5, 1)}
)
SCHEMES = OF_CGM | {"a user's own": Halfway()}
FAIR = {name: scheme for name, scheme in OF_CGM.items() if isinstance(scheme, ShapleyFair) and scheme.rho is None}
of_cgm = pytest.mark.parametrize("scheme", OF_CGM.values(), ids=OF_CGM)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
every_fair_scheme = pytest.mark.parametrize("scheme", FAIR.values(), ids=FAIR)
DIFFERENT = {name: each for name, each in CONTRIBUTIONS.items() if not name.startswith("contribution=")}
every_contribution = pytest.mark.parametrize("contribution", DIFFERENT.values(), ids=DIFFERENT)

sizes = st.integers(1, 6)


def upper_bounds(game: Game, seed: int) -> Tensor:
    """Bounds with which every scheme is feasible, because no coalition has a larger value."""

    room = np.random.default_rng(seed + 1).uniform(0, 0.3, game.n)
    return torch.from_numpy(game.grand_value * (1 + room))


def assert_rewards(rewards: Rewards, game: Game, upper: Tensor) -> None:
    assert isinstance(rewards, Rewards)
    for each in (rewards.values, rewards.lower, rewards.upper):
        assert each.shape == (game.n,)
        assert each.dtype == torch.float64
        assert torch.isfinite(each).all()
    assert torch.equal(rewards.upper, upper)
    tolerance = 1e-9 * float(upper.abs().max())
    assert (rewards.values <= upper + tolerance).all()  # feasibility, R2
    assert (rewards.values >= game.party_values - tolerance).all()  # individual rationality, R4
    assert rewards.spread == float(rewards.values.max() - rewards.values.min())
    assert all(isinstance(warning, str) for warning in rewards.warnings)
    assert json.loads(json.dumps(dict(rewards.details))) == rewards.details  # can be recorded


def test_every_class_has_a_file() -> None:
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@every_scheme
@given(n=sizes, seed=seeds)
@settings(max_examples=30)
def test_tables(scheme: Scheme, n: int, seed: int) -> None:
    game = table(n, seed)
    contributions, upper = Shapley().compute(game), upper_bounds(game, seed)
    before = upper.clone()
    rewards = scheme.solve(contributions, game, upper)
    assert_rewards(rewards, game, before)
    again = scheme.solve(contributions, game, upper)
    assert torch.equal(again.values, rewards.values)
    assert again.details == rewards.details


@every_scheme
@every_contribution
@pytest.mark.parametrize("n", [1, 2, 5])
def test_valuations(scheme: Scheme, contribution: Contribution, n: int) -> None:
    """Every scheme works with every contribution, and its incentives can be checked."""

    game = valuation(n, seed=n)
    contributions = contribution.compute(game, seed=0)
    upper = torch.maximum(game.with_synthetic, tensor(*[float(game.coalition_values().max())] * n))
    rewards = scheme.solve(contributions, game, upper)
    assert_rewards(rewards, game, upper)

    incentives = check_incentives(rewards, contributions, game)
    assert set(incentives) == INCENTIVES
    assert incentives["R1"].holds
    assert incentives["R2"].holds
    assert incentives["R4"].holds
    assert incentives["R3"].holds is (True if "v_star" in rewards.details else None)


@every_scheme
@given(n=sizes, seed=seeds, data=st.data())
@settings(max_examples=30)
def test_names_of_parties_do_not_matter(scheme: Scheme, n: int, seed: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(n)))
    game, other = table(n, seed), renamed(table(n, seed), order)
    upper = upper_bounds(game, seed)
    one = scheme.solve(Shapley().compute(game), game, upper)
    two = scheme.solve(Shapley().compute(other), other, upper[order])
    np.testing.assert_allclose(two.values, one.values[order], rtol=1e-6)


@every_scheme
@given(n=sizes, seed=seeds, missing=st.floats(0.01, 0.9))
@settings(max_examples=30)
def test_infeasible_bounds(scheme: Scheme, n: int, seed: int, missing: float) -> None:
    """If every upper bound is below the party's own value, there are no rewards."""

    game = table(n, seed)
    with pytest.raises(InfeasibleScheme):
        scheme.solve(Shapley().compute(game), game, (1 - missing) * game.party_values)


@of_cgm
def test_schemes_are_values(scheme: Scheme) -> None:
    """Equal settings make equal schemes, also after pickling, and settings cannot be changed."""

    assert pickle.loads(pickle.dumps(scheme)) == replace(scheme) == scheme
    assert hash(replace(scheme)) == hash(scheme)
    for field in fields(scheme):
        with pytest.raises(FrozenInstanceError):
            setattr(scheme, field.name, None)


# --- the mediator


@every_scheme
@every_contribution
def test_mediator(scheme: Scheme, contribution: Contribution) -> None:
    """Every contribution and every scheme, those of a user included, settle and have their rewards drawn."""

    rng = np.random.default_rng(0)
    parties = [torch.from_numpy(rng.standard_normal((20, 2)) + 0.5 * i) for i in range(3)]
    sampling = WeightedSampling([2.0], patience=None)
    mediator = Mediator(
        contribution=contribution,
        scheme=scheme,
        kernel=SquaredExponential(2.0),
        sampling=sampling,
        synthetic_size=200,
    )
    settlement = mediator.settle(parties, seed=0)
    assert_rewards(settlement.rewards, settlement.game, settlement.game.with_synthetic)
    assert set(settlement.incentives) == INCENTIVES
    assert [chain.target for chain in settlement.drawn.values()] == settlement.rewards.values.tolist()
    assert all(chain.reached for chain in settlement.drawn.values())
    assert settlement.target_incentives == settlement.incentives
    known = "v_star" in settlement.rewards.details
    assert settlement.incentives["R3"].holds is (True if known else None)
    assert settlement.incentives["F4"].holds is None


# --- the paper's scheme


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name: str) -> None:
    config = FILES[name].copy()
    if get_class(config._target_) is ShapleyFair:
        config.stable = ShapleyFair.stable  # the only setting in which the two files differ
    check_configuration(config, {})


@every_fair_scheme
@given(n=sizes, seed=seeds)
@settings(max_examples=30)
def test_fair_rewards_have_the_order_of_contributions(scheme: ShapleyFair, n: int, seed: int) -> None:
    game = table(n, seed)
    contributions = Shapley().compute(game)
    rewards = scheme.solve(contributions, game, upper_bounds(game, seed))
    order = contributions.alpha.argsort()
    assert (rewards.values[order].diff() >= -1e-9 * game.grand_value).all()
    assert (rewards.values >= rewards.lower - 1e-9 * game.grand_value).all()
    assert float(rewards.values.max()) == pytest.approx(rewards.v_star, rel=1e-9)


@every_fair_scheme
@given(n=st.integers(2, 6), seed=seeds)
@settings(max_examples=30)
def test_symmetric_parties_have_equal_fair_rewards(scheme: ShapleyFair, n: int, seed: int) -> None:
    game = table(n, seed)
    both = TableGame(game.coalition_values() + renamed(game, [1, 0, *range(2, n)]).coalition_values())
    rewards = scheme.solve(Shapley().compute(both), both, upper_bounds(both, seed))
    assert float(rewards.values[0]) == pytest.approx(float(rewards.values[1]), rel=1e-9)


@every_fair_scheme
@given(n=st.integers(2, 5), seed=seeds)
@settings(max_examples=30)
def test_left_out_parties_keep_their_own_value(scheme: ShapleyFair, n: int, seed: int) -> None:
    """The last party lowers the value of every coalition."""

    values = table(n - 1, seed).coalition_values()
    game = TableGame(torch.cat([values, values - 0.5]))
    contributions = OwnValues().compute(game, 0)
    assume(float(contributions.phi[-1]) < 0)
    rewards = scheme.solve(contributions, game, upper_bounds(game, seed).abs() + 1)
    assert rewards.left_out == (n - 1,)
    assert float(rewards.values[-1]) == float(game.party_values[-1])
    assert f"party {n} has the contribution" in rewards.warnings[0]
