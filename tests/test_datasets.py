"""Splits, seeded samples and the checks before any number is computed."""

from collections import Counter

import pytest
import torch

from analysis.datasets import Dataset, Split, check_split
from analysis.errors import DataError
from analysis.tasks import CLASSIFICATION, REGRESSION


def _split(labels: list[int] | None = None, count: int = 100) -> Split:
    """Inputs count up, so that each example can be told from its input."""
    targets = torch.tensor(labels) if labels is not None else torch.arange(float(count))
    return Split(torch.arange(float(len(targets)))[:, None], targets, "the made-up examples")


UNEVEN = [0] * 60 + [1] * 25 + [2] * 12 + [3] * 3


def test_take_keeps_the_order_asked_for():
    taken = _split([5, 6, 7, 8]).take(torch.tensor([3, 0, 0]))
    assert taken.inputs.flatten().tolist() == [3, 0, 0]
    assert taken.targets.tolist() == [8, 5, 5]
    assert taken.origin == "the made-up examples"


def test_a_sample_is_a_subset_without_repeats_that_keeps_inputs_with_their_targets():
    split = _split(UNEVEN)
    sample = split.sample(37)
    chosen = [int(i) for i in sample.inputs.flatten()]
    assert len(sample) == len(set(chosen)) == 37
    assert chosen == sorted(chosen)
    assert sample.targets.tolist() == [UNEVEN[i] for i in chosen]


@pytest.mark.parametrize("size", [4, 10, 12, 36, 50, 99])
def test_classes_are_drawn_evenly_until_a_class_is_used_up(size):
    drawn = Counter(_split(UNEVEN).sample(size).targets.tolist())
    available = Counter(UNEVEN)
    largest = max(drawn.values())
    assert sum(drawn.values()) == size
    for label, count in available.items():
        assert drawn[label] == count or drawn[label] >= largest - 1


def test_a_sample_depends_on_its_seed_only():
    for split in (_split(UNEVEN), _split()):
        torch.manual_seed(1)
        first = split.sample(20, seed=3).inputs
        torch.manual_seed(2)
        assert torch.equal(split.sample(20, seed=3).inputs, first)
        assert not torch.equal(split.sample(20, seed=4).inputs, first)


def test_sampling_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    _split(UNEVEN).sample(20)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [100, 101, 10_000])
def test_a_sample_of_everything_is_the_split_itself(size):
    split = _split(UNEVEN)
    assert split.sample(size) is split


def test_a_sample_says_what_it_is_of():
    assert _split(UNEVEN).sample(7, seed=5).origin == "7 of the made-up examples (seed 5)"


def test_values_are_sampled_all_over():
    chosen = _split(count=1000).sample(200).targets
    assert chosen.min() < 50 and chosen.max() > 950
    assert len(chosen.unique()) == 200


def test_good_data_pass():
    check_split(_split([0, 1, 2]), CLASSIFICATION, classes=3)
    check_split(_split(count=3), REGRESSION)


def test_no_examples_are_refused():
    with pytest.raises(DataError, match="no example"):
        check_split(_split([]), CLASSIFICATION)


def test_unequal_lengths_are_refused_with_both():
    split = Split(torch.zeros(5, 2), torch.zeros(4, dtype=torch.long), "")
    with pytest.raises(DataError, match="5 inputs but 4 targets"):
        check_split(split, CLASSIFICATION)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["inputs", "targets"])
def test_values_that_are_not_finite_are_refused_with_their_number(where, bad):
    split = _split(count=5)
    getattr(split, where)[1:3] = bad
    with pytest.raises(DataError, match=f"2 of the {where} are NaN or infinite"):
        check_split(split, REGRESSION)


@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 2]])
def test_labels_outside_the_classes_are_refused_with_their_range(labels):
    with pytest.raises(DataError, match=f"from {min(labels)} to {max(labels)}.*3 outputs"):
        check_split(_split(labels), CLASSIFICATION, classes=3)


def _dataset(inputs: torch.Tensor, **kwargs: float | tuple[float, ...]) -> Dataset:
    split = Split(inputs, torch.zeros(len(inputs)), "")
    return Dataset("made up", REGRESSION, split, split, **kwargs)


def test_images_are_known_by_their_shape():
    images, rows = _dataset(torch.zeros(2, 1, 8, 8)), _dataset(torch.zeros(2, 7))
    assert images.is_image and not rows.is_image
    assert (images.noun, rows.noun) == ("images", "examples")


def test_the_baseline_is_a_black_pixel():
    images = _dataset(torch.zeros(2, 1, 8, 8), offset=0.3, scale=0.4)
    assert images.baseline == pytest.approx(-0.75)
    coloured = _dataset(torch.zeros(2, 3, 8, 8), offset=(0.3, 0.5, 0.0), scale=(0.4, 0.5, 2.0))
    assert coloured.baseline.shape == (3, 1, 1) and coloured.baseline.dtype == torch.float32
    assert coloured.baseline.flatten().tolist() == pytest.approx([-0.75, -1, 0])


def test_the_baseline_of_a_table_is_the_average_of_each_feature():
    rows = _dataset(torch.tensor([[1.0, 5.0], [3.0, -5.0]]), offset=0.3, scale=0.4)
    assert rows.baseline.tolist() == [2, 0]
    assert _dataset(torch.tensor([[1.0, 5.0], [-1.0, -5.0]])).baseline == 0.0
    assert _dataset(torch.zeros(2, 7, dtype=torch.long)).baseline == 0.0


def test_pixels_undo_the_normalisation_of_each_channel():
    inputs = torch.ones(2, 3, 2, 2)
    one = _dataset(inputs, offset=0.5, scale=0.25)
    assert (one.pixels(inputs) == 0.75).all() and one.pixels(inputs).dtype == torch.float32
    each = _dataset(inputs, offset=(0.1, 0.2, 0.3), scale=(1.0, 2.0, 3.0))
    for found in (each.pixels(inputs)[1], each.pixels(inputs[1])):
        assert found.shape == (3, 2, 2)
        assert found.flatten(1).tolist() == [pytest.approx([v] * 4) for v in (1.1, 2.2, 3.3)]


def test_rows_come_back_in_the_units_of_their_features():
    rows = _dataset(torch.tensor([[0.0, 1.0], [1.0, -1.0]]), offset=(10.0, 20.0), scale=(2.0, 3.0))
    assert rows.pixels(rows.evaluation.inputs).tolist() == [[10, 23], [12, 17]]


@pytest.mark.parametrize(
    ("known", "classes", "names"),
    [
        (("a", "b"), 2, ("a", "b")),
        (("a",), 3, ("a", "class 1", "class 2")),
        (("a", "b"), 1, ("a",)),
        ((), 0, ()),
    ],
)
def test_every_class_has_a_name(known, classes, names):
    assert _dataset(torch.zeros(4, 3), class_names=known).names_of(classes) == names
