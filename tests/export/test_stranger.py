"""Folders that files are loaded back from: they go, also those that a killed worker has left."""

from __future__ import annotations

import os
import tempfile
import time

import pytest

from analysis.export.stranger import unpacked


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_holds_the_files_and_goes(here):
    with unpacked({"a.txt": b"one"}) as folder:
        assert folder.parent == here and [path.name for path in folder.iterdir()] == ["a.txt"]
        assert (folder / "a.txt").read_bytes() == b"one" and folder.stat().st_mode & 0o077 == 0
    assert list(here.iterdir()) == []


def test_what_a_killed_worker_left_goes_after_a_day_and_nothing_else(here):
    old = time.time() - 90_000
    for name in ("prunescope-export-old", "prunescope-export-new", "others"):
        (here / name).mkdir()
        (here / name / "network.py").write_text("left")
    (here / "prunescope-export-file").write_text("no folder")
    (here / "prunescope-export-link").symlink_to(here / "others")
    for name in ("prunescope-export-old", "others", "prunescope-export-file"):
        os.utime(here / name, (old, old))
    os.utime(here / "prunescope-export-link", (old, old), follow_symlinks=False)
    with unpacked({}):
        pass
    assert {path.name for path in here.iterdir()} == {
        "prunescope-export-new",
        "prunescope-export-file",
        "prunescope-export-link",
        "others",
    }
    assert (here / "others" / "network.py").exists()
