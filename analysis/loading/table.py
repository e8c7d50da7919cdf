"""Data from a table of text: .csv with commas, semicolons or tabs. Cells are values, never formulas."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.loading.raw import RawData, check_amount, clean_names

MAX_TABLE_BYTES = 200_000_000
MAX_ROWS = 1_000_000
MAX_COLUMNS = 10_000
MAX_CELLS = 20_000_000
MAX_TEXT_CLASSES = 1000
SEPARATORS = ",;\t"
MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")
_SHOWN = 5  # columns named in a message
_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


def read_table(content: bytes, name: str, *, target_column: str | None = None) -> RawData:
    """A table of numbers: every column is a feature, but one, which holds the answers.

    The first row names the columns, unless it holds numbers only. Answers may be text: class names, numbered
    in the order of the alphabet. A first column without a name that only counts the rows is left out.

    Parameters
    ----------
    target_column : str, optional
        The column with the answers; default the last.

    Raises
    ------
    DataError
        If it is no table, is too large, or has a missing value, or text where a number is needed.
    """
    header, separator = _check(content, name)
    named = not all(_NUMBER.fullmatch(cell) for cell in header)
    columns = _names(header, name) if named else tuple(f"column {i + 1}" for i in range(len(header)))
    frame = _parse(content, name, separator, columns, named)
    counted = named and not header[0].strip() and _counts_rows(frame.iloc[:, 0])
    if counted:
        frame, columns = frame.iloc[:, 1:], columns[1:]
    target = columns[-1] if target_column is None else target_column
    if target not in columns:
        raise DataError(f"{name} has no column “{target}”. Its columns: {_listed(columns)}.")
    features = tuple(column for column in columns if column != target)
    if not features:
        raise DataError(f"{name} has the column “{target}” only: a table needs features beside the answers.")
    _refuse_missing(frame, name)
    inputs = _inputs(frame[list(features)], name)
    targets, class_names = _targets(frame[target], name)
    what = f"{len(frame):,} rows of {name}, answers in “{target}”"
    return RawData(
        name=name,
        inputs=inputs,
        targets=targets,
        class_names=class_names,
        feature_names=features,
        origin=what + (", without its row numbers" if counted else ""),
        kind="table",
    )


def column_names(content: bytes, name: str) -> tuple[str, ...]:
    """The columns that a table offers as `target_column`, in its order.

    Raises
    ------
    DataError
        As :func:`read_table` of a file that is no table.
    """
    header, _ = _check(content, name)
    if all(_NUMBER.fullmatch(cell) for cell in header):
        return tuple(f"column {i + 1}" for i in range(len(header)))
    return _names(header, name)


def _check(content: bytes, name: str) -> tuple[list[str], str]:
    """The cells of the first row and the separator, after refusing what would take too much to parse."""
    if len(content) > MAX_TABLE_BYTES:
        raise DataError(f"{name} has {len(content):,} bytes; tables of up to {MAX_TABLE_BYTES:,} are read.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise DataError(f"{name} is not plain text. Save the table as CSV in UTF-8.")
    rows = content.rstrip().count(b"\n") + 1
    if rows - 1 > MAX_ROWS:
        raise DataError(f"{name} has {rows - 1:,} rows; at most {MAX_ROWS:,} are read. Use fewer examples.")
    end = content.find(b"\n")
    first = content if end < 0 else content[:end]
    most = max(first.count(separator.encode()) for separator in SEPARATORS) + 1
    if most > MAX_COLUMNS:
        raise DataError(f"{name} has {most:,} columns; at most {MAX_COLUMNS:,} are read.")
    try:
        text = first.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not written in UTF-8. Save the table as “CSV UTF-8”.") from error
    separator = max(SEPARATORS, key=_without_quotes(text).count)
    try:
        header = next(csv.reader([text], delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"The first row of {name} cannot be read ({error}).") from error
    if len(header) < 2:
        raise DataError(
            f"{name} has a single column, or its cells are not separated by a comma, semicolon or tab."
        )
    cells = content.count(separator.encode()) + rows
    if cells > MAX_CELLS:
        raise DataError(
            f"{name} has {cells:,} cells; at most {MAX_CELLS:,} are read. "
            "Use fewer examples, or save the arrays as .npz."
        )
    return header, separator


def _without_quotes(text: str) -> str:
    return re.sub(r'"[^"]*"', "", text)


def _names(header: list[str], name: str) -> tuple[str, ...]:
    return clean_names([cell or f"column {i + 1}" for i, cell in enumerate(header)], name, "columns")


def _parse(content: bytes, name: str, separator: str, columns: tuple[str, ...], named: bool) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            decimal="," if separator != "," and _decimal_comma(content) else ".",
            header=None,  # with names, pandas takes surplus cells for names of the rows
            skiprows=1 if named else 0,
            keep_default_na=False,
            na_values=list(MISSING),
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8-sig",
            float_precision="round_trip",
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{name} has a header but no rows.") from None
    except Exception as error:  # ParserError and others, with messages of their own
        raise DataError(
            f"{name} cannot be read as a table ({str(error).strip()}). Each row needs {len(columns)} cells."
        ) from error
    if frame.shape[1] != len(columns):
        raise DataError(
            f"The rows of {name} have {frame.shape[1]:,} cells, its first row names {len(columns):,} columns."
        )
    return frame.set_axis(list(columns), axis=1)


def _decimal_comma(content: bytes) -> bool:
    """True if the first rows write 1,5 and not 1.5."""
    start = content[:20_000]
    return bool(re.search(rb"\d,\d", start)) and not re.search(rb"\d\.\d", start)


def _counts_rows(column: pd.Series) -> bool:
    """True for 0, 1, 2, ... or 1, 2, 3, ..."""
    if column.dtype.kind not in "iu":
        return False
    values = column.to_numpy()
    return values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def _refuse_missing(frame: pd.DataFrame, name: str) -> None:
    counts = frame.isna().sum()
    lacking = counts[counts > 0]
    if len(lacking):
        named = _listed([f"{column} ({count:,})" for column, count in lacking.items()], quoted=False)
        raise DataError(
            f"{name} has missing values in {named}. Fill them as in training, or drop those rows or columns."
        )


def _inputs(frame: pd.DataFrame, name: str) -> Tensor:
    """The features as float32, (N, features); true and false are 1 and 0."""
    text = [str(column) for column, kind in frame.dtypes.items() if kind.kind not in "iufb"]
    if text:
        raise DataError(
            f"{name} holds text in {_listed(text)}, and a network reads numbers. Write the numbers that stood "
            "for it in training (one column for each category, if they were one-hot), or drop the column."
        )
    check_amount(name, frame.shape)
    with np.errstate(over="ignore"):  # named with the other infinite values
        values = frame.to_numpy(dtype=np.float64).astype(np.float32)
    endless = ~np.isfinite(values).all(axis=0)
    if endless.any():
        named = [str(column) for column, is_bad in zip(frame.columns, endless, strict=True) if is_bad]
        raise DataError(
            f"{name} holds infinite or far too large values in {_listed(named)}. Drop those rows."
        )
    return torch.from_numpy(values)


def _targets(column: pd.Series, name: str) -> tuple[Tensor, tuple[str, ...]]:
    kind = column.dtype.kind
    if kind in "ib":
        return torch.from_numpy(column.to_numpy(dtype=np.int64)), ()
    if kind in "uf":
        with np.errstate(over="ignore"):
            values = column.to_numpy(dtype=np.float64).astype(np.float32)
        return torch.from_numpy(values), ()
    codes, texts = pd.factorize(column.astype(str).str.strip(), sort=True)
    if len(texts) > min(MAX_TEXT_CLASSES, max(2, len(column) // 2)):
        raise DataError(
            f"The column “{column.name}” of {name} holds {len(texts):,} different texts, too many to be classes. "
            "Choose the column that holds the answers."
        )
    return torch.from_numpy(codes.astype(np.int64)), clean_names(list(texts), name, "classes")


def _listed(columns: list[str] | tuple[str, ...], *, quoted: bool = True) -> str:
    shown = [f"“{column}”" if quoted else str(column) for column in columns[:_SHOWN]]
    more = len(columns) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
