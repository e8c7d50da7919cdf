"""Long work in processes of its own: queued, low in priority, cancelled within a second.

A job is a request of plain data. A worker process reads it as one line of JSON and answers in lines of
JSON: ``{"share": 0.4}``, ``{"result": {...}}``, ``{"error": "..."}``. It ends when its job is done,
when it is cancelled, when its owner is gone, and when this process is gone (its standard input hangs up).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import subprocess
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock, Thread
from typing import IO, Any, Literal

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Handler = Callable[[dict[str, Any]], None]
Prepare = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_KEPT = 200  # finished jobs that are remembered
_WATCH_SECONDS = 2.0
_NICENESS = 10  # what people wait for comes first
_LOG = logging.getLogger("prunescope")


@dataclass(frozen=True)
class JobStatus:
    """What a list of jobs shows.

    `share` done is in [0, 1]; `seconds_left` is None until the first progress; `ahead` counts the jobs
    that run or wait before a waiting one; `message` says why it failed; `about` is whatever its owner knows
    it by.
    """

    id: str
    owner: str
    label: str
    about: str
    state: State
    share: float
    seconds_left: float | None
    ahead: int
    message: str

    @property
    def is_live(self) -> bool:
        """True while it waits or runs."""
        return self.state in ("waiting", "running")


@dataclass
class _Job:
    id: str
    owner: str
    label: str
    about: str
    request: Mapping[str, Any]
    on_result: Handler
    on_done: Callable[[], None]
    prepare: Prepare
    state: State = "waiting"
    share: float = 0.0
    working_since: float | None = None
    message: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def is_live(self) -> bool:
        return self.state in ("waiting", "running")


class Jobs:
    """Runs jobs, at most `limit` at a time, in the order they came; safe to share between threads.

    Parameters
    ----------
    command : sequence of str
        Starts a worker, for example ``[sys.executable, "-m", "analysis.worker"]``.
    limit : int
        How many run at once.
    is_gone : callable
        Told an owner, says whether nobody waits for its jobs any more.
    folder : Path, optional
        Where workers start; the present folder by default.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        limit: int = 1,
        is_gone: Callable[[str], bool] = lambda owner: False,
        folder: Path | None = None,
    ) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._limit = limit
        self._is_gone = is_gone
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = RLock()
        self._watcher: Thread | None = None

    def submit(
        self,
        owner: str,
        label: str,
        request: Mapping[str, Any],
        on_result: Handler = lambda result: None,
        prepare: Prepare = lambda request: request,
        *,
        about: str = "",
        on_done: Callable[[], None] = lambda: None,
    ) -> str:
        """Queue a job and return its id; an equal request of the owner that is live already is returned.

        `on_result` is called with each partial result, from another thread. `prepare` completes the
        request when its turn comes, for example with what other jobs have found meanwhile. `on_done` is called
        after the last result of a job that was carried out whole.
        """
        with self._lock:
            for job in self._jobs.values():
                if job.is_live and job.owner == owner and job.request == request:
                    return job.id
            job = _Job(
                str(next(self._numbers)), owner, label, about, dict(request), on_result, on_done, prepare
            )
            self._jobs[job.id] = job
            self._forget_old()
            self._start_waiting()
            self._watch()
            return job.id

    def cancel(self, job_id: str) -> None:
        """End a job now; nothing happens if it has ended or is unknown."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or not job.is_live:
                return
            job.state = "cancelled"
            process = job.process
            self._start_waiting()
        if process is not None:
            _end(process)

    def of(self, owner: str) -> list[JobStatus]:
        """An owner's jobs, oldest first."""
        with self._lock:
            return [self._status(job) for job in self._jobs.values() if job.owner == owner]

    def close(self) -> None:
        """Cancel everything."""
        with self._lock:
            live = [job.id for job in self._jobs.values() if job.is_live]
        for job_id in reversed(live):  # the waiting ones first, so that none of them starts
            self.cancel(job_id)

    def _status(self, job: _Job) -> JobStatus:
        left = None
        if job.working_since is not None and job.share > 0:
            left = (time.monotonic() - job.working_since) * (1 - job.share) / job.share
        earlier = itertools.takewhile(lambda other: other is not job, self._jobs.values())
        ahead = sum(other.is_live for other in earlier) if job.state == "waiting" else 0
        return JobStatus(
            job.id, job.owner, job.label, job.about, job.state, job.share, left, ahead, job.message
        )

    def _start_waiting(self) -> None:
        running = sum(job.state == "running" for job in self._jobs.values())
        for job in self._jobs.values():
            if running >= self._limit:
                return
            if job.state == "waiting":
                job.state = "running"
                running += 1
                Thread(target=self._work, args=(job,), daemon=True, name=f"job-{job.id}").start()

    def _work(self, job: _Job) -> None:
        """Run one job to its end, in a thread of its own."""
        with tempfile.TemporaryFile("w+") as errors:
            try:
                self._talk(job, errors)
                if self._is_carried_out(job):
                    job.on_done()
            except Exception as error:  # a job must never take the server down
                _LOG.exception("job %s failed", job.id)
                job.message = f"{type(error).__name__}: {error}"
            errors.seek(0)
            self._finish(job, errors.read())

    def _talk(self, job: _Job, errors: IO[str]) -> None:
        with self._lock:
            if job.state != "running":
                return
            process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            job.process = process
            with contextlib.suppress(
                OSError, AttributeError
            ):  # from its first moment: imports alone take seconds
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(dict(job.prepare(job.request))) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                self._receive(job, json.loads(line))
        except BrokenPipeError:
            pass  # the worker has ended; its exit code tells
        except BaseException:
            _end(process)  # it would wait for ever for a request, or for somebody to read
            raise
        finally:
            _end(process) if job.state == "cancelled" else process.wait()
            process.stdin.close()
            process.stdout.close()

    def _receive(self, job: _Job, message: Mapping[str, Any]) -> None:
        with self._lock:
            if job.state != "running":
                return
            if job.working_since is None:
                job.working_since = time.monotonic()
            job.share = max(job.share, min(1.0, float(message.get("share", job.share))))
            job.message = str(message.get("error", job.message))
        if "result" in message:
            job.on_result(message["result"])

    def _finish(self, job: _Job, log: str) -> None:
        with self._lock:
            if job.state == "running":
                code = job.process.returncode if job.process else None
                if self._is_carried_out(job):
                    job.state, job.share = "done", 1.0
                else:
                    job.state = "failed"
                    job.message = job.message or _last_line(log) or f"the worker ended with code {code}"
                    _LOG.warning("job %s (%s): %s\n%s", job.id, job.label, job.message, log)
            job.process = None
            self._start_waiting()

    def _is_carried_out(self, job: _Job) -> bool:
        """True if the worker has ended well, and nobody cancelled it."""
        with self._lock:
            ended_well = job.process is not None and job.process.returncode == 0
            return job.state == "running" and ended_well and not job.message

    def _forget_old(self) -> None:
        ended = [job.id for job in self._jobs.values() if not job.is_live]
        for job_id in ended[: max(0, len(self._jobs) - _KEPT)]:
            del self._jobs[job_id]

    def _watch(self) -> None:
        """Look after owners while there are live jobs."""
        if self._watcher is None or not self._watcher.is_alive():
            self._watcher = Thread(target=self._look_after, daemon=True, name="job-watcher")
            self._watcher.start()

    def _look_after(self) -> None:
        while True:
            time.sleep(_WATCH_SECONDS)
            with self._lock:
                live = [job for job in self._jobs.values() if job.is_live]
                if not live:
                    self._watcher = None
                    return
            for job in live:
                if self._is_gone(job.owner):
                    self.cancel(job.id)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process at once: workers hold nothing that would have to be put away, files are written whole or not at all."""
    process.kill()
    process.wait()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]
