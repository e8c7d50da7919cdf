"""A history of any age is brought up to date, whole or not at all, and one from the future is refused."""

import json
import sqlite3
import subprocess
import sys

import pytest

from analysis.history import Label, Trial
from analysis.measure import measure
from analysis.pruning.plan import uniform_plan
from analysis.pruning.plan_json import to_json
from analysis.pruning.prune import prune
from analysis.store import Store, StoreError
from analysis.store.rows import numbers_to_json
from analysis.tasks import CLASSIFICATION
from tests.networks import ConvNet, load, randomise, split

# As the first version wrote it, before migrations were counted.
FIRST = """
CREATE TABLE trials (id INTEGER NOT NULL PRIMARY KEY, session VARCHAR(64), network VARCHAR(200), images INTEGER, "plan" TEXT,
    parent TEXT, numbers TEXT, measured_at FLOAT);
CREATE INDEX ix_trials_session ON trials (session);
CREATE TABLE plans_in_force (session VARCHAR(64) NOT NULL, network VARCHAR(200) NOT NULL, "plan" TEXT, changed_at FLOAT,
    PRIMARY KEY (session, network));
CREATE TABLE sensitivities (subject VARCHAR(64) NOT NULL, target VARCHAR(500) NOT NULL, ratio FLOAT NOT NULL, value FLOAT,
    low FLOAT, high FLOAT, examples INTEGER, measured_at FLOAT, PRIMARY KEY (subject, target, ratio));
CREATE TABLE findings (id INTEGER NOT NULL PRIMARY KEY, subject VARCHAR(64), content TEXT, measured_at FLOAT);
CREATE INDEX ix_findings_subject ON findings (subject);
"""


@pytest.fixture(scope="module")
def some():
    """A dense trial and one that grew from it."""
    net, data = load(randomise(ConvNet()), (2, 5, 5)), split((2, 5, 5), 4, 40)
    dense = measure(net, data, CLASSIFICATION)
    whole, cut = (uniform_plan(net, "l1", "channel", ratio) for ratio in (0.0, 0.5))
    pruned = measure(prune(net, cut), data, CLASSIFICATION, dense=dense)
    return [Trial(whole, dense.numbers()), Trial(cut, pruned.numbers(), whole)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "history.sqlite"


def write(file, rows):
    with sqlite3.connect(file) as database:
        database.executescript(FIRST)
        for session, images, plan, parent, numbers in rows:
            database.execute(
                "INSERT INTO trials (session, network, images, plan, parent, numbers, measured_at) "
                "VALUES (?, ?, ?, ?, ?, ?, 7.5)",
                (session, "net", images, plan, parent, numbers),
            )
        database.execute("INSERT INTO findings (subject, content, measured_at) VALUES ('a', '{\"n\": 1}', 1)")
    database.close()


def first_row(trial):
    parent = to_json(trial.parent) if trial.parent else None
    return "me", 40, to_json(trial.plan), parent, numbers_to_json(trial.measurement)


def listed(store, session="me"):
    return [
        (t.key, t.parent, t.images, t.headline, t.change, t.layers, t.label)
        for t in store.summaries(session, "net")
    ]


def test_a_first_history_is_listed_as_if_it_were_written_now(file, tmp_path, some):
    named = [
        Trial(replace_network(t.plan), t.measurement, t.parent and replace_network(t.parent)) for t in some
    ]
    write(file, [first_row(trial) for trial in named])
    old, new = Store(f"sqlite:///{file}"), Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    for trial in named:
        new.add_trial("me", 40, trial)
    assert listed(old) == listed(new) and len(listed(old)) == 2
    assert {t.measured_at for t in old.summaries("me", "net")} == {7.5}
    assert old.findings("a") == [{"n": 1}]
    assert old.add_trial("me", 40, named[1]) == old.summaries("me", "net")[1].id
    old.put_label("me", 1, Label("first"))
    assert Store(f"sqlite:///{file}").summaries("me", "net")[0].label.name == "first"


def replace_network(plan):
    return type(plan)("net", plan.criterion, plan.cuts)


def test_what_is_damaged_or_doubled_is_left_behind_and_the_rest_comes_along(file, some):
    good = first_row(Trial(replace_network(some[1].plan), some[1].measurement))
    empty = json.dumps(json.loads(good[4]) | {"quality": {}})
    damaged = [("me", 40, "{", None, good[4]), ("me", 40, good[2], None, empty), ("me", 40, None, None, None)]
    older_words = ("me", 40, json.dumps(json.loads(good[2]) | {"schema": 2}), None, good[4])
    write(file, [*damaged, good, good, older_words, ("you", *good[1:])])
    store = Store(f"sqlite:///{file}")
    assert [trial.id for trial in store.summaries("me", "net")] == [4]
    assert len(store.summaries("you", "net")) == 1
    with sqlite3.connect(file) as database:
        kept = [row[0] for row in database.execute("SELECT id FROM trials ORDER BY id")]
    assert kept == [1, 2, 3, 4, 7], "what cannot be read is not thrown away"


def test_both_ways_end_in_the_same_tables(file, tmp_path):
    write(file, [])
    Store(f"sqlite:///{file}"), Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert tables(file) == tables(tmp_path / "new.sqlite")


def tables(file):
    with sqlite3.connect(file) as database:
        names = [
            n
            for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        columns = {n: [c[1:4] for c in database.execute(f"PRAGMA table_info({n})")] for n in names}
        indexes = {
            (n, i[1], i[2])
            for n in names
            for i in database.execute(f"PRAGMA index_list({n})")
            if "auto" not in i[1]
        }
    return columns, indexes


def test_a_migration_that_fails_leaves_the_history_as_it_was(file, some, monkeypatch):
    write(file, [first_row(some[0])])
    before = tables(file)
    monkeypatch.setattr("alembic.op.create_index", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Store(f"sqlite:///{file}")
    assert tables(file) == before
    monkeypatch.undo()
    assert len(Store(f"sqlite:///{file}").summaries("me", some[0].plan.network)) == 0  # kept as network "net"
    assert len(Store(f"sqlite:///{file}").summaries("me", "net")) == 1


def test_a_history_of_a_newer_version_is_refused_and_untouched(file):
    Store(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    before = tables(file)
    with pytest.raises(StoreError, match="newer version"):
        Store(f"sqlite:///{file}")
    assert tables(file) == before


def test_two_that_open_a_new_history_at_once_both_succeed(file):
    program = f"from analysis.store import Store; Store('sqlite:///{file}').add_findings('a', [{{}}])"
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()[-500:]
