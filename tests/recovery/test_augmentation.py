"""Augmentation: every image against one cut by hand, the statistics of chance, and what does not apply."""

import pytest
import torch

from analysis.datasets import Split
from analysis.errors import PrunescopeError
from analysis.recovery.augmentation import (
    NOTHING,
    Augmentation,
    augmenter,
    cut_out,
    flipped,
    kinds_for,
    shifted,
)

EVERYTHING = Augmentation(shift=2, flip=True, noise=0.3, cutout=3)


def _images(count=40, channels=2, height=6, width=7):
    return torch.randn((count, channels, height, width), generator=torch.Generator().manual_seed(3))


def _split(inputs):
    return Split(inputs, torch.zeros(len(inputs), dtype=torch.long), "noise")


def _moved(image, down, right, nothing):
    """One image moved, pixel by pixel; `nothing` has a value for each channel."""
    result = torch.empty_like(image)
    channels, height, width = image.shape
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y - down, x - right
                inside = 0 <= from_y < height and 0 <= from_x < width
                result[c, y, x] = image[c, from_y, from_x] if inside else nothing[c]
    return result


def test_each_image_is_moved_by_whole_pixels_and_filled_with_nothing():
    images, nothing = _images(), torch.tensor([-1.0, 2.5]).reshape(2, 1, 1)
    torch.manual_seed(0)
    moved = shifted(images, 1, nothing)
    seen = set()
    for image, result in zip(images, moved, strict=True):
        fits = [
            (down, right)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if torch.allclose(result, _moved(image, down, right, (-1.0, 2.5)), atol=1e-6)
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) > 5  # images of a batch move each by itself


def test_an_image_is_mirrored_whole_or_not_at_all():
    images = _images(400)
    torch.manual_seed(1)
    result = flipped(images)
    mirrored = (result == images.flip(3)).flatten(1).all(dim=1)
    assert ((result == images).flatten(1).all(dim=1) ^ mirrored).all()
    assert abs(int(mirrored.sum()) - 200) < 5 * 10  # five standard deviations of a fair coin


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_square_is_cut_out_and_all_else_stays(side):
    images, nothing = _images(200), torch.tensor([-9.0, 7.0]).reshape(2, 1, 1)
    torch.manual_seed(2)
    result = cut_out(images, side, nothing)
    corners = set()
    for image, after in zip(images, result, strict=True):
        gone = (after != image).any(dim=0)
        rows, columns = gone.any(dim=1).nonzero().flatten(), gone.any(dim=0).nonzero().flatten()
        assert 1 <= len(rows) <= side
        assert 1 <= len(columns) <= side
        assert gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert gone.sum() == len(rows) * len(columns)
        assert torch.equal(after[0][gone], torch.full((int(gone.sum()),), -9.0))
        assert torch.equal(after[1][gone], torch.full((int(gone.sum()),), 7.0))
        corners.add((int(rows[0]), int(columns[0])))
    assert len(corners) > 20


def test_noise_has_the_spread_it_is_said_to_have():
    rows = torch.randn(500, 3) * torch.tensor([1.0, 10.0, 0.0])
    augment = augmenter(Augmentation(noise=0.5), _split(rows))
    torch.manual_seed(4)
    quiet = torch.zeros(20_000, 3)
    spread = (augment(quiet)).std(dim=0)
    expected = 0.5 * rows.std(dim=0)
    assert spread.tolist() == pytest.approx(expected.tolist(), rel=5 / 40_000**0.5)


def test_only_what_applies_is_done():
    assert kinds_for(_images()) == ("shift", "flip", "noise", "cutout")
    assert kinds_for(torch.randn(4, 5)) == ("noise",)
    assert kinds_for(torch.zeros(4, 9, dtype=torch.long)) == ()
    assert augmenter(EVERYTHING, _split(torch.zeros(4, 9, dtype=torch.long))) is None
    assert augmenter(Augmentation(shift=2, flip=True, cutout=2), _split(torch.randn(4, 5))) is None
    assert augmenter(NOTHING, _split(_images())) is None


def test_the_seed_decides_and_inputs_are_left_alone():
    images = _images()
    copy = images.clone()
    augment = augmenter(EVERYTHING, _split(images), -1.0)
    torch.manual_seed(5)
    first = augment(images)
    torch.manual_seed(5)
    assert torch.equal(augment(images), first)
    assert not torch.equal(augment(images), first)
    assert torch.equal(images, copy)
    assert first.shape == images.shape
    assert first.dtype == images.dtype


@pytest.mark.parametrize(
    "wrong", [{"shift": -1}, {"shift": 1.5}, {"cutout": -3}, {"noise": -1.0}, {"noise": float("nan")}]
)
def test_what_means_nothing_is_refused(wrong):
    with pytest.raises(PrunescopeError, match="give 0 or more"):
        Augmentation(**wrong)


@pytest.mark.parametrize("kind", ["shift", "cutout"])
def test_more_than_the_images_have_is_refused(kind):
    images = _split(_images())  # 6 x 7
    assert augmenter(Augmentation(**{kind: 7}), images) is not None
    with pytest.raises(PrunescopeError, match=rf"{kind} is 8 pixels, and the images have 6 x 7"):
        augmenter(Augmentation(**{kind: 8}), images)
    assert augmenter(Augmentation(**{kind: 8}), _split(torch.randn(9, 5))) is None
