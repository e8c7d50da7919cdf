"""Units of work: plain functions from a request of plain data to results of plain data.

A worker process serves one request: it reads a line of JSON and answers in lines of JSON. Nothing here
knows who asked, so that another engine can run the same units elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from threading import Thread
from typing import IO, Any

import torch

from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.quality import Interval
from analysis.sensitivity import Sensitivity, sweep
from analysis.sources import Opened

Open = Callable[[str], Opened]
Message = dict[str, Any]
_NICENESS = 10


def sensitivity_request(network: str, images: int, criterion: str, granularity: str) -> Message:
    """The request for a sweep on `images` evaluation examples of a network, named as `Open` takes it."""
    return {
        "kind": "sweep",
        "network": network,
        "images": images,
        "criterion": criterion,
        "granularity": granularity,
        "known": [],
    }


def with_known(request: Mapping[str, Any], points: Sequence[Sensitivity]) -> Message:
    """The same request, to leave out points that are known."""
    return {**request, "known": [point_to_data(point) for point in points]}


def point_to_data(point: Sensitivity) -> Message:
    """A sensitivity point as plain data."""
    return asdict(point)


def point_from_data(data: Mapping[str, Any]) -> Sensitivity:
    """The point of :func:`point_to_data`."""
    return Sensitivity(data["target"], data["ratio"], Interval(**data["quality"]), data["examples"])


def run_sweep(open_source: Open, request: Message) -> Iterator[Message]:
    """Measure the sensitivity of every target; yields progress and a result for each point."""
    opened = open_source(request["network"])
    network, dataset = opened.network, opened.dataset
    split = dataset.evaluation.sample(request["images"])
    scores = score(network, request["criterion"], dataset)
    gauge = Gauge(network, split, dataset.task)
    known = [point_from_data(entry) for entry in request["known"]]
    shares: list[float] = []
    for point in sweep(gauge, scores, request["granularity"], known=known, progress=shares.append):
        yield {"share": shares[-1], "result": point_to_data(point)}


UNITS: dict[str, Callable[[Open, Message], Iterator[Message]]] = {"sweep": run_sweep}


def serve(open_source: Open, requests: IO[str] = sys.stdin, replies: IO[str] = sys.stdout) -> int:
    """Serve one request with low priority on one thread; returns the exit code."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICENESS)
    torch.set_num_threads(1)
    request = json.loads(requests.readline())
    Thread(target=_leave_with_parent, args=(requests,), daemon=True).start()
    unit = UNITS.get(request.get("kind"))
    try:
        if unit is None:
            raise PrunescopeError(
                f"There is no work called {request.get('kind')!r}. Known: {', '.join(UNITS)}."
            )
        for message in unit(open_source, request):
            replies.write(json.dumps(message) + "\n")
            replies.flush()
    except PrunescopeError as error:
        replies.write(json.dumps({"error": str(error)}) + "\n")
        replies.flush()
        return 2
    return 0


def _leave_with_parent(requests: IO[str]) -> None:
    """The standard input closes when the process that asked is gone: so is this one then."""
    requests.read()
    os._exit(1)
