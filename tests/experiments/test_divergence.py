"""The experiment on the bias of the reverse KL divergence."""

import json

import pytest

from experiments.paper import divergence


@pytest.fixture(scope="module")
def measured() -> dict:
    return divergence.measure("credit_ratings", "unequal", seed=0, size=3000)


def test_measure(measured: dict) -> None:
    """Uniform draws are nearer to T than rewards are; the estimates from T and from other points differ."""

    sizes, values = measured["sizes"], measured["values"]
    assert set(values) == set(measured["correlations"]) == {"T", "other", "uniform"}
    assert len(sizes) == 4  # β
    assert max(map(max, sizes)) <= 3000
    for table in values.values():
        assert [len(row) for row in table] == [5] * 4
        assert all(x != 0 for row in table for x in row)
    assert values["T"] != values["other"]
    mean = {name: sum(map(sum, table)) / 20 for name, table in values.items()}
    assert mean["T"] < mean["uniform"]
    assert abs(mean["uniform"]) < 0.2
    assert all(-1 <= x <= 1 for x in measured["correlations"].values())


def test_section_of_the_report(measured: dict, tmp_path) -> None:
    assert divergence.divergences(tmp_path) == []
    (tmp_path / divergence.FILE).write_text(json.dumps([measured, measured | {"seed": 1}]))
    text = "\n".join(divergence.divergences(tmp_path))
    assert "|G| = 3,000" in text
    row = next(line for line in text.splitlines() if line.startswith("| credit ratings"))
    assert row.split("|")[2:4] == [" unequal ", " 2 "]
    assert f"{measured['correlations']['other']:.2f}".lstrip("-") in row
