"""Small data files made in memory, good and bad."""

import io
import zipfile

import numpy as np
from PIL import Image


def npz(save=np.savez, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """The start of an .npy file that claims `shape`, without its values."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive; names that end in / are folders."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def picture(pixels: np.ndarray, format: str = "png", **options) -> bytes:
    """An image file of (H, W) or (H, W, 3) bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=format, **options)
    return buffer.getvalue()


def plain(value: int, height: int = 4, width: int = 5, format: str = "png") -> bytes:
    """A gray image file of one brightness."""
    return picture(np.full((height, width), value, dtype=np.uint8), format)
