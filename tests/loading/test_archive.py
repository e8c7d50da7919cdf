"""Zip archives from strangers: what they claim is checked before it is believed."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile

import pytest

from analysis.errors import DataError, NetworkError
from analysis.loading import archive as archive_module
from analysis.loading.archive import Limits, open_archive

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def _zip(members, method=STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names given twice
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def _patched(content: bytes, offset: int, kind: str, value: int) -> bytes:
    """The archive with one field of its first directory entry overwritten."""
    changed = bytearray(content)
    struct.pack_into(kind, changed, content.index(b"PK\x01\x02") + offset, value)
    return bytes(changed)


FLAGS, METHOD, CRC, PACKED, UNPACKED, HEADER = (
    (8, "<H"),
    (10, "<H"),
    (16, "<L"),
    (20, "<L"),
    (24, "<L"),
    (42, "<L"),
)
GOOD = _zip([("a.txt", b"hello"), ("b/c.bin", b"x" * 100)])


def _refused(content, match, **limits) -> None:
    with (
        pytest.raises(DataError, match=match),
        open_archive(content, Limits(**limits), refuse=DataError) as archive,
    ):
        for name in archive.names:
            archive.read_member(name, 1 << 20)


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_members_come_back_as_they_were(method, tmp_path):
    members = [("a.txt", b"hello"), ("folder/", b""), ("folder/b.bin", bytes(range(256)) * 9), ("empty", b"")]
    content = _zip(members, method)
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    for source in (content, path):
        with open_archive(source, refuse=DataError) as archive:
            assert archive.names == ("a.txt", "folder/b.bin", "empty")
            for name, expected in members:
                assert archive.read_member(name, 1 << 20) == expected
                assert archive.size(name) == len(expected)


def test_the_kind_of_the_refusal_is_the_callers():
    for kind in (DataError, NetworkError):
        with (
            pytest.raises(kind, match="It is not an album"),
            open_archive(b"text", refuse=kind, what="an album"),
        ):
            pass
        with pytest.raises(kind, match="no member 'gone'"), open_archive(GOOD, refuse=kind) as archive:
            archive.read_member("gone", 10)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x05\x06", GOOD[:40], GOOD[:-10], GOOD[10:60], b"\0" * 500]
)
def test_what_is_no_archive_is_refused(content):
    _refused(content, "It is not a zip archive")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.zip"), open_archive(tmp_path / "gone.zip", refuse=DataError):
        pass
    with pytest.raises(DataError, match="no readable file"), open_archive(tmp_path, refuse=DataError):
        pass


def test_each_limit_is_named():
    _refused(GOOD, f"has {len(GOOD)} bytes; at most 50 are read", file_bytes=50)
    _refused(GOOD, "2 members; at most 1 are read", members=1)
    _refused(GOOD, "unpacks to 105 bytes; at most 104 are read", unpacked_bytes=104)
    with (
        pytest.raises(DataError, match="holds 100 bytes; at most 99"),
        open_archive(GOOD, refuse=DataError) as archive,
    ):
        archive.read_member("b/c.bin", 99)


def test_a_long_directory_is_refused_before_it_is_read(monkeypatch):
    content = _zip([(f"{i}", b"") for i in range(100)])
    monkeypatch.setattr(archive_module, "MAX_DIRECTORY_BYTES", 1000)
    monkeypatch.setattr(zipfile.ZipInfo, "__init__", None)  # never reached
    _refused(content, "list of members is longer than 1,000 bytes")


def test_a_claim_of_four_gigabytes_is_refused():
    huge = 0xFFFFFFF0
    for field in (UNPACKED, PACKED, HEADER):
        _refused(_patched(GOOD, *field, huge), "claims|not a zip archive|damaged", unpacked_bytes=1 << 40)
    both = _patched(_patched(GOOD, *UNPACKED, huge), *PACKED, huge)
    _refused(both, "claims 4,294,967,280 bytes in a file of", unpacked_bytes=1 << 40)


def test_a_bomb_is_refused_by_its_ratio():
    content = _zip([("zeros", bytes(5 << 20))], DEFLATED)
    assert len(content) < 6000
    _refused(content, "claims to unpack .* to 5,242,880; at most 200 times")
    with open_archive(content, Limits(ratio=2000), refuse=DataError) as archive:
        assert archive.read_member("zeros", 6 << 20) == bytes(5 << 20)


def test_a_member_that_unpacks_to_more_than_it_claims_is_refused():
    content = _zip([("zeros", bytes(1 << 19))], DEFLATED)
    _refused(_patched(content, *UNPACKED, 100), "damaged|claims")
    _refused(_patched(content, *UNPACKED, 1 << 20), "damaged|claims")


def test_a_member_given_twice_is_refused():
    _refused(_zip([("a", b"1"), ("b", b"2"), ("a", b"3")]), "holds 'a' twice")


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "a\\b", "..", "n" * 500])
def test_names_outside_the_archive_are_refused(name):
    _refused(_zip([("ok", b"1"), (name, b"2")]), "names a member")


def test_a_long_name_is_not_shown_whole():
    with pytest.raises(DataError) as caught, open_archive(_zip([("n" * 5000, b"")]), refuse=DataError):
        pass
    assert len(str(caught.value)) < 300


def test_encrypted_members_are_refused():
    _refused(_patched(GOOD, *FLAGS, 1), "'a.txt' is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_compression_is_refused(method):
    _refused(_zip([("a", b"x" * 1000)], method), "packed in a rare way")


def test_damage_is_found_by_the_checksum():
    place = GOOD.index(b"hello")
    _refused(GOOD[:place] + b"jello" + GOOD[place + 5 :], r"a\.txt is damaged")
    _refused(_patched(GOOD, *CRC, 1), r"a\.txt is damaged")
    deflated = _zip([("a", bytes(range(256)) * 8)], DEFLATED)
    cut = deflated.index(b"PK\x01\x02") - 40
    _refused(deflated[:cut] + b"\xff" * 20 + deflated[cut + 20 :], "a is damaged|claims")
