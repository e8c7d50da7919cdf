"""Arrangements of inputs: done where only one is possible, refused with the remedy where not."""

import pytest
import torch

from analysis.errors import DataError
from analysis.loading.layout import arranged, as_tokens
from tests.loading.raws import raw


def _numbered(*shape: int) -> torch.Tensor:
    return torch.arange(2.0 * torch.Size(shape).numel()).reshape(2, *shape)


def _arranged(inputs, wanted, kind="arrays"):
    return arranged(raw(inputs, [0, 1], kind=kind), wanted)


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5), (1, 6), (2, 3, 3, 3)])
def test_inputs_that_fit_are_left_alone(shape):
    inputs = _numbered(*shape)
    found, note = _arranged(inputs, shape)
    assert found is inputs and note == ""


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_channels_that_come_last_are_moved(channels):
    inputs = _numbered(4, 6, channels)
    found, note = _arranged(inputs, (channels, 4, 6))
    assert note == "channels moved to the front" and found.shape == (2, channels, 4, 6)
    for c in range(channels):
        assert (found[:, c] == inputs[..., c]).all()


def test_a_missing_channel_is_added():
    inputs = _numbered(4, 6)
    found, note = _arranged(inputs, (1, 4, 6))
    assert note == "one channel added" and (found[:, 0] == inputs).all() and found.shape == (2, 1, 4, 6)


def test_single_numbers_become_rows_of_one():
    assert _arranged(torch.tensor([3.0, 4.0]), (1,))[0].tolist() == [[3], [4]]


def test_rows_of_pixels_become_pictures():
    found, note = _arranged(_numbered(24), (1, 4, 6))
    assert note == "rows of pixels read as pictures" and (found == _numbered(1, 4, 6)).all()


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (4, 6, 1), (3, 2, 4)])
def test_pictures_become_rows_of_pixels_in_the_order_of_memory(shape):
    found, note = _arranged(_numbered(*shape), (24,))
    assert note == "pictures read as rows of pixels" and found.dim() == 4
    assert (found.reshape(2, 24) == _numbered(24)).all()


@pytest.mark.parametrize(
    ("given", "wanted", "kind", "said"),
    [
        ((1, 8, 8), (3, 8, 8), "arrays", r"have 1 channel, the network reads 3. Repeat the gray"),
        ((3, 8, 8), (1, 8, 8), "arrays", "have 3 channels, the network reads 1. Average"),
        ((4, 8, 8), (3, 8, 8), "arrays", "Drop the fourth"),
        ((8, 8, 4), (3, 8, 8), "arrays", "Drop the fourth"),
        ((1, 9, 8), (1, 8, 8), "arrays", "9×8 pixels: resize them to 8×8"),
        ((9, 9, 3), (3, 8, 8), "arrays", "channels are last and its pictures 9×9 pixels: resize them to 8×8"),
        ((8, 8), (3, 8, 8), "arrays", "have no channels"),
        ((64,), (3, 8, 8), "arrays", r"Reshape the data to \(N, 3, 8, 8\)"),
        ((192,), (3, 8, 8), "arrays", r"Reshape the data to \(N, 3, 8, 8\)"),
        ((8, 8, 3), (192,), "arrays", "Flatten them in the order of training"),
        ((5, 4), (4, 5), "arrays", r"Reshape the data to \(N, 4, 5\)"),
        ((), (3,), "arrays", r"Reshape the data to \(N, 3\)"),
        ((7,), (5,), "table", "7 features and the network reads 5: Drop 2"),
        ((3,), (5,), "table", "3 features and the network reads 5: 2 are missing"),
        ((3, 9, 8), (1, 8, 8), "images", "Read the pictures in gray and resized to 8×8"),
        ((1, 8, 8), (3, 8, 8), "images", "Read the pictures in colours"),
        ((1, 8, 8), (2, 8, 8), "images", "A picture has 1 or 3 channels"),
    ],
)
def test_what_does_not_fit_is_refused_with_shapes_and_remedy(given, wanted, kind, said):
    with pytest.raises(DataError, match=said) as caught:
        _arranged(_numbered(*given), wanted, kind)
    assert str(wanted) in str(caught.value) and str(given) in str(caught.value)


def test_tokens_are_whole_numbers_of_the_vocabulary():
    found = as_tokens(torch.tensor([[0.0, 4.0]]), "mine.npz", 5)
    assert found.dtype == torch.int64 and found.tolist() == [[0, 4]]
    assert as_tokens(torch.tensor([[7]]), "mine.npz", None).tolist() == [[7]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0.5]], "numbers between"),
        ([[-1]], "start at -1"),
        ([[5]], r"run up to 5, the network knows 5 \(0 to 4\)"),
    ],
)
def test_other_tokens_are_refused(values, said):
    with pytest.raises(DataError, match=said):
        as_tokens(torch.tensor(values), "mine.npz", 5)
