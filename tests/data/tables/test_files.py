import gzip
import hashlib

import pandas as pd
import pytest

from cgm.data.tables.files import read_parties, read_table, rows_digest, rows_of, tables_by_name


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_cells_stay_text(tmp_path):
    path = write(tmp_path, "a.csv", 'x,name\n01,"Ann, B."\n,NA\n')
    table, source = read_table(path)

    assert table.to_dict("list") == {"x": ["01", ""], "name": ["Ann, B.", "NA"]}
    assert (source.file, source.suffix, source.separator, source.decimal) == ("a.csv", ".csv", ",", ".")
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_and_decimal_commas(tmp_path, separator, caplog):
    path = write(tmp_path, "a.csv", f"x{separator}y\n1,5{separator}a,b\n-2,25{separator}c\n")
    with caplog.at_level("INFO"):
        table, source = read_table(path)

    assert table.to_dict("list") == {"x": ["1,5", "-2,25"], "y": ["a,b", "c"]}  # cells stay text
    assert source.separator == separator
    assert "columns are separated by" in caplog.text


def test_byte_order_mark_and_line_ends(tmp_path):
    path = write(tmp_path, "a.csv", "x,y\r\n1,2\r\n\r\n3,4", encoding="utf-8-sig")
    assert read_table(path)[0].to_dict("list") == {"x": ["1", "3"], "y": ["2", "4"]}


def test_compressed_files(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"x\n1\n2\n"))
    assert len(read_table(path)[0]) == 2

    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ValueError, match=f"^{path}: not a gzip file, or a truncated one"):
        read_table(path)


def test_damaged_files(tmp_path):
    for text, message in [
        ("", "the file is empty; expected a line with the names of the columns"),
        ("\n\n", "the file is empty"),
        ("x,y\n", "has no rows"),
        ("x,y\n1,2\n3\n", "line 3 has 1 cells where 2 are expected; is the file truncated"),
        ("x,y\n1,2,3\n", "line 2 has 3 cells where 2 are expected"),
        ("x,\n1,2\n", "column 2 has no name"),
        ("x,y,x\n1,2,3\n", "the column x occurs 2 times; rename one"),
        ('x,y\n1,"2\n', "line "),
        ("x,y\n1,\x00\n", "holds zero bytes"),
    ]:
        path = write(tmp_path, "a.csv", text)
        with pytest.raises(ValueError, match=f"^{path}: {message}"):
            read_table(path)


def test_other_encodings(tmp_path):
    path = write(tmp_path, "a.csv", "x,y\n1,2\n3,Zürich\n", encoding="latin-1")
    with pytest.raises(ValueError, match=f"^{path}: line 3 is not utf-8 .*encoding=latin-1"):
        read_table(path)
    assert read_table(path, "latin-1")[0]["y"][1] == "Zürich"
    with pytest.raises(ValueError, match=r"^encoding=klingon: not an encoding"):
        read_table(path, "klingon")


def test_files_of_several_encodings(tmp_path):
    text = "x,city\n1,Zürich\n2,Genève\n"
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"):
        table, _ = read_table(write(tmp_path, "a.csv", text, encoding), "latin-1")
        assert table["city"].tolist() == ["Zürich", "Genève"]
    assert read_table(write(tmp_path, "a.csv", text, "utf-16"))[0]["city"].tolist() == ["Zürich", "Genève"]
    mixed = text.encode() + "3,Neuchâtel\n".encode("latin-1")
    (tmp_path / "a.csv").write_bytes(mixed)
    with pytest.raises(ValueError, match=r"a\.csv: line 4 is not utf-8 .*; save the file as UTF-8"):
        read_table(tmp_path / "a.csv")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"a folder; expected a file that ends in \.csv"):
        read_table(tmp_path)
    with pytest.raises(ValueError, match=r"expected a file that ends in \.csv, \.csv\.gz, .*\.parquet"):
        read_table(write(tmp_path, "a.xls", "x\n1\n"))


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    pd.DataFrame({"x": [1, 2], "y": ["a", None]}).to_parquet(tmp_path / "a.parquet")
    table, source = read_table(tmp_path / "a.parquet")
    assert table["x"].tolist() == [1, 2]
    assert source.suffix == ".parquet"

    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="not a Parquet file, or a damaged one"):
        read_table(tmp_path / "b.parquet")


def test_a_file_for_each_party(tmp_path):
    files = [write(tmp_path, f"{name}.csv", "x\n1\n2\n") for name in "ba"]
    tables, sources = read_parties(files)
    assert list(tables) == ["b", "a"]
    assert [source.file for source in sources] == ["b.csv", "a.csv"]
    assert list(read_parties(files, names=["one", "two"])[0]) == ["one", "two"]

    with pytest.raises(ValueError, match="names: 1 names for 2 parties"):
        read_parties(files, names=["one"])
    with pytest.raises(ValueError, match="the name one occurs more than once"):
        read_parties(files, names=["one", "one"])
    with pytest.raises(ValueError, match="one file; give one for each party, or say party_column=NAME"):
        read_parties(files[:1])
    with pytest.raises(ValueError, match="no files"):
        read_parties([])


def test_one_file_for_all_parties(tmp_path):
    path = write(tmp_path, "all.csv", "x,bank\n1,north\n2,south\n3,north\n")
    tables, sources = read_parties([path], party_column="bank")

    assert {name: table["x"].tolist() for name, table in tables.items()} == {"north": ["1", "3"], "south": ["2"]}
    assert [list(table.columns) for table in tables.values()] == [["x"], ["x"]]
    assert [source.sha256 for source in sources] == [rows_digest(table) for table in tables.values()]
    # a party can compute the digest from its own rows, in any order and with other separators
    own = write(tmp_path, "own.csv", 'x\n"3"\n1 \n')
    assert rows_digest(read_table(own)[0]) == sources[0].sha256
    joint = read_table(path)[0]
    assert [rows_digest(rows_of(joint, "bank", name)) for name in tables] == [source.sha256 for source in sources]
    assert (sources[1].party_column, sources[1].party, sources[1].encoding) == ("bank", "south", "utf-8")
    changed = write(tmp_path, "own.csv", "x\n3\n2\n")
    assert rows_digest(read_table(changed)[0]) != sources[0].sha256
    with pytest.raises(ValueError, match=r"party_column=y: all\.csv has the columns x, bank"):
        read_parties([path], party_column="y")
    with pytest.raises(ValueError, match="expected one file for all parties, got 2"):
        read_parties([path, path], party_column="bank")
    with pytest.raises(ValueError, match=r"all\.csv, column bank: empty in data row 2"):
        read_parties([write(tmp_path, "all.csv", "x,bank\n1,a\n2,\n")], party_column="bank")


def test_tables_given_as_objects():
    tables, sources = tables_by_name({"a": pd.DataFrame({1: [1.0, 2.0]}, index=[7, 9])})
    assert tables["a"].index.tolist() == [0, 1]
    assert list(tables["a"].columns) == ["1"]
    assert sources[0].file == "a"
    for wrong, message in [({}, "with at least one"), ({"a": [1]}, "expected a pandas DataFrame, got list")]:
        with pytest.raises(ValueError, match=message):
            tables_by_name(wrong)
    with pytest.raises(ValueError, match="no rows"):
        tables_by_name({"a": pd.DataFrame({"x": []})})
    with pytest.raises(ValueError, match="column x occurs 2 times"):
        tables_by_name({"a": pd.DataFrame([[1, 2]], columns=["x", "x"])})
