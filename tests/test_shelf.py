"""Files that users bring: kept as a whole, for their own history alone, within the caps."""

import dataclasses
import os
import stat
import time

import pytest

from analysis.errors import NetworkError
from analysis.sources import Files, Settings, identity, read_folder, stem_of
from ui.shelf import Limits, Shelf, ShelfError

ANNA, BERT = "a" * 32, "b" * 32
ROOMY = Limits(networks=8, history_bytes=10_000, all_bytes=20_000)


def files(number=0, size=100, **settings):
    given = {"network_file": "net.pt2", "data_file": "x.npz"} | settings
    return Files(bytes([number]) * size, b"data", Settings(**given))


def age(shelf, history, name, hours):
    then = time.time() - 3600 * hours
    os.utime(shelf.root / history / name, (then, then))


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "uploads", ROOMY)


def test_files_come_back_as_they_came_also_after_a_restart(shelf):
    mine = files(3, task="binary", target="price")
    assert shelf.put(ANNA, mine) == ()
    again = Shelf(shelf.root, ROOMY)
    assert again.names(ANNA) == (mine.name,)
    found = read_folder(again.find(mine.name))
    assert dataclasses.astuple(found) == dataclasses.astuple(mine)


def test_nobody_sees_what_another_history_brought(shelf):
    shelf.put(ANNA, files(1))
    shelf.put(BERT, files(2))
    assert shelf.names(ANNA) == (files(1).name,) and shelf.names(BERT) == (files(2).name,)
    shelf.remove(BERT, files(1).name)
    assert shelf.names(ANNA) == (files(1).name,), "and nobody removes it"
    assert not list((shelf.root / BERT).glob(f"*{files(1).name}*"))


def test_only_this_account_may_look_into_the_folders(shelf):
    shelf.put(ANNA, files())
    for folder in (shelf.root, shelf.root / ANNA, shelf.find(files().name)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("history", ["", "..", "../" + ANNA, "A" * 32, ANNA + "/x", "a" * 33])
def test_a_history_is_never_a_path(shelf, history):
    for act in (shelf.names, lambda h: shelf.put(h, files()), lambda h: shelf.remove(h, files().name)):
        with pytest.raises(ShelfError, match="no history's name"):
            act(history)
    assert not shelf.root.exists()


@pytest.mark.parametrize(
    "name", ["..", "../../etc", "x", "", ANNA, "a/b-0123456789abcdef", "*-0123456789abcdef"]
)
def test_only_names_are_found(shelf, name):
    shelf.put(ANNA, files())
    assert shelf.find(name) is None


def test_equal_files_have_one_name_and_any_difference_another():
    base = files()
    assert files().name == base.name
    others = [
        files(1),
        dataclasses.replace(base, data=b"else"),
        files(task="regression"),
        files(network_file="net.pt"),
        Files(base.network + base.data[:1], base.data[1:], base.settings),
    ]
    names = {base.name, *(other.name for other in others)}
    assert len(names) == 6 and all(stem_of(name) == "net" for name in names)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("my net (1)", "my-net-1"),
        ("../../x", "x"),
        ("é", "network"),
        ("..", "network"),
        ("-rf", "rf"),
        ("a" * 500, "a" * 60),
    ],
)
def test_a_name_is_harmless_as_a_path_and_in_an_address(shelf, stem, expected):
    assert identity(stem, "0123456789abcdef") == f"{expected}-0123456789abcdef"
    brought = files(network_file=f"{stem}.pt2")
    shelf.put(ANNA, brought)
    assert shelf.find(brought.name).parent == shelf.root / ANNA


def test_the_longest_unused_goes_when_there_are_too_many(tmp_path):
    shelf = Shelf(tmp_path, dataclasses.replace(ROOMY, networks=2))
    for number, hours in ((1, 5), (2, 3)):
        shelf.put(ANNA, files(number))
        age(shelf, ANNA, files(number).name, hours)
    shelf.note_use(ANNA, files(1).name)
    assert shelf.put(ANNA, files(3)) == (files(2).name,)
    assert set(shelf.names(ANNA)) == {files(1).name, files(3).name}


def test_the_longest_unused_goes_when_a_history_is_too_large(tmp_path):
    shelf = Shelf(tmp_path, Limits(networks=8, history_bytes=2000, all_bytes=10**6))
    brought = [files(number, size=500) for number in range(4)]
    for number in range(3):
        assert shelf.put(ANNA, brought[number]) == ()
        age(shelf, ANNA, brought[number].name, 9 - number)
    assert shelf.put(ANNA, brought[3]) == (brought[0].name,)
    assert shelf.names(ANNA) == tuple(brought[number].name for number in (3, 2, 1))


def test_what_others_used_within_the_hour_stays_and_what_they_left_goes(tmp_path):
    shelf = Shelf(tmp_path, Limits(networks=8, history_bytes=1000, all_bytes=1000))
    shelf.put(BERT, files(1, size=500))
    with pytest.raises(ShelfError, match="in use on this server"):
        shelf.put(ANNA, files(2, size=500))
    assert shelf.names(BERT) == (files(1, size=500).name,) and shelf.names(ANNA) == ()
    age(shelf, BERT, files(1, size=500).name, 2)
    shelf.put(ANNA, files(2, size=500))
    assert shelf.names(BERT) == () and shelf.names(ANNA) == (files(2, size=500).name,)


def test_what_could_never_fit_is_refused_at_once(shelf):
    with pytest.raises(ShelfError, match="at most 10,000"):
        shelf.put(ANNA, files(size=10_000))
    assert shelf.names(ANNA) == ()


def test_writing_that_fails_leaves_nothing(shelf, monkeypatch):
    def fail(folder, files):
        (folder / "network").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ui.shelf.write_folder", fail)
    with pytest.raises(ShelfError, match="No space left"):
        shelf.put(ANNA, files())
    assert shelf.names(ANNA) == () and shelf.find(files().name) is None
    assert list((shelf.root / ANNA).iterdir()) == []


def test_a_server_that_was_faster_with_the_same_files_is_no_error(shelf, monkeypatch):
    from ui import shelf as room

    def be_slower(folder, files):
        monkeypatch.undo()
        Shelf(shelf.root, ROOMY).put(ANNA, files)
        room.write_folder(folder, files)

    monkeypatch.setattr("ui.shelf.write_folder", be_slower)
    assert shelf.put(ANNA, files()) == ()
    assert shelf.names(ANNA) == (files().name,) and len(list((shelf.root / ANNA).iterdir())) == 1


def test_a_crash_while_a_source_is_deleted_leaves_nothing_that_goes_by_its_name(shelf, monkeypatch):
    shelf.put(ANNA, files())
    monkeypatch.setattr("ui.shelf.shutil.rmtree", lambda folder, ignore_errors: (folder / "data").unlink())
    shelf.remove(ANNA, files().name)
    monkeypatch.undo()
    assert shelf.names(ANNA) == () and shelf.find(files().name) is None
    assert shelf.put(ANNA, files()) == () and read_folder(shelf.find(files().name))


def test_damaged_files_are_named(shelf):
    shelf.put(ANNA, files())
    folder = shelf.find(files().name)
    (folder / "data").write_bytes(b"else")
    with pytest.raises(NetworkError, match="damaged"):
        read_folder(folder)
    (folder / "source.json").write_text("[")
    with pytest.raises(NetworkError, match="cannot be read"):
        read_folder(folder)
