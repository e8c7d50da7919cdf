"""Tables: numbers as written, answers by name, and a refusal that names the column."""

import csv
import io

import numpy as np
import pytest
import torch

from analysis.errors import DataError
from analysis.loading import table
from analysis.loading.table import column_names, read_table


def _read(text: str, **options):
    return read_table(text.encode(), "mine.csv", **options)


GOOD = "a,b,answer\n1,2.5,0\n-3,4e2,1\n"


def test_numbers_are_read_as_written():
    raw = _read(GOOD)
    assert raw.inputs.tolist() == [[1, 2.5], [-3, 400]] and raw.inputs.dtype == torch.float32
    assert raw.targets.tolist() == [0, 1] and raw.targets.dtype == torch.int64
    assert raw.feature_names == ("a", "b") and raw.class_names == ()
    assert (raw.kind, raw.name) == ("table", "mine.csv")
    assert raw.origin == "2 rows of mine.csv, answers in “answer”"


def test_any_table_of_numbers_comes_back_whatever_the_separator():
    """The same random numbers through three ways of writing; NumPy made the numbers, csv the text."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4)) * 10.0 ** rng.integers(-5, 6, size=(50, 4))
    for separator in ",;\t":
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["a", f"b {separator} quoted", "c", "d"])
        writer.writerows(values.tolist())
        raw = _read(buffer.getvalue())
        assert np.array_equal(raw.inputs.numpy(), values[:, :3].astype(np.float32))
        assert np.array_equal(raw.targets.numpy(), values[:, 3].astype(np.float32))
        assert raw.feature_names == ("a", " ".join(f"b {separator} quoted".split()), "c")


@pytest.mark.parametrize("target", ["a", "b"])
def test_the_target_column_is_chosen_by_name(target):
    raw = _read(GOOD, target_column=target)
    place = "ab".index(target)
    assert raw.targets.tolist() == [[1, -3], [2.5, 400]][place]
    assert raw.feature_names == tuple(c for c in ("a", "b", "answer") if c != target)
    assert raw.inputs.shape == (2, 2)


def test_an_unknown_target_column_is_answered_with_the_columns():
    with pytest.raises(DataError, match=r"no column “price”. Its columns: “a”, “b”, “answer”"):
        _read(GOOD, target_column="price")


def test_text_answers_become_classes_in_alphabetical_order():
    raw = _read("a,kind\n1,dog\n2,cat\n3, dog\n4,bird\n5,dog\n6,cat\n")
    assert raw.class_names == ("bird", "cat", "dog")
    assert raw.targets.tolist() == [2, 1, 2, 0, 2, 1]


def test_true_and_false_are_numbers():
    raw = _read("a,b\nTrue,False\nFalse,True\n")
    assert raw.inputs.tolist() == [[1], [0]] and raw.targets.tolist() == [0, 1]


def test_decimal_commas_of_semicolon_tables_are_understood():
    raw = _read("a;b\n1,5;2\n-0,25;3,5\n")
    assert raw.inputs.tolist() == [[1.5], [-0.25]] and raw.targets.tolist() == [2, 3.5]


def test_a_table_without_names_keeps_its_first_row():
    raw = _read("1,2,3\n4,5,6\n")
    assert raw.inputs.tolist() == [[1, 2], [4, 5]] and raw.feature_names == ("column 1", "column 2")


@pytest.mark.parametrize("start", [0, 1])
def test_row_numbers_are_no_feature(start):
    rows = "".join(f"{start + i},{i * i},{i % 2}\n" for i in range(5))
    raw = _read(",a,b\n" + rows)
    assert raw.feature_names == ("a",) and raw.inputs.flatten().tolist() == [0, 1, 4, 9, 16]
    assert "without its row numbers" in raw.origin


def test_a_nameless_first_column_that_does_not_count_is_a_feature():
    assert _read(",a,b\n5,1,0\n7,2,1\n").feature_names == ("column 1", "a")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends_do_not_matter(end):
    raw = read_table(("\ufeff" + GOOD).replace("\n", end).encode(), "mine.csv")
    assert raw.feature_names == ("a", "b") and raw.inputs.shape == (2, 2)


def test_text_features_are_refused_by_name():
    with pytest.raises(DataError, match=r"holds text in “town”, “sex”, .*Write the numbers"):
        _read("town,b,sex,y\nRome,1,m,0\nBonn,2,f,1\n")


@pytest.mark.parametrize("gap", ["", "NA", "nan", "?", "NULL"])
def test_missing_values_are_refused_by_column_and_count(gap):
    with pytest.raises(DataError, match=r"missing values in b \(2\), y \(1\)"):
        _read(f"a,b,y\n1,{gap},0\n2,{gap},1\n3,4,{gap}\n")


@pytest.mark.parametrize("value", ["inf", "-inf", "1e300"])
def test_endless_values_are_refused_by_column(value):
    with pytest.raises(DataError, match="infinite or far too large values in “b”"):
        _read(f"a,b,y\n1,{value},0\n2,3,1\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n1\n2\n", "single column"),
        ("a b\n1 2\n", "single column"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2,3\n4,5,6\n", "rows of mine.csv have 3 cells, its first row names 2 columns"),
        ("a,b\n1,2\n3,4,5,6\n", "cannot be read as a table"),
        ("a,a,b\n1,2,3\n", "two columns “a”"),
        ("a,b\n1,2\n3\n", r"missing values in b \(1\)"),
    ],
)
def test_what_is_no_table_is_refused(text, said):
    with pytest.raises(DataError, match=said):
        _read(text)


@pytest.mark.parametrize("content", [GOOD.encode("utf-16"), b"a,b\n1,\0\n", "ä,b\n1,2\n".encode("latin-1")])
def test_what_is_not_plain_text_is_refused(content):
    with pytest.raises(DataError, match="CSV"):
        read_table(content, "mine.csv")


def test_text_that_is_no_class_is_refused():
    rows = "".join(f"{i},remark {i}\n" for i in range(10))
    with pytest.raises(DataError, match=r"“note” of mine.csv holds 10 different texts"):
        _read("a,note\n" + rows)


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_ROWS", 1, "2 rows; at most 1 "), ("MAX_COLUMNS", 2, "3 columns; at most 2 "),
        ("MAX_CELLS", 8, "9 cells; at most 8 "), ("MAX_TABLE_BYTES", 20, "up to 20 "),
    ],
)  # fmt: skip
def test_every_limit_is_named(limit, value, said, monkeypatch):
    monkeypatch.setattr(table, limit, value)
    with pytest.raises(DataError, match=said):
        _read(GOOD)


def test_limits_are_met_to_the_last_cell(monkeypatch):
    for limit, value in (
        ("MAX_ROWS", 2),
        ("MAX_COLUMNS", 3),
        ("MAX_CELLS", 9),
        ("MAX_TABLE_BYTES", len(GOOD)),
    ):
        monkeypatch.setattr(table, limit, value)
    assert len(_read(GOOD)) == 2


def test_the_columns_can_be_offered_before_the_table_is_read():
    assert column_names(GOOD.encode(), "mine.csv") == ("a", "b", "answer")
    assert column_names(b"1,2\n3,4\n", "mine.csv") == ("column 1", "column 2")
