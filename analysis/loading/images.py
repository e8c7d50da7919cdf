"""Data from a zipped image folder, one folder per class; nothing is unpacked to disk.

Pictures are read as torchvision's ``ImageFolder`` reads them: classes numbered in the order of their sorted
names, transparency dropped, EXIF rotation ignored. A change of size is a plain bilinear resize of the whole
picture, without cropping: the small pictures of small networks have no margin to lose.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import torch
from PIL import Image

from analysis.errors import DataError
from analysis.loading.archive import Archive, Limits, open_archive
from analysis.loading.raw import MAX_FILE_BYTES, RawData, check_amount, clean_names

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF")  # Pillow tries these readers and no others
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
MAX_IMAGE_BYTES = 1 << 26  # of one file
MAX_PIXELS = 64_000_000  # of one picture, by its header
MAX_TOTAL_PIXELS = 4_000_000_000  # of all of them: about a minute of unpacking
MAX_SCANS = 100  # of a progressive JPEG, which is drawn once more with each; cameras write about ten
MAX_SIDE = 4096  # of what pictures are resized to
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
_GRAY = {"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N"}


@dataclass(frozen=True)
class _Picture:
    """What a member's header says; `size` is (height, width)."""

    member: str
    label: int
    size: tuple[int, int]
    gray: bool


def read_images(
    content: bytes,
    name: str,
    *,
    size: tuple[int, int] | None = None,
    grayscale: bool | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> RawData:
    """The pictures of a zipped image folder: inputs uint8 (N, channels, height, width).

    The zip may hold the class folders themselves or one folder around them. Of an animation the first
    picture is read.

    Parameters
    ----------
    size : (height, width), optional
        What every picture is resized to; may be left out if they are all of one size.
    grayscale : bool, optional
        One channel (True) or three (False); default one if no picture has colours.

    Raises
    ------
    DataError
        If the archive is damaged, unsafe or too large, or a picture is; if there is no folder per class.
    """
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise DataError(f"Pictures can be resized to sides of 1 to {MAX_SIDE:,} pixels, not to {size}.")
    with open_archive(content, Limits(file_bytes=MAX_FILE_BYTES), refuse=DataError) as archive:
        _refuse_links(archive)
        members, classes = _classes(archive)
        pictures = _headers(archive, members)
        sizes = {picture.size for picture in pictures}
        if size is None and len(sizes) > 1:
            some = ", ".join(f"{height}×{width}" for height, width in sorted(sizes)[:3])
            raise DataError(
                f"The pictures of {name} have {len(sizes):,} different sizes ({some}, ...), a network reads "
                "one. Choose the height and width that they are resized to."
            )
        height, width = size or next(iter(sizes))
        gray = all(picture.gray for picture in pictures) if grayscale is None else grayscale
        shape = (len(pictures), 1 if gray else 3, height, width)
        check_amount(name, shape)
        inputs = np.empty(shape, dtype=np.uint8)
        for i, picture in enumerate(pictures):
            inputs[i] = _pixels(archive, picture.member, (height, width), gray)
            progress((i + 1) / len(pictures))
    resized = "" if sizes == {(height, width)} else f", resized to {height}×{width}"
    return RawData(
        name=name,
        inputs=torch.from_numpy(inputs),
        targets=torch.tensor([picture.label for picture in pictures]),
        class_names=clean_names(classes, name, "classes"),
        feature_names=(),
        origin=f"{len(pictures):,} images of {name}{resized}",
        kind="images",
    )


def _refuse_links(archive: Archive) -> None:
    for entry in archive.archive.infolist():
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"{entry.filename} is a link to another file. Pack the files themselves.")


def _classes(archive: Archive) -> tuple[list[tuple[str, int]], list[str]]:
    """Each image's member with its class number, and the names of the classes, sorted."""
    images: list[tuple[str, ...]] = []
    members: list[str] = []
    folders: list[tuple[str, ...]] = []
    for entry in archive.archive.infolist():
        parts = PurePosixPath(entry.filename).parts
        if any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        if entry.is_dir():
            folders.append(parts)
        elif parts[-1].lower().endswith(SUFFIXES):
            images.append(parts)
            members.append(entry.filename)
    if not images:
        raise DataError(f"It holds no image ({', '.join(SUFFIXES)}). Pack one folder of images per class.")
    depth = 0  # how many folders lie around the class folders
    while len({parts[depth] for parts in images}) == 1 and min(map(len, images)) >= depth + 3:
        depth += 1
    loose = [parts for parts in images if len(parts) < depth + 2]
    if loose:
        raise DataError(
            f"{'/'.join(loose[0])} lies in no class folder ({len(loose):,} such images). "
            "Put each image into the folder of its class."
        )
    around = images[0][:depth]
    # An empty folder is a class without examples: it keeps the numbers of the others right.
    empty = {parts[depth] for parts in folders if len(parts) == depth + 1 and parts[:depth] == around}
    names = sorted({parts[depth] for parts in images} | empty)
    if {name.lower() for name in names} <= _SPLITS and min(map(len, images)) >= depth + 3:
        raise DataError(
            f"Its folders are {', '.join(names)}, with the classes inside. Pack the one to be measured alone."
        )
    number = {name: i for i, name in enumerate(names)}
    labels = (number[parts[depth]] for parts in images)
    return list(zip(members, labels, strict=True)), names


def _headers(archive: Archive, members: list[tuple[str, int]]) -> list[_Picture]:
    """Size and colours of every picture, before any is unpacked."""
    pictures, total = [], 0
    for member, label in members:
        with _opened(archive, member) as image:
            width, height = image.size
            pictures.append(_Picture(member, label, (height, width), image.mode in _GRAY))
        total += width * height
        if total > MAX_TOTAL_PIXELS:
            raise DataError(
                f"Its pictures hold more than {MAX_TOTAL_PIXELS:,} pixels together. Use fewer or smaller ones."
            )
    return pictures


def _opened(archive: Archive, member: str) -> Image.Image:
    """A picture whose header was read and found to be modest; its pixels are not unpacked yet."""
    content = archive.read_member(member, MAX_IMAGE_BYTES)
    _check_pixels(member, _webp_size(content))  # its reader makes room for the picture at once
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MAX_SCANS:
        raise DataError(f"{member} is drawn in more than {MAX_SCANS} passes. Save it as a plain JPEG.")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(_too_many(member)) from error
    except Exception as error:  # each format fails in its own ways
        raise DataError(
            f"{member} is no image that can be read, or is damaged. Save it again as PNG."
        ) from error
    _check_pixels(member, image.size)
    return image


def _pixels(archive: Archive, member: str, size: tuple[int, int], gray: bool) -> np.ndarray:
    """A picture's bytes, (channels, height, width)."""
    height, width = size
    try:
        with _opened(archive, member) as opened:
            opened.draft(None, (2 * width, 2 * height))  # a JPEG far larger than needed is unpacked smaller
            image = _of_bytes(opened).convert("L" if gray else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{member} is damaged ({error}). Save it again, or leave it out.") from error
    return pixels[None] if gray else pixels.transpose(2, 0, 1)


def _of_bytes(image: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel; Pillow would cut 16 bits off at 255 instead of dividing."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image


def _webp_size(content: bytes) -> tuple[int, int]:
    """(width, height) that a WebP file claims; (0, 0) of any other file (RFC 9649, section 2)."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return 0, 0
    if content[12:16] == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if content[12:16] == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    packed = int.from_bytes(content[26:30], "little")
    return packed & 0x3FFF, packed >> 16 & 0x3FFF


def _check_pixels(member: str, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(_too_many(member, f" {size[0]:,}×{size[1]:,}"))


def _too_many(member: str, size: str = "") -> str:
    return (
        f"{member} claims{size or ' far too many'} pixels; at most {MAX_PIXELS:,} are read. Make it smaller."
    )
