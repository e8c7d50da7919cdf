"""Where exported files lie: by content, whole or not at all, within a limit."""

from __future__ import annotations

import hashlib
import io
import os
import time
import zipfile
from pathlib import Path

import pytest

from analysis.export import folder
from analysis.export.folder import Exports, ExportsError, exports_here

FILES = {"network.pt2": b"\x00\x01" * 500, "unpack.py": b"print('here')\n"}


def test_files_come_back_by_their_digest(tmp_path):
    kept = Exports(tmp_path / "exports")
    digest = kept.put(FILES)
    assert kept.holds(digest) and kept.get(digest) == FILES
    (archive,) = (tmp_path / "exports").iterdir()
    assert archive.name == f"{digest}.zip" and hashlib.sha256(archive.read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None and sorted(opened.namelist()) == sorted(FILES)
    assert (tmp_path / "exports").stat().st_mode & 0o077 == 0, "for the eyes of this account alone"


def test_what_is_not_there_is_said_with_the_remedy(tmp_path):
    kept = Exports(tmp_path)
    assert not kept.holds("0" * 64)
    with pytest.raises(ExportsError, match="Export again"):
        kept.get("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "0" * 64 + "/", "A" * 64])
def test_a_digest_is_nothing_but_a_digest(tmp_path, digest):
    for ask in (Exports(tmp_path).get, Exports(tmp_path).holds):
        with pytest.raises(ExportsError, match="no digest"):
            ask(digest)


def test_an_archive_that_was_changed_is_refused_and_goes(tmp_path):
    kept = Exports(tmp_path)
    digest = kept.put(FILES)
    fake = io.BytesIO()
    with zipfile.ZipFile(fake, "w") as other:
        other.writestr("network.pt2", b"something else")
    (tmp_path / f"{digest}.zip").write_bytes(fake.getvalue())
    with pytest.raises(ExportsError, match="Export again"):
        kept.get(digest)
    assert not kept.holds(digest), "so that it is made again"
    assert kept.put(FILES) == digest and kept.get(digest) == FILES


def test_the_longest_unused_go_first_but_nothing_of_this_hour(tmp_path):
    contents = [{"a": os.urandom(5000)} for _ in range(4)]
    kept = Exports(tmp_path, limit=11_000)
    digests = [kept.put(files) for files in contents[:3]]
    assert all(map(kept.holds, digests)), "all were used within the hour"
    past = time.time() - 7200
    for digest, age in zip(digests, (2, 3, 1), strict=True):
        os.utime(tmp_path / f"{digest}.zip", (past - age, past - age))
    kept.get(digests[1])  # used now
    kept.put(contents[3])
    assert [kept.holds(digest) for digest in digests] == [False, True, False]


def test_what_is_offered_stays_for_the_hour(tmp_path):
    kept = Exports(tmp_path, limit=6000)
    old, other = (kept.put({"a": os.urandom(5000)}) for _ in range(2))
    past = time.time() - 7200
    for digest in (old, other):
        os.utime(tmp_path / f"{digest}.zip", (past, past))
    assert kept.offer(old) and not kept.offer("0" * 64)
    kept.put({"a": os.urandom(5000)})
    assert kept.holds(old) and not kept.holds(other)
    with pytest.raises(ExportsError, match="no digest"):
        kept.offer("../../etc/passwd")


def test_nothing_is_left_of_what_could_not_be_written(tmp_path, monkeypatch):
    kept = Exports(tmp_path)

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ExportsError, match="No space left on device"):
        kept.put(FILES)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_with_the_setting_that_names_another(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportsError, match="PRUNESCOPE_EXPORTS"):
        Exports(tmp_path / "file" / "exports").put(FILES)


def test_the_environment_says_where_and_how_much(tmp_path, monkeypatch):
    monkeypatch.setenv(folder.FOLDER, str(tmp_path / "here"))
    monkeypatch.setenv(folder.MIB, "3")
    assert exports_here().folder == tmp_path / "here" and exports_here().limit == 3 * 2**20
    monkeypatch.setenv(folder.MIB, "many")
    assert exports_here().limit == 2000 * 2**20
