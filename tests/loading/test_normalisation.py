"""Normalisations: values by hand, and what drawing undoes."""

import numpy as np
import pytest
import torch

from analysis.errors import DataError
from analysis.loading.normalisation import (
    AS_THEY_ARE,
    CIFAR10,
    FASHION_MNIST,
    IMAGENET,
    MNIST,
    NORMALISATIONS,
    STANDARDISED,
    SYMMETRIC,
    UNIT,
    fitted,
    in_words,
    levels,
    normalise,
    usual,
)

BYTES = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1)


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [
        (AS_THEY_ARE, [0, 51, 255]),
        (UNIT, [0, 0.2, 1]),
        (SYMMETRIC, [-1, -0.6, 1]),
        (MNIST, [-0.42421, 0.22493, 2.82149]),  # (0.2 - 0.1307) / 0.3081 and so on
        (FASHION_MNIST, [-0.81020, -0.24363, 2.02266]),
    ],
    ids=lambda value: getattr(value, "key", ""),
)
def test_bytes_by_hand(normalisation, expected):
    found = normalise(BYTES, normalisation, 255)
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-5)
    assert found.dtype == torch.float32 and found.shape == BYTES.shape


@pytest.mark.parametrize(
    ("normalisation", "white"),
    [(IMAGENET, [2.2489, 2.4286, 2.6400]), (CIFAR10, [2.0591, 2.1265, 2.1158])],
    ids=lambda value: getattr(value, "key", ""),
)
def test_each_colour_has_its_own_numbers(normalisation, white):
    picture = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert normalise(picture, normalisation, 255)[0, :, 1, 0].tolist() == pytest.approx(white, abs=1e-4)


def test_values_that_are_no_bytes_are_not_divided():
    assert normalise(torch.tensor([[0.2]]), SYMMETRIC, 1).item() == pytest.approx(-0.6)


def test_the_data_are_not_changed():
    values = torch.ones(4, 1, 2, 2)
    normalise(values, SYMMETRIC, 1)
    assert (values == 1).all()


def test_another_number_of_channels_is_refused():
    with pytest.raises(DataError, match="ImageNet is for 3 channels, the data have 1"):
        normalise(BYTES, IMAGENET, 255)


@pytest.mark.parametrize("shape", [(40, 3), (40, 3, 5), (40, 3, 4, 5)])
@pytest.mark.parametrize("unit", [1, 255])
def test_standardised_data_have_mean_0_and_spread_1_in_each_channel(shape, unit):
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape)).to(torch.uint8)
    found = normalise(values, fitted(STANDARDISED, values, unit), unit)
    by_channel = found.movedim(1, 0).flatten(1)
    assert by_channel.mean(dim=1).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert by_channel.std(dim=1, correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_the_numbers_come_from_the_calibration_examples():
    found = fitted(STANDARDISED, torch.tensor([[1.0, 5.0], [3.0, 5.0]]), 1)
    assert found.mean == (2.0, 5.0) and found.std == (1.0, 1.0)  # a feature that never changes keeps 1


def test_normalisations_with_numbers_are_not_fitted():
    assert fitted(IMAGENET, torch.rand(5, 3, 2, 2), 1) is IMAGENET


@pytest.mark.parametrize("key", NORMALISATIONS)
@pytest.mark.parametrize("unit", [1, 255])
def test_drawing_undoes_every_normalisation(key, unit):
    """input * scale + offset is the share of a full pixel, whatever was done."""
    picture = torch.randint(0, unit + 1, (6, 3, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    normalisation = fitted(NORMALISATIONS[key], picture, unit)
    offset, scale = (torch.tensor(v).reshape(-1, 1, 1) for v in levels(normalisation, unit))
    found = normalise(picture, normalisation, unit) * scale + offset
    torch.testing.assert_close(found, picture / unit, atol=1e-5, rtol=1e-5)


def _keys(*shape: int, unit: int) -> set[str]:
    return {n.key for n in usual(torch.zeros(shape), unit)}


def test_what_is_offered_fits_the_data():
    both = {"as-they-are", "standardised"}
    assert _keys(5, 7, unit=1) == both
    assert _keys(5, 7, unit=255) == both | {"unit", "symmetric", "mnist", "fashion-mnist"}
    assert _keys(5, 1, 8, 8, unit=255) == both | {"unit", "symmetric", "mnist", "fashion-mnist"}
    assert _keys(5, 1, 8, 8, unit=1) == both | {"symmetric", "mnist", "fashion-mnist"}
    assert _keys(5, 3, 8, 8, unit=255) == both | {"unit", "symmetric", "cifar-10", "imagenet"}
    assert _keys(5, 2, 8, 8, unit=255) == both | {"unit", "symmetric"}


def test_every_normalisation_is_said_in_words_with_its_numbers():
    assert in_words(IMAGENET, 255) == (
        "The values are divided by 255, reduced by the mean 0.485, 0.456, 0.406 and divided by "
        "the spread 0.229, 0.224, 0.225 (ImageNet)."
    )
    assert in_words(MNIST, 1) == (
        "The values are reduced by the mean 0.1307 and divided by the spread 0.3081 (MNIST)."
    )
    assert in_words(UNIT, 255) == "The values are divided by 255, so that they run from 0 to 1."
    assert in_words(AS_THEY_ARE, 255) == AS_THEY_ARE.sentence
    table = fitted(STANDARDISED, torch.rand(9, 5), 1)
    assert in_words(table, 1) == (
        "The values are reduced by the mean of each feature and divided by the spread of each feature "
        "(the calibration examples)."
    )
