"""Zipped image folders: pixels as Pillow or plain arithmetic give them, classes as the folders say."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.errors import DataError
from analysis.loading import images
from analysis.loading.images import read_images
from tests.loading.files import picture, plain, zipped

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)


def _read(members: dict[str, bytes], **options):
    return read_images(zipped(members), "pets.zip", **options)


def _single(content: bytes, suffix: str = "png", **options) -> np.ndarray:
    """The pixels (C, H, W) of one image, read from a folder."""
    return _read({f"a/1.{suffix}": content}, **options).inputs[0].numpy()


def test_folders_are_classes_in_the_order_of_their_names():
    raw = _read({"dog/1.png": plain(1), "cat/1.png": plain(2), "dog/2.png": plain(3), "Ant/x.png": plain(4)})
    assert raw.class_names == ("Ant", "cat", "dog")
    assert raw.targets.tolist() == [2, 1, 2, 0]
    assert raw.inputs[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert (raw.kind, raw.name, raw.origin) == ("images", "pets.zip", "4 images of pets.zip")
    assert raw.inputs.dtype == torch.uint8 and raw.inputs.shape == (4, 1, 4, 5)


@pytest.mark.parametrize("around", ["", "pets/", "data/pets/"])
def test_folders_around_the_classes_do_not_matter(around):
    raw = _read({f"{around}cat/1.png": plain(1), f"{around}dog/deep/2.png": plain(2)})
    assert raw.class_names == ("cat", "dog") and raw.targets.tolist() == [0, 1]


def test_the_only_class_is_not_taken_for_a_folder_around():
    assert _read({"pets/cat/1.png": plain(1), "pets/cat/2.png": plain(2)}).class_names == ("cat",)


def test_an_empty_folder_is_a_class_without_examples():
    raw = _read({"p/": b"", "p/ant/": b"", "p/bee/": b"", "p/cat/1.png": plain(1), "p/dog/1.png": plain(1)})
    assert raw.class_names == ("ant", "bee", "cat", "dog") and raw.targets.tolist() == [2, 3]


def test_what_systems_add_is_left_out():
    members = {"a/1.png": plain(1), "b/1.png": plain(2), "a/notes.txt": b"hello", "README.md": b"hello"}
    members |= {"__MACOSX/a/._1.png": b"junk", "a/.hidden.png": b"junk", "a/Thumbs.db": b"junk"}
    assert len(_read(members)) == 2


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a/notes.txt": b"hello"}, "holds no image"),
        ({"1.png": plain(1), "a/2.png": plain(1)}, "1.png lies in no class folder"),
        ({"1.png": plain(1), "2.png": plain(1)}, r"1.png lies in no class folder \(2 such images\)"),
        ({f"{s}/{c}/1.png": plain(1) for s in ("train", "val") for c in "ab"}, "folders are train, val"),
    ],
)
def test_other_folders_are_refused(members, said):
    with pytest.raises(DataError, match=said):
        _read(members)


@pytest.mark.parametrize(("format", "suffix"), [("png", "PNG"), ("bmp", "bmp"), ("gif", "gif")])
def test_gray_pixels_come_back_exactly(format, suffix):
    found = _single(picture(GRAY, format), suffix, grayscale=True)
    assert np.array_equal(found, GRAY[None])


@pytest.mark.parametrize(("format", "options"), [("png", {}), ("bmp", {}), ("webp", {"lossless": True})])
def test_coloured_pixels_come_back_exactly_with_their_channels_first(format, options):
    found = _single(picture(COLOUR, format, **options), format)
    assert np.array_equal(found, COLOUR.transpose(2, 0, 1))


def test_jpegs_come_back_nearly():
    smooth = np.add.outer(np.arange(32) * 3, np.arange(40) * 3).astype(np.uint8)
    found = _single(picture(smooth, "jpeg", quality=95), "jpg")
    assert np.abs(found[0].astype(int) - smooth).max() <= 4


def test_of_an_animation_the_first_picture_is_read():
    frames = [Image.fromarray(np.full((4, 5), value, dtype=np.uint8)) for value in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format="gif", save_all=True, append_images=frames[1:])
    assert (_single(buffer.getvalue(), "gif", grayscale=True) == 10).all()


def test_gray_becomes_three_equal_channels_and_colours_their_luminance():
    assert np.array_equal(_single(picture(GRAY), grayscale=False), np.stack([GRAY] * 3))
    expected = COLOUR @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2
    found = _single(picture(COLOUR), grayscale=True)
    assert found.shape == (1, 6, 5) and np.abs(found[0] - expected).max() <= 1


def test_one_coloured_picture_among_gray_ones_gives_all_three_channels():
    raw = _read({"a/1.png": picture(GRAY), "b/2.png": picture(COLOUR)})
    assert raw.inputs.shape == (2, 3, 6, 5) and (raw.inputs[0] == torch.from_numpy(GRAY)).all()


def test_transparency_is_dropped():
    pixels = np.dstack([COLOUR, np.full((6, 5), 3, dtype=np.uint8)])
    assert np.array_equal(_single(picture(pixels)), COLOUR.transpose(2, 0, 1))


def test_sixteen_bits_are_divided_not_cut_off():
    deep = (np.arange(30).reshape(6, 5) * 2000).astype(np.uint16)
    assert np.array_equal(_single(picture(deep)), (deep // 256).astype(np.uint8)[None])


def test_a_change_of_size_is_a_plain_bilinear_resize():
    """Two columns to four: the values between are the means with weights 1/4 and 3/4."""
    found = _single(picture(np.array([[0, 200]], dtype=np.uint8)), size=(1, 4))
    assert found.tolist() == [[[0, 50, 150, 200]]]
    halves = _single(picture(np.repeat([[10, 10, 30, 30]], 4, axis=0).astype(np.uint8)), size=(2, 2))
    assert halves[0, :, 0].tolist() == [pytest.approx(10, abs=3)] * 2
    assert halves.shape == (1, 2, 2)


def test_a_resize_is_told_and_needed_only_if_sizes_differ():
    members = {"a/1.png": plain(1, 4, 5), "b/2.png": plain(2, 6, 3)}
    with pytest.raises(DataError, match=r"2 different sizes \(4×5, 6×3, ...\)"):
        _read(members)
    raw = _read(members, size=(2, 3))
    assert raw.inputs.shape == (2, 1, 2, 3) and raw.origin == "2 images of pets.zip, resized to 2×3"
    assert "resized" not in _read({"a/1.png": plain(1, 2, 3)}, size=(2, 3)).origin


def test_large_jpegs_are_unpacked_smaller_with_nearly_the_same_result():
    """A JPEG eight times too large is reduced while it is unpacked; Pillow's full way is the oracle."""
    y, x = np.mgrid[0:512, 0:512] / 512
    smooth = (255 * np.stack([x, y, (x + y) / 2], axis=2)).astype(np.uint8)
    content = picture(smooth, "jpeg", quality=95)
    full = np.asarray(
        Image.open(io.BytesIO(content)).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    )
    found = _single(content, "jpg", size=(32, 32)).transpose(1, 2, 0)
    assert np.abs(found.astype(int) - full).max() <= 6


def test_progress_ends_at_one():
    told: list[float] = []
    _read({"a/1.png": plain(1), "b/2.png": plain(2)}, progress=told.append)
    assert told == [0.5, 1]


@pytest.mark.parametrize("size", [(0, 4), (4, 5000)])
def test_absurd_sizes_are_refused(size):
    with pytest.raises(DataError, match="sides of 1 to 4,096"):
        _read({"a/1.png": plain(1)}, size=size)


@pytest.mark.parametrize("cut", [8, 30, -100])
def test_a_damaged_picture_is_named(cut):
    content = picture(RNG.integers(0, 256, (30, 30), dtype=np.uint8))
    with pytest.raises(DataError, match=r"b/2\.png is (damaged|no image)"):
        _read({"a/1.png": plain(1, 30, 30), "b/2.png": content[:cut]})


def test_each_damaged_byte_is_refused_or_harmless():
    """Each format with one byte changed, 60 times: none may fail in another way than DataError."""
    unexpected, refused = {}, 0
    for format in ("png", "jpeg", "bmp", "webp", "gif"):
        content = picture(COLOUR, format)
        for _ in range(60):
            damaged = bytearray(content)
            damaged[RNG.integers(min(len(content), 200))] ^= int(RNG.integers(1, 256))
            try:
                _read({f"a/1.{format}": bytes(damaged)}, size=(4, 4))
            except DataError:
                refused += 1
            except Exception as error:
                unexpected[format] = repr(error)
    assert unexpected == {}
    assert refused > 20


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_PIXELS", 19, "a/1.png claims 5×4 pixels"),
        ("MAX_TOTAL_PIXELS", 39, "more than 39 pixels together"),
    ],
)
def test_limits_on_pixels_are_named_and_met_to_the_last(limit, value, said, monkeypatch):
    members = {"a/1.png": plain(1), "b/2.png": plain(2)}
    monkeypatch.setattr(images, limit, value)
    with pytest.raises(DataError, match=said):
        _read(members)
    monkeypatch.setattr(images, limit, value + 1)
    assert len(_read(members)) == 2


def test_a_file_that_is_another_format_than_its_name_says_is_read():
    assert np.array_equal(_single(picture(GRAY, "png"), "jpg"), GRAY[None])


def test_formats_that_run_other_programs_are_not_tried():
    """Pillow hands PostScript to Ghostscript; here it is no image at all."""
    with pytest.raises(DataError, match="no image that can be read"):
        _read({"a/1.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n%%EndComments\nshowpage\n"})
