"""Trials as a tree: which grew from which, the way from the root to each, and where a drawing puts them.

A trial's parent is found by its key. It may be unknown (measured on other examples, or never), and parents may even
form a circle (the dense network measured anew after a plan that had grown from it), so whatever has no parent here,
and the oldest trial of every circle, is a root.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.history.trial import Summary

NOBODY = -1  # in the place of a trial's position


@dataclass(frozen=True)
class Node:
    """A trial that is drawn.

    `steps` are the trials on the way to it from its root, `column` those of them that are drawn; `lane` is its row.
    """

    summary: Summary
    steps: int
    column: int
    lane: int


@dataclass(frozen=True)
class Edge:
    """From one drawn trial to the next, by their positions among the nodes; `folded` trials lie between, undrawn."""

    start: int
    end: int
    folded: int


@dataclass(frozen=True)
class Tree:
    """What is drawn of a history; nodes are in the order of their trials."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def parents(summaries: Sequence[Summary]) -> list[int]:
    """The position of each trial's parent among `summaries`, `NOBODY` for a root; never a circle.

    Of trials with equal keys the one that was kept first is the parent.
    """
    place: dict[str, int] = {}
    for i in _by_age(summaries):
        place.setdefault(summaries[i].key, i)
    found = [place.get(summary.parent, NOBODY) for summary in summaries]
    seen_from = [NOBODY] * len(found)  # the trial from which each was first met
    for start in range(len(found)):
        here = start
        while here != NOBODY and seen_from[here] == NOBODY:
            seen_from[here] = start
            here = found[here]
        if here != NOBODY and seen_from[here] == start:
            circle = _circle(found, here)
            found[min(circle, key=lambda i: summaries[i].id)] = NOBODY
    return found


def lineage(summaries: Sequence[Summary], key: str) -> tuple[Summary, ...]:
    """The trials on the way to the one with a key, the root first and itself last; empty if there is none."""
    known = parents(summaries)
    here = next((i for i in _by_age(summaries) if summaries[i].key == key), NOBODY)
    way = []
    while here != NOBODY:
        way.append(summaries[here])
        here = known[here]
    return tuple(reversed(way))


def ways(summaries: Sequence[Summary], most: int) -> np.ndarray:
    """For each trial the positions of the last `most` trials on the way to it, itself last.

    Returns
    -------
    array of int, (trials, most)
        Filled up with `NOBODY` on the left where the way is shorter.
    """
    known = np.array([*parents(summaries), NOBODY])  # nobody's parent is nobody
    found = np.full((len(summaries), most), NOBODY)
    here = np.arange(len(summaries))
    for column in reversed(range(most)):
        found[:, column] = here
        here = known[here]
    return found


def with_ways(summaries: Sequence[Summary], ids: Collection[int]) -> list[Summary]:
    """The trials with these ids and all that are on the way to them, in the order of `summaries`."""
    known = parents(summaries)
    wanted: set[int] = set()
    for i, summary in enumerate(summaries):
        here = i if summary.id in ids else NOBODY
        while here != NOBODY and here not in wanted:
            wanted.add(here)
            here = known[here]
    return [summary for i, summary in enumerate(summaries) if i in wanted]


def lay_out(summaries: Sequence[Summary], current: str = "") -> Tree:
    """Place a history for a drawing, in time proportional to its length.

    Drawn are roots, trials from which several grew, those from which none did, those with a star or a name, and
    the one with the key `current`; chains of others become one edge. The child with the longest way ahead stays in
    its parent's lane (of equals the oldest), each other one opens a lane below, so that edges which go down
    where they start never cross.
    """
    known = parents(summaries)
    children: list[list[int]] = [[] for _ in summaries]
    roots: list[int] = []
    for i in _by_age(summaries):
        (children[known[i]] if known[i] != NOBODY else roots).append(i)
    order = _from_the_roots(roots, children)
    steps, drawn_before, folded = ([0] * len(known) for _ in range(3))
    before = [NOBODY] * len(known)  # the last drawn trial on the way to each
    is_drawn = [
        known[i] == NOBODY
        or len(children[i]) != 1
        or summary.label.star
        or bool(summary.label.name)
        or summary.key == current
        for i, summary in enumerate(summaries)
    ]
    for i in order:
        parent = known[i]
        if parent == NOBODY:
            continue
        steps[i] = steps[parent] + 1
        before[i], folded[i] = (parent, 0) if is_drawn[parent] else (before[parent], folded[parent] + 1)
        drawn_before[i] = drawn_before[before[i]] + 1
    lanes = _lanes(roots, children, order)
    shown = [i for i in range(len(known)) if is_drawn[i]]
    position = {i: p for p, i in enumerate(shown)}
    return Tree(
        tuple(Node(summaries[i], steps[i], drawn_before[i], lanes[i]) for i in shown),
        tuple(Edge(position[before[i]], position[i], folded[i]) for i in shown if before[i] != NOBODY),
    )


def _lanes(roots: list[int], children: list[list[int]], order: list[int]) -> list[int]:
    """The lane of every trial: one for each that none grew from."""
    height = [0] * len(children)
    for i in reversed(order):
        height[i] = max((height[child] + 1 for child in children[i]), default=0)
    lanes = [0] * len(children)
    opened = 0
    waiting = [(root, True) for root in reversed(roots)]
    while waiting:
        here, opens = waiting.pop()
        if opens:
            lanes[here] = opened
            opened += 1
        ahead = sorted(children[here], key=lambda child: -height[child])
        waiting += [(child, True) for child in reversed(ahead[1:])]
        if ahead:
            lanes[ahead[0]] = lanes[here]
            waiting.append((ahead[0], False))
    return lanes


def _from_the_roots(roots: list[int], children: list[list[int]]) -> list[int]:
    """All trials, each after its parent."""
    order = list(roots)
    for here in order:  # grows while it is read
        order += children[here]
    return order


def _circle(found: list[int], start: int) -> list[int]:
    """The trials of a circle of parents, from one of them on."""
    circle, here = [start], found[start]
    while here != start:
        circle.append(here)
        here = found[here]
    return circle


def _by_age(summaries: Sequence[Summary]) -> list[int]:
    """Positions of the trials, the first kept first."""
    return sorted(range(len(summaries)), key=lambda i: summaries[i].id)
