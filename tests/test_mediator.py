"""Tests the mediator: from the parties' points alone to their rewards."""

import logging
import re
from dataclasses import dataclass

import pytest
import torch
from matplotlib import pyplot

from cgm import Experiment, Mediator, Record
from cgm.contributions import Contribution, Contributions, Shapley
from cgm.data import Digits, EqualDisjoint
from cgm.data.features import PCA, UMAP, Automatic
from cgm.generators import KDE, Generator
from cgm.rewards import EqualRewards, Gain, InfeasibleScheme, Rewards, Scheme, ShapleyFair, WeightedSampling
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.method import ValuationMethod


def parties(n: int = 3, points: int = 60, d: int = 2) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(points + 5 * i, d, generator=random).double() + 0.7 * i for i in range(n)]


def mediator(**settings) -> Mediator:
    return Mediator(**{"synthetic_size": 400, "sampling": WeightedSampling([1, float("inf")])} | settings)


def test_points_become_rewards_of_the_agreed_value():
    data = parties()
    settlement = mediator(synthetic_size=2000).settle(data, seed=3)
    assert all(torch.equal(x, y) for x, y in zip(settlement.parties, data, strict=True))
    assert settlement.pool.points.shape == (2000, 2)
    assert settlement.contributions.alpha.max() == 1
    assert {name: each.holds for name, each in settlement.incentives.items() if name.startswith("R")} == {
        f"R{k}": True for k in range(1, 7)
    }
    for chain in settlement.drawn.values():
        reward = settlement.reward(chain.party, chain.beta)
        assert torch.equal(reward, settlement.pool.points[chain.indices])
        value = settlement.game.value(torch.cat([data[chain.party], reward]))
        assert value == pytest.approx(chain.value, abs=1e-10)
        assert value >= float(settlement.rewards.values[chain.party]) - 1e-7
    with pytest.raises(ValueError, match=r"beta=2: party 1 has no such reward; expected one of 1, inf"):
        settlement.reward(0, 2)


def test_values_in_linear_time_give_the_same_rewards_which_are_checked(monkeypatch, caplog):
    data = parties()
    exact = mediator(synthetic_size=2000).settle(data, seed=3)
    assert [reward.checked for reward in exact.drawn.values()] == [None] * 6
    monkeypatch.setattr("cgm.rewards.errors.MAX_SHARE", -1.0)  # no error is small enough
    by_grid = mediator(synthetic_size=2000, valuation=ValuationMethod("nufft")).settle(data, seed=3)
    assert by_grid.game.kernel == exact.game.kernel
    for key, reward in by_grid.drawn.items():
        assert torch.equal(reward.indices, exact.drawn[key].indices)
        assert reward.checked == pytest.approx(exact.drawn[key].value, abs=1e-10)
        assert reward.checked_error < 1e-10
    (message,) = by_grid.warnings
    assert message.startswith("valuation.method=nufft: a point's mean kernel value with all data has an error of ")
    assert message in caplog.text


def test_an_experiment_settles_as_its_mediator_does(tmp_path):
    settings = {"kernel": SquaredExponential(0.5), "synthetic_size": 300, "sampling": WeightedSampling([2])}
    split = EqualDisjoint(n_parties=3, points_per_party=60)
    experiment = Experiment(split=split, figures=False, seed=4, **settings)
    record = experiment.run(tmp_path)
    data = experiment.dataset.load(None, 4)
    rows = split.assign(data.y, len(data.classes), 4, data.ordered)
    settlement = Mediator(**settings).settle([data.x[r] for r in rows], seed=4)
    assert torch.equal(settlement.pool.points, record.pool)
    assert torch.equal(settlement.rewards.values, record.result.scheme.values)
    assert all(torch.equal(c.indices, record.rewards[c.party, c.beta]) for c in settlement.drawn.values())


def test_images_are_valued_in_features():
    data = Digits().load(None, 0)
    images = [data.x[:50], data.x[50:120]]
    settlement = mediator(features=PCA(3), generator=KDE(), scheme=ShapleyFair(stable=False)).settle(images, seed=0)
    assert [x.shape for x in settlement.parties] == [(50, 3), (70, 3)]
    torch.testing.assert_close(settlement.features.transform(images[0]), settlement.parties[0])
    assert settlement.pool.points.shape[1] == 3


class Resampled(Generator):
    """Draws images near those that it is fitted to."""

    space = "data"

    def fit(self, x, seed):
        self.state = {"x": x.clone()}
        return self

    def sample(self, n, seed):
        random = torch.Generator().manual_seed(seed)
        x = self.state["x"][torch.randint(len(self.state["x"]), (n,), generator=random)]
        return x + 0.05 * torch.rand(x.shape, generator=random)


@pytest.mark.parametrize("generator", [KDE(0.1), Resampled()], ids=["points", "images"])
def test_features_may_be_fitted_to_parties_and_pool_together(generator, tmp_path, caplog):
    data = Digits().load(None, 0)
    images = [data.x[:50], data.x[50:120]]
    features = UMAP(components=3, n_neighbors=5, pca=20)
    settings = {"generator": generator, "synthetic_size": 150, "scheme": ShapleyFair(stable=False)}
    settlement = mediator(features=features, **settings).settle(images, seed=0)
    places = settlement.features.state["places"]
    assert len(places) == 120 + len(settlement.pool.points)
    assert torch.equal(torch.cat([*settlement.parties, settlement.pool.points]), places)
    torch.testing.assert_close(settlement.features.transform(images[0]), places[:50], rtol=1e-3, atol=1e-3)

    cached = mediator(features=UMAP(components=3, n_neighbors=5, pca=20), cache=str(tmp_path), **settings)
    for read in (False, True):
        caplog.clear()
        with caplog.at_level("INFO", logger="cgm"):
            again = cached.settle(images, seed=0)
        assert any("umap read from" in message for message in caplog.messages) == read
        assert torch.equal(again.game.points, settlement.game.points)
        torch.testing.assert_close(again.features.transform(images[1]), places[50:120], rtol=1e-3, atol=1e-3)


def test_features_of_parties_and_pool_are_fitted_again_when_the_pool_grows():
    data = Digits().load(None, 0)
    features = UMAP(components=2, n_neighbors=5)
    settings = {"features": features, "scheme": Halves(min_t=200), "synthetic_size": 60}
    settlement = mediator(**settings).settle([data.x[:50], data.x[50:120]], seed=0)
    assert "G grows from 60 to 120 points, and the features are fitted again" in settlement.warnings[1]
    assert len(settlement.features.state["places"]) == 120 + 120


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "parties: there are none"),
        ([torch.zeros(3, 2), torch.randn(4, 2)], "party 1: all its 3 points are equal"),
        ([torch.randn(3, 2), torch.tensor([[0.0, float("nan")], [1.0, 1.0]])], "party 2: row 0 .*NaN"),
        (
            [torch.randn(3, 2), torch.randn(3, 3)],
            "party 2: has 3 columns where 2 are expected",
        ),
        ([torch.randn(3, 2), torch.randn(0, 2)], "party 2: has 0 points"),
        ([[1.0, 2.0], torch.randn(3, 2)], r"party 1: expected shape \(N, d\), got \(2,\)"),
        (torch.randn(3, 4, 2), r"parties: expected a list of tensors.*shape \(3, 4, 2\); use list\(x\)"),
        (
            [torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 5)],
            r"party 2: has points of shape \(1, 4, 5\) where \(1, 4, 4\)",
        ),
    ],
)
def test_data_that_cannot_be_valued_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        mediator().settle(data)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ValueError, match="seed=-1: expected an integer >= 0"):
        mediator().settle(parties(), seed=-1)


def test_sizes_of_the_pool_grow_up_to_the_limit():
    assert mediator(synthetic_size=8, growth=4, max_growth=64).sizes() == [8, 32, 128, 512]
    assert mediator(synthetic_size=10, growth=1.01, max_growth=1.3).sizes() == [10, 11, 12, 13]
    assert mediator(synthetic_size=10, max_growth=1).sizes() == [10]


@pytest.mark.parametrize(
    ("growth", "max_growth", "sizes"),
    [(2.0, 8.0, [10, 20, 40, 80]), (3.0, 8.0, [10, 30]), (1.5, 3.0, [10, 15, 22]), (2.0, 1.0, [10])],
)
def test_sizes_of_the_pool(growth, max_growth, sizes):
    assert mediator(synthetic_size=10, growth=growth, max_growth=max_growth).sizes() == sizes


class Factor(float):
    """A number that may be multiplied a thousand times, so that an endless loop ends."""

    left = 1000

    def __rmul__(self, other):
        self.left -= 1
        assert self.left > 0, "an endless loop"
        return other * float(self)


@pytest.mark.parametrize("first", [1, 10, 1000])
def test_sizes_of_the_pool_grow_by_any_factor(first):
    sizes = mediator(synthetic_size=first, growth=Factor(1.01), max_growth=1.2).sizes()
    assert sizes[0] == first
    assert sizes == sorted(set(sizes))
    assert sizes[-1] <= 1.2 * first


@pytest.mark.parametrize(
    ("setting", "value", "interval"),
    [
        *(("growth", x, r"\(1, inf\)") for x in (1, 0.5, -2, float("nan"), float("inf"))),
        *(("max_growth", x, r"\[1, inf\)") for x in (0.99, 0, float("nan"), float("inf"))),
    ],
)
def test_growth_out_of_range(setting, value, interval):
    with pytest.raises(ValueError, match=rf"^{setting}={value}: expected a number in {interval}$"):
        mediator(**{setting: value})


@dataclass(frozen=True)
class ByValue(Contribution):
    """Contributions that are the values of the parties' own data."""

    def compute(self, game, seed):
        return Contributions.of(game.party_values, "by_value", details={"note": "own"}, warnings=("only own data",))


@dataclass(frozen=True)
class Halves(Scheme):
    """Rewards half way between the values without and with G; has neither v* nor ρ."""

    refuse: bool = False
    min_t: int = 0

    def solve(self, contributions, game, upper):
        if self.refuse or game.t < self.min_t:
            raise InfeasibleScheme("never")
        own = game.party_values
        return Rewards((own + upper) / 2, own, upper, {"share": 0.5})


def test_own_contributions_and_schemes():
    settlement = mediator(contribution=ByValue(), scheme=Halves()).settle(parties(), seed=0)
    assert settlement.contributions.method == "by_value"
    assert settlement.warnings[0] == "only own data"
    assert torch.equal(settlement.contributions.phi, settlement.game.party_values)
    for name in ("R3", "F4"):
        assert settlement.incentives[name].holds is None
        assert "does not have" in settlement.incentives[name].note
    assert settlement.incentives["R2"].holds is True
    with pytest.raises(InfeasibleScheme, match=r"never \(tried up to synthetic_size=800, max_growth=2\)"):
        mediator(scheme=Halves(refuse=True), max_growth=2).settle(parties(), seed=0)


def test_own_contributions_and_schemes_are_recorded_and_drawn(tmp_path):
    experiment = Experiment(
        split=EqualDisjoint(n_parties=3, points_per_party=60),
        contribution=ByValue(),
        scheme=Halves(),
        synthetic_size=300,
        sampling=WeightedSampling([1, 8]),
    )
    record = experiment.run(tmp_path)
    loaded = Record.load(tmp_path)
    assert loaded.result == record.result
    scheme = record.result.to_json()["scheme"]
    assert scheme["name"] == "halves"
    assert scheme["share"] == 0.5
    assert not {"rho", "v_star"} & set(scheme)
    assert record.result.contributions.name == "by_value"
    table = record.table()
    assert "spread of rewards" in table
    assert "v* =" not in table
    assert "R3 unknown" in table
    assert (tmp_path / "reward_values.png").is_file()


def test_the_seed_reaches_sampled_contributions():
    data = parties(6, points=10)
    method = Shapley(method="sampled", max_permutations=64, tolerance=0)
    phi = [mediator(contribution=method).settle(data, seed=seed).contributions.phi for seed in (0, 0, 1)]
    assert torch.equal(phi[0], phi[1])
    assert not torch.equal(phi[0], phi[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": 5}, "generator: expected a Generator, got int"),
        ({"features": 8}, "features: expected a Features or Automatic, got int"),
        ({"kernel": "rbf"}, "kernel=rbf: expected one of laplacian, multiscale, .*"),
        ({"contribution": Shapley}, "contribution: expected a Contribution, got the class Shapley itself"),
        ({"scheme": None}, "scheme: expected a Scheme, got NoneType"),
        ({"scheme": Shapley()}, "scheme: expected a Scheme, got Shapley"),
        ({"sampling": [1, 2]}, "sampling: expected a WeightedSampling, got list"),
        ({"kernel_search": 3}, "kernel_search: expected a LengthscaleSearch, got int"),
    ],
)
def test_parts_of_a_wrong_kind_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        mediator(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": 5}, "dataset: expected an object with a method load, got int"),
        ({"split": "unequl"}, r"split=unequl: expected one of .*; did you mean unequal\?"),
        ({"data_dir": 3}, "data_dir=3: expected a path or null"),
        ({"figures": "maybe"}, "figures=maybe: expected true or false"),
    ],
)
def test_parts_of_an_experiment_of_a_wrong_kind_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**settings)


@dataclass(frozen=True)
class Faulty(Scheme):
    """Returns what it is given."""

    change: object

    def solve(self, contributions, game, upper):
        return self.change(game.party_values, upper)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda own, upper: Rewards(own[:2], own[:2], upper[:2]),
            r"scheme: reward values: has shape \(2,\) where \(3,\)",
        ),
        (lambda own, upper: Rewards(own, own[:2], upper), r"scheme: lower bounds: has shape \(2,\) where \(3,\)"),
        (lambda own, upper: Rewards(own / 0, own, upper), "scheme: reward values: expected finite numbers"),
        (lambda own, upper: Rewards("all", own, upper), "scheme: reward values: expected numbers, got str"),
        (lambda own, upper: Rewards(own, own, upper, {"a": [1, float("nan")]}), r"scheme: details.a\[1\]=nan"),
        (
            lambda own, upper: Rewards(own, own, upper, {"a": own}),
            "scheme: details.a: expected a number, .* got Tensor",
        ),
        (lambda own, upper: Rewards(own, own, upper, {"v_star": "a"}), "scheme: details.v_star=a: expected a number"),
        (lambda own, upper: own, "scheme: the result of solve: expected a Rewards, got Tensor"),
    ],
)
def test_faulty_results_of_schemes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        mediator(scheme=Faulty(change)).settle(parties())


def test_rewards_may_be_lists():
    rewards = Rewards([1, 2.5], [0, 0], [3, 3])
    assert rewards.values.dtype == torch.float64
    assert rewards.spread == 1.5


@pytest.mark.parametrize(
    ("phi", "stderr", "message"),
    [
        ([1.0, 2.0], None, r"contribution: phi: has shape \(2,\) where \(3,\) is expected"),
        ([1.0, float("nan"), 2.0], None, "contribution: phi: expected finite numbers"),
        ([1.0, 2.0, 3.0], [0.0], r"contribution: stderr: has shape \(1,\) where \(3,\) is expected"),
    ],
)
def test_faulty_contributions_are_refused(phi, stderr, message):
    @dataclass(frozen=True)
    class Own(Contribution):
        def compute(self, game, seed):
            return Contributions.of(phi, "own", stderr)

    with pytest.raises(ValueError, match=message):
        mediator(contribution=Own()).settle(parties())


def test_settlements_of_one_mediator_do_not_share_their_fit():
    one = mediator(features=PCA(1))
    first = one.settle(parties())
    before = first.features.transform(parties()[0])
    second = one.settle([x @ torch.tensor([[0.0, 1.0], [1.0, 0.3]]).double() for x in parties()])
    assert torch.equal(first.features.transform(parties()[0]), before)
    assert not torch.equal(second.features.transform(parties()[0]), before)


@pytest.mark.parametrize("features", [PCA(1), Automatic()], ids=lambda features: type(features).__name__)
def test_fitted_features_are_used_as_they_are(features):
    one = mediator(features=features)
    first = one.settle(parties())
    others = [x @ torch.tensor([[0.0, 1.0], [1.0, 0.3]]).double() for x in parties()]
    second = one.settle(others, features=first.features)
    assert second.features is first.features
    for points, x in zip(second.parties, others, strict=True):
        assert torch.equal(points, first.features.transform(x))
    again = one.settle(parties(), features=first.features)
    assert torch.equal(again.pool.points, first.pool.points)
    assert again.rewards.values.tolist() == first.rewards.values.tolist()


def test_fitted_features_of_parties_and_pool_are_used_as_they_are(monkeypatch):
    one = mediator(features=UMAP(2, n_neighbors=5, pca=None), scheme=ShapleyFair(stable=False))
    first = one.settle(parties())
    monkeypatch.setattr(UMAP, "fit", lambda *args: pytest.fail("fitted again"))
    again = one.settle(parties(), features=first.features)
    torch.testing.assert_close(again.pool.points, first.pool.points, rtol=1e-3, atol=1e-3)  # places of the same points
    others = one.settle([x + 0.1 for x in parties()], features=first.features)
    assert others.pool.points.shape == first.pool.points.shape
    assert not torch.equal(others.pool.points, first.pool.points)


def test_a_length_scale_at_the_lower_end_of_its_range_is_a_warning():
    tiny = [1e-8 * x for x in parties()]
    assert "kernel_search.low=0.01" in mediator().settle(tiny, seed=0).warnings[0]
    assert not any("kernel_search" in warning for warning in mediator().settle(parties(), seed=0).warnings)


def test_a_pool_that_is_smaller_than_the_data_is_a_warning_before_the_fit(caplog):
    caplog.set_level(logging.INFO, "cgm")
    data = parties()
    settlement = mediator(synthetic_size=20, max_growth=1, scheme=Halves()).settle(data, seed=0)
    assert settlement.warnings[0].startswith(
        f"synthetic_size=20: G has 20 points, and the parties {sum(map(len, data))}"
    )
    assert caplog.messages[0] == settlement.warnings[0]
    assert caplog.messages[1].startswith("generator: fitting ")
    assert re.fullmatch(r"generator: fitted in \d+\.\d s", caplog.messages[2])


def test_names_of_parties_are_kept(caplog):
    data = dict(zip(("north", "east", "west"), parties(), strict=True))
    settlement = mediator(sampling=WeightedSampling([1, 8])).settle(data, seed=0)
    assert [line.split()[0] for line in repr(settlement).split("\n")[1:5]] == ["party", "north", "east", "west"]
    lines = settlement.table().split("\n")
    assert [line.split()[:2] for line in lines[:4]] == [
        ["party", "points"],
        ["north", "60"],
        ["east", "65"],
        ["west", "70"],
    ]
    assert lines[2].split()[-2:] == [str(settlement.drawn[1, beta].size) for beta in (1, 8)]
    assert lines[-1].startswith("incentives: R1, ")
    assert settlement.to_frame()["party"].tolist() == [0, 0, 1, 1, 2, 2]
    assert settlement.to_frame()["name"].tolist() == ["north", "north", "east", "east", "west", "west"]
    ticks = settlement.plot.rewards().get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["north", "east", "west"]
    assert settlement.plot.embedding(party="east").get_title().startswith("east, ")
    assert torch.equal(settlement.reward("east", 8), settlement.reward(1, 8))
    pyplot.close("all")
    with pytest.raises(ValueError, match="beta=3: east has no such reward; expected one of 1, 8"):
        settlement.reward("east", 3)
    for party, message in {
        "wets": "party=wets: expected an integer from 0 to 2, or one of north, east, west; did you mean west",
        3: "party=3: expected an integer from 0 to 2, or one of north, east, west",
        -1: "party=-1: expected an integer",
    }.items():
        for refuse in (lambda: settlement.reward(party, 8), lambda: settlement.plot.embedding(party=party)):  # noqa: B023
            with pytest.raises(ValueError, match=message):
                refuse()

    unnamed = mediator(sampling=WeightedSampling([1, 8])).settle(parties(), seed=0)
    assert [line.split()[0] for line in repr(unnamed).split("\n")[1:5]] == ["party", "1", "2", "3"]
    assert [tick.get_text() for tick in unnamed.plot.rewards().get_xticklabels()] == ["1", "2", "3"]
    assert repr(unnamed.contributions).split("\n")[2].split()[0] == "1"
    pyplot.close("all")


def test_messages_name_parties(caplog):
    caplog.set_level(logging.INFO, "cgm")
    data = dict(zip(("north", "east", "west"), parties(), strict=True))
    short = mediator(synthetic_size=60, max_growth=1, scheme=EqualRewards())
    settlement = short.settle(data, seed=0)
    stopped = [message for message in settlement.warnings if "stopped at v" in message]
    assert stopped
    assert all(message.startswith(("north, ", "east, ", "west, ")) for message in stopped)
    assert [message for message in caplog.messages if "stopped at v" in message] == stopped
    caplog.clear()
    with pytest.raises(InfeasibleScheme, match=r"(north|east|west) must be offered v_min"):
        mediator(synthetic_size=10, growth=1.5, max_growth=2, scheme=Gain()).settle(data, seed=0)
    grown = [message for message in caplog.messages if "G grows" in message]
    assert grown
    assert not any(re.search(r"party \d", message) for message in caplog.messages)


def test_values_that_decide_whether_there_are_rewards_are_computed_more_exactly(monkeypatch, caplog) -> None:
    monkeypatch.setattr("cgm.valuation.method.MAX_EXACT", 0)
    monkeypatch.setattr("cgm.valuation.method.MAX_PAIRS", 0)
    random = torch.Generator().manual_seed(0)
    parties = [torch.randn(1500, 12, generator=random) for _ in range(4)]

    def mediator(size: int, method: str) -> Mediator:
        valuation, sampling = ValuationMethod(method, 0.3), WeightedSampling(betas=[8])
        settings = {"synthetic_size": size, "max_growth": 1, "valuation": valuation, "sampling": sampling}
        return Mediator(kernel=SquaredExponential(2.0), features="none", **settings)

    caplog.set_level("INFO", "cgm")
    with pytest.raises(InfeasibleScheme, match="values are approximate, with errors of up to"):
        mediator(2700, "nystrom").settle(parties)
    assert mediator(3300, "nystrom").settle(parties).game.modes == 1024  # 512 do not decide it
    assert "bounds of reward values cross by less than the errors of values" in caplog.text
    caplog.clear()
    settlement = mediator(3300, "auto").settle(parties)
    assert settlement.game.method == "exact"
    assert "bounds of reward values cross by less than the errors of values" in caplog.text
    caplog.clear()
    assert mediator(4200, "auto").settle(parties).game.method == "nystrom"
    assert "cross by less" not in caplog.text


def test_a_method_of_the_valuation_is_refused_before_any_work_if_it_is_not_possible() -> None:
    assert Mediator(valuation="nystrom").valuation == ValuationMethod("nystrom")
    with pytest.raises(ValueError, match=r"^valuation.method=nufft: expected a squared exponential kernel"):
        Mediator(valuation="nufft", kernel="laplacian")
    with pytest.raises(ValueError, match=r"^valuation.method=nufft: points have 4 dimensions, at most 3"):
        Mediator(valuation="nufft").settle([torch.randn(10, 4), torch.randn(10, 4)])
