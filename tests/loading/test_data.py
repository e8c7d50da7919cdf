"""Every kind of data file is told by its content, and the others are answered with what to do."""

import pickle

import numpy as np
import pytest

from analysis.errors import DataError
from analysis.loading import data
from analysis.loading.data import SUFFIXES, read_data
from tests.loading.files import npy, npz, picture, plain, zipped

X, Y = np.arange(60.0).reshape(20, 3), np.arange(20) % 4
TABLE = b"a;b;c\n1;2;0\n3;4;1\n"
FOLDER = zipped({"cat/1.png": plain(1), "dog/2.png": plain(2)})
FILES = {"mine.npz": npz(x=X, y=Y), "pets.zip": FOLDER, "cars.csv": TABLE, "CARS.TSV": TABLE}


@pytest.mark.parametrize("name", FILES)
def test_a_path_and_its_bytes_are_read_alike(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    kind = {"npz": "arrays", "zip": "images"}.get(name[-3:], "table")
    for raw in (read_data(path), read_data(str(path)), read_data(FILES[name], name)):
        assert (raw.name, raw.kind) == (name, kind) and name in raw.origin
    assert read_data(path, "another name.csv" if kind == "table" else "x").name != name


def test_options_reach_their_reader():
    assert read_data(TABLE, "cars.csv", target_column="a").targets.tolist() == [1, 3]
    read = read_data(FOLDER, "pets.zip", image_size=(2, 3), grayscale=False)
    assert read.inputs.shape == (2, 3, 2, 3)
    told: list[float] = []
    read_data(FOLDER, "pets.zip", progress=told.append)
    assert told[-1] == 1


def test_arrays_are_read_from_a_zip_by_another_name():
    assert read_data(npz(x=X, y=Y), "mine.zip").kind == "arrays"


def test_a_dot_npz_is_never_taken_for_pictures():
    with pytest.raises(DataError, match=r"mine\.npz has no array x and y"):
        read_data(FOLDER, "mine.npz")


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "mine.csv", "mine.csv is empty. Give a .npz"),
        (b" \n", "mine.npz", "mine.npz is empty. Give a .npz"),
        (b"hello", "mine.npz", "mine.npz cannot be read. It is damaged, or no zip"),
        (b"hello", "pets.zip", "pets.zip cannot be read. It is damaged, or no zip"),
        (FOLDER[:-30], "pets.zip", "pets.zip cannot be read. It is not"),
        (npy(X), "x.npy", "a single array, without targets. Save both with np.savez"),
        (picture(np.zeros((2, 2), np.uint8)), "a.png", "a single image. Pack a folder"),
        (b"\x1f\x8b123", "a.tar.gz", "packed with gzip"),
        (b"\x1f\x8b123", "a.csv", "packed with gzip"),
        (pickle.dumps(X), "a.pkl", "a pickle, which is never loaded"),
        (pickle.dumps(X), "a.csv", "a pickle, which is never loaded"),
        (zipped({"xl/workbook.xml": b"<x/>"}), "a.xlsx", "an Excel file. Save the sheet as .csv"),
        (zipped({"data/data.pkl": b"x"}), "a.pt", "saved by PyTorch. Save the data with np.savez"),
        (b"some text", "mine.json", "mine.json is of no kind that is read here. Give a .npz"),
        (b"some text", "", "the data is of no kind"),
    ],
)  # fmt: skip
def test_what_is_no_data_file_is_answered_with_what_to_do(content, name, said):
    with pytest.raises(DataError, match=said):
        read_data(content, name)


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "gone.npz", tmp_path, "a\0b"):
        with pytest.raises(DataError, match=r"There is no file|cannot be read"):
            read_data(path)


def test_large_files_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MAX_FILE_BYTES", 20)
    path = tmp_path / "mine.npz"
    path.write_bytes(b"PK" * 11)
    with pytest.raises(DataError, match=r"mine\.npz has 22 bytes; at most 20 are read"):
        read_data(b"PK" * 11, "mine.npz")
    monkeypatch.setattr("pathlib.Path.read_bytes", None)  # never reached
    with pytest.raises(DataError, match=r"mine\.npz has 22 bytes; at most 20 are read"):
        read_data(path)


def test_every_suffix_that_is_offered_is_read():
    contents = {".npz": FILES["mine.npz"], ".zip": FOLDER}
    for suffix in SUFFIXES:
        assert len(read_data(contents.get(suffix, TABLE), f"mine{suffix}")) >= 2
