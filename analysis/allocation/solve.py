"""The least of a path that meets a goal: found by bisection, or, for a quality to keep, from the far end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from analysis.allocation.costs import share
from analysis.allocation.goals import Goal
from analysis.allocation.path import Path
from analysis.allocation.problem import Counts, Problem
from analysis.errors import NetworkError

MARKS = 16  # of a path, at which a quality to keep is looked at first

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Solution:
    """Where on a path the goal is met, and how many places were looked at.

    `counts` go at `step`; `value` is what was found there: the share left of the cost, or the headline
    metric. `looks` is how many allocations were counted, timed or measured.
    """

    step: int
    counts: Counts
    value: float
    looks: int


def solve(
    problem: Problem, goal: Goal, path: Path, progress: Progress = lambda share: None
) -> Solution | None:
    """Where a path meets a goal; None if it does nowhere.

    A cost falls along a path, so bisection finds the first step that meets the goal. That is exact for
    counts and for the plain file. An encoding may grow a little where a path goes on, and a timing is noisy: the
    step found meets the goal, by what was measured there, but may not be the first.

    Quality does not fall steadily. For a quality to keep, `MARKS` places of the path are measured from the
    far end back until one stands; then the stretch from there to the mark beyond is bisected. The step
    found stands by its measurement; beyond it no mark does.
    """
    if goal.about.is_cost:
        looks = _Looks(path, lambda c: share(problem, goal.kind, c), lambda v: v <= goal.value, progress)
        return _least(looks)
    looks = _Looks(path, lambda c: headline_at(problem, c, goal.value), lambda v: v >= goal.value, progress)
    return _furthest(looks)


def headline_at(problem: Problem, counts: Counts, floor: float) -> float:
    """The headline metric when `counts` go, measured until it is clear on which side of `floor` it lies.

    That is on all examples, or on as many as leave no doubt: until the 95% interval over all looks is on one
    side. A network whose answers are no numbers lies below every floor.
    """
    run = problem.gauge.run(problem.plan(counts), problem.scores)
    try:
        return run.finish(lambda r: r.value.low >= floor or r.value.high < floor).value.value
    except NetworkError:
        return -math.inf


class _Looks:
    """Looks at steps of a path, each once, and says whether the goal is met there."""

    def __init__(
        self,
        path: Path,
        look: Callable[[Counts], float],
        good: Callable[[float], bool],
        progress: Progress,
    ) -> None:
        self.path, self.progress = path, progress
        self._look, self._good = look, good
        self._found: dict[int, float] = {}
        self._most = path.steps.bit_length() + MARKS

    def __call__(self, step: int) -> bool:
        if step not in self._found:
            self._found[step] = self._look(self.path.at(step))
            self.progress(min(1.0, len(self._found) / self._most))
        return self._good(self._found[step])

    def boundary(self, *, outside: int, inside: int) -> Solution:
        """The step next to `outside` that is good, by bisection; `inside` is good, `outside` is not."""
        while abs(inside - outside) > 1:
            middle = (inside + outside) // 2
            inside, outside = (middle, outside) if self(middle) else (inside, middle)
        return self.solution(inside)

    def solution(self, step: int) -> Solution:
        self.progress(1.0)
        return Solution(step, self.path.at(step), self._found[step], len(self._found))


def _least(looks: _Looks) -> Solution | None:
    if looks(0):
        return looks.solution(0)
    last = looks.path.steps
    return looks.boundary(outside=0, inside=last) if looks(last) else None


def _furthest(looks: _Looks) -> Solution | None:
    steps = looks.path.steps
    beyond = None
    for mark in sorted({round(steps * i / MARKS) for i in range(MARKS + 1)}, reverse=True):
        if looks(mark):
            return looks.solution(mark) if beyond is None else looks.boundary(outside=beyond, inside=mark)
        beyond = mark
    return None
