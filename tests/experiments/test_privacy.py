"""The study of what privacy costs: its plan, its experiments, its report."""

import json

from cgm.privacy.release import NoPrivacy, Release
from experiments.privacy.__main__ import main
from experiments.privacy.report import mean, select, write_report
from experiments.privacy.study import DATASETS, EPSILONS, SIZES, Job, _experiment, plan


def lines():
    for job in plan():
        if job.part == "alpha":
            errors = {f"{e:g}": {"noise": 0.01 / e, "both": 0.02 / e} for e in (0.5, 1.0, 3.0)}
            numbers = {"lengthscale": 1.5, "dimensions": 300, "missed": 0.01, "features": 0.015, "errors": errors}
        else:
            noise = 0.0 if job.epsilon is None else 0.01 / job.epsilon
            numbers = {
                "grand": 1.0,
                "value": [0.5 - noise, 0.6],
                "alpha": [0.8 + noise, 1.0],
                "with_reward": [0.9, 1.0],
                "reward": [0.9, 1.0],
            }
            numbers |= {"own": [0.5, 0.7], "accuracy": [0.8 - noise, 0.9], "size": [100, 1000]}
            if job.epsilon is not None:
                numbers |= {"values_exact": [0.5, 0.6], "alpha_exact": [0.8, 1.0], "alpha_stderr": [noise, None]}
                numbers |= {"with_public": [0.85, 0.85]} if job.epsilon == 1 else {}
        yield vars(job) | numbers


def test_the_plan_has_each_job_once():
    jobs = list(plan())
    assert len(set(jobs)) == len(jobs)
    runs = {(job.dataset, job.points, job.epsilon) for job in jobs if job.part == "runs"}
    assert len(runs) == len(DATASETS) * len(SIZES) * len(EPSILONS)


def test_an_experiment_is_that_of_its_job():
    private = _experiment(Job("price", "credit_card", 1000, 3, 0.5))
    assert private.privacy == Release(0.5, price="bias")
    assert (private.seed, private.split.points_per_party, private.synthetic_size) == (3, 1000, 5000)
    assert private.generator.steps == 100
    open_to_all = _experiment(Job("runs", "mnist", 5000, 0, None))
    assert open_to_all.privacy == NoPrivacy()
    assert type(open_to_all.generator).__name__ == "MeanEmbedding"


def test_the_report_is_written_from_the_records_alone(tmp_path, capsys):
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines()))
    main(["--report", "--folder", str(tmp_path)])
    assert "README.md" in capsys.readouterr().out
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for row in (
        "| credit ratings | 1,000 | error of α / as stated | 0.0100 / 0.0200 | 0.0050 / 0.0100 | 0.0017 / 0.0033 | ",
        "| MNIST | 5,000 | 0.600 | 0.840 | 0.845 | 0.848 | 0.850 | 0.850 | 0.850 |",
        "| CIFAR-10 | 1.5 (fit) | 300 | 1 % | 0.0150 | 0.0200 / 0.0400 | 0.0100 / 0.0200 | 0.0033 / 0.0067 |",
        "| credit card | 0.5400 | 0.5450 | 0.5483 | 0.5495 | 0.5500 |",
    ):
        assert row in text
    assert "α errs by at most 0.0200 with the median length-scale" in text
    assert "it is −0.5 at ε = 1 and −0.2 at ε = 3" in text
    before = {name: (tmp_path / name).read_bytes() for name in ("README.md", "values.png", "accuracy.png")}
    write_report(tmp_path / "runs.jsonl", tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_without_records_the_report_says_so(tmp_path):
    assert "No runs." in write_report(tmp_path / "runs.jsonl", tmp_path).read_text(encoding="utf-8")
    assert mean(select([], "runs"), lambda line: line["own"]) is None
