"""What is written is on the disk before anything says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.durable import settle
from analysis.kept_files import KeptFiles
from analysis.sources import Files, Settings
from ui.shelf import Limits, Shelf


@pytest.fixture
def order(monkeypatch):
    """What is settled and renamed, in that order, by the names of the moment."""
    seen = []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename

    def watched_fsync(descriptor):
        seen.append(("settle", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def watched(move):
        def moved(self, target):
            seen.append(("rename", self.name, Path(target).name))
            return move(self, target)

        return moved

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched(replace))
    monkeypatch.setattr(Path, "rename", watched(rename))
    return seen


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_counts(tmp_path, order):
    digest = KeptFiles(tmp_path / "kept", ".bin", 10**6).put(b"weights")
    (first, fresh), (second, moved, name), last = order
    assert (first, second) == ("settle", "rename")
    assert fresh == moved and name == f"{digest}.bin" and last == ("settle", "kept")


def test_all_files_of_a_source_are_on_the_disk_before_it_appears(tmp_path, order):
    brought = Files(b"network", b"data", Settings(network_file="net.pt2", data_file="x.npz"))
    Shelf(tmp_path, Limits(8, 10_000, 20_000)).put("a" * 32, brought)
    *before, moved, last = order
    assert {what for what, *_ in before} == {"settle"}
    assert [name for _, name in before] == ["network", "data", "source.json", moved[1]]
    assert moved[2] == brought.name and last == ("settle", "a" * 32)


def test_what_is_not_there_cannot_be_settled(tmp_path):
    with pytest.raises(FileNotFoundError):
        settle(tmp_path / "nothing")
