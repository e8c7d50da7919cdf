"""Sensitivity-greedy: step by step from measured curves, in an order that is chosen."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from analysis.allocation.goals import Guide
from analysis.allocation.losses import Losses
from analysis.allocation.path import Path
from analysis.allocation.problem import Counts, Problem

Order = Literal["smallest-loss", "leaf-first", "by-layer"]
ORDERS: tuple[Order, ...] = get_args(Order)
TOLERANCES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7)  # share lost by one target, a round each
_PARTS = 64  # steps a target is cut in, if it has so many weights or channels

Move = tuple[str, int]  # a target, and how many of it are gone from then on


def greedy(problem: Problem, guide: Guide, order: Order) -> Path:
    """A path of small steps that lose least by the measured curves.

    ``smallest-loss``: at each step that target goes on which loses least quality for each unit of `guide`
    saved (He et al. 2018, "AMC", and others call it greedy). ``leaf-first`` and ``by-layer`` go in rounds: in each,
    every target in turn, from the output back or from the input on, is cut as far as it loses no more than
    the round's tolerance on its own.

    Notes
    -----
    A unit of a target saves less the more has gone around it, never more, so its loss per saving only
    grows: a step that was weighed long ago and is still the best need not be compared with all others
    again (lazy greedy, Minoux 1978). The path is the same as if it were.
    """
    losses = Losses(problem)
    moves = list(
        _cheapest(problem, losses, guide) if order == "smallest-loss" else _rounds(problem, losses, order)
    )

    def at(step: int) -> Counts:
        return {**dict.fromkeys(problem.free, 0), **dict(moves[:step])}

    return Path(len(moves), at)


def _cheapest(problem: Problem, losses: Losses, guide: Guide) -> Iterator[Move]:
    counts = dict.fromkeys(problem.free, 0)
    steps = {target: _steps(problem, target) for target in problem.free}
    place = {target: i for i, target in enumerate(problem.free)}
    whole = problem.burden(counts, guide)

    def weigh(target: str) -> tuple[float, float, int, str]:
        count = next(step for step in steps[target] if step > counts[target])
        saving = whole - problem.burden({**counts, target: count}, guide)
        loss = losses(target, count) - losses(target, counts[target])
        return (loss / saving if saving > 0 else math.inf, -saving, place[target], target)

    heap = [weigh(target) for target in problem.free if problem.limits[target]]
    heapq.heapify(heap)
    while heap:
        target = heapq.heappop(heap)[-1]
        now = weigh(target)
        if heap and now > heap[0]:
            heapq.heappush(heap, now)
            continue
        counts[target] = next(step for step in steps[target] if step > counts[target])
        whole = problem.burden(counts, guide)
        yield target, counts[target]
        if counts[target] < problem.limits[target]:
            heapq.heappush(heap, weigh(target))


def _rounds(problem: Problem, losses: Losses, order: Order) -> Iterator[Move]:
    counts = dict.fromkeys(problem.free, 0)
    names = problem.free[::-1] if order == "leaf-first" else problem.free
    for tolerance in (*TOLERANCES, 1.0):
        most = -math.log(1 - tolerance) if tolerance < 1 else math.inf
        for target in names:
            for step in _steps(problem, target):
                if step > counts[target] and losses(target, step) <= most:
                    counts[target] = step
                    yield target, step


def _steps(problem: Problem, target: str) -> Sequence[int]:
    """The counts at which a target is looked at: each, or `_PARTS` of its size, and its limit."""
    limit = problem.limits[target]
    size = max(1, problem.sizes[target] // _PARTS)
    return sorted({*range(size, limit + 1, size), limit} - {0})
