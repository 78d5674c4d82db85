"""Engines on the command line: what a record states, sweeps, and what is refused in one line."""

import importlib.util
import json
import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cgm import Experiment, TableMediator
from cgm.clusters import Dask, Ray
from cgm.engines import Loky
from cgm.utils.plain import plain

SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]
SMALL += ["scheme=fair", "sampling.betas=[1,8]", "downstream=none"]


def test_a_run_of_another_engine_is_the_same_run(cgm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgm.engines.FEW", 0)
    cgm(*SMALL, "engine=loky", "engine.workers=1", "hydra.run.dir=run")
    for name in ("result.json", "configuration.json"):
        assert "engine" not in json.loads(Path("run", name).read_text()).get("settings", {})
        assert "loky" not in Path("run", name).read_text().lower()
    metrics = Path("run/metrics.csv").read_bytes()
    assert "skipped, already complete" in cgm(*SMALL, "engine=threads", "hydra.run.dir=run")
    cgm(*SMALL, "hydra.run.dir=other")
    assert Path("other/metrics.csv").read_bytes() == metrics
    assert plain(Experiment(engine="loky")) == plain(Experiment())
    assert plain(TableMediator(engine=Loky(3)), attributes=True) == plain(TableMediator(), attributes=True)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/:UserWarning")  # see cgm/cli/sweep.py
@pytest.mark.skipif(importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None, reason="no launcher")
def test_processes_within_the_processes_of_a_sweep(cgm) -> None:
    sweep = ["-m", *SMALL, "seed=1,2", "synthetic_size=15000", "metric=mmd2_unbiased"]
    cgm(*sweep, "hydra.sweep.dir=serial")
    nested = [*sweep, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "engine=loky", "hydra.sweep.dir=nested"]
    assert "2 done" in cgm(*nested)
    for name in ("metrics.csv", "summary.md"):
        assert Path("nested", name).read_bytes() == Path("serial", name).read_bytes()
    assert "2 skipped" in cgm(*nested[:-3], "hydra.sweep.dir=nested")


def test_a_missing_package_is_named_with_its_extra(cgm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgm.clusters.find_spec", lambda name: None)
    pd.DataFrame({"x": np.arange(30.0)}).to_csv("a.csv", index=False)
    for engine, package in (("dask", "distributed"), ("ray", "ray")):
        line = f'cgm: error: engine={engine}: {package} is not installed; run pip install "cgm-rewards[{engine}]"'
        for arguments in (SMALL, ["-m", *SMALL, "seed=1,2"], ["settle", "a.csv", "out=settlement"]):
            with pytest.raises(SystemExit) as caught:
                cgm(*arguments, f"engine={engine}")
            assert caught.value.code == line
    assert [path.name for path in Path().iterdir()] == ["a.csv"]


def test_a_misspelt_address_is_refused(cgm) -> None:
    addresses = ("tcp://", "host", "http://host:1", "host:port", "tcp://host:123456", "-x", "a b:1")
    for cls in (Dask, Ray):
        for address in addresses:
            with pytest.raises(ValueError, match=rf"^engine\.address={re.escape(address)}: expected "):
                cls(address=address)
    for engine, address in (("dask", addresses[0]), ("ray", addresses[-1])):
        with pytest.raises(SystemExit) as caught:
            cgm(*SMALL, f"engine={engine}", f"engine.address='{address}'")
        assert caught.value.code.startswith(f"cgm: error: engine.address={address}: expected ")
        assert "\n" not in caught.value.code
    with pytest.raises(SystemExit, match=r"^cgm: error: engine\.workers=2: all workers of the cluster at "):
        cgm(*SMALL, "engine=dask", "engine.address=host:1", "engine.workers=2")
    with pytest.raises(SystemExit, match=r"^cgm: error: .*engine\.address.*Loky|^cgm: error: engine\.address: unknown"):
        cgm(*SMALL, "engine=loky", "engine.address=host:1")


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_nothing_answers_at_an_address(cgm, engine: str) -> None:
    pytest.importorskip({"dask": "distributed"}.get(engine, engine))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = rf"engine\.address=127\.0\.0\.1:{port}"
    line = rf"^cgm: error: {there}: no {engine.title()} cluster answers there \(.*refused\)$"
    with pytest.raises(SystemExit, match=line):
        cgm(*SMALL, f"engine={engine}", f"engine.address=127.0.0.1:{port}", "hydra.run.dir=run")
    assert not Path("run/result.json").exists()
