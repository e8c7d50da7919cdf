"""From raw data to a dataset: nothing is lost, mixed up or leaked, and it is said what was done."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.errors import DataError
from analysis.loading.evaluation_set import finish, prepare, split_indices, to_dataset
from analysis.loading.normalisation import AS_THEY_ARE, IMAGENET, MNIST, STANDARDISED, UNIT
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.loading.raws import raw

ROWS = torch.arange(60.0).reshape(20, 3)
LABELS = [i % 4 for i in range(20)]
PICTURES = torch.randint(0, 256, (30, 3, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
THIRDS = [i % 3 for i in range(30)]


def _table(**options):
    return to_dataset(raw(ROWS, LABELS), CLASSIFICATION, input_shape=(3,), classes=4, **options)


def _pictures(normalisation, pictures=PICTURES, shape=(3, 4, 5)):
    return to_dataset(raw(pictures, THIRDS), CLASSIFICATION, normalisation, input_shape=shape, classes=3)


def _examples(*splits) -> list[tuple[float, ...]]:
    return [
        (*row, float(target))
        for split in splits
        for row, target in zip(split.inputs.flatten(1).tolist(), split.targets.tolist(), strict=True)
    ]


def test_every_example_lands_in_one_split_with_its_target():
    data = _table()
    assert (len(data.evaluation), len(data.calibration)) == (16, 4)
    found = _examples(data.evaluation, data.calibration)
    assert sorted(found) == sorted((*x, float(y)) for x, y in zip(ROWS.tolist(), LABELS, strict=True))
    assert data.name == "mine.npz" and data.task is CLASSIFICATION
    assert data.evaluation.inputs.dtype == torch.float32 and data.evaluation.targets.dtype == torch.int64
    assert data.class_names == ("0", "1", "2", "3")
    assert data.feature_names == ("feature 1", "feature 2", "feature 3")


def test_the_splits_say_which_examples_they_are():
    data = _table(seed=3)
    note = "all of mine.npz (drawn with seed 3, classes in proportion)"
    assert data.evaluation.origin == "16 of " + note
    assert data.calibration.origin == "4 other of " + note
    values = to_dataset(raw(ROWS, ROWS[:, 0]), REGRESSION, input_shape=(3,), classes=None)
    assert values.evaluation.origin == "16 of all of mine.npz (drawn with seed 0)"


def test_names_of_files_draw_nothing_in_captions():
    some = replace(raw(ROWS, ROWS[:, 0]), origin="all of ![x](http://there/y.png), `a` <b> $c$")
    origin = to_dataset(some, REGRESSION, input_shape=(3,), classes=None).evaluation.origin
    assert origin.startswith("16 of all of   x (http://there/y.png),  a   b   c")


def test_the_split_depends_on_its_seed_only():
    torch.manual_seed(1)
    first = _table()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert _examples(_table().evaluation) == _examples(first.evaluation)
    assert _examples(_table(seed=1).evaluation) != _examples(first.evaluation)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_examples_are_shuffled():
    data = to_dataset(raw(ROWS, ROWS[:, 0]), REGRESSION, input_shape=(3,), classes=None)
    assert data.evaluation.targets.tolist() != sorted(data.evaluation.targets.tolist())


@pytest.mark.parametrize("sizes", [[50, 50], [100, 30, 5], [1000, 7, 7, 7], [5] * 20, [12, 13, 14]])
def test_each_class_gives_about_a_fifth(sizes):
    targets = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    for seed in range(20):
        held, kept = split_indices(targets, by_class=True, seed=seed)
        assert sorted(held.tolist() + kept.tolist()) == list(range(sum(sizes)))
        assert len(held) == round(sum(sizes) / 5)
        drawn = Counter(targets[held].tolist())
        assert all(abs(drawn[label] - size / 5) < 1.5 for label, size in enumerate(sizes))


def test_many_rare_classes_together_give_a_fifth_too():
    """A hundred classes of one example beside one of a hundred: neither gives all of the fifth."""
    targets = torch.cat([torch.zeros(100, dtype=torch.long), torch.arange(1, 101)])
    for seed in range(20):
        held, _ = split_indices(targets, by_class=True, seed=seed)
        assert 17 <= int((targets[held] == 0).sum()) <= 23


def test_values_are_split_evenly_over_their_range():
    held, kept = split_indices(torch.arange(1000.0), by_class=False, seed=0)
    assert len(held) == 200 and len(kept) == 800
    assert abs(float(held.double().mean()) - 499.5) < 4 * 289 / np.sqrt(200)


def test_pictures_are_normalised_and_drawing_undoes_it():
    for normalisation in (AS_THEY_ARE, UNIT, IMAGENET, STANDARDISED):
        data = _pictures(normalisation)
        drawn = data.pixels(data.evaluation.inputs)
        assert drawn.dtype == torch.float32 and data.is_image
        want = {tuple((p.double() / 255).flatten().tolist()) for p in PICTURES}
        found = {tuple((d * 255).round().div(255).double().flatten().tolist()) for d in drawn}
        assert len(found) == 24
        assert {tuple(round(v * 255) for v in f) for f in found} <= {
            tuple(round(v * 255) for v in w) for w in want
        }
        black = torch.zeros(3, 4, 5)
        torch.testing.assert_close(
            data.pixels(black + torch.as_tensor(data.baseline)), black, atol=1e-6, rtol=0
        )


def test_one_picture_is_drawn_as_the_batch_is():
    data = _pictures(IMAGENET)
    inputs = data.evaluation.inputs
    assert torch.equal(data.pixels(inputs[2]), data.pixels(inputs)[2])


def test_the_spread_is_taken_from_the_calibration_examples_alone():
    data = _pictures(STANDARDISED)
    by_colour = data.calibration.inputs.movedim(1, 0).flatten(1)
    assert by_colour.mean(dim=1).abs().max() < 1e-5
    assert (by_colour.std(dim=1, correction=0) - 1).abs().max() < 1e-5
    assert data.evaluation.inputs.movedim(1, 0).flatten(1).mean(dim=1).abs().max() > 1e-4


def test_what_was_done_is_said():
    last = _pictures(UNIT, PICTURES.permute(0, 2, 3, 1))
    assert "channels moved to the front)" in last.evaluation.origin
    assert torch.equal(last.evaluation.inputs, _pictures(UNIT).evaluation.inputs)
    assert last.normalisation == "The values are divided by 255, so that they run from 0 to 1."
    one_hot = raw(ROWS, torch.nn.functional.one_hot(torch.tensor(LABELS)))
    data = to_dataset(one_hot, CLASSIFICATION, input_shape=(3,), classes=4)
    assert data.evaluation.origin.endswith("; one-hot targets read as class numbers)")
    assert torch.equal(data.evaluation.targets, _table().evaluation.targets)


def test_coloured_pictures_read_as_rows_keep_their_colours_apart():
    data = _pictures(IMAGENET, shape=(60,))
    rows, pictures = data.evaluation.inputs, _pictures(IMAGENET).evaluation.inputs
    assert rows.shape == (24, 60) and torch.equal(rows, pictures.flatten(1))
    torch.testing.assert_close(data.pixels(rows), _pictures(IMAGENET).pixels(pictures).flatten(1))


def test_gray_pictures_of_whole_numbers_are_bytes_whatever_their_type():
    gray = PICTURES[:, :1]
    expected = _pictures(MNIST, gray, (1, 4, 5)).evaluation.inputs
    for same in (gray.long(), gray.float(), gray[:, 0]):
        assert torch.equal(_pictures(MNIST, same, (1, 4, 5)).evaluation.inputs, expected)
    torch.testing.assert_close(_pictures(MNIST, gray.float() / 255, (1, 4, 5)).evaluation.inputs, expected)


def test_tokens_stay_whole_and_are_never_normalised():
    tokens = torch.randint(0, 50, (20, 7), generator=torch.Generator().manual_seed(0))
    data = to_dataset(
        raw(tokens, LABELS), CLASSIFICATION, STANDARDISED, input_shape=(7,), classes=4,
        input_dtype=torch.int64, vocabulary=50,
    )  # fmt: skip
    assert data.evaluation.inputs.dtype == torch.int64 and data.normalisation == "Token ids as they are."
    assert sorted(_examples(data.evaluation, data.calibration)) == sorted(
        (*map(float, x), float(y)) for x, y in zip(tokens.tolist(), LABELS, strict=True)
    )
    assert data.feature_names == () and data.baseline == 0


def test_counts_become_numbers_for_a_network_that_reads_numbers():
    assert _table().evaluation.inputs.dtype == torch.float32
    counts = to_dataset(raw(ROWS.long(), LABELS), CLASSIFICATION, input_shape=(3,), classes=4)
    assert torch.equal(counts.evaluation.inputs, _table().evaluation.inputs)


def test_the_average_of_a_table_is_its_baseline():
    data = _table()
    expected = data.calibration.inputs.numpy().mean(axis=0)
    assert np.allclose(torch.as_tensor(data.baseline).numpy(), expected, rtol=1e-6)
    standardised = to_dataset(raw(ROWS, LABELS), CLASSIFICATION, STANDARDISED, input_shape=(3,), classes=4)
    assert standardised.baseline == 0
    torch.testing.assert_close(standardised.pixels(standardised.evaluation.inputs), data.evaluation.inputs)


def test_binary_data_have_two_classes():
    data = to_dataset(raw(ROWS, [i % 2 for i in range(20)]), BINARY, input_shape=(3,), classes=None)
    assert data.class_names == ("0", "1") and data.task is BINARY


def test_names_of_the_file_reach_the_dataset():
    named = raw(ROWS, LABELS, class_names=("a", "b", "c", "d"), feature_names=("u", "v", "w"), kind="table")
    data = to_dataset(named, CLASSIFICATION, input_shape=(3,), classes=4)
    assert data.class_names == ("a", "b", "c", "d") and data.feature_names == ("u", "v", "w")


def test_a_sample_of_prepared_data_is_evaluated_on_fewer_and_normalised_alike():
    ready = prepare(raw(PICTURES, THIRDS), CLASSIFICATION, input_shape=(3, 4, 5), classes=3)
    few, all_of_them = finish(ready.sample(7), STANDARDISED), finish(ready, STANDARDISED)
    assert len(few.evaluation) == 7 and few.scale == all_of_them.scale
    assert torch.equal(few.evaluation.inputs, all_of_them.evaluation.inputs[:7])


@pytest.mark.parametrize(
    ("inputs", "targets", "said"),
    [
        (ROWS[:9], LABELS[:9], "holds 9 examples; at least 10"),
        (ROWS, LABELS[:-1], "20 inputs but 19 targets"),
        (torch.where(ROWS == 7, torch.nan, ROWS), LABELS, "1 of the inputs in mine.npz are NaN"),
        (torch.where(ROWS > 57, torch.inf, ROWS), LABELS, "2 of the inputs in mine.npz are NaN"),
        (ROWS[:, :2], LABELS, r"reads inputs of shape \(3,\), mine.npz holds \(2,\)"),
    ],
)
def test_data_that_do_not_fit_are_refused(inputs, targets, said):
    with pytest.raises(DataError, match=said):
        to_dataset(raw(inputs, targets), CLASSIFICATION, input_shape=(3,), classes=4)


def test_ten_examples_are_enough():
    assert (
        len(to_dataset(raw(ROWS[:10], LABELS[:10]), CLASSIFICATION, input_shape=(3,), classes=4).calibration)
        == 2
    )
