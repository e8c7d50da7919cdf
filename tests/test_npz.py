"""Data from .npz files: good ones are read, all others are refused in words."""

import io
import zipfile

import numpy as np
import pytest
import torch

from analysis.errors import DataError
from analysis.loading import npz
from analysis.loading.npz import load_npz
from analysis.tasks import CLASSIFICATION, REGRESSION

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 4


@pytest.fixture
def saved(tmp_path):
    def save(content: bytes | None = None, **arrays) -> str:
        path = tmp_path / "mine.npz"
        if content is None:
            np.savez(path, **arrays)
        else:
            path.write_bytes(content)
        return str(path)

    return save


def _npz(save=np.savez, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _header(shape: tuple[int, ...]) -> bytes:
    """The start of an .npy file that claims `shape`, without its values."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _rows(*splits) -> list[tuple[float, ...]]:
    return [
        (*row, float(target))
        for split in splits
        for row, target in zip(split.inputs.tolist(), split.targets.tolist(), strict=True)
    ]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_good_file_is_split_without_loss_or_overlap(saved, save):
    data = load_npz(saved(_npz(save, x=X, y=Y, other=np.zeros(3))), CLASSIFICATION, classes=4)
    assert (len(data.evaluation), len(data.calibration)) == (16, 4)
    rows = _rows(data.evaluation, data.calibration)
    assert sorted(rows) == sorted((*x, float(y)) for x, y in zip(X.tolist(), Y.tolist(), strict=True))
    assert data.name == "mine.npz" and data.task is CLASSIFICATION
    assert data.evaluation.inputs.dtype == torch.float32
    assert data.evaluation.targets.dtype == torch.int64
    assert data.evaluation.origin == "16 of 20 examples of mine.npz"


def test_the_split_is_seeded_and_shuffled(saved):
    torch.manual_seed(1)
    first = load_npz(saved(x=X, y=Y), CLASSIFICATION)
    torch.manual_seed(2)
    second = load_npz(saved(x=X, y=Y), CLASSIFICATION)
    assert _rows(first.evaluation) == _rows(second.evaluation)
    assert _rows(first.calibration) == _rows(second.calibration)
    assert first.evaluation.inputs[:, 0].tolist() != sorted(first.evaluation.inputs[:, 0].tolist())


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
@pytest.mark.parametrize("kind", [np.float64, np.int32, np.uint8, bool])
def test_values_of_any_number_type_are_read_for_regression(saved, shape, kind):
    y = (np.arange(20) % 2).astype(kind).reshape(shape)
    data = load_npz(saved(x=X.astype(np.float64), y=y), REGRESSION)
    assert data.evaluation.targets.dtype == torch.float32 and data.evaluation.targets.dim() == 1
    assert sorted(_rows(data.evaluation, data.calibration)) == sorted(
        (*x, float(v)) for x, v in zip(X.tolist(), y.ravel().tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("arrays", "names"), [({"x": X}, "y"), ({"y": Y}, "x"), ({"inputs": X, "targets": Y}, "x and y")]
)
def test_missing_arrays_are_named(saved, arrays, names):
    with pytest.raises(DataError, match=f"no array {names}\\. Save it with np.savez"):
        load_npz(saved(**arrays), CLASSIFICATION)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*gone\.npz"):
        load_npz(tmp_path / "gone.npz", CLASSIFICATION)


def test_pickled_objects_are_never_loaded(saved, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    objects = np.empty(20, dtype=object)
    objects[:] = [Trap() for _ in range(20)]
    for arrays in ({"x": objects, "y": Y}, {"x": X, "y": objects}):
        with pytest.raises(DataError, match=r"mine\.npz cannot be read as \.npz"):
            load_npz(saved(_npz(**arrays)), CLASSIFICATION)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x,y\n1,2\n",
        _npy(X),
        _npz(x=X, y=Y)[:200],
        _npz(x=X, y=Y)[:-30],
        _zip(x_npy=_npy(X)[:-40], y_npy=_npy(Y)),
        _zip(x=b"raw bytes", y_npy=_npy(Y)),
        _zip(x_npy=b"not an array", y_npy=_npy(Y)),
    ],
    ids=[
        "empty", "text", "npy", "truncated", "no directory", "truncated member", "raw member", "fake member"
    ],
)  # fmt: skip
def test_what_is_no_such_archive_is_refused(saved, content):
    with pytest.raises(DataError, match=r"mine\.npz"):
        load_npz(saved(content), CLASSIFICATION)


def test_a_damaged_byte_is_refused_or_harmless(saved):
    """600 files with one byte changed each: none may fail in another way than DataError."""
    rng = np.random.default_rng(0)
    unexpected = {}
    for save in (np.savez, np.savez_compressed):
        content = _npz(save, x=X, y=Y)
        for _ in range(300):
            damaged = bytearray(content)
            damaged[rng.integers(len(content))] ^= int(rng.integers(1, 256))
            try:
                load_npz(saved(bytes(damaged)), CLASSIFICATION, classes=4)
            except DataError:
                pass
            except Exception as error:
                unexpected[type(error).__name__] = str(error)
    assert unexpected == {}


def test_archives_that_claim_too_much_are_not_unpacked(saved, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 100)
    monkeypatch.setattr(np, "load", None)  # never reached
    with pytest.raises(DataError, match=r"unpacks to \d+ bytes; at most 100 are read") as caught:
        load_npz(saved(_npz(np.savez_compressed, x=np.zeros((20, 3)), y=Y)), CLASSIFICATION)
    assert "fewer examples" in str(caught.value)


@pytest.mark.parametrize("shape", [(10**13,), (2**70,), (-5, 3)])
def test_headers_that_claim_too_much_are_refused_before_memory_is_given(saved, shape, monkeypatch):
    path = saved(_zip(x_npy=_header(shape), y_npy=_npy(Y)))
    loaded = []
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: loaded.append(args))
    with pytest.raises(DataError, match=r"mine\.npz"):
        load_npz(path, CLASSIFICATION)
    assert loaded == []


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_inputs_that_are_not_finite_in_float32_are_refused(saved, bad):
    x = X.astype(np.float64)
    x[3, 1] = bad
    with pytest.raises(DataError, match="1 of the inputs are NaN or infinite"):
        load_npz(saved(x=x, y=Y), CLASSIFICATION)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION], ids=lambda task: task.name)
def test_targets_that_are_not_finite_are_refused(saved, task):
    y = Y.astype(np.float64)
    y[5] = np.nan
    with pytest.raises(DataError, match="NaN"):
        load_npz(saved(x=X, y=y), task)


@pytest.mark.parametrize("label", [4, -1])
def test_labels_outside_the_classes_are_refused(saved, label):
    with pytest.raises(DataError, match=r"4 outputs \(labels 0 to 3\)"):
        load_npz(saved(x=X, y=np.where(Y == 2, label, Y)), CLASSIFICATION, classes=4)


def test_labels_between_two_classes_are_refused(saved):
    with pytest.raises(DataError):
        load_npz(saved(x=X, y=Y + 0.5), CLASSIFICATION, classes=5)


def test_one_hot_targets_are_refused(saved):
    """Their first column alone would pass for labels 0 and 1."""
    with pytest.raises(DataError, match=r"\(N,\)"):
        load_npz(saved(x=X, y=np.eye(4, dtype=np.int64)[Y]), CLASSIFICATION, classes=4)


@pytest.mark.parametrize(
    ("x", "y"),
    [(X[:9], Y[:9]), (X[:0], Y[:0]), (X[:, 0], Y), (np.float32(3), Y), (X, np.int64(3))],
    ids=["nine", "none", "flat x", "scalar x", "scalar y"],
)
def test_too_few_examples_or_dimensions_are_refused(saved, x, y):
    with pytest.raises(DataError, match="at least 10 examples"):
        load_npz(saved(x=x, y=y), CLASSIFICATION)


@pytest.mark.parametrize("count", [19, 0])
def test_unequal_lengths_are_refused_with_both(saved, count):
    with pytest.raises(DataError, match=f"20 inputs but {count} targets"):
        load_npz(saved(x=X, y=Y[:count]), CLASSIFICATION)


@pytest.mark.parametrize("kind", ["U8", "S8", "complex64", "datetime64[s]"])
def test_arrays_that_hold_no_numbers_are_refused(saved, kind):
    wrong = Y.astype(kind)
    with pytest.raises(DataError, match=r"y in mine\.npz holds .*, not numbers"):
        load_npz(saved(x=X, y=wrong), CLASSIFICATION)
    with pytest.raises(DataError, match=r"x in mine\.npz holds .*, not numbers"):
        load_npz(saved(x=wrong.reshape(20, 1), y=Y), CLASSIFICATION)
