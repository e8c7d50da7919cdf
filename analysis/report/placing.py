"""Where marks and their names stand in a figure, so that none covers another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

_SAME = 3.0  # pixels: nearer marks are one
_ASIDE = 7.0  # pixels between marks of one cost
_SPREAD = 28.0  # pixels that marks of one cost take at most
_RUN = 3  # letters in a row that are written by their ends


@dataclass(frozen=True)
class Mark:
    """A mark in pixels: its place, the ends of its bar, its name, and whether it joins equal ones."""

    name: str
    x: float
    y: float
    low: float
    high: float
    joins: bool = True


@dataclass(frozen=True)
class Placed:
    """Marks drawn as one.

    Parameters
    ----------
    members : tuple of int
        Their positions among the marks given.
    name : str
        What they are called together.
    aside : float
        Pixels to the right of their place, so that bars of one cost stand side by side.
    """

    members: tuple[int, ...]
    name: str
    aside: float = 0.0


def placed(marks: Sequence[Mark]) -> list[Placed]:
    """Marks at one place as one mark, and those whose bars would cover each other side by side.

    Each is moved by a few pixels only. Marks without a place (not a number) are left out.
    """
    seen = [i for i, mark in enumerate(marks) if math.isfinite(mark.x) and math.isfinite(mark.y)]
    apart: list[list[int]] = []
    for i in seen:
        same = next((found for found in apart if _is_same(marks[found[0]], marks[i])), None)
        if same is None:
            apart.append([i])
        else:
            same.append(i)
    shown = [Placed(tuple(found), joined([marks[i].name for i in found])) for found in apart]
    return _side_by_side(shown, marks)


def joined(names: Sequence[str]) -> str:
    """Names in a list; letters in a row by the first and the last of them: "A, C" and "A–D, F"."""
    parts: list[list[str]] = []
    for name in names:
        if parts and len(name) == len(parts[-1][-1]) == 1 and ord(name) == ord(parts[-1][-1]) + 1:
            parts[-1].append(name)
        else:
            parts.append([name])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) >= _RUN else ", ".join(run) for run in parts)


def clusters(values: Sequence[float], near: float) -> list[tuple[int, ...]]:
    """Positions of values in groups, lowest first; the means of two groups are at least `near` apart."""
    groups: list[tuple[int, ...]] = [(i,) for i in sorted(range(len(values)), key=lambda i: (values[i], i))]

    def mean(group: tuple[int, ...]) -> float:
        return sum(values[i] for i in group) / len(group)

    while len(groups) > 1:
        gap, at = min((mean(groups[k + 1]) - mean(groups[k]), k) for k in range(len(groups) - 1))
        if gap >= near:
            break
        groups[at : at + 2] = [tuple(sorted(groups[at] + groups[at + 1]))]
    return groups


def lowered(boxes: Sequence[tuple[float, float, float]], height: float) -> list[float]:
    """How far down each name moves so that none covers another; `boxes` are (left, right, y) of each, y upwards."""
    down = [0.0] * len(boxes)
    settled: list[tuple[float, float, float]] = []
    for i in sorted(range(len(boxes)), key=lambda i: -boxes[i][2]):
        left, right, y = boxes[i]
        for other_left, other_right, other in sorted(settled, key=lambda box: -box[2]):
            if left < other_right and other_left < right and abs(y - other) < height:
                y = other - height
        down[i] = boxes[i][2] - y
        settled.append((left, right, y))
    return down


def _is_same(one: Mark, other: Mark) -> bool:
    return (
        one.joins
        and other.joins
        and abs(one.x - other.x) < _SAME
        and all(
            abs(a - b) < _SAME
            for a, b in ((one.y, other.y), (one.low, other.low), (one.high, other.high))
            if math.isfinite(a) and math.isfinite(b)
        )
    )


def _side_by_side(shown: Sequence[Placed], marks: Sequence[Mark]) -> list[Placed]:
    """Marks with overlapping bars, moved apart around the middle of each crowd, in their order from left to right."""
    found = list(shown)
    for crowd in _crowds([marks[one.members[0]] for one in shown]):
        places = [marks[shown[k].members[0]].x for k in crowd]
        step = min(_ASIDE, _SPREAD / max(1, len(crowd) - 1))
        first = sum(places) / len(crowd) - step * (len(crowd) - 1) / 2
        for number, (k, x) in enumerate(zip(crowd, places, strict=True)):
            found[k] = replace(shown[k], aside=first + step * number - x)
    return found


def _crowds(marks: Sequence[Mark]) -> list[list[int]]:
    """Positions of marks whose bars cover one another, in order from left to right; a mark alone is its own crowd.

    All of a crowd are near its first one: else marks in a long row would be one crowd.
    """
    left = sorted(range(len(marks)), key=lambda i: (marks[i].x, i))
    found = []
    while left:
        crowd = [left.pop(0)]
        near = [i for i in left if marks[i].x - marks[crowd[0]].x < _ASIDE - 1]
        while more := [i for i in near if i not in crowd and any(_cover(marks[i], marks[j]) for j in crowd)]:
            crowd += more
        left = [i for i in left if i not in crowd]
        found.append(sorted(crowd, key=lambda i: (marks[i].x, i)))
    return found


def _cover(one: Mark, other: Mark) -> bool:
    return not (one.low > other.high or other.low > one.high)
