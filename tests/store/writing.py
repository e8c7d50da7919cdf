"""Sessions that write trials as fast as they can: ``python -m tests.store.writing URL SECONDS SESSION...``.

Each trial is told on the standard output once `add_trial` has returned: what was told must never be lost.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any

from analysis.history import Label, Trial
from analysis.measure.cost import Cost
from analysis.measure.latency import Latency
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval
from analysis.measure.size import Size
from analysis.pruning.plan import Cut, Plan
from analysis.sensitivity import Sensitivity
from analysis.store import Store, Subject

NETWORK, IMAGES = "net", 40
OWN = [[f"{server}{i}" for i in range(4)] for server in "ab"]  # the sessions of two servers
SHARED = "shared"  # one more, by a browser at each of them
ABOUT = Subject("weights", "data", "l1", "channel")  # all sessions write to the same points


@dataclass(frozen=True)
class Told:
    """What a session was told of a trial that is kept."""

    session: str
    number: int
    id: int


def trial(number: int) -> Trial:
    """The trial of that number: its plan, its parent and all its numbers follow from it."""
    timed = Latency(1 + number, 1.0, 2.0 + number, 1, 1, 9)
    numbers = Numbers(
        {"accuracy": Interval(1 / (1 + number), 0.0, 1.0)}, {"accuracy": Interval(-0.5, -0.75, -0.25)},
        Cost(number, 10 * number, 7 * number, 100 * number, {"a": number}, {"a": 3 * number, "b": 4 * number}),
        Size(4 * number, 2 * number, "CSR"), timed, timed,
    )  # fmt: skip
    return Trial(plan(number), numbers, plan(number - 1) if number > 1 else None)


def content(of: Trial) -> tuple[Any, ...]:
    """All that a trial holds, to compare."""
    numbers = of.measurement
    return (
        of.plan, of.parent, dict(numbers.quality), dict(numbers.change), numbers.cost, numbers.size,
        numbers.latency, numbers.dense_latency,
    )  # fmt: skip


def plan(number: int) -> Plan:
    """A plan that is like no other number's."""
    return Plan(NETWORK, "l1", (Cut("a", "channel", number / 2**20),))


def write(url: str, seconds: float, sessions: Sequence[str]) -> int:
    """Write on a thread a session; returns how many of them failed."""
    store, lock = Store(url), Lock()
    failures: list[Exception] = []

    def tell(session: str, number: int, id_: int) -> None:
        with lock:
            print(json.dumps({"session": session, "number": number, "id": id_}), flush=True)

    def work(session: str) -> None:
        deadline = time.monotonic() + seconds
        number = 0
        try:
            while time.monotonic() < deadline:
                number += 1
                id_ = store.add_trial(session, IMAGES, trial(number))
                tell(session, number, id_)
                store.put_label(session, id_, Label(f"trial {number}", star=number % 2 == 0))
                store.put_plan(session, plan(number))
                store.add_sensitivity(ABOUT, Sensitivity("a", number % 5 / 5, Interval(0.5, 0.4, 0.6), 40))
                store.add_findings(session, [{"number": number}])
        except Exception as error:
            failures.append(error)
            print(f"{session}: {type(error).__name__}: {error}", file=sys.stderr)

    threads = [Thread(target=work, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(failures)


def write_at_once(url: str, seconds: float) -> list[Told]:
    """What ten sessions were told, at two servers that open the new history at once; each must end well."""
    command = [sys.executable, "-m", "tests.store.writing", url, str(seconds)]
    servers = [
        subprocess.Popen([*command, *own, SHARED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for own in OWN
    ]
    with ThreadPoolExecutor() as readers:  # at once: nobody waits for a full pipe
        outputs = list(readers.map(lambda server: server.communicate(timeout=120 + 2 * seconds), servers))
    for server, (_, problems) in zip(servers, outputs, strict=True):
        assert server.returncode == 0, problems
    return [one for output, _ in outputs for one in told(output.splitlines(keepends=True))]


def told(lines: Iterable[str]) -> list[Told]:
    """What a writer told; a line that the end cut short was not told."""
    return [Told(**json.loads(line)) for line in lines if line.endswith("}\n")]


def missing(url: str, known: Iterable[Told]) -> list[Told]:
    """What was told and is not there, or not as it was written."""
    store, lost = Store(url), []
    by_session: dict[str, list[Told]] = {}
    for one in known:
        by_session.setdefault(one.session, []).append(one)
    for session, mine in by_session.items():
        found = store.trials(session, [one.id for one in mine])
        for one in mine:
            there = found.get(one.id)
            if there is None or content(there) != content(trial(one.number)):
                lost.append(one)
    store.close()
    return lost


def doubled(url: str, sessions: Iterable[str]) -> int:
    """How many rows of these sessions hold a plan that another row of the session holds too."""
    store = Store(url)
    plans = [[one.key for one in store.summaries(session, NETWORK)] for session in set(sessions)]
    store.close()
    return sum(len(keys) - len(set(keys)) for keys in plans)


if __name__ == "__main__":
    raise SystemExit(write(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
