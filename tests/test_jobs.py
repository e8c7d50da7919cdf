"""Jobs: partial results at once, a queue, cancellation within a second, and no orphan."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.jobs import Jobs

HEAD = "import json, sys, time\nask = json.loads(sys.stdin.readline())\n"
SAY = "def say(**m):\n    print(json.dumps(m), flush=True)\n"


def worker(body):
    return [sys.executable, "-c", HEAD + SAY + body]


COUNT = "for i in range(1, 4):\n    say(share=i / 3, result={'i': i, 'ask': ask['n']})\n    time.sleep(0.1)\n"
FOREVER = "say(share=0.25)\ntime.sleep(60)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(share=0.25)\ntime.sleep(60)\n"


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def status(jobs, owner="me"):
    return jobs.of(owner)[-1]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_come_in_order_and_while_the_job_runs():
    jobs, seen = Jobs(worker(COUNT)), []
    jobs.submit("me", "count", {"n": 7}, lambda r: seen.append((r["i"], r["ask"], status(jobs).state)))
    wait_for(lambda: not status(jobs).is_live)
    assert seen == [(1, 7, "running"), (2, 7, "running"), (3, 7, "running")]
    assert (status(jobs).state, status(jobs).share, status(jobs).message) == ("done", 1.0, "")


def test_a_second_job_waits_and_knows_how_many_are_before_it():
    jobs = Jobs(worker(FOREVER), limit=1)
    first, second, third = (jobs.submit("me", "x", {"n": n}) for n in range(3))
    wait_for(lambda: jobs.of("me")[0].share == 0.25)
    assert [j.state for j in jobs.of("me")] == ["running", "waiting", "waiting"]
    assert [j.ahead for j in jobs.of("me")] == [0, 1, 2]
    assert jobs.of("me")[0].seconds_left is not None
    jobs.cancel(second)
    jobs.cancel(first)
    wait_for(lambda: jobs.of("me")[2].state == "running")
    assert [j.state for j in jobs.of("me")] == ["cancelled", "cancelled", "running"]
    assert jobs.of("you") == []
    jobs.close()
    assert jobs.of("me")[2].state == "cancelled" and third


def test_a_worker_steps_back_from_its_first_moment():
    jobs, seen = Jobs(worker("import os\nsay(result={'nice': os.nice(0)})\n")), []
    jobs.submit("me", "x", {}, lambda r: seen.append(r["nice"]))
    wait_for(lambda: not status(jobs).is_live)
    assert seen == [10]


@pytest.mark.parametrize("body", [FOREVER, STUBBORN])
def test_cancelled_within_a_second_even_if_the_worker_will_not(body):
    jobs = Jobs(worker("import os\nsay(result={'pid': os.getpid()})\n" + body))
    pids = []
    job = jobs.submit("me", "x", {}, lambda r: pids.append(r["pid"]))
    wait_for(lambda: status(jobs).share == 0.25)
    start = time.monotonic()
    jobs.cancel(job)
    wait_for(lambda: not is_alive(pids[0]))
    assert time.monotonic() - start < 1
    assert status(jobs).state == "cancelled"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("say(error='No such network.')\nsys.exit(2)\n", "No such network."),
        ("raise ValueError('broken')\n", "ValueError: broken"),
        ("print('not JSON', flush=True)\n", "JSONDecodeError"),
        ("sys.exit(3)\n", "code 3"),
    ],
)
def test_a_worker_that_fails_says_why_and_the_next_one_runs(body, message):
    jobs = Jobs(worker(f"if ask['n']:\n    say(share=1)\n    sys.exit(0)\n{body}"))
    jobs.submit("me", "bad", {"n": 0})
    jobs.submit("me", "good", {"n": 1})
    wait_for(lambda: status(jobs).state == "done")
    bad = jobs.of("me")[0]
    assert bad.state == "failed" and message in bad.message


def test_a_request_is_completed_when_its_turn_comes():
    jobs, known = Jobs(worker("say(result=ask['n'])\n")), []
    for n in range(2):
        jobs.submit("me", "x", {"n": n}, known.append, lambda r: {"n": [r["n"], list(known)]})
    wait_for(lambda: not status(jobs).is_live)
    assert known == [[0, []], [1, [[0, []]]]]


@pytest.mark.parametrize("fails", ["prepare", "on_result"])
def test_a_job_that_cannot_be_asked_or_kept_fails_and_the_next_one_runs(fails):
    def broken(given):
        raise OSError("the disk is full")

    endless = "while True:\n    say(result={'i': 1, 'padding': 'x' * 1000})\n"
    jobs, seen = Jobs(worker(endless)), []
    if fails == "prepare":
        jobs.submit("me", "x", {"n": 1}, prepare=broken)
    else:
        jobs.submit("me", "x", {"n": 1}, broken)
    wait_for(lambda: not status(jobs).is_live)
    assert status(jobs).state == "failed" and "the disk is full" in status(jobs).message
    last = jobs.submit("me", "x", {"n": 2}, seen.append)
    wait_for(lambda: seen)
    jobs.cancel(last)


def test_what_was_carried_out_whole_is_told_after_its_last_result():
    jobs, told = Jobs(worker("say(result=1)\nif ask['n']:\n    sys.exit(3)\n")), []
    for n in (0, 1):
        jobs.submit("me", "x", {"n": n}, told.append, about=f"case {n}", on_done=lambda: told.append("done"))
    wait_for(lambda: not status(jobs).is_live)
    assert told == [1, "done", 1]
    assert [(job.about, job.state) for job in jobs.of("me")] == [("case 0", "done"), ("case 1", "failed")]


def test_a_cancelled_job_is_not_told_as_done():
    jobs, told = Jobs(worker(FOREVER)), []
    job = jobs.submit("me", "x", {}, on_done=lambda: told.append("done"))
    wait_for(lambda: status(jobs).share == 0.25)
    jobs.cancel(job)
    jobs.submit("me", "y", {"after": 1})
    wait_for(lambda: status(jobs).state == "running")
    assert told == []
    jobs.close()


def test_the_same_request_is_not_run_twice_at_a_time():
    jobs = Jobs(worker(FOREVER))
    first = jobs.submit("me", "x", {"n": 1})
    assert jobs.submit("me", "x", {"n": 1}) == first
    assert jobs.submit("you", "x", {"n": 1}) != first
    jobs.cancel(first)
    assert jobs.submit("me", "x", {"n": 1}) != first
    jobs.close()


def test_jobs_end_when_nobody_waits_for_them():
    gone = set()
    jobs = Jobs(worker(FOREVER), limit=2, is_gone=gone.__contains__)
    jobs.submit("me", "x", {})
    jobs.submit("you", "x", {})
    wait_for(lambda: all(status(jobs, o).share for o in ("me", "you")))
    gone.add("me")
    wait_for(lambda: status(jobs).state == "cancelled")
    assert status(jobs, "you").state == "running"
    jobs.close()


def test_the_worker_of_the_product_ends_when_its_parent_is_killed(tmp_path):
    parent = """
import sys, time
from analysis.jobs import Jobs
from analysis.units import sweep
jobs = Jobs([sys.executable, "-m", "analysis.worker"])
jobs.submit("me", "x", sweep.request("digits-mlp", 450, "l1", "weight"))
while jobs._jobs["1"].process is None: time.sleep(0.02)
print(jobs._jobs["1"].process.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    worker_pid = int(process.stdout.readline())
    assert is_alive(worker_pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not is_alive(worker_pid), seconds=2)  # it is still importing: that alone takes longer
