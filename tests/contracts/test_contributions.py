"""Properties of every contribution: each class in `cgm.contributions`, and each file in `conf/contribution`."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
from hydra.utils import get_class, instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cgm.contributions
from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.pointwise import Pointwise
from cgm.contributions.semivalues import Shapley
from cgm.valuation.game import Game, TableGame
from cgm.valuation.valuation import Valuation
from tests.contracts.games import OwnValues, renamed, seeds, table, tensor, valuation
from tests.contracts.members import check_configuration, classes, configurations
from tests.contributions.common import by_permutations, members

CLASSES = classes(cgm.contributions, lambda cls: issubclass(cls, Contribution))
FILES = configurations("contribution")
OF_CGM: dict[str, Contribution] = {name: cls() for name, cls in CLASSES.items()} | {
    f"contribution={name}": instantiate(config, _convert_="all") for name, config in FILES.items()
}
CONTRIBUTIONS = OF_CGM | {"a user's own": OwnValues()}
SHAPLEY = {name: contribution for name, contribution in OF_CGM.items() if isinstance(contribution, Shapley)}
of_cgm = pytest.mark.parametrize("contribution", OF_CGM.values(), ids=OF_CGM)
OF_TABLES = {
    name: contribution for name, contribution in CONTRIBUTIONS.items() if not isinstance(contribution, Pointwise)
}
every_contribution = pytest.mark.parametrize("contribution", CONTRIBUTIONS.values(), ids=CONTRIBUTIONS)
every_contribution_of_tables = pytest.mark.parametrize("contribution", OF_TABLES.values(), ids=OF_TABLES)
every_shapley = pytest.mark.parametrize("contribution", SHAPLEY.values(), ids=SHAPLEY)

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


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name: str) -> None:
    check_configuration(FILES[name], {})


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
@pytest.mark.parametrize("n", [1, 2, 5])
def test_valuations(contribution: Contribution, n: int) -> None:
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
@pytest.mark.parametrize("values", [[0.0, -1.0], [0.0, -1.0, -2.0, -3.0], [0.0, 0.0, 0.0, 0.0]], ids=str)
def test_games_without_positive_contributions(contribution: Contribution, values: list[float]) -> None:
    with pytest.raises(
        ValueError, match=r"no party has a positive contribution \(the largest is .*kernel\.lengthscale"
    ):
        contribution.compute(TableGame(values), seed=0)


@every_contribution
@pytest.mark.parametrize("n", [2, 5])
def test_names_of_valued_parties_do_not_matter(contribution: Contribution, n: int) -> None:
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


@pytest.mark.parametrize("phi", [tensor(0.5, float("nan")), tensor(0.5, float("inf")), tensor(), torch.ones(2, 2)])
def test_contributions_that_are_not_finite_numbers(phi: torch.Tensor) -> None:
    """Every contribution is normalised by `Contributions.of`."""

    with pytest.raises(ValueError, match=r"contribution: phi: (expected finite numbers|has shape)"):
        Contributions.of(phi, "own")


# --- Shapley values: the axioms, and all permutations

tables = st.integers(1, 5).flatmap(lambda n: hnp.arrays(np.float64, 2**n, elements=st.integers(-100, 1000)))


def game_of(values: np.ndarray) -> TableGame:
    """The game with the given values and the value 0 of the empty coalition, if a contribution is positive."""

    values = values.copy()
    values[0] = 0
    values[-1] = 1 + np.abs(values).sum() * 4  # the grand coalition's value is so large that all φ are positive
    return TableGame(torch.from_numpy(values))


def phi_of(contribution: Shapley, game: Game) -> np.ndarray:
    return contribution.compute(game, seed=0).phi.numpy()


@every_shapley
@given(values=tables)
@settings(max_examples=30)
def test_shapley_of_all_permutations(contribution: Shapley, values: np.ndarray) -> None:
    game = game_of(values)
    phi = phi_of(contribution, game)
    np.testing.assert_allclose(phi, [float(x) for x in by_permutations(game.coalition, game.n)], rtol=1e-12)
    assert phi.sum() == pytest.approx(game.grand_value, rel=1e-12)  # efficiency


@every_shapley
@given(values=tables, data=st.data())
@settings(max_examples=30)
def test_shapley_of_symmetric_players(contribution: Shapley, values: np.ndarray, data: st.DataObject) -> None:
    game = game_of(values)
    if game.n == 1:
        return
    i, j = data.draw(st.permutations(range(game.n)))[:2]
    order = [j if k == i else i if k == j else k for k in range(game.n)]
    both = TableGame(game.coalition_values() + renamed(game, order).coalition_values())
    phi = phi_of(contribution, both)
    assert phi[i] == pytest.approx(phi[j], rel=1e-12)


@every_shapley
@given(values=tables, data=st.data())
@settings(max_examples=30)
def test_shapley_of_null_players(contribution: Shapley, values: np.ndarray, data: st.DataObject) -> None:
    """A player who adds nothing gets nothing, and does not change what the others get."""

    game = game_of(values)
    null = data.draw(st.integers(0, game.n))
    others = [[k if k < null else k - 1 for k in members(c, game.n + 1) if k != null] for c in range(2 ** (game.n + 1))]
    wider = TableGame([game.coalition(c) for c in others])
    phi = phi_of(contribution, wider)
    assert phi[null] == pytest.approx(0, abs=1e-12 * phi.max())
    np.testing.assert_allclose(np.delete(phi, null), phi_of(contribution, game), rtol=1e-11)


@every_shapley
@given(n=sizes, data=st.data(), a=st.floats(0.1, 3), b=st.floats(0.1, 3))
@settings(max_examples=30)
def test_shapley_is_linear(contribution: Shapley, n: int, data: st.DataObject, a: float, b: float) -> None:
    x, y = (game_of(data.draw(hnp.arrays(np.float64, 2**n, elements=st.integers(-100, 1000)))) for _ in range(2))
    together = TableGame(a * x.coalition_values() + b * y.coalition_values())
    expected = a * phi_of(contribution, x) + b * phi_of(contribution, y)
    np.testing.assert_allclose(phi_of(contribution, together), expected, rtol=1e-10)
