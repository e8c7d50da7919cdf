"""Where recovered weights are kept: by content, within a limit, never trusted blindly."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from analysis.errors import PlanError
from analysis.pruning.selection import Selection
from analysis.recovery import keep
from analysis.recovery.keep import Keep, KeepError, keep_here
from analysis.recovery.recovered import Recovered


def weights(value: float, size: int = 4) -> Recovered:
    return Recovered(Selection({"a": (1, 2)}), {"fc.weight": torch.full((size,), value)})


def test_what_is_put_is_found_by_its_digest(tmp_path):
    kept = Keep(tmp_path / "recovered")
    first, second = kept.put(weights(1.0)), kept.put(weights(2.0))
    assert first != second and kept.put(weights(1.0)) == first, "equal weights have one file"
    assert kept.holds(first) and float(kept.get(first).state["fc.weight"][0]) == 1.0
    assert len(list((tmp_path / "recovered").iterdir())) == 2
    assert (tmp_path / "recovered").stat().st_mode & 0o077 == 0, "for the eyes of this account alone"


def test_what_is_not_there_is_said_with_the_remedy(tmp_path):
    kept = Keep(tmp_path)
    assert not kept.holds("0" * 64)
    with pytest.raises(PlanError, match="recover again"):
        kept.get("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "0" * 64 + "/", "A" * 64])
def test_a_digest_is_nothing_but_a_digest(tmp_path, digest):
    with pytest.raises(PlanError, match="no digest"):
        Keep(tmp_path).get(digest)


def test_a_file_that_was_changed_is_refused(tmp_path):
    kept = Keep(tmp_path)
    digest = kept.put(weights(1.0))
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(PlanError, match="damaged"):
        kept.get(digest)


def test_the_longest_unused_go_first_but_nothing_of_today(tmp_path):
    size = len(keep.to_bytes(weights(0.0, 1000)))
    kept = Keep(tmp_path, limit=2 * size + 1)
    digests = [kept.put(weights(float(i), 1000)) for i in range(3)]
    assert all(map(kept.holds, digests)), "all were used within a day"
    week = time.time() - 7 * 86_400
    for digest, age in zip(digests, (2, 3, 1), strict=True):
        os.utime(tmp_path / f"{digest}.safetensors", (week - age, week - age))
    kept.get(digests[1])  # used now
    kept.put(weights(9.0, 1000))
    assert [kept.holds(digest) for digest in digests] == [False, True, False]


def test_what_is_not_ours_is_left_alone_and_a_crash_leaves_nothing_for_long(tmp_path, monkeypatch):
    thesis, folder, half = tmp_path / "thesis.txt", tmp_path / "old", tmp_path / ".new-0123"
    thesis.write_text("x" * 10_000)
    folder.mkdir()
    half.write_bytes(b"half")
    for one in (thesis, folder, half):
        os.utime(one, (0, 0))
    kept = Keep(tmp_path, limit=1)
    kept.put(weights(1.0))
    assert thesis.exists() and folder.exists() and not half.exists()

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(KeepError, match="No space left"):
        kept.put(weights(2.0))
    assert not list(tmp_path.glob(".new-*")), "a full disk is not filled further"


def test_a_file_that_another_process_renames_meanwhile_is_no_error(tmp_path, monkeypatch):
    kept = Keep(tmp_path)
    kept.put(weights(1.0))
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([*real(self), self / ".new-gone"]))
    assert kept.holds(kept.put(weights(2.0)))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KeepError, match="PRUNESCOPE_RECOVERED"):
        Keep(tmp_path / "file" / "recovered").put(weights(1.0))


def test_the_environment_says_where_and_how_much(tmp_path, monkeypatch):
    monkeypatch.setenv(keep.FOLDER, str(tmp_path / "here"))
    monkeypatch.setenv(keep.MIB, "3")
    assert keep_here().folder == tmp_path / "here" and keep_here().limit == 3 * 2**20
    monkeypatch.setenv(keep.MIB, "many")
    assert keep_here().limit == 4000 * 2**20
