import inspect
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from cgm.cli.jobs import Job
from cgm.contributions.pointwise import pointwise_values
from cgm.contributions.semivalues import shapley_exact, shapley_values
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.mmd import block_sums
from cgm.valuation.valuation import Valuation
from experiments.benchmark import compare, concepts, growth, parts, peers, problems, program, report
from experiments.settings import compose_run

ROOT = Path(__file__).resolve().parents[2]
RUN = ["experiment=debug", "split.points_per_party=20", "synthetic_size=300", "kernel.lengthscale=1"]
RUN += ["figures=false", "downstream=none", "sampling.betas=[8]", "scheme=fair", "seed=0", "cache=false"]


@pytest.fixture(scope="module")
def valuation():
    parties, pool = problems.mixture(parties=3, points=12, synthetic=40, d=2, seed=1)
    return Valuation(SquaredExponential(1.5), parties, pool)


def gains(valuation, s):
    """Return the gain of each point of G, from the points alone."""

    before = valuation.value(s)
    values = [valuation.value(torch.cat([s, x[None]])) for x in valuation.synthetic]
    return torch.tensor(values, dtype=torch.float64) - before


@pytest.mark.parametrize("peer", [peers.sklearn_sums, peers.cdist_sums, peers.keops_sums])
@pytest.mark.parametrize("d", [1, 8])
def test_peers_sum_the_same_kernel(peer, d):
    if peer is peers.keops_sums:
        pytest.importorskip("pykeops")
    x, scale = problems.normal(2 * peers.ROWS + 3, d, seed=0), 1.7  # the last tile has fewer rows
    distances = ((x.numpy()[:, None] - x.numpy()[None]) ** 2).sum(-1)
    expected = np.exp(-distances / (2 * scale**2)).sum(1)

    np.testing.assert_allclose(block_sums(SquaredExponential(scale), x, [len(x)])[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(peer(x.float(), scale), expected, rtol=1e-5)


def test_exponentials_are_as_many_as_requested(monkeypatch):
    done, exp2 = [], torch.exp2
    monkeypatch.setattr(torch, "exp2", lambda x, out: done.append(x.numel()) or exp2(x, out=out))
    for count in (1, 3 * peers.CACHED, 40 * peers.CACHED + 1):
        done.clear()
        peers.exponentials(count)
        assert count <= sum(done) < count + peers.CACHED


@pytest.mark.parametrize("beta", [0.0, 1.0, 8.0])
def test_the_loop_uses_the_probabilities_of_algorithm_1(valuation, beta):
    taken = torch.zeros(40, dtype=torch.bool)
    taken[[3, 17]] = True
    s = torch.cat([valuation.party(1), valuation.synthetic[taken]])
    a = valuation.sums[valuation.block(3)].sum(1)
    u = valuation.kernel(valuation.synthetic, s).sum(1)
    p = peers.plain_probabilities(a, u, len(s), valuation.t, taken, beta)

    delta = gains(valuation, s)[~taken]
    w = torch.exp(beta * (delta - delta.min()) / (delta.max() - delta.min()))
    assert p[taken].tolist() == [0, 0]
    torch.testing.assert_close(p[~taken], w / w.sum(), rtol=1e-8, atol=0)


def test_the_loop_updates_its_sums(valuation):
    chain = peers.plain_chain(valuation, party=2, beta=1e12, points=5, seed=0)  # practically greedy
    s = valuation.party(2)
    for k, x in enumerate(chain):
        delta = gains(valuation, s)
        delta[chain[:k]] = -math.inf
        assert x == int(delta.argmax())
        s = torch.cat([s, valuation.synthetic[x][None]])

    assert sorted(peers.plain_chain(valuation, 0, 2.0, 40, seed=0)) == list(range(40))  # no point twice
    for side_by_side in (True, False):
        assert peers.plain_chains(valuation, (1.0, 2.0), 3, side_by_side) == 3 * 2 * 3


def test_the_authors_way_computes_the_gains(valuation, monkeypatch):
    monkeypatch.setattr(peers, "ROWS", 7)
    s = torch.cat([valuation.party(0), valuation.synthetic[:4]])
    ss, st = (float(valuation.kernel(s, y).sum()) for y in (s, valuation.points))
    found = peers.authors_gains(valuation.kernel, s, valuation.points, valuation.synthetic, ss, st)
    torch.testing.assert_close(found, gains(valuation, s), rtol=0, atol=1e-14)


def test_an_estimate_from_all_of_g_equals_the_valuation(valuation):
    parties = [valuation.party(i) for i in range(3)]
    estimated = problems.Estimated(valuation.kernel, parties, valuation.synthetic, few=40)
    torch.testing.assert_close(estimated.sums, valuation.sums, rtol=1e-12, atol=0)
    for name in ("party_values", "with_synthetic", "a", "b"):
        torch.testing.assert_close(getattr(estimated, name), getattr(valuation, name), rtol=1e-10, atol=1e-14)
    few = problems.Estimated(valuation.kernel, parties, valuation.synthetic, few=10)
    torch.testing.assert_close(few.sums[:, :3], valuation.sums[:, :3])
    first = valuation.kernel(valuation.points, valuation.synthetic[:10]).sum(1)
    torch.testing.assert_close(few.sums[:, 3], 4 * first)


def test_coalition_values_equal_those_of_the_valuation():
    game = problems.small_game(5, seed=0)
    assert len(set(game.sizes[:-1])) > 1
    members = np.array([[c >> i & 1 for i in range(5)] for c in range(32)], dtype=bool)
    np.testing.assert_allclose(peers.coalition_value(game, members), game.coalition_values(), rtol=0, atol=1e-14)
    assert set(problems.small_game(7, seed=0, equal=True).sizes[:-1]) == {2}


def test_shapiq_computes_the_same():
    pytest.importorskip("shapiq")
    game = problems.small_game(5, seed=0)
    np.testing.assert_allclose(peers.shapiq_values(game), shapley_exact(game.coalition_values()), rtol=1e-9)


def test_pydvl_estimates_the_same():
    pytest.importorskip("pydvl")
    game = problems.small_game(5, seed=0)
    phi, stderr = peers.pydvl_values(game, permutations=100, seed=0)
    assert (stderr > 0).all()
    assert (np.abs(phi - shapley_values(game, "exact").phi.numpy()) < 5 * stderr).all()


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances only when a test says so; its processor time is half of its wall time."""

    now = SimpleNamespace(seconds=0.0, order=[])
    fake = SimpleNamespace(perf_counter=lambda: now.seconds, process_time=lambda: now.seconds / 2)
    monkeypatch.setattr(compare, "time", fake)

    def implementation(name, seconds, units=None):
        left = iter(seconds)

        def run():
            now.order.append(name)
            now.seconds += next(left)
            return units

        return run

    now.implementation = implementation
    return now


def test_implementations_take_turns_and_ratios_are_those_within_rounds(clock):
    own = {"a": clock.implementation("a", [1, 2, 4]), "b": clock.implementation("b", [6, 20, 16], units=2)}
    warm = {name: clock.implementation(f"warm {name}", [100]) for name in own}
    found = compare.compare("x", "call", own, warm, {"repeats": 3, "seconds": 1000, "threads": 1})

    assert clock.order == ["warm a", "warm b", "a", "b", "a", "b", "a", "b"]
    a, b = found["implementations"]["a"], found["implementations"]["b"]
    assert a["wall"]["rounds"] == [1, 2, 4]
    assert a["wall"]["ratio"] == {"median": 1, "min": 1, "max": 1}
    assert b["wall"]["rounds"] == [3, 10, 8]  # per unit
    assert (b["wall"]["median"], b["wall"]["min"], b["wall"]["max"]) == (8, 3, 10)
    assert b["wall"]["ratio"] == {"median": 3, "min": 2, "max": 5}  # 8 / 2 would be 4
    assert b["cpu"]["rounds"] == pytest.approx([1.5, 5, 4])
    assert b["cpu"]["ratio"]["median"] == 3


def test_slow_implementations_run_twice(clock):
    own = {"a": clock.implementation("a", [50] * 5)}
    found = compare.compare("x", "call", own, {"a": lambda: None}, {"repeats": 5, "seconds": 60, "threads": 1})
    assert found["implementations"]["a"]["wall"]["rounds"] == [50, 50]


def test_a_peer_that_is_missing_or_fails_is_named():
    def missing():
        import no_such_package_anywhere  # noqa: F401

    def failing():
        raise RuntimeError("/a/path that must not be recorded")

    def fine():
        return None

    warm = {"a": fine, "b": missing, "c": failing, "d": fine}
    settings = {"repeats": 1, "seconds": 0, "threads": 1}
    found = compare.compare("x", "call", dict.fromkeys(warm, fine), warm, settings)
    assert list(found["implementations"]) == ["a", "d"]
    assert found["not_measured"] == {
        "b": "no_such_package_anywhere cannot be imported",
        "c": "failed with RuntimeError",
    }
    assert "| x | b | not measured: no_such_package_anywhere cannot be imported |" in report.comparison_table([found])

    with pytest.raises(RuntimeError):  # a failure of cgm itself
        compare.compare("x", "call", {"c": fine}, {"c": failing}, settings)


def test_exponent_of_a_power_law():
    x = [1, 10, 100, 1000, 10_000, 100_000]
    assert growth.exponent(x, [3 * v**1.7 for v in x]) == pytest.approx(1.7, abs=1e-12)
    flat = [5, 5, 5, *(3 * v**1.7 for v in x[3:])]  # the overhead of a call hides the law at small sizes
    assert growth.exponent(x, flat) == pytest.approx(1.7, abs=1e-12)
    assert growth.exponent(x[::-1], flat[::-1]) == pytest.approx(1.7, abs=1e-12)
    assert growth.exponent([1, 2, 4, 8], [9, 0, 4, 16]) == pytest.approx(2)  # memory too small to be measured
    assert growth.exponent([1, 2], [0, 1]) is None


def test_growth_measures_what_it_says():
    for case in program.SIZES["full"]["axes"].values():
        for change in case:
            sizes = program.SIZES["full"]["start"] | change
            assert list(sizes) == list(program.SIZES["full"]["start"])
            assert sizes["chains"] % sizes["parties"] == 0
    totals = {c["parties"] * c["points"] for c in program.SIZES["full"]["axes"]["parties"]}
    assert totals == {5120}

    threads = torch.get_num_threads()
    (row,) = growth.grow(
        [{"synthetic": 200, "points": 20, "parties": 3, "dimensions": 2, "chains": 6}], threads, repeats=1, seed=0
    )
    assert row["t"] == 260
    assert set(report.GROWING) < set(row)
    assert row["point_ms"] == pytest.approx(1000 * row["sampling_seconds"] / row["accepted"])


def test_the_figure_shows_every_axis():
    rows = [dict.fromkeys(report.GROWING, k) | dict.fromkeys(report.AXES, k) for k in (1, 10)]
    exponents = dict.fromkeys(report.AXES, dict.fromkeys(report.GROWING, 1.0))
    figure = report.growth_figure({"axes": dict.fromkeys(report.AXES, rows), "exponents": exponents})
    assert len(figure.axes) == 3 * 5
    assert [axes.get_xlabel() for axes in figure.axes[-5:]] == list(report.AXES.values())
    assert [report.short(x) for x in (30, 2560, 74_000, 10**6)] == ["30", "2.56k", "74k", "1M"]


def test_a_whole_run_reports_its_stations():
    found = parts.whole_run(RUN, torch.get_num_threads())
    assert found["seconds"].keys() >= {"lengthscale", "valuation", "sampling", "metrics"}
    assert found["accepted"] > 0
    assert found["t"] == 5 * 20 + found["synthetic_size"]
    assert found["mebibytes"] > 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"what": ["sums"]}, r"^what=\['sums'\]: expected a list of some of kernel_sums, linear, lengthscale, "),
        ({"what": []}, r"^what=\[\]"),
        ({"size": "huge"}, r"^size=huge: expected one of full, small"),
        ({"repeats": 0}, "repeats"),
        ({"threads": 0}, "threads"),
        ({"max_synthetic": 10}, "max_synthetic"),
        ({"seed": -1}, "seed"),
        ({"seconds": math.inf}, r"^seconds=inf"),
    ],
)
def test_wrong_settings_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        program.benchmark(**{"what": ["shapley"], "folder": str(tmp_path)} | settings)
    with pytest.raises(FileNotFoundError, match=r"^runs: .* has no result.json"):
        program.benchmark(["runs"], runs=[str(tmp_path)], folder=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_configuration_shows_every_setting():
    path = ROOT / "experiments" / "benchmark" / "benchmark.yaml"
    shown = OmegaConf.load(path)
    parameters = inspect.signature(program.benchmark).parameters
    assert set(shown) - {"defaults", "hydra"} == set(parameters)
    assert shown.what == list(program.PARTS)
    for name, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty and name != "runs":
            assert shown[name] == parameter.default
    for line in path.read_text(encoding="utf-8").split("hydra:")[0].splitlines()[5:]:
        assert "   # " in line or not line


@pytest.mark.parametrize("name", concepts.IN_SHAPIQ)
def test_shapiq_computes_the_same_contributions(name):
    pytest.importorskip("shapiq")
    game = problems.small_game(5, seed=2)
    expected = concepts.CONCEPTS[name].compute(game, 0).phi.numpy()
    np.testing.assert_allclose(peers.shapiq_values(game, concepts.IN_SHAPIQ[name]), expected, atol=1e-6)


def test_points_as_players_are_those_of_pointwise_values():
    whole, game = problems.single_points(6, seed=3)
    values = game.coalition_values()
    assert values[-1] == pytest.approx(whole.grand_value, abs=1e-12)
    assert values[0b000111] == pytest.approx(whole.value(whole.points[:3]), abs=1e-12)
    np.testing.assert_allclose(shapley_exact(values).numpy(), pointwise_values(whole).numpy(), atol=1e-12)


@pytest.mark.slow
def test_the_whole_program(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.benchmark.startup.COMMANDS", {"cgm --help": 0, "cgm generator=kd": 1})
    run, folder = tmp_path / "run", tmp_path / "benchmark"
    Job.construct(compose_run(RUN), RUN).experiment.run(run)
    record = json.loads((run / "result.json").read_text())
    record |= {"seconds": {"valuation": 1.0, "sampling": 3.0}, "sampling": [record["sampling"][0] | {"size": 7}]}
    (run / "result.json").write_text(json.dumps(record))

    result = program.benchmark(
        list(program.PARTS), "small", repeats=2, threads=1, runs=[str(run)], folder=str(folder), seconds=0
    )

    assert json.loads((folder / "result.json").read_text()) == result
    assert {path.name for path in folder.iterdir()} == {"result.json", "README.md", "growth.png", "growth.pdf"}
    assert list(result["parts"]) == list(program.PARTS)
    for part in ("kernel_sums", "lengthscale", "sampling", "shapley", "contributions"):
        for comparison in result["parts"][part]["comparisons"]:
            for found in comparison["implementations"].values():
                assert all(len(found[clock]["rounds"]) == 2 for clock in ("wall", "cpu"))
    linear = result["parts"]["linear"]["rows"]
    assert [(row["t"], row["d"], row["method"]) for row in linear] == [
        (t, d, method) for d, method in ((2, "nufft"), (5, "nystrom")) for t in (3000, 4000)
    ]
    for row in linear:
        assert row["wall"] > 0
        assert ("v_error" in row) == ("exact_wall" in row) == (row["t"] == 3000)
        assert row.get("v_error", 0) <= row["v_stated"] < 5e-3 * row["value"]
    sums = result["parts"]["kernel_sums"]["comparisons"][0]
    assert {*sums["implementations"], *sums["not_measured"]} >= {
        "cgm",
        "exponentials",
        "torch.cdist",
        "scikit-learn",
        "KeOps",
    }
    for name, delivered in (("torch.cdist", 1), ("cgm", 2)):
        rates = sums["implementations"][name]
        assert rates["delivered_per_second"] == pytest.approx(delivered * rates["computed_per_second"])
    whole = result["parts"]["reproduction"]
    assert [(run["dataset"], run["split"], run["seed"]) for run in whole["runs"]] == [
        ("credit_ratings", "equal_disjoint", 0)
    ]
    assert 0 < sum(whole["runs"][0]["seconds"].values()) < whole["wall"]
    assert whole["computed"] == 0  # no images
    assert [row["synthetic"] for row in result["parts"]["growth"]["axes"]["synthetic"]] == [300, 600]

    text = (folder / "README.md").read_text()
    assert result["machine"]["versions"]["torch"] in text
    assert str(ROOT) not in text
    assert "| sampling | 3.0 s (75%) |" in text
    assert "| accepted points | 7 |" in text
    for block in text.split("\n\n"):  # no cell is missing
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
        assert not any("|  |" in line for line in lines[1:])

    again = program.benchmark(["shapley"], "small", repeats=1, threads=1, folder=str(folder))
    assert again["parts"] == result["parts"] | {"shapley": again["parts"]["shapley"]}  # of the same machine
    assert again["parts"]["shapley"]["settings"]["repeats"] == 1
    older = again["machine"] | {"versions": again["machine"]["versions"] | {"numerics": "1"}}
    parts_before = {name: dict(part) for name, part in again["parts"].items()}
    del parts_before["growth"]["versions"]  # as in files of earlier versions
    (folder / "result.json").write_text(json.dumps(again | {"machine": older, "parts": parts_before}))
    newer = program.benchmark(["shapley"], "small", repeats=1, threads=1, folder=str(folder))
    assert newer["machine"]["versions"] == again["machine"]["versions"]
    assert newer["parts"]["growth"]["versions"]["numerics"] == "1"  # measured with other versions
    assert ", numerics 1, " in (folder / "README.md").read_text()
    (folder / "result.json").write_text(json.dumps(again | {"machine": again["machine"] | {"cores": 999}}))
    other = program.benchmark(["shapley"], "small", repeats=1, threads=1, folder=str(folder))
    assert list(other["parts"]) == ["shapley"]
