"""Data from .npz files: good ones are read bit for bit, all others are refused in words."""

import numpy as np
import pytest
import torch

from analysis.errors import DataError
from analysis.loading.npz import PAIRS, read_npz
from tests.loading.files import npy, npz, zipped

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 4


def _read(**arrays):
    return read_npz(npz(**arrays), "mine.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_good_file_is_read_as_it_is(save):
    raw = read_npz(npz(save, x=X, y=Y, other=np.zeros(3)), "mine.npz")
    assert np.array_equal(raw.inputs.numpy(), X) and np.array_equal(raw.targets.numpy(), Y)
    assert raw.inputs.dtype == torch.float32 and raw.targets.dtype == torch.int64
    assert (raw.name, raw.kind, raw.class_names, raw.feature_names) == ("mine.npz", "arrays", (), ())
    assert raw.origin == "20 examples of mine.npz"


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (np.uint8, torch.uint8), (np.int8, torch.int64), (np.uint16, torch.int64), (np.int64, torch.int64),
        (np.uint64, torch.int64), (bool, torch.float32), (np.float16, torch.float32), (np.float64, torch.float32),
        (">f4", torch.float32), (">i2", torch.int64),
    ],
)  # fmt: skip
def test_inputs_keep_their_kind_of_number(kind, read):
    values = (np.arange(40).reshape(20, 2) % 2).astype(kind)
    raw = _read(x=values, y=Y)
    assert raw.inputs.dtype == read
    assert raw.inputs.double().numpy().tolist() == values.astype(float).tolist()


@pytest.mark.parametrize("kind", [np.uint8, np.int32, bool])
def test_whole_targets_are_int64(kind):
    raw = _read(x=X, y=(Y % 2).astype(kind))
    assert raw.targets.dtype == torch.int64 and raw.targets.tolist() == (Y % 2).tolist()


def test_columns_first_arrays_are_not_transposed():
    raw = _read(x=np.asfortranarray(X), y=Y)
    assert np.array_equal(raw.inputs.numpy(), X)


def test_what_is_read_may_be_written_to():
    raw = _read(x=X, y=Y)
    raw.inputs[0] = 7
    assert raw.inputs[0].tolist() == [7, 7, 7]


@pytest.mark.parametrize("pair", PAIRS)
def test_every_usual_pair_of_names_is_read(pair):
    first, second = pair
    raw = _read(**{first: X, second: Y})
    assert np.array_equal(raw.inputs.numpy(), X) and np.array_equal(raw.targets.numpy(), Y)
    assert raw.origin == "20 examples of mine.npz" + ("" if first.lower() == "x" else f" ({first})")


@pytest.mark.parametrize(
    "names", [np.array(["cat", "grüner  Frosch"]), np.array([b"cat", "grüner Frosch".encode()])]
)
def test_class_names_may_be_text_or_bytes(names):
    assert _read(x=X, y=Y % 2, class_names=names).class_names == ("cat", "grüner Frosch")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (np.array([1, 2]), "row of texts"),
        (np.array([["a", "b"]]), "row of texts"),
        (np.array(["a", "a"]), "two classes “a”"),
        (np.array(["a\n", "a"]), "two classes “a”"),
        (np.array([], dtype="U3"), "empty"),
    ],
)
def test_class_names_that_are_no_names_are_refused(names, said):
    with pytest.raises(DataError, match=said):
        _read(x=X, y=Y % 2, class_names=names)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X}, "has no array y\\. Save it with np.savez"),
        ({"labels": Y}, "has no array images\\. Save it with np.savez"),
        ({"a": X, "b": Y}, r"has no array x and y \(it holds a, b\)\. Save it with np.savez"),
    ],
)
def test_missing_arrays_are_named(arrays, said):
    with pytest.raises(DataError, match="mine.npz " + said):
        _read(**arrays)


@pytest.mark.parametrize(
    "content",
    [
        b"x,y\n1,2\n",
        npy(X),
        npz(x=X, y=Y)[:200],
        npz(x=X, y=Y)[:-30],
        zipped({"x.npy": npy(X)[:-40], "y.npy": npy(Y)}),
        zipped({"x.npy": b"raw bytes", "y.npy": npy(Y)}),
        zipped({"x.npy": b"not an array", "y.npy": npy(Y)}),
        zipped({"x.npy": b"", "y.npy": npy(Y)}),
        zipped({"x.npy": b"\x93NUMPY\x01\x00\x10", "y.npy": npy(Y)}),
    ],
)
def test_what_is_no_such_archive_is_refused(content):
    with pytest.raises(DataError):
        read_npz(content, "mine.npz")


def test_a_damaged_byte_is_refused_or_harmless():
    """600 files with one byte changed each: none may fail in another way than DataError."""
    rng = np.random.default_rng(0)
    unexpected, refused = {}, 0
    for save in (np.savez, np.savez_compressed):
        content = npz(save, x=X, y=Y)
        for _ in range(300):
            damaged = bytearray(content)
            damaged[rng.integers(len(content))] ^= int(rng.integers(1, 256))
            try:
                read_npz(bytes(damaged), "mine.npz")
            except DataError:
                refused += 1
            except Exception as error:
                unexpected[type(error).__name__] = str(error)
    assert unexpected == {}
    assert refused > 100


@pytest.mark.parametrize("count", [19, 1])
def test_unequal_lengths_are_refused_with_both(count):
    with pytest.raises(DataError, match=f"20 inputs but {count} targets"):
        _read(x=X, y=Y[:count])


@pytest.mark.parametrize(("x", "y", "said"), [(np.float32(3), Y, "x"), (X, np.int64(3), "y")])
def test_single_numbers_are_no_data(x, y, said):
    with pytest.raises(DataError, match=f"{said} in mine.npz is a single number"):
        _read(x=x, y=y)


@pytest.mark.parametrize("shape", [(0, 3), (20, 0)])
def test_empty_arrays_are_refused(shape):
    with pytest.raises(DataError, match=r"x in mine.npz is empty"):
        _read(x=np.zeros(shape), y=Y)


@pytest.mark.parametrize("kind", ["U8", "S8", "complex64", "datetime64[s]"])
def test_arrays_that_hold_no_numbers_are_refused(kind):
    wrong = Y.astype(kind)
    with pytest.raises(DataError, match=r"y in mine\.npz holds .*, not numbers"):
        _read(x=X, y=wrong)
    with pytest.raises(DataError, match=r"x in mine\.npz holds .*, not numbers"):
        _read(x=wrong.reshape(20, 1), y=Y)


def test_whole_numbers_beyond_int64_are_refused():
    with pytest.raises(DataError, match="whole numbers above"):
        _read(x=np.full((20, 1), 2**63, dtype=np.uint64), y=Y)
