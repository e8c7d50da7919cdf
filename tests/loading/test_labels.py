"""Targets to class numbers or values: what is understood, and what is refused with its remedy."""

import pytest
import torch

from analysis.errors import DataError
from analysis.loading.labels import infer_task, labels
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.loading.raws import raw

ROWS = torch.zeros(12, 2)
CYCLE = [i % 3 for i in range(12)]


def _raw(targets, **options):
    values = torch.as_tensor(targets)
    return raw(torch.zeros(len(values), 2), values, **options)


@pytest.mark.parametrize(
    ("targets", "outputs", "task"),
    [
        ([0, 1, 2], 3, CLASSIFICATION),
        ([0.0, 1.0, 2.0], 3, CLASSIFICATION),
        ([1, 2, 3], 3, CLASSIFICATION),
        ([[0, 1], [1, 0], [1, 0]], 2, CLASSIFICATION),
        ([[1.0], [0.0]], 2, CLASSIFICATION),
        ([0.5, 1.0], 2, REGRESSION),
        ([0, 1, 1], 1, BINARY),
        ([0.0, 1.0], 1, BINARY),
        ([[0], [1]], 1, BINARY),
        ([[0, 1], [1, 0]], 1, BINARY),
        ([0, 1, 2], 1, REGRESSION),
        ([1, 1], 1, REGRESSION),
        ([0.1, 1.0], 1, REGRESSION),
        ([[0.1, 0.9]], 1, REGRESSION),
    ],
)
def test_the_task_follows_from_the_targets_and_the_outputs(targets, outputs, task):
    assert infer_task(_raw(targets), outputs) is task


@pytest.mark.parametrize("kind", [torch.int64, torch.float32])
@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_whole_numbers_are_classes(kind, shape):
    found, names, note = labels(_raw(torch.tensor(CYCLE).to(kind).reshape(shape)), CLASSIFICATION, 4)
    assert found.dtype == torch.int64 and found.tolist() == CYCLE
    assert (names, note) == (("0", "1", "2", "3"), "")


def test_one_hot_rows_are_read_and_said():
    one_hot = torch.nn.functional.one_hot(torch.tensor(CYCLE), 3)
    for rows in (one_hot, one_hot.float()):
        found, _, note = labels(_raw(rows), CLASSIFICATION, 3)
        assert found.tolist() == CYCLE and note == "one-hot targets read as class numbers"


def test_names_of_the_file_are_kept():
    assert labels(_raw(CYCLE, class_names=("a", "b", "c")), CLASSIFICATION, 3)[1] == ("a", "b", "c")
    assert labels(_raw(CYCLE, class_names=("a", "b", "c")), CLASSIFICATION, None)[1] == ("a", "b", "c")


def test_without_the_network_the_data_say_how_many_classes():
    assert labels(_raw(CYCLE), CLASSIFICATION, None)[1] == ("0", "1", "2")


def test_values_are_float_and_have_no_names():
    found, names, _ = labels(_raw([[1], [2], [5]]), REGRESSION, None)
    assert found.dtype == torch.float32 and found.tolist() == [1, 2, 5] and names == ()


def test_binary_labels():
    found, names, _ = labels(_raw([0.0, 1.0, 1.0]), BINARY, None)
    assert found.tolist() == [0, 1, 1] and found.dtype == torch.int64 and names == ("0", "1")


@pytest.mark.parametrize(
    ("targets", "task", "classes", "said"),
    [
        ([1, 2, 3, 1], CLASSIFICATION, 3, r"run from 1 to 3, .*tells 3 classes apart \(labels 0 to 2\).*subtract 1"),
        ([1, 2, 1], BINARY, None, r"run from 1 to 2, .*subtract 1"),
        ([0, 1, 2, 3], CLASSIFICATION, 3, "4 different labels: choose the network they belong to"),
        ([0, 5, 0], CLASSIFICATION, 3, "Renumber them from 0"),
        ([0, -1, 2], CLASSIFICATION, 3, "from -1 to 2; they are whole numbers from 0"),
        ([-1, 1, 1], BINARY, None, "Write 0 and 1"),
        ([2, 2, 2], CLASSIFICATION, 3, "Every example in mine.npz is of class 2"),
        ([0.5, 1.0, 2.0], CLASSIFICATION, 3, "labels between two classes"),
        ([float("nan"), 1.0, 2.0], CLASSIFICATION, 3, "1 of the targets in mine.npz are NaN"),
        ([float("inf"), 1.0, 2.0], REGRESSION, None, "1 of the targets in mine.npz are NaN"),
        ([[1, 0], [0, 1]], CLASSIFICATION, 3, "one-hot targets of mine.npz tell 2 classes apart, the network 3"),
        ([[1, 1], [0, 1]], CLASSIFICATION, 2, r"have shape \(2, 2\): give one target"),
        ([[0.2, 0.8], [0.1, 0.9]], CLASSIFICATION, 2, r"have shape \(2, 2\): give one target"),
        ([[1, 0], [0, 1]], REGRESSION, None, r"have shape \(2, 2\): give one target"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused_with_the_remedy(targets, task, classes, said):
    with pytest.raises(DataError, match=said):
        labels(_raw(targets), task, classes)


@pytest.mark.parametrize(
    ("names", "classes", "said"),
    [
        (("a", "b", "c"), 4, r"names 3 classes \(a, b, c\), the network tells 4 apart. Name all"),
        (("a", "b", "c", "d"), 3, "names 4 classes .*the network tells 3 apart. Leave out"),
        (("a", "b"), None, "names 2 classes but has the label 2"),
    ],
)
def test_another_number_of_class_names_is_refused(names, classes, said):
    with pytest.raises(DataError, match=said):
        labels(_raw(CYCLE, class_names=names), CLASSIFICATION, classes)


def test_class_names_are_no_values():
    with pytest.raises(DataError, match=r"are class names \(a, b, c\); regression needs numbers"):
        labels(_raw(CYCLE, class_names=("a", "b", "c")), REGRESSION, None)
