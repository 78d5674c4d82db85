"""Tests of the text of tables."""

from cgm.utils.text import aligned_lines, csv_text, markdown_table, mean_cell


def test_tables():
    rows = [["a", "1"], ["b|c", "10"]]
    assert markdown_table(["name", "n"], rows) == "| name | n |\n| --- | --- |\n| a | 1 |\n| b\\|c | 10 |"
    assert csv_text(["name", "n"], [*rows, ["d,e", ""]]) == 'name,n\na,1\nb|c,10\n"d,e",\n'
    assert aligned_lines([["name", "n"], *rows]) == ["name   n", "   a   1", " b|c  10"]


def test_means():
    for values, text in (
        ([], ""),
        ([None, None], ""),
        ([0.123456], "0.1235"),
        ([123456789], "123456789"),
        ([1.0, 2.0, 3.0], "2 ± 0.58"),
        ([1, 3, None], "2 ± 1 (2 of 3)"),
    ):
        assert mean_cell(values) == text
