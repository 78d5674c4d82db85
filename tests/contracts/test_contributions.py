"""Properties of every contribution: each class in `cgm.contributions`, and each file in `conf/contribution`."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
from hydra.utils import get_class
from hypothesis import given, settings
from hypothesis import strategies as st

import cgm.contributions
from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.pointwise import Pointwise
from cgm.valuation.game import TableGame
from cgm.valuation.valuation import Valuation
from tests.contracts.games import OwnValues, renamed, seeds, table, tensor, valuation
from tests.contracts.members import check_configuration, classes, configurations

CLASSES = classes(cgm.contributions, lambda cls: issubclass(cls, Contribution))
FILES = configurations("contribution")
OF_CGM: dict[str, Contribution] = {name: cls() for name, cls in CLASSES.items()}
CONTRIBUTIONS = OF_CGM | {"a user's own": OwnValues()}
of_cgm = pytest.mark.parametrize("contribution", OF_CGM.values(), ids=OF_CGM)
OF_TABLES = {
    name: contribution for name, contribution in CONTRIBUTIONS.items() if not isinstance(contribution, Pointwise)
}
every_contribution = pytest.mark.parametrize("contribution", CONTRIBUTIONS.values(), ids=CONTRIBUTIONS)
every_contribution_of_tables = pytest.mark.parametrize("contribution", OF_TABLES.values(), ids=OF_TABLES)

sizes = st.integers(1, 6)


def assert_contributions(result: Contributions, n: int) -> None:
    assert isinstance(result, Contributions)
    for each in (result.phi, result.alpha, result.stderr):
        assert each.shape == (n,)
        assert each.dtype == torch.float64
        assert torch.isfinite(each).all()
    assert float(result.alpha.max()) == 1
    torch.testing.assert_close(result.alpha, result.phi / result.phi.max(), rtol=0, atol=0)
    assert (result.stderr >= 0).all()
    assert result.method
    assert all(isinstance(warning, str) for warning in result.warnings)
    assert json.loads(json.dumps(dict(result.details))) == result.details  # can be recorded


def test_every_class_has_a_file() -> None:
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


def test_files_state_every_setting() -> None:
    """Their objects are those of the classes without arguments, which the tests below are about."""

    for config in FILES.values():
        check_configuration(config, {})


@every_contribution_of_tables
@given(n=sizes, seed=seeds)
@settings(max_examples=30)
def test_tables(contribution: Contribution, n: int, seed: int) -> None:
    game = table(n, seed)
    before = game.coalition_values()
    result = contribution.compute(game, seed)
    assert_contributions(result, n)
    assert torch.equal(game.coalition_values(), before)
    again = contribution.compute(game, seed)
    assert torch.equal(again.phi, result.phi)
    assert torch.equal(again.stderr, result.stderr)


@every_contribution
def test_valuations(contribution: Contribution) -> None:
    for n in (1, 2, 5):
        game = valuation(n, seed=n)
        result, again = (contribution.compute(game, seed=3) for _ in range(2))
        assert_contributions(result, n)
        assert torch.equal(again.phi, result.phi)


@every_contribution_of_tables
@given(n=sizes, seed=seeds, data=st.data())
@settings(max_examples=30)
def test_names_of_parties_do_not_matter(contribution: Contribution, n: int, seed: int, data: st.DataObject) -> None:
    """Up to rounding errors, and up to standard errors if the contributions are estimated."""

    order = data.draw(st.permutations(range(n)))
    game = table(n, seed)
    one, other = contribution.compute(game, seed), contribution.compute(renamed(game, order), seed)
    tolerance = 6 * (one.stderr[order] + other.stderr) + 1e-9 * one.phi.abs().max()
    assert ((other.phi - one.phi[order]).abs() <= tolerance).all()


@every_contribution_of_tables
def test_games_without_positive_contributions(contribution: Contribution) -> None:
    for values in ([0.0, -1.0], [0.0, -1.0, -2.0, -3.0], [0.0, 0.0, 0.0, 0.0]):
        with pytest.raises(
            ValueError, match=r"no party has a positive contribution \(the largest is .*kernel\.lengthscale"
        ):
            contribution.compute(TableGame(values), seed=0)


@every_contribution
def test_names_of_valued_parties_do_not_matter(contribution: Contribution) -> None:
    for n in (2, 5):
        order = [n - 1, *range(n - 1)]
        one = valuation(n, seed=n)
        other = Valuation(one.kernel, [one.party(i) for i in order], one.synthetic)
        phi, swapped = (contribution.compute(game, seed=0).phi for game in (one, other))
        np.testing.assert_allclose(swapped, phi[order], rtol=0, atol=1e-9 * float(phi.abs().max()))


@every_contribution
def test_global_random_streams_are_not_used(contribution: Contribution) -> None:
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    contribution.compute(valuation(4, seed=0), seed=1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@of_cgm
def test_contributions_are_values(contribution: Contribution) -> None:
    """Equal settings make equal contributions, also after pickling, and settings cannot be changed."""

    assert pickle.loads(pickle.dumps(contribution)) == replace(contribution) == contribution
    assert hash(replace(contribution)) == hash(contribution)
    for field in fields(contribution):
        with pytest.raises(FrozenInstanceError):
            setattr(contribution, field.name, None)


def test_contributions_that_are_not_finite_numbers() -> None:
    """Every contribution is normalised by `Contributions.of`."""

    for phi in (tensor(0.5, float("nan")), tensor(0.5, float("inf")), tensor(), torch.ones(2, 2)):
        with pytest.raises(ValueError, match=r"contribution: phi: (expected finite numbers|has shape)"):
            Contributions.of(phi, "own")
