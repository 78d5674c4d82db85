"""Tests of sweeps that are read in Python."""

import logging
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import cgm
from cgm.evaluation.entries import MetricRow
from cgm.records.record import Record
from cgm.records.sweep.figure import find_factors, picture_of
from cgm.records.sweep.load import SweepPlots
from tests.drawn import whole
from tests.records.results import SETTINGS, make_gains, make_record, make_result, make_rewards
from tests.records.sweep.grids import grid, table

BETAS = [1.0, 8.0]


@pytest.fixture(autouse=True)
def _figures_of_pyplot():
    with mpl.rc_context({"backend": "agg"}):
        yield
        pyplot.close("all")


@pytest.fixture
def folder(tmp_path):
    """The folder of a sweep: four complete runs, one that failed, one that was cut off, a damaged one."""

    for scheme, spread in (("Fair", 0.25), ("Stable", 0.5)):
        for seed in (0, 1):
            settings = SETTINGS | {"scheme": {"class": scheme}, "seed": seed, "sampling": {"betas": [1.0, 1.0 + seed]}}
            rewards = make_rewards([0.5, 0.5 + spread + seed / 8], scheme)
            rows = [MetricRow(party, beta, "my_metric", seed) for party in range(2) for beta in BETAS]
            result = make_result(2, BETAS, seed=seed, settings=settings, scheme=rewards)
            make_record(result, rows).save(tmp_path / f"{scheme}-{seed}")
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "error.json").write_text('{"message": "out of memory"}')
    (tmp_path / "cut" / ".hydra").mkdir(parents=True)
    make_record().save(tmp_path / "damaged")
    (tmp_path / "damaged" / "metrics.csv").write_text("nonsense")
    return tmp_path


def test_a_sweep_is_one_table(folder):
    before = sorted(folder.rglob("*"))
    sweep = cgm.load_sweep(folder)
    assert sorted(folder.rglob("*")) == before  # nothing is written
    frame = sweep.to_frame()
    assert list(frame)[:6] == ["run", "sampling.betas", "scheme", "seed", "party", "beta"]
    assert len(frame) == 4 * 2 * 2
    assert set(frame["run"]) == {"Fair-0", "Fair-1", "Stable-0", "Stable-1"}
    assert set(frame["sampling.betas"]) == {"[1, 1]", "[1, 2]"}
    assert frame["seed"].dtype == np.int64
    for name, part in frame.groupby("run"):
        own = Record.load(folder / name).to_frame()
        pd.testing.assert_frame_equal(part[list(own)].reset_index(drop=True), own)
        assert part["my_metric"].tolist() == [int(name[-1])] * 4

    runs = sweep.run_frame()
    assert runs.set_index("run")["spread"].to_dict() == {
        "Fair-0": 0.25,
        "Fair-1": 0.375,
        "Stable-0": 0.5,
        "Stable-1": 0.625,
    }


def test_unfinished_and_damaged_runs_are_named(folder, caplog):
    with caplog.at_level(logging.WARNING):
        sweep = cgm.load_sweep(folder)
    assert sweep.failed["failed"] == "out of memory"
    assert "not finished, or was interrupted" in sweep.failed["cut"]
    assert "metrics.csv is damaged" in sweep.failed["damaged"]
    for text in (caplog.text, repr(sweep), sweep._repr_html_()):
        assert "failed, cut off or damaged: " in text
        for name in ("cut", "damaged", "failed"):
            assert name in text
    assert repr(sweep).startswith(f"Sweep {folder.name}: 4 runs; sampling.betas, scheme, seed vary\n")
    assert "out of memory" in caplog.text


def test_records_are_read_when_they_are_used(folder, monkeypatch):
    read = []
    load = Record.load.__func__
    monkeypatch.setattr(Record, "load", classmethod(lambda cls, path: read.append(path.name) or load(cls, path)))
    records = cgm.load_sweep(folder).records
    assert sorted(records) == ["Fair-0", "Fair-1", "Stable-0", "Stable-1"]
    assert read == []
    assert records["Fair-1"] is records["Fair-1"]
    assert read == ["Fair-1"]
    assert records["Fair-1"].result.seed == 1
    assert repr(records).startswith("Records of 4 runs: ")
    with pytest.raises(KeyError, match="Fair-2: there is no such run; did you mean Fair-1"):
        records["Fair-2"]


def test_folders_that_are_no_sweeps_are_named(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    with pytest.raises(ValueError, match=r"Fair-0: the folder of one run; Record\.load reads it"):
        cgm.load_sweep(folder / "Fair-0")
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder"):
        cgm.load_sweep(folder / "nowhere")
    with pytest.raises(ValueError, match="there are no runs in this folder"):
        cgm.load_sweep(other)
    for load in (cgm.Record.load, cgm.load_sweep):
        with pytest.raises(FileNotFoundError, match="expected a folder, found a file"):
            load(folder / "Fair-0" / "result.json")
    with pytest.raises(FileNotFoundError, match=r"the folder of a sweep, with 5 runs in it; cgm\.load_sweep reads all"):
        Record.load(folder)
    with pytest.raises(FileNotFoundError, match=r"no result\.json: there is no run in this folder"):
        Record.load(other)

    (other / "mediator").mkdir()
    (other / "parties" / "north").mkdir(parents=True)
    (other / "parties" / "north" / "certificate.json").write_text("{}")
    (other / "mediator" / "result.json").write_text("{}")
    (other / "report.html").write_text("")
    for load in (cgm.Record.load, cgm.load_sweep):
        for path in (other, other / "mediator", other / "parties"):
            with pytest.raises(FileNotFoundError, match=r"belongs to a settlement \(cgm settle\), not to a run"):
                load(path)
        with pytest.raises(FileNotFoundError, match=r"what a party received .* cgm\.api\.verify reads it"):
            load(other / "parties" / "north")


def test_a_sweep_without_complete_runs_has_an_empty_table(folder):
    for path in folder.glob("*-*"):
        (path / "result.json").unlink()
    for path in folder.glob("*-*"):
        (path / ".hydra").mkdir()
    (folder / "damaged" / "result.json").unlink()
    sweep = cgm.load_sweep(folder)
    assert sweep.to_frame().empty
    assert "0 runs" in repr(sweep)
    assert len(sweep.records) == 0


def test_numbers_are_drawn_as_in_the_files_of_a_sweep(folder):
    sweep = cgm.load_sweep(folder)
    axes = sweep.plot.number("spread")
    runs = sweep.table.distinct()
    (of_file,) = picture_of(runs, find_factors(runs, sweep.varying), "spread")[0].axes
    for one, other in zip(axes.lines, of_file.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    assert axes.figure.get_suptitle() == of_file.figure.get_suptitle()
    assert len(pyplot.get_fignums()) == 1

    given = Figure(layout="constrained").subplots()
    assert sweep.plot.number("spread", ax=given) is given
    assert given.get_title().startswith("spread of the rewards")
    with pytest.raises(
        ValueError, match=r"number=spred: no run has such a number; expected one of .*; did you mean spread"
    ):
        sweep.plot.number("spred")
    assert "spread" in repr(sweep.plot)


def test_all_numbers_that_collect_takes_are_drawn(folder):
    sweep = cgm.load_sweep(folder)
    drawn = {name: sweep.plot.number(name) for name in ("my_metric", "values.grand")}
    assert all(axes.has_data() for axes in drawn.values())
    assert "my_metric" not in sweep.numbers
    for metric in ("my_metric", ["my_metric"]):
        frame = cgm.load_sweep(folder, metric=metric).run_frame().set_index("run")
        assert frame["my_metric"].to_dict() == {"Fair-0": 0, "Fair-1": 1, "Stable-0": 0, "Stable-1": 1}
    with pytest.raises(
        ValueError, match=r"metric=my_metrik: no run has such a number; .*; did you mean my_metric"
    ) as error:
        cgm.load_sweep(folder, metric="my_metrik")
    names = str(error.value).split("one of ")[1].split(" or the path")[0].split(", ")
    assert len(set(names)) == len(names)


def test_settings_that_change_no_number_do_not_vary(tmp_path):
    for seed, cache in ((0, False), (1, "/tmp/features")):
        settings = SETTINGS | {"seed": seed, "cache": cache}
        make_record(make_result(2, BETAS, seed=seed, settings=settings)).save(tmp_path / str(seed))
    assert cgm.load_sweep(tmp_path).varying == ["seed"]


def test_several_panels_need_as_many_axes():
    settings = {"kernel": ["a", "b"], "split": ["x", "y"], "scheme": ["p", "q"], "seed": [0, 1]}
    plots = SweepPlots(table(grid(lambda settings: settings["seed"] / 2, **settings)), Path())
    drawn = plots.number("v_star")
    assert len(drawn) == 2
    assert whole(drawn[0].figure)
    figure = Figure(figsize=(8, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    assert plots.number("v_star", ax=panels) is panels
    panels = list(figure.subplots(1, 2))
    assert plots.number("v_star", ax=panels) is panels
    assert [text.get_text() for text in panels[-1].get_legend().get_texts()] == ["p", "q"]
    assert panels[-1].get_legend().get_title().get_text() == "scheme"
    with pytest.raises(ValueError, match="ax: v_star has 2 panels, expected a list of as many axes"):
        plots.number("v_star", ax=panels[0])


def test_gains_of_attacks_are_a_heat_map(folder):
    for path in folder.glob("*-*"):
        record = Record.load(path)
        settings = record.result.settings | {"attack": {"class": "Clone"}}
        replace(record, result=replace(record.result, attack=make_gains(BETAS), settings=settings)).save(path)
    sweep = cgm.load_sweep(folder)
    axes = sweep.plot.attack_gains("scheme")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Fair", "Stable"]
    assert "gain in true value" in axes.get_title()
    given = Figure(layout="constrained").subplots()
    assert sweep.plot.attack_gains("scheme", "attack_gain_size", given) is given
