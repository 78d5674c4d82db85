"""Tests of what figures share: files, labels and legends."""

import os

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from cgm.figures.rewards import reward_sizes
from cgm.figures.style import beta_handles, beta_label, beta_styles, legend, offsets, save
from cgm.records.figures.run import outcome_of
from tests.drawn import whole
from tests.records.results import INF, change_chains, make_result


def test_save_writes_both_files_the_same_each_time(tmp_path):
    result = make_result(3, [1.0, 2.0])
    before = dict(mpl.rcParams)
    folder = tmp_path / "new" / "figures"
    png, pdf = save(reward_sizes(outcome_of(result)), folder, "sizes")
    save(reward_sizes(outcome_of(result)), folder, "again.v1")

    assert (png, pdf) == (folder / "sizes.png", folder / "sizes.pdf")
    assert sorted(p.name for p in folder.iterdir()) == [
        "again.v1.pdf",
        "again.v1.png",
        "sizes.pdf",
        "sizes.png",
    ]
    assert (folder / "again.v1.png").read_bytes() == png.read_bytes()
    assert (folder / "again.v1.pdf").read_bytes() == pdf.read_bytes()
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert pdf.read_bytes().rstrip().endswith(b"%%EOF")
    assert b"CreationDate" not in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()
    width, height = reward_sizes(outcome_of(result)).get_size_inches()
    assert imread(png).shape[:2] == (round(200 * height), round(200 * width))
    assert dict(mpl.rcParams) == before


def test_save_is_whole_or_not_at_all(tmp_path, monkeypatch):
    result = make_result(2, [1.0])
    figure = reward_sizes(outcome_of(result))
    save(figure, tmp_path, "sizes")
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError("disk full")

    changed = reward_sizes(outcome_of(change_chains(result, size=(1, 2))))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            save(changed, tmp_path, "sizes")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", fail)
        with pytest.raises(OSError, match="disk full"):
            save(changed, tmp_path, "other")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


@pytest.mark.parametrize("name", ["", "a/b", "..", "/a"])
def test_save_refuses_a_name_with_a_folder(tmp_path, name):
    with pytest.raises(ValueError, match="without its folder and extension"):
        save(Figure(), tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_each_beta_has_a_label_a_colour_and_a_marker():
    betas = [0.0, 0.5, 1.0, INF]
    assert [beta_label(beta) for beta in betas] == [rf"$\beta$ = {text}" for text in ("0", "0.5", "1", "∞")]
    styles = beta_styles(betas)
    assert list(styles) == betas
    assert len(set(styles.values())) == 4
    assert [handle.get_label() for handle in beta_handles(betas)] == [beta_label(beta) for beta in betas]
    assert beta_styles([]) == {}


def test_offsets():
    assert offsets(0, 0.3).tolist() == []
    assert offsets(1, 0.3).tolist() == [0.0]
    assert offsets(3, 0.3).tolist() == [-0.3, 0.0, 0.3]


@pytest.mark.parametrize("where", ["upper", "lower"])
def test_a_legend_fits_its_figure(where):
    figure = Figure(figsize=(4.0, 3.0), layout="constrained")
    figure.subplots().plot([0, 1])
    legend(figure, beta_handles([float(beta) for beta in range(20)]), where)
    assert whole(figure)
    legend(figure, [], where)
    assert len(figure.legends) == 1
