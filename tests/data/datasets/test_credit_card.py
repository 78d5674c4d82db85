import gzip
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.data import CreditCard, EqualDisjoint, Unequal
from cgm.data.datasets.credit_card import amount_edges


def table(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Rows with the columns of the real file; amounts have ties, as real ones do."""

    rng = np.random.default_rng(seed)
    columns = {"Time": np.arange(n)}
    columns |= {f"V{k}": rng.normal(loc=k, scale=1 + k, size=n) for k in range(1, 29)}
    columns |= {"Amount": rng.lognormal(3, 1.5, size=n).round(0), "Class": rng.integers(0, 2, size=n)}

    return pd.DataFrame(columns)


def write(folder: Path, frame: pd.DataFrame, name: str = "creditcard.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)

    return path


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    """Hide the user's data folder."""

    monkeypatch.delenv("CGM_DATA", raising=False)


def test_load_against_a_plain_computation(tmp_path):
    frame = table()
    write(tmp_path, frame)
    dataset = CreditCard().load(str(tmp_path), seed=3)

    assert dataset.x.dtype == dataset.x_test.dtype == torch.float64
    assert len(dataset.x) == 480
    assert len(dataset.x_test) == 120

    # Undo the standardising to find each point's row in the file.
    v = frame[["V1", "V2", "V3", "V4"]].to_numpy()
    points = torch.cat([dataset.x, dataset.x_test]).numpy()
    order = np.argsort(np.argsort(points[:, 0]))
    row = np.argsort(v[:, 0])[order]
    train, test = row[:480], row[480:]
    np.testing.assert_allclose(points, (v[row] - v[train].mean(axis=0)) / v[train].std(axis=0), atol=1e-12)
    np.testing.assert_allclose(dataset.x.mean(dim=0), 0, atol=1e-12)
    np.testing.assert_allclose(dataset.x.std(dim=0, correction=0), 1, atol=1e-12)

    # Classes are ranges of amount that follow each other; the training part's are as even as ties allow.
    amount = frame["Amount"].to_numpy()
    for c in range(4):
        edge = amount[train][dataset.y <= c].max()
        assert amount[train][dataset.y > c].min() > edge
        assert (amount[test][dataset.y_test <= c] <= edge).all()
        assert (amount[test][dataset.y_test > c] > edge).all()
        here = abs((amount[train] <= edge).sum() - 96 * (c + 1))
        assert here == min(abs((amount[train] <= other).sum() - 96 * (c + 1)) for other in amount[train])
    assert (torch.abs(dataset.y_test.bincount() - dataset.y.bincount() / 4) <= 2).all()
    assert dataset.classes[0] == f"Amount <= {amount[train][dataset.y == 0].max():g}"
    assert len(dataset.classes) == 5


def test_settings_and_seed(tmp_path):
    write(tmp_path, table())
    zero, again, one = (CreditCard().load(str(tmp_path), seed) for seed in (0, 0, 1))
    other = CreditCard(components=28, classes=3, test_share=0.5).load(str(tmp_path), 0)

    assert torch.equal(zero.x, again.x)
    assert torch.equal(zero.y_test, again.y_test)
    assert not torch.equal(zero.x, one.x)
    assert other.x.shape == (300, 28)
    assert len(other.classes) == int(other.y.max()) + 1 == 3


def test_duplicates_are_kept(tmp_path):
    write(tmp_path, pd.concat([table(100)] * 3))
    dataset = CreditCard().load(str(tmp_path), seed=0)

    assert len(dataset.x) + len(dataset.x_test) == 300


@pytest.mark.parametrize(
    "name",
    ["creditcard/creditcard.csv.gz", "creditcard/creditcard.csv", "creditcard.csv.gz", "creditcard.csv"],
)
def test_places(tmp_path, monkeypatch, name):
    write(tmp_path, table(), name)
    by_folder = CreditCard().load(str(tmp_path), seed=0)
    by_path = CreditCard(path=name).load(str(tmp_path), seed=0)
    absolute = CreditCard(path=str(tmp_path / name)).load("elsewhere", seed=0)
    monkeypatch.setenv("CGM_DATA", str(tmp_path))
    by_environment = CreditCard().load(None, seed=0)

    for other in (by_path, absolute, by_environment):
        assert torch.equal(other.x, by_folder.x)


def test_default_folder_and_order_of_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", table(600))
    assert len(CreditCard(test_share=0.5).load(None, seed=0).x) == 300
    write(tmp_path / "data", table(200), "creditcard/creditcard.csv")
    assert len(CreditCard(test_share=0.5).load(None, seed=0).x) == 100
    write(tmp_path / "data", table(100), "creditcard/creditcard.csv.gz")
    assert len(CreditCard(test_share=0.5).load(None, seed=0).x) == 50


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        CreditCard().load(str(tmp_path), seed=0)
    message = str(caught.value)
    for part in (
        *(str(tmp_path / name) for name in ("creditcard.csv", "creditcard/creditcard.csv.gz")),
        "kaggle.com/datasets/mlg-ulb/creditcardfraud",
        "dataset.download=true",
        "data_dir=",
        "CGM_DATA",
    ):
        assert part in message

    with pytest.raises(FileNotFoundError, match=r"mine\.csv"):
        CreditCard(path="mine.csv").load(str(tmp_path), seed=0)


def test_download(tmp_path, monkeypatch):
    # OpenML has no Time, and Class as a category.
    frame = table().drop(columns="Time").astype({"Class": "category"})
    calls = []

    def fetch(**arguments):
        calls.append(arguments)
        return SimpleNamespace(frame=frame)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    downloaded = CreditCard(download=True).load(str(tmp_path), seed=0)
    assert [call["data_id"] for call in calls] == [1597]
    assert calls[0]["data_home"] == str(tmp_path)

    write(tmp_path, table())
    read = CreditCard(download=True).load(str(tmp_path), seed=0)
    assert len(calls) == 1  # a file that is there is used
    assert torch.allclose(read.x, downloaded.x)
    assert torch.equal(read.y, downloaded.y)


def test_download_fails(tmp_path, monkeypatch):
    def fetch(**arguments):
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(FileNotFoundError, match=r"no network.*kaggle"):
        CreditCard(download=True).load(str(tmp_path), seed=0)


def test_download_with_other_columns(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: SimpleNamespace(frame=table().drop(columns="V2")))
    with pytest.raises(ValueError, match="OpenML: lacks the columns V2"):
        CreditCard(download=True).load(str(tmp_path), seed=0)


def spoil(frame: pd.DataFrame, row: int, column: str, value) -> pd.DataFrame:
    frame = frame.astype({column: object})
    frame.loc[row, column] = value

    return frame


def test_bad_content(tmp_path):
    for frame, message in [
        (table().drop(columns=["V3", "Amount"]), "lacks the columns V3, Amount"),
        (table().rename(columns=str.lower), "lacks the columns V1"),
        (table(0), "no rows"),
        (spoil(table(), 7, "V2", None), "row 7 .* has nan in column V2, expected a finite number"),
        (spoil(table(), 7, "V2", "abc"), "row 7 .* has abc in column V2"),
        (spoil(table(), 7, "Amount", "inf"), "row 7 .* in column Amount"),
        (table().assign(V3=1.1), "column V3 has the same value"),
        (table().assign(Amount=5.0), "dataset.classes=5: every Amount is 5"),
        (table().assign(Amount=np.arange(600) % 3), "dataset.classes=5: .*too many ties"),
        (table(6), "class 0 has only one row, but each class needs at least two"),
    ]:
        path = write(tmp_path, frame)

        with pytest.raises(ValueError, match=message) as caught:
            CreditCard().load(str(tmp_path), seed=0)
        assert str(path) in str(caught.value)


def damaged() -> dict[str, tuple[str, bytes]]:
    text = table().to_csv(index=False).encode()
    packed = gzip.compress(text)
    rows = text.splitlines()
    cut = b"\n".join(rows[:300]) + b"\n" + rows[300][: len(rows[300]) // 2]
    wide = b"\n".join([rows[0], *(b"0," + row for row in rows[1:])])

    return {
        "truncated gzip": ("creditcard.csv.gz", packed[: len(packed) // 2]),
        "damaged gzip": ("creditcard.csv.gz", packed[:5000] + bytes(100) + packed[5100:]),
        "not gzip": ("creditcard.csv.gz", text),
        "empty gzip": ("creditcard.csv.gz", b""),
        "gzip by the wrong name": ("creditcard.csv", packed),
        "empty": ("creditcard.csv", b""),
        "cut within a row": ("creditcard.csv", cut),
        "cut before Class": ("creditcard.csv", text[: text.rindex(b",") + 1]),
        "web page": ("creditcard.csv", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"),
        "ragged": ("creditcard.csv", text + b"1,2,3" + b",4" * 40 + b"\n"),
        "wider than the header": ("creditcard.csv", wide),
    }


@pytest.mark.parametrize("case", list(damaged()))
def test_damaged_file(tmp_path, case):
    name, content = damaged()[case]
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError) as caught:
        CreditCard().load(str(tmp_path), seed=0)
    assert str(tmp_path / name) in str(caught.value)


@given(amount=st.lists(st.integers(0, 8), min_size=1, max_size=40), classes=st.integers(2, 5))
def test_amount_edges_by_trying_all(amount, classes):
    cuts = sorted(set(amount))[:-1]
    below = [sum(a <= cut for a in amount) for cut in cuts]
    # In units of 1 / m rows, so that the plain computation is one of integers.
    best = [
        min(zip(cuts, below, strict=True), key=lambda cut: (abs(cut[1] * classes - k * len(amount)), cut[0]))[0]
        if cuts
        else None
        for k in range(1, classes)
    ]

    if None in best or len(set(best)) < classes - 1:
        with pytest.raises(ValueError, match=f"dataset.classes={classes}"):
            amount_edges(np.array(amount, dtype=float), classes)
    else:
        assert amount_edges(np.array(amount, dtype=float), classes).tolist() == best


def test_a_path_is_not_downloaded():
    with pytest.raises(ValueError, match=r"dataset.path=a.csv: cannot be combined with dataset.download=true"):
        CreditCard(path="a.csv", download=True)


def test_real_file(data_dir):
    dataset = CreditCard().load(str(data_dir), seed=0)

    assert dataset.x.shape[1] == 4
    assert len(dataset.x) > 20_000
    for y in (dataset.y, dataset.y_test):
        assert y.bincount().tolist() == pytest.approx([len(y) / 5] * 5, rel=0.05)
    for split in (EqualDisjoint(points_per_party=5000), Unequal(points_per_party=5000)):
        parties = split.assign(dataset.y, 5, seed=0, classes=dataset.classes)
        assert [len(party) for party in parties] == [5000] * 5
