"""That nothing is lost: kills at random moments, and ten sessions at two servers: ``python -m benchmarks.durability [ROUNDS]``.

Writers of the store alone are killed and set against each other on SQLite and PostgreSQL; then the real server, with
browsers that move sliders and a training on its way, is killed, or its worker, ROUNDS times (50) on one history; then
two real servers share one PostgreSQL. Writes benchmarks/results/durability.json.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page

from analysis.store import Store
from benchmarks.rows import Row, at_least, at_most, publish
from tests.e2e import crashing
from tests.e2e.crashing import Home
from tests.e2e.harness import Server, browser, settle
from tests.postgres import Postgres, postgres
from tests.store import writing
from tests.store.killing import kill_often

ROUNDS = 50
SECONDS = 60.0
SESSIONS = 10
_LONGEST = 6.0  # seconds of sliders moved until a kill
_RECOVERING = 0.3  # the share of rounds in which the training's best weights are put in force before the kill
_DATABASES = ("SQLite", "PostgreSQL")


def rows(rounds: int) -> list[Row]:
    """All figures."""
    with postgres() as database, tempfile.TemporaryDirectory() as folder:
        found = []
        for name in _DATABASES:
            urls = _new_databases(name, Path(folder), database)
            found += writers_killed(name, urls, rounds) + writers_at_once(name, next(urls))
        with browser() as chromium:
            found += servers_killed(chromium, Home(Path(folder) / "killed"), rounds)
            found += two_servers(chromium, Home(Path(folder) / "two", database.new_database()))
    return found


def writers_killed(name: str, urls: Iterator[str], rounds: int) -> list[Row]:
    """Trials told by processes that were killed while they wrote, and histories killed while they were made."""
    url = next(urls)
    known = kill_often("write", [url], rounds, seed=0)
    lost, twice = len(writing.missing(url, known)), writing.doubled(url, {one.session for one in known})
    made = [next(urls) for _ in range(5)]
    kill_often("open", made, rounds, seed=1)
    for one in made:
        Store(one).close()  # raises if the kill has left something half done
    where = f"{name}, {rounds} kills -9 of a process that writes, {len(known):,} trials told"
    return [
        at_most(f"{name}: trials lost to kills", lost, "trials", 0, where),
        at_most(f"{name}: trials there twice", twice, "trials", 0, where),
        at_least(
            f"{name}: histories that open after kills while they were made", len(made), "of 5", 5,
            f"{rounds} kills",
        ),
    ]  # fmt: skip


def writers_at_once(name: str, url: str) -> list[Row]:
    """Ten sessions at two processes, one session at both, for a minute."""
    known = writing.write_at_once(url, SECONDS)
    sessions = {one.session for one in known}
    where = f"{name}, {SESSIONS} sessions in 2 processes for {SECONDS:.0f} s, {len(known):,} trials told"
    return [
        at_most(f"{name}: trials of ten sessions at once that are lost", len(writing.missing(url, known)), "trials", 0, where),
        at_most(f"{name}: the same, there twice", writing.doubled(url, sessions), "trials", 0, where),
    ]  # fmt: skip


def servers_killed(chromium: Browser, home: Home, rounds: int) -> list[Row]:
    """The real server or its worker, killed while trials are made and a training is on its way."""
    home.folder.mkdir()
    draw, count = random.Random(0), Counter[str]()
    seen: set[tuple[float, float]] = set()
    while count["rounds"] < rounds:
        with home.open() as running:
            _until_killed(chromium, running, home, draw, count, seen, rounds)
    count["lost"] += len(home.lost(seen))
    recovered = home.recovered()  # raises if one cannot be read
    where = (
        f"{crashing.NETWORK}, {count['server']} kills -9 of the server and {count['worker']} of its worker at random moments, "
        f"{len(home.kept())} trials kept, {len(seen)} shown"
    )
    return [
        at_most("trials that a screen had shown, lost to kills", count["lost"], "trials", 0, where),
        at_most("errors on a page after a kill or a restart", count["errors"], "errors", 0, where),
        at_most(
            f"processes left {crashing.ORPHANS_END_WITHIN:.0f} s after a kill", count["orphans"], "processes", 0,
            f"{where}, a worker was at work in {count['at work']} of them",
        ),
        at_least("recovered weights that plans and findings name, all readable", len(recovered), "files", 1, where),
    ]  # fmt: skip


def _until_killed(
    chromium: Browser,
    running: Server,
    home: Home,
    draw: random.Random,
    count: Counter[str],
    seen: set[tuple[float, float]],
    rounds: int,
) -> None:
    """Work with one server, kill its worker now and then, and the server in the end."""
    page, training = crashing.open_console(chromium, running), crashing.train(chromium, running)
    count["errors"] += _told_errors(page, training)
    is_over = False
    while not is_over:
        if draw.random() < _RECOVERING:
            crashing.use_best(training)
        crashing.move(page, draw, draw.uniform(0.2, _LONGEST))
        count["rounds"] += 1
        workers = home.workers(running)
        is_over = not workers or draw.random() < 0.6 or count["rounds"] >= rounds
        if is_over:
            count["server"] += 1
            count["at work"] += bool(workers)
            count["orphans"] += len(crashing.kill(running, home))
        else:
            os.kill(workers[0], signal.SIGKILL)
            count["worker"] += 1
            training.context.close()
            training = crashing.train(chromium, running)
            count["errors"] += _told_errors(page, training)
        shown = crashing.shown(page)
        count["lost"] += len(home.lost(shown))
        seen |= shown
        print(f"round {count['rounds']}: {dict(count)}, {len(seen)} shown", flush=True)
    page.context.close()
    training.context.close()


def _told_errors(*pages: Page) -> int:
    """How many errors pages show; they are printed."""
    found = [text for page in pages for text in crashing.errors(page)]
    for text in found:
        print(f"an error on a page: {text}", flush=True)
    return len(found)


def two_servers(chromium: Browser, home: Home) -> list[Row]:
    """Two real servers on one PostgreSQL: ten browsers move sliders for a minute, two of them on one history."""
    home.folder.mkdir()
    draw = random.Random(1)
    names = [f"{min(i, SESSIONS - 2):032x}" for i in range(SESSIONS)]  # the last two share theirs
    with ExitStack() as stack:
        servers = [stack.enter_context(home.open()) for _ in range(2)]
        pages = [crashing.open_console(chromium, servers[i % 2], name) for i, name in enumerate(names)]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for page in pages:
                crashing.nudge(page, draw)
        for page in pages:
            settle(page, timeout=300)
        lost = sum(
            len(home.lost(crashing.shown(page), name)) for page, name in zip(pages, names, strict=True)
        )
        problems = sum(len(crashing.errors(page)) for page in pages)
        for page in pages:
            page.context.close()
    kept = [(name, trial.images, trial.key) for name in set(names) for trial in home.kept(name)]
    where = f"2 servers, {SESSIONS} browsers, {SECONDS:.0f} s of sliders, {len(kept)} trials kept, 2 cores for all"
    return [
        at_most("two servers on one PostgreSQL: trials shown and lost", lost, "trials", 0, where),
        at_most("the same, there twice", len(kept) - len(set(kept)), "trials", 0, where),
        at_most("the same, errors on the pages", problems, "errors", 0, where),
    ]


def _new_databases(name: str, folder: Path, database: Postgres) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"sqlite:///{folder}/{number}.sqlite" if name == "SQLite" else database.new_database()


if __name__ == "__main__":
    publish(rows(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS), "durability")
