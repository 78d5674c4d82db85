"""Shapley values from all coalitions, against permutations, axioms and known games; the choice of the method."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgm.contributions.base import Contributions
from cgm.contributions.semivalues import MAX_AUTO, MAX_EXACT, Shapley, shapley_exact, shapley_values
from cgm.valuation.game import TableGame
from cgm.valuation.kernels import Laplacian, SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contributions.common import Values, by_permutations, by_subsets, members, normal, tabulate, valuation_of

games = hnp.arrays(np.float64, st.integers(1, 6).map(lambda n: 2**n), elements=st.integers(-1000, 1000))


# --- from all coalitions, against permutations


def test_exact_is_the_mean_over_permutations() -> None:
    for n in range(1, 7):
        values = [0, *np.random.default_rng(n).integers(-50, 50, 2**n - 1).tolist()]
        phi = shapley_exact(torch.tensor(values, dtype=torch.float64))
        expected = by_permutations(lambda c: values[sum(2**i for i in c)], n)  # noqa: B023
        assert phi.shape == (n,)
        assert phi.dtype == torch.float64
        np.testing.assert_allclose(phi, [float(x) for x in expected], rtol=0, atol=1e-12)


def test_exact_of_a_valuation() -> None:
    """v_c of the parties' sets, each computed by `value`, over all permutations of the parties."""

    valuation = valuation_of([3, 7, 2, 5, 4])
    parties = [valuation.party(i) for i in range(5)]
    known = {
        c: valuation.value(torch.cat([parties[i] for i in sorted(c)])) if c else 0.0
        for c in (members(number, 5) for number in range(32))
    }
    result = shapley_values(valuation)
    expected = [float(x) for x in by_permutations(known.__getitem__, 5)]
    np.testing.assert_allclose(result.phi, expected, rtol=1e-11)
    np.testing.assert_allclose(result.alpha, np.array(expected) / max(expected), rtol=1e-11)
    assert result.method == "exact"
    assert result.stderr.tolist() == [0] * 5
    assert result.details == {}
    assert float(result.phi.sum()) == pytest.approx(valuation.grand_value, rel=1e-12)


def test_exact_of_single_precision_and_integers() -> None:
    values = [0, 1, 2, 5, 3, 3, 9, 11]
    expected = shapley_exact(torch.tensor(values, dtype=torch.float64))
    for dtype in (torch.float32, torch.int64):
        assert torch.equal(shapley_exact(torch.tensor(values, dtype=dtype)), expected)


# --- axioms, on random games


@given(values=games)
def test_efficiency(values: np.ndarray) -> None:
    phi = shapley_exact(torch.from_numpy(values))
    assert float(phi.sum()) == pytest.approx(values[-1] - values[0], abs=1e-9)


@given(values=games, data=st.data())
def test_symmetry(values: np.ndarray, data: st.DataObject) -> None:
    """The order of the players does not matter, and players who add the same to every coalition get the same."""

    n = len(values).bit_length() - 1
    order = data.draw(st.permutations(range(n)))
    renamed = np.array([values[sum(2 ** order[i] for i in members(number, n))] for number in range(2**n)])
    phi, other = shapley_exact(torch.from_numpy(values)), shapley_exact(torch.from_numpy(renamed))
    np.testing.assert_allclose(other, phi[list(order)], rtol=0, atol=1e-9)  # player i of the new game is order[i]

    if n > 1:
        i, j = data.draw(st.permutations(range(n)))[:2]
        swap = {i: j, j: i}
        twin = np.array([values[sum(2 ** swap.get(p, p) for p in members(c, n))] for c in range(2**n)])
        phi = shapley_exact(torch.from_numpy(values + twin))  # a game in which i and j are symmetric
        assert float(phi[i]) == pytest.approx(float(phi[j]), abs=1e-9)


@given(values=games, data=st.data())
def test_null_player(values: np.ndarray, data: st.DataObject) -> None:
    """A player who always adds c gets c, in particular 0; the others get the same as without this player."""

    n = len(values).bit_length() - 1
    place, gift = data.draw(st.integers(0, n)), data.draw(st.integers(-9, 9))
    wider = np.empty(2 ** (n + 1))
    for number in range(2 ** (n + 1)):
        low, high = number % 2**place, number // 2 ** (place + 1)
        wider[number] = values[high * 2**place + low] + gift * (number >> place & 1)
    phi = shapley_exact(torch.from_numpy(wider))
    assert float(phi[place]) == pytest.approx(gift, abs=1e-9)
    others = torch.cat([phi[:place], phi[place + 1 :]])
    np.testing.assert_allclose(others, shapley_exact(torch.from_numpy(values)), rtol=0, atol=1e-9)


@given(n=st.integers(1, 6), data=st.data(), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_linearity(n: int, data: st.DataObject, a: float, b: float) -> None:
    elements = st.integers(-1000, 1000)
    x, y = (torch.from_numpy(data.draw(hnp.arrays(np.float64, 2**n, elements=elements))) for _ in range(2))
    together = shapley_exact(a * x + b * y)
    np.testing.assert_allclose(together, a * shapley_exact(x) + b * shapley_exact(y), rtol=0, atol=1e-8)


@given(values=games)
def test_subsets(values: np.ndarray) -> None:
    phi = shapley_exact(torch.from_numpy(values))
    np.testing.assert_allclose(phi, by_subsets(torch.from_numpy(values)), rtol=0, atol=1e-9)


# --- games whose Shapley values are known in closed form


def airport(costs: list[float]) -> list[float]:
    """Each part of the runway is paid equally by all who need it (Littlechild and Owen, 1973)."""

    order = sorted(range(len(costs)), key=costs.__getitem__)
    phi, share, before = [0.0] * len(costs), 0.0, 0.0
    for place, i in enumerate(order):
        share += (costs[i] - before) / (len(costs) - place)
        phi[i], before = share, costs[i]
    return phi


def voting(weights: list[int], quota: int) -> Values:
    return lambda c: sum(weights[i] for i in c) >= quota


def glove(left: int) -> Values:
    return lambda c: min(sum(i < left for i in c), sum(i >= left for i in c))


COSTS = [8.0, 11.0, 13.0, 18.0, 2.5, 11.0]
KNOWN: dict[str, tuple[Values, list[float]]] = {
    "airport": (lambda c: max((COSTS[i] for i in c), default=0), airport(COSTS)),
    "additive": (lambda c: sum(COSTS[i] for i in c), COSTS),
    "unanimity": (lambda c: {1, 2, 4} <= c, [0, 1 / 3, 1 / 3, 0, 1 / 3, 0]),
    "glove, 1 : 2": (glove(1), [2 / 3, 1 / 6, 1 / 6]),
    "glove, 1 : 4": (glove(1), [4 / 5, *[1 / 20] * 4]),
    "glove, 2 : 2": (glove(2), [1 / 2] * 4),
    "voting [4; 3, 2, 1, 1]": (voting([3, 2, 1, 1], 4), [1 / 2, 1 / 6, 1 / 6, 1 / 6]),
    "voting [3; 2, 1, 1]": (voting([2, 1, 1], 3), [2 / 3, 1 / 6, 1 / 6]),
    "a dictator": (voting([1, 5, 1, 1], 5), [0, 1, 0, 0]),
    "squares": (lambda c: len(c) ** 2, [7.0] * 7),
    "pairs": (lambda c: sum(i * j for i, j in itertools.combinations(sorted(c), 2)), [0, 4.5, 8, 10.5, 12]),
}


def test_known_games() -> None:
    for name, (game, expected) in KNOWN.items():
        values = tabulate(game, len(expected))
        np.testing.assert_allclose(shapley_exact(values), expected, rtol=0, atol=1e-13, err_msg=name)
        for method in ("auto", "exact"):
            result = Shapley(method).compute(TableGame(values), seed=0)
            assert result.method == "exact"
            np.testing.assert_allclose(result.phi, expected, rtol=0, atol=1e-13, err_msg=name)
            np.testing.assert_allclose(result.alpha, np.array(expected) / max(expected), rtol=0, atol=1e-13)


def test_security_council() -> None:
    """Five of fifteen members have a veto, and nine votes are required: 421 / 2145 and 4 / 2145."""

    number = np.arange(2**15)
    vetoes = (number & 31) == 31
    votes = np.array([int(c).bit_count() for c in number])
    phi = shapley_exact(torch.from_numpy((vetoes & (votes >= 9)).astype(float)))
    np.testing.assert_allclose(phi, [421 / 2145] * 5 + [4 / 2145] * 10, rtol=1e-12)


def test_airport_of_eighteen() -> None:
    costs = np.random.default_rng(0).uniform(1, 9, 18)
    number = np.arange(2**18)
    values = np.max([np.where(number >> i & 1, costs[i], 0) for i in range(18)], axis=0)
    np.testing.assert_allclose(shapley_exact(torch.from_numpy(values)), airport(costs.tolist()), rtol=1e-11)


def test_bad_values() -> None:
    for shape in ((3,), (1,), (0,), (6,), (2, 2), (4, 1)):
        with pytest.raises(ValueError, match=r"shapley_exact: expected 2\^n values"):
            shapley_exact(torch.zeros(shape))


# --- the choice of the method


def test_auto() -> None:
    assert shapley_values(valuation_of([2, 3])).method == "exact"
    assert shapley_values(valuation_of([2, 2])).method == "exact"
    assert shapley_values(valuation_of([2] * (MAX_AUTO + 1))).method == "equal_sizes"
    result = shapley_values(valuation_of([2] * MAX_AUTO + [3]), tolerance=0.2)
    assert result.method == "sampled"
    assert result.details["permutations"] > 0


def test_methods_agree() -> None:
    valuation = valuation_of([4] * 6)
    exact, equal = (shapley_values(valuation, method) for method in ("exact", "equal_sizes"))
    torch.testing.assert_close(exact.alpha, equal.alpha, rtol=1e-11, atol=0)
    assert exact.alpha.max() == 1
    torch.testing.assert_close(exact.alpha, exact.phi / exact.phi.max(), rtol=0, atol=0)


def test_exact_of_more_parties_than_auto() -> None:
    """Twenty-one parties of equal sizes: two million coalitions, and the closed form."""

    valuation = valuation_of([2] * (MAX_AUTO + 1))
    result = shapley_values(valuation, "exact")
    assert result.method == "exact"
    expected = shapley_values(valuation, "equal_sizes").phi
    torch.testing.assert_close(result.phi, expected, rtol=1e-9, atol=1e-13)
    with pytest.raises(ValueError, match=r"contribution\.method=exact: 25 parties .* at most 24 parties"):
        shapley_values(valuation_of([2] * (MAX_EXACT + 1)), "exact")


def test_equal_sizes_requires_equal_sizes() -> None:
    with pytest.raises(ValueError, match=r"contribution\.method=equal_sizes: the parties differ in size"):
        shapley_values(valuation_of([2, 2, 3]), "equal_sizes")


def test_warning_of_a_tolerance_that_is_not_reached() -> None:
    valuation = valuation_of([3, 8, 2, 5, 20])
    (warning,) = shapley_values(valuation, "sampled", tolerance=0, max_permutations=10).warnings
    assert "contribution.max_permutations=10" in warning
    assert "contribution.tolerance=0" in warning
    assert shapley_values(valuation, "sampled", tolerance=0.2).warnings == ()


# --- games that are not valuations


def test_methods_that_require_a_valuation() -> None:
    for method in ("equal_sizes", "sampled"):
        message = rf"contribution\.method={method}: expected a Valuation, got TableGame; .* contribution\.method=exact"
        with pytest.raises(ValueError, match=message):
            shapley_values(TableGame([0.0, 1.0, 2.0, 5.0]), method)


def test_many_parties_of_a_table_game() -> None:
    """`auto` would sample, which requires a valuation; the message names the method that is possible."""

    game = TableGame(torch.ones(2 ** (MAX_AUTO + 1)).cumsum(0).sub(1).sign())
    with pytest.raises(ValueError, match=r"method=sampled: expected a Valuation.*method=exact, for at most 24 parties"):
        shapley_values(game)


def test_nothing_to_share() -> None:
    """K is the identity, so that v(S) = 2 / t - 1 / s, and |G| is large: all values are negative."""

    x = 1e3 * torch.arange(60, dtype=torch.float64)[:, None]
    valuation = Valuation(Laplacian(1.0), [x[:4], x[4:8], x[8:12]], x[12:])
    for method in ("exact", "equal_sizes", "sampled"):
        with pytest.raises(ValueError, match=r"no party has a positive contribution.*kernel\.lengthscale"):
            shapley_values(valuation, method)


def test_a_party_with_a_negative_value() -> None:
    """Its φ is negative, and α is still 1 for the best party."""

    parties = [normal(10, 2), normal(10, 2, seed=1), 1e-3 * normal(10, 2, seed=2) + 50]
    result = shapley_values(Valuation(SquaredExponential(1.0), parties, normal(60, 2, seed=3)))
    assert isinstance(result, Contributions)
    assert result.phi[2] < 0 < result.phi[:2].min()
    assert result.alpha[2] < 0
    assert result.alpha.max() == 1


def test_identity_in_closed_form() -> None:
    """If K is the identity, v_c(C) = 2 / t - 1 / s_C, and φ of equal parties is v_c(N) / n."""

    x = 1e3 * torch.arange(14, dtype=torch.float64)[:, None]
    valuation = Valuation(Laplacian(1.0), [x[3 * i : 3 * i + 3] for i in range(4)], x[12:])
    assert shapley_values(valuation).phi.tolist() == pytest.approx([(2 / 14 - 1 / 12) / 4] * 4, rel=1e-12)
    two = Valuation(Laplacian(1.0), [x[:2], x[2:12]], x[12:])
    first, second, both = 2 / 14 - 1 / 2, 2 / 14 - 1 / 10, 2 / 14 - 1 / 12
    expected = [(first + both - second) / 2, (second + both - first) / 2]
    assert shapley_values(two).phi.tolist() == pytest.approx(expected, rel=1e-12)
