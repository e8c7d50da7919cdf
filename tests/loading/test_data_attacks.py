"""Files made to do harm: each is refused by name, quickly, and without memory being given to its claims."""

import io
import stat
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.errors import DataError
from analysis.loading import images
from analysis.loading.data import read_data
from tests.loading.files import npy, npy_header, npz, picture, plain, zipped

Y = npy(np.arange(20) % 4)
X = npy(np.zeros((20, 3)))
SECONDS = 2.0
MEGABYTES = 40


def _assert_refused(content: bytes, name: str, said: str, *, megabytes: int = MEGABYTES, **options) -> None:
    """DataError with `said`, within `SECONDS` of processor time and with at most `megabytes` given.

    Memory is watched in a second run: watching takes its own time.
    """
    start = time.process_time()
    with pytest.raises(DataError, match=said):
        read_data(content, name, **options)
    took = time.process_time() - start
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_data(content, name, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert took < SECONDS
    assert peak < megabytes << 20


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("key", ["x", "y", "class_names"])
def test_pickled_objects_are_never_loaded(key, tmp_path):
    objects = np.empty(20, dtype=object)
    objects[:] = [Trap(tmp_path / "executed") for _ in range(20)]
    arrays = {"x": np.zeros((20, 3)), "y": np.arange(20) % 4} | {key: objects}
    _assert_refused(
        npz(**arrays), "mine.npz", f"{key} in mine.npz holds Python objects, which are never loaded"
    )
    assert not (tmp_path / "executed").exists()


def test_pickles_beside_the_arrays_are_not_touched(tmp_path):
    objects = np.empty(1, dtype=object)
    objects[0] = Trap(tmp_path / "executed")
    assert len(read_data(npz(x=np.zeros((20, 3)), y=np.arange(20) % 4, meta=objects), "mine.npz")) == 20
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("shape", [(2**29,), (10**13,), (2**70,), (2**40, 2**40), (-5, 3), (-(2**33), -1)])
def test_a_kilobyte_that_claims_gigabytes(shape):
    content = zipped({"x.npy": npy_header(shape), "y.npy": Y})
    assert len(content) < 2000
    _assert_refused(content, "mine.npz", "x in mine.npz claims an array of shape", megabytes=2)


@pytest.mark.parametrize("kind", ["<U1000000000", "|V4000000000", "|S2000000000"])
@pytest.mark.parametrize("shape", [(1,), (0,)])
def test_a_huge_type_of_value(kind, shape):
    _assert_refused(
        zipped({"x.npy": npy_header(shape, kind), "y.npy": Y}), "mine.npz", "mine.npz", megabytes=2
    )


def test_a_header_that_claims_gigabytes_for_itself():
    header = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 100
    _assert_refused(
        zipped({"x.npy": header, "y.npy": Y}),
        "mine.npz",
        "x in mine.npz is damaged .its header claims 4,294,967,295 bytes",
        megabytes=2,
    )


def test_a_header_that_nests_without_end():
    header = b"(" * 9000
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    _assert_refused(
        zipped({"x.npy": content, "y.npy": Y}), "mine.npz", "x in mine.npz is damaged", megabytes=20
    )


def test_a_zip_bomb_of_one_array():
    """300 MB of zeros in 300 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w") as member:
            member.write(npy_header((20, 2 * 10**6), "<f8"))
            for _ in range(40):
                member.write(bytes(8 * 10**6))
        archive.writestr("y.npy", Y)
    assert len(buffer.getvalue()) < 400_000
    _assert_refused(buffer.getvalue(), "mine.npz", r"mine.npz cannot be read. 'x.npy' claims to unpack")


def test_a_zip_bomb_of_many_pictures():
    """1,100 members of a megabyte each, all zeros: any ratio is believed of such small ones."""
    content = zipped({f"a/{i}.png": bytes(1 << 20) for i in range(1100)}, zipfile.ZIP_DEFLATED)
    _assert_refused(content, "pets.zip", "pets.zip cannot be read. It unpacks to")


def test_more_members_than_are_read():
    content = zipped({f"a/{i}.png": b"" for i in range(20_001)})
    _assert_refused(content, "pets.zip", "pets.zip cannot be read. It has 20,001 members; at most 20,000")


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (8001, 8000), (2**31 - 1, 1)])
def test_a_decompression_bomb_is_refused_by_its_header(width, height, monkeypatch):
    monkeypatch.setattr(Image.Image, "convert", None)  # no pixel is unpacked
    content = _png_that_claims(width, height)
    assert len(content) < 1000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        _assert_refused(
            zipped({"a/1.png": content}),
            "pets.zip",
            r"a/1.png claims .* pixels; at most 64,000,000 are read",
            megabytes=2,
        )


def test_a_bomb_of_many_modest_pictures_is_refused_by_their_headers(monkeypatch):
    monkeypatch.setattr(Image.Image, "convert", None)
    content = _png_that_claims(8000, 8000)
    _assert_refused(
        zipped({f"a/{i}.png": content for i in range(100)}),
        "pets.zip",
        "Its pictures hold more than 4,000,000,000 pixels together",
        image_size=(8, 8),
    )


def _webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize(
    "content",
    [
        _webp(b"VP8X", bytes(4) + (16_382).to_bytes(3, "little") * 2),
        _webp(b"VP8L", b"\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little") + bytes(5)),
        _webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + (16_383 | 16_383 << 16).to_bytes(4, "little")),
    ],
    ids=["extended", "lossless", "lossy"],
)
def test_webp_is_measured_before_its_reader_makes_room(content, monkeypatch):
    monkeypatch.setattr(Image, "open", None)  # its reader would give memory to the claim at once
    _assert_refused(
        zipped({"a/1.webp": content}), "pets.zip", r"a/1.webp claims 16,383×16,383 pixels", megabytes=2
    )


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\0\0"}]
)
def test_the_measure_of_webp_is_the_one_of_its_reader(options):
    content = picture(np.zeros((37, 53, 3), np.uint8), "webp", **options)
    assert images._webp_size(content) == (53, 37) == Image.open(io.BytesIO(content)).size


def test_a_jpeg_of_endless_passes():
    content = picture(np.zeros((64, 64), np.uint8), "jpeg", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    _assert_refused(
        zipped({"a/1.jpg": content[:-2] + scan * 200 + content[-2:]}),
        "pets.zip",
        "a/1.jpg is drawn in more than 100 passes",
    )


def test_limits_of_pillow_are_left_as_they_are():
    before = Image.MAX_IMAGE_PIXELS
    read_data(zipped({"a/1.png": plain(1)}), "pets.zip")
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("cell", ["=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", '=HYPERLINK("http://x")'])
def test_formula_cells_are_text(cell):
    quoted = '"' + cell.replace('"', '""') + '"'
    _assert_refused(f"a,b\n{quoted},1\n2,0\n".encode(), "mine.csv", "mine.csv holds text in “a”")
    raw = read_data(f"a,b\n1,{quoted}\n2,no\n".encode(), "mine.csv")
    assert set(raw.class_names) == {cell, "no"}


def test_a_table_of_endless_columns():
    _assert_refused(b"," * 3_000_000 + b"\n1\n", "mine.csv", "mine.csv has 3,000,001 columns; at most 10,000")


def test_a_table_whose_rows_grow_beyond_its_header():
    _assert_refused(
        b"a,b\n1,2\n" + b"," * 25_000_000, "mine.csv", "mine.csv has 25,000,005 cells; at most 20,000,000"
    )


def test_a_quote_that_never_ends():
    _assert_refused(b'a,b\n1,"' + b"x\n" * 100_000, "mine.csv", "mine.csv")


@pytest.mark.parametrize("name", ["../cat/1.png", "/etc/cat/1.png", "a/../../cat/1.png", "..\\cat\\1.png"])
def test_names_outside_the_archive_are_refused_and_touch_no_disk(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _assert_refused(
        zipped({"cat/0.png": plain(1), name: plain(1)}),
        "pets.zip",
        "pets.zip cannot be read. It names a member",
    )
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat/0.png", plain(1))
        entry = zipfile.ZipInfo("cat/1.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    _assert_refused(buffer.getvalue(), "pets.zip", "pets.zip cannot be read. cat/1.png is a link")


@pytest.mark.parametrize(
    ("members", "name"), [({"x.npy": X, "y.npy": Y}, "a.npz"), ({"a/1.png": plain(1)}, "a.zip")]
)
def test_a_password_is_refused(members, name):
    """The flag that says so is set in both headers of each member."""
    content = bytearray(zipped(members))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(signature, start + 4)
    _assert_refused(bytes(content), name, f"{name} cannot be read. .* is encrypted")


@pytest.mark.parametrize(("name", "content"), [("x.npy", X), ("a/1.png", plain(1))])
def test_names_that_occur_twice_are_refused(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                archive.writestr(name, content)
        archive.writestr("y.npy" if name == "x.npy" else "b/1.png", Y)
    _assert_refused(
        buffer.getvalue(),
        "mine.npz" if name == "x.npy" else "pets.zip",
        f"cannot be read. It holds '{name}' twice",
    )


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_packings_are_refused(packing):
    _assert_refused(zipped({"a/1.png": plain(1)}, packing), "pets.zip", "is packed in a rare way")


@pytest.mark.parametrize(
    ("content", "name"), [(zipped({"x.npy": X, "y.npy": Y}), "mine.npz"), (zipped({"a/1.png": plain(1)}), "pets.zip")]
)  # fmt: skip
def test_a_file_cut_anywhere_is_refused_by_name(content, name):
    for length in range(1, len(content) - 1, max(1, len(content) // 40)):
        with pytest.raises(DataError, match=name):
            read_data(content[:length], name)


def test_noise_is_refused_whatever_it_is_called():
    rng = np.random.default_rng(0)
    for start in (b"", b"PK\x03\x04", b"PK\x05\x06", b"a,b\n1,"):
        for name in ("mine.npz", "mine.zip", "mine.csv", "mine.bin"):
            for _ in range(20):
                with pytest.raises(DataError, match="mine"):
                    read_data(start + rng.bytes(200), name)
