"""Killed at any moment: what was said to be kept is there, and the history opens as if nothing had happened."""

from __future__ import annotations

import sqlite3

from analysis.store import Store
from tests.store import writing
from tests.store.killing import kill_often
from tests.store.test_migrations import FIRST

ROUNDS = 8


def test_no_trial_is_lost_however_often_its_writer_is_killed(url):
    known = kill_often("write", [url], ROUNDS, seed=7)
    assert known and writing.missing(url, known) == []
    assert writing.doubled(url, {one.session for one in known}) == 0
    Store(url).add_trial("me", writing.IMAGES, writing.trial(1))


def test_a_kill_while_a_history_is_made_harms_nothing(url):
    kill_often("open", [url], ROUNDS, seed=11)
    is_usable(url)


def test_a_kill_while_old_histories_are_brought_up_to_date_harms_nothing(tmp_path):
    files = [tmp_path / f"{turn}.sqlite" for turn in range(ROUNDS)]
    for file in files:
        with sqlite3.connect(file) as database:
            database.executescript(FIRST)
            database.execute(
                "INSERT INTO findings (subject, content, measured_at) VALUES ('a', '{\"n\": 1}', 1)"
            )
        database.close()
    urls = [f"sqlite:///{file}" for file in files]
    kill_often("open", urls, ROUNDS, seed=3)
    for url in urls:
        is_usable(url)
        assert Store(url).findings("a") == [{"n": 1}]


def is_usable(url: str) -> None:
    store = Store(url)
    id_ = store.add_trial("me", writing.IMAGES, writing.trial(1))
    assert writing.content(store.trial("me", id_)) == writing.content(writing.trial(1))
    store.close()
