import itertools
import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from cgm.contributions.equal_sizes import _gains_of_equals, shapley_equal_sizes
from cgm.contributions.permutations import ROUND, _first_gains, _later_gains, shapley_sampled
from cgm.contributions.shapley import MOST_EXACT, ShapleyValues, shapley_exact, shapley_values
from cgm.valuation.kernels.laplacian import Laplacian
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.valuation import Valuation

Game = Callable[[frozenset[int]], float]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def members(number: int, n: int) -> frozenset[int]:
    return frozenset(i for i in range(n) if number >> i & 1)


def tabulate(game: Game, n: int) -> Tensor:
    return torch.tensor([float(game(members(number, n))) for number in range(2**n)], dtype=torch.float64)


def by_permutations(game: Game, n: int) -> list[Fraction]:
    """Equation (5) as it is written: the mean over all n! orders, in exact arithmetic."""

    phi = [Fraction(0)] * n
    for order in itertools.permutations(range(n)):
        for place, i in enumerate(order):
            before = frozenset(order[:place])
            phi[i] += Fraction(game(before | {i})) - Fraction(game(before))
    return [total / math.factorial(n) for total in phi]


def by_subsets(values: Tensor) -> list[float]:
    """The mean over the sizes |C| of the mean over the C of that size."""

    n = len(values).bit_length() - 1
    phi = []
    for i in range(n):
        gains = [[] for _ in range(n)]
        for number in range(2**n):
            if i not in members(number, n):
                gains[len(members(number, n))].append(float(values[number + 2**i] - values[number]))
        phi.append(float(np.mean([np.mean(g) for g in gains])))
    return phi


def some_valuation(sizes: Iterable[int], pool: int = 20, seed: int = 0, lengthscale: float = 2.0) -> Valuation:
    parties = [normal(size, 2, seed=1000 * seed + i) + normal(1, 2, seed=-1 - i) for i, size in enumerate(sizes)]
    return Valuation(SquaredExponential(lengthscale), parties, 1.5 * normal(pool, 2, seed=1000 * seed + 999))


games = hnp.arrays(np.float64, st.integers(1, 6).map(lambda n: 2**n), elements=st.integers(-1000, 1000))


# --- from all coalitions, against permutations


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_exact_is_the_mean_over_permutations(n: int) -> None:
    values = [0, *np.random.default_rng(n).integers(-50, 50, 2**n - 1).tolist()]
    phi = shapley_exact(torch.tensor(values, dtype=torch.float64))
    expected = by_permutations(lambda c: values[sum(2**i for i in c)], n)
    assert phi.shape == (n,)
    assert phi.dtype == torch.float64
    np.testing.assert_allclose(phi, [float(x) for x in expected], rtol=0, atol=1e-12)


def test_exact_of_a_valuation() -> None:
    """v_c of the parties' own sets, each valued from scratch, over all orders of the parties."""

    valuation = some_valuation([3, 7, 2, 5, 4])
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
    assert result.permutations == 0
    assert float(result.phi.sum()) == pytest.approx(valuation.grand_value, rel=1e-12)


def test_exact_takes_single_precision_and_integers() -> None:
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
    """Players who add the same to every coalition get the same; more: names do not matter."""

    n = len(values).bit_length() - 1
    order = data.draw(st.permutations(range(n)))
    renamed = np.array([values[sum(2 ** order[i] for i in members(number, n))] for number in range(2**n)])
    phi, other = shapley_exact(torch.from_numpy(values)), shapley_exact(torch.from_numpy(renamed))
    np.testing.assert_allclose(other, phi[list(order)], rtol=0, atol=1e-9)  # player i is called order[i]

    if n > 1:
        i, j = data.draw(st.permutations(range(n)))[:2]
        swap = {i: j, j: i}
        twin = np.array([values[sum(2 ** swap.get(p, p) for p in members(c, n))] for c in range(2**n)])
        phi = shapley_exact(torch.from_numpy(values + twin))  # a game in which i and j are alike
        assert float(phi[i]) == pytest.approx(float(phi[j]), abs=1e-9)


@given(values=games, data=st.data())
def test_null_player(values: np.ndarray, data: st.DataObject) -> None:
    """One who adds nothing gets nothing, and who always adds c gets c; the others get what they got."""

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
    """Each piece of the runway is shared by those who need it (Littlechild and Owen, 1973)."""

    order = sorted(range(len(costs)), key=costs.__getitem__)
    phi, share, before = [0.0] * len(costs), 0.0, 0.0
    for place, i in enumerate(order):
        share += (costs[i] - before) / (len(costs) - place)
        phi[i], before = share, costs[i]
    return phi


def voting(weights: list[int], quota: int) -> Game:
    return lambda c: sum(weights[i] for i in c) >= quota


def glove(left: int) -> Game:
    return lambda c: min(sum(i < left for i in c), sum(i >= left for i in c))


COSTS = [8.0, 11.0, 13.0, 18.0, 2.5, 11.0]
KNOWN: dict[str, tuple[Game, list[float]]] = {
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


@pytest.mark.parametrize("name", KNOWN)
def test_known_games(name: str) -> None:
    game, expected = KNOWN[name]
    np.testing.assert_allclose(shapley_exact(tabulate(game, len(expected))), expected, rtol=0, atol=1e-13)


def test_security_council() -> None:
    """Five vetoes among fifteen votes, nine of which carry: 421 / 2145 and 4 / 2145."""

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


@pytest.mark.parametrize("shape", [(3,), (1,), (0,), (6,), (2, 2), (4, 1)])
def test_bad_values(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shapley_exact: expected 2\^n values"):
        shapley_exact(torch.zeros(shape))


# --- parties of equal sizes


@pytest.mark.parametrize("n", range(1, 11))
@pytest.mark.parametrize("size", [2, 5])
def test_equal_sizes_is_exact(n: int, size: int) -> None:
    valuation = some_valuation([size] * n, seed=n)
    phi = shapley_equal_sizes(valuation)
    assert phi.shape == (n,)
    assert phi.dtype == torch.float64
    np.testing.assert_allclose(phi, shapley_exact(valuation.coalition_values()), rtol=0, atol=1e-13)
    result = shapley_values(valuation, "equal_sizes")
    assert torch.equal(result.phi, phi)
    assert result.method == "equal_sizes"
    assert result.stderr.tolist() == [0] * n
    assert result.permutations == 0


@settings(max_examples=40)
@given(n=st.integers(1, 7), seed=st.integers(0, 10**6), t=st.integers(20, 60), size=st.integers(1, 4))
def test_equal_sizes_of_any_sums(n: int, seed: int, t: int, size: int) -> None:
    """For whatever a and B, against v_c written out; B's rows need not add up to a."""

    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=(n, n))
    b = b + b.T
    phi = shapley_equal_sizes(stand_in(a, b, [size] * n, t))
    np.testing.assert_allclose(phi, by_subsets(tabulate(written_out(a, b, [size] * n, t), n)), rtol=0, atol=1e-11)


def stand_in(a: np.ndarray, b: np.ndarray, sizes: list[int], t: int) -> SimpleNamespace:
    """What Shapley values need of a valuation."""

    return SimpleNamespace(n=len(a), t=t, a=torch.from_numpy(a), b=torch.from_numpy(b), sizes=[*sizes, 1])


def written_out(a: np.ndarray, b: np.ndarray, sizes: list[int], t: int) -> Game:
    def game(c: frozenset[int]) -> float:
        s = sum(sizes[i] for i in c)
        return 2 * sum(a[i] for i in c) / (s * t) - sum(b[i, j] for i in c for j in c) / s**2 if c else 0.0

    return game


def test_equal_sizes_of_many() -> None:
    """Efficiency and symmetry, where nothing can be listed."""

    n, x = 200, normal(40, 2)
    parties = [x[i % 40] + normal(3, 2, seed=i // 2) for i in range(n)]
    parties[1] = parties[0].clone()
    valuation = Valuation(SquaredExponential(1.0), parties, normal(50, 2, seed=-1))
    phi = shapley_equal_sizes(valuation)
    assert float(phi.sum()) == pytest.approx(valuation.grand_value, rel=1e-11)
    assert float(phi[0]) == pytest.approx(float(phi[1]), rel=1e-10)
    assert float(phi.std()) > 1e-5


# --- sampling


@pytest.mark.parametrize("n", [1, 2, 3])
def test_sampling_of_up_to_three_is_exact(n: int) -> None:
    """Two have no third place; the third of three has one gain there, which is a multiple of the control's."""

    valuation = some_valuation([3, 6, 2][:n])
    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0, most_permutations=8)
    np.testing.assert_allclose(phi, shapley_exact(valuation.coalition_values()), rtol=1e-12)
    assert stderr.max() < 1e-16
    assert permutations == 8


@pytest.mark.parametrize("sizes", [[3, 8, 2, 5], [2, 30, 3, 9, 4, 4, 12, 2], [*range(5, 17)], [2] * 9 + [200]], ids=str)
def test_sampling_meets_exact(sizes: list[int]) -> None:
    valuation = some_valuation(sizes)
    exact = shapley_exact(valuation.coalition_values())
    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0, most_permutations=4000, seed=1)
    assert permutations == 4000
    assert phi.shape == stderr.shape == exact.shape
    assert phi.dtype == stderr.dtype == torch.float64
    assert ((phi - exact).abs() < 4 * stderr).all()
    assert stderr.max() < 0.05 * exact.abs().max()  # close enough for that to mean something
    assert float(phi.sum()) == pytest.approx(valuation.grand_value, rel=1e-11)


@pytest.mark.parametrize("n", [3, 30])
def test_sampling_of_equal_sizes_is_exact(n: int) -> None:
    """The control game is then the game itself."""

    valuation = some_valuation([3] * n)
    result = shapley_values(valuation, "sampled", tolerance=0, most_permutations=40)
    assert result.method == "sampled"
    np.testing.assert_allclose(result.phi, shapley_equal_sizes(valuation), rtol=1e-11)
    assert result.stderr.max() < 1e-16


@pytest.mark.parametrize("sizes", [[5], [3, 8], [3, 8, 2], [3, 8, 2, 5, 20], [4, 4, 4, 4, 4]], ids=str)
def test_parts_of_the_estimator_over_all_permutations(sizes: list[int]) -> None:
    """What is known and the mean of what is sampled make up φ, and of parties of one size, both are known."""

    valuation = some_valuation(sizes)
    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), valuation.b.numpy().copy()
    orders = np.array(list(itertools.permutations(range(n))))
    later = _later_gains(orders, a, b, np.array(sizes, dtype=np.float64), t).mean(0)
    phi = _first_gains(a, b, np.array(sizes), t) + later
    np.testing.assert_allclose(phi, shapley_exact(valuation.coalition_values()), rtol=1e-10, atol=1e-13)
    if len(set(sizes)) == 1:
        np.testing.assert_allclose(later, _gains_of_equals(a, b, sizes[0], t)[2:].sum(0) / n, rtol=1e-10, atol=1e-13)


def pair_gains(game: Game, order: np.ndarray, first: int) -> np.ndarray:
    """The gains from a place on, each the mean over a permutation and its reverse."""

    gains = np.zeros(len(order))
    for way in (order.tolist(), order[::-1].tolist()):
        for place, i in enumerate(way[first:], first):
            gains[i] += (game(frozenset(way[: place + 1])) - game(frozenset(way[:place]))) / 2
    return gains


def test_sampling_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimator as its docstring has it, with the games written out; the last round is a short one."""

    monkeypatch.setattr("cgm.shapley.ROUND", 8)
    monkeypatch.setattr("cgm.shapley.CHUNK", 3)
    valuation = some_valuation([3, 8, 2, 5, 20])
    n, t, sizes = 5, valuation.t, valuation.sizes[:-1]
    a, b = valuation.a.numpy(), valuation.b.numpy()
    scale = np.mean(sizes) / np.array(sizes)
    game = valuation.coalition
    equals = written_out(a * scale, b * scale * scale[:, None], [np.mean(sizes)] * n, t)

    def first(game: Game) -> np.ndarray:  # what the first and second places give
        second = [[game(frozenset([i, j])) - game(frozenset([j])) for j in range(n) if j != i] for i in range(n)]
        return np.array([game(frozenset([i])) + np.mean(second[i]) for i in range(n)]) / n

    rng = np.random.default_rng(7)
    orders = [rng.permuted(np.arange(n)) for _ in range(8 + 19)]
    x, z = (np.array([pair_gains(g, order, first=2) for order in orders]) for g in (game, equals))
    slope = [np.polyfit(z[:8, i], x[:8, i], 1)[0] for i in range(n)]
    y = x[8:] + slope * (by_subsets(tabulate(equals, n)) - first(equals) - z[8:]) + first(game)
    y += (game(range(n)) - y.sum(1, keepdims=True)) / n

    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0, most_permutations=2 * 19, seed=7)
    assert permutations == 2 * 19
    np.testing.assert_allclose(phi, y.mean(0), rtol=1e-9)
    np.testing.assert_allclose(stderr, y.std(0, ddof=1) / math.sqrt(19), rtol=1e-9)


@pytest.mark.parametrize(("sizes", "gain"), [([18, 19, 20, 21, 22] * 2, 100), ([5, 20, 40, 60, 80] * 2, 10)])
def test_what_is_known_saves_permutations(sizes: list[int], gain: int) -> None:
    """Plain pairs would take so many times as many for the same standard error."""

    valuation = some_valuation(sizes)
    rng = np.random.default_rng(0)
    known = valuation.coalition_values().tolist()
    plain = [pair_gains(lambda c: known[sum(2**i for i in c)], rng.permutation(10), first=0) for _ in range(1000)]
    stderr = shapley_sampled(valuation, tolerance=0, most_permutations=2000)[1]
    assert np.std(plain, axis=0).max() ** 2 / 1000 > gain * float(stderr.max()) ** 2


@pytest.mark.parametrize("n", [5, 90])
def test_neither_threads_nor_chunks_matter(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    valuation = some_valuation([2 + i % 7 for i in range(n)])
    threads = torch.get_num_threads()
    results = []
    for number, chunk in ((1, 64), (3, 64), (2, 50)):
        monkeypatch.setattr("cgm.shapley.CHUNK", chunk)
        torch.set_num_threads(number)
        try:
            results.append(shapley_sampled(valuation, tolerance=0, most_permutations=4444))
        finally:
            torch.set_num_threads(threads)
    for phi, stderr, permutations in results[1:]:
        assert torch.equal(phi, results[0][0])
        assert torch.equal(stderr, results[0][1])
        assert permutations == 4444


def test_standard_errors_are_honest() -> None:
    """Over many seeds: no bias, and squared errors that are what the standard errors say."""

    valuation = some_valuation([3, 8, 2, 5, 20, 4])
    exact = shapley_exact(valuation.coalition_values())
    phi, stderr = (
        torch.stack(x)
        for x in zip(
            *(shapley_sampled(valuation, 0, most_permutations=60, seed=seed)[:2] for seed in range(300)), strict=True
        )
    )
    # 300 seeds of 30 pairs each: the ratio is known to about 1 / sqrt(150)
    ratio = ((phi - exact) ** 2).mean(0) / (stderr**2).mean(0)
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4
    bias = (phi.mean(0) - exact).abs() / (phi.std(0) / math.sqrt(300))
    assert bias.max() < 4


def test_tolerance() -> None:
    """Sampling stops when the greatest standard error is small enough, and not long before or after."""

    valuation = some_valuation([2, 3, 9] * 20)
    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0.01, most_permutations=60_000)
    assert 4 * ROUND < permutations < 60_000
    assert stderr.max() <= 0.01 * phi.abs().max()
    phi, stderr, before = shapley_sampled(valuation, tolerance=0, most_permutations=permutations - 2 * ROUND)
    assert before == permutations - 2 * ROUND
    assert stderr.max() > 0.01 * phi.abs().max()


@pytest.mark.parametrize(("most", "taken"), [(4, 4), (5, 4), (100, 100), (101, 100), (3000, 3000)])
def test_most_permutations(most: int, taken: int) -> None:
    valuation = some_valuation([3, 8, 2, 5])
    assert shapley_sampled(valuation, tolerance=0, most_permutations=most)[2] == taken


def test_the_same_seed_gives_the_same_numbers() -> None:
    valuation = some_valuation([3, 8, 2, 5])
    first, again, other = (
        shapley_values(valuation, "sampled", 0, most_permutations=200, seed=seed) for seed in (3, 3, 4)
    )
    assert torch.equal(first.phi, again.phi)
    assert torch.equal(first.stderr, again.stderr)
    assert not torch.equal(first.phi, other.phi)
    assert first.permutations == other.permutations == 200


# --- the choice of the method, and bad settings


def test_auto() -> None:
    assert shapley_values(some_valuation([2, 3])).method == "exact"
    assert shapley_values(some_valuation([2, 2])).method == "exact"
    assert shapley_values(some_valuation([2] * (MOST_EXACT + 1))).method == "equal_sizes"
    result = shapley_values(some_valuation([2] * MOST_EXACT + [3]), tolerance=0.2)
    assert result.method == "sampled"
    assert result.permutations > 0


def test_methods_agree() -> None:
    valuation = some_valuation([4] * 6)
    exact, equal = (shapley_values(valuation, method) for method in ("exact", "equal_sizes"))
    torch.testing.assert_close(exact.alpha, equal.alpha, rtol=1e-11, atol=0)
    assert exact.alpha.max() == 1
    torch.testing.assert_close(exact.alpha, exact.phi / exact.phi.max(), rtol=0, atol=0)


def test_exact_of_more_than_auto_takes() -> None:
    """Twenty-one parties of one size: two million coalitions, and the closed form."""

    valuation = some_valuation([2] * (MOST_EXACT + 1))
    result = shapley_values(valuation, "exact")
    assert result.method == "exact"
    torch.testing.assert_close(result.phi, shapley_equal_sizes(valuation), rtol=1e-9, atol=1e-13)
    with pytest.raises(ValueError, match=r"shapley\.method=exact: 25 parties .* up to 24 parties"):
        shapley_values(some_valuation([2] * 25), "exact")


def test_equal_sizes_refuses_others() -> None:
    with pytest.raises(ValueError, match=r"shapley\.method=equal_sizes: the parties differ in size"):
        shapley_values(some_valuation([2, 2, 3]), "equal_sizes")


@pytest.mark.parametrize("method", ["monte_carlo", "", "Exact", None])
def test_unknown_method(method: str | None) -> None:
    with pytest.raises(ValueError, match=rf"shapley\.method={method!r}: expected one of auto"):
        shapley_values(some_valuation([2, 3]), method)


@pytest.mark.parametrize("tolerance", [-0.01, -math.inf, math.nan])
def test_bad_tolerance(tolerance: float) -> None:
    with pytest.raises(ValueError, match=rf"shapley\.tolerance={tolerance}"):
        shapley_values(some_valuation([2, 3]), "sampled", tolerance=tolerance)


@pytest.mark.parametrize("most", [3, 0, -10])
def test_bad_most_permutations(most: int) -> None:
    with pytest.raises(ValueError, match=rf"shapley\.most_permutations={most}"):
        shapley_values(some_valuation([2, 3]), "sampled", most_permutations=most)


@pytest.mark.parametrize("method", ["exact", "equal_sizes", "sampled"])
def test_nothing_to_share(method: str) -> None:
    """Points so far apart that K is the identity, v(S) = 2 / t - 1 / s, and |G| is large: all values are negative."""

    x = 1e3 * torch.arange(60, dtype=torch.float64)[:, None]
    valuation = Valuation(Laplacian(1.0), [x[:4], x[4:8], x[8:12]], x[12:])
    with pytest.raises(ValueError, match=r"no party has a positive Shapley value.*kernel\.lengthscale"):
        shapley_values(valuation, method)


def test_a_party_of_no_worth_beside_others() -> None:
    """A negative φ is given as it is; that of the best party still makes α = 1."""

    parties = [normal(10, 2), normal(10, 2, seed=1), 1e-3 * normal(10, 2, seed=2) + 50]
    result = shapley_values(Valuation(SquaredExponential(1.0), parties, normal(60, 2, seed=3)))
    assert isinstance(result, ShapleyValues)
    assert result.phi[2] < 0 < result.phi[:2].min()
    assert result.alpha[2] < 0
    assert result.alpha.max() == 1


def test_identity_in_closed_form() -> None:
    """K the identity: v_c(C) = 2 / t - 1 / s_C, and φ of equal parties is v_c(N) / n."""

    x = 1e3 * torch.arange(14, dtype=torch.float64)[:, None]
    valuation = Valuation(Laplacian(1.0), [x[3 * i : 3 * i + 3] for i in range(4)], x[12:])
    assert shapley_values(valuation).phi.tolist() == pytest.approx([(2 / 14 - 1 / 12) / 4] * 4, rel=1e-12)
    two = Valuation(Laplacian(1.0), [x[:2], x[2:12]], x[12:])
    first, second, both = 2 / 14 - 1 / 2, 2 / 14 - 1 / 10, 2 / 14 - 1 / 12
    expected = [(first + both - second) / 2, (second + both - first) / 2]
    assert shapley_values(two).phi.tolist() == pytest.approx(expected, rel=1e-12)
