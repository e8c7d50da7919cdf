"""Knapsack: of all combinations of curve points, the one that loses least for what it saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from analysis.allocation.goals import Guide
from analysis.allocation.losses import Losses
from analysis.allocation.path import Path
from analysis.allocation.problem import Counts, Problem

BINS = 1000  # levels of saving that are told apart; exact if all savings together are no more
_EVERY = 0.05  # of a target, at which it may be cut
_GAP = 0.01  # of what the whole network costs
_ANCHORS = (0.0, 0.3, 0.6, 0.85)  # ratios of all targets around which savings are taken to add up


def knapsack(problem: Problem, guide: Guide) -> Path:
    """Allocations that lose least by the measured curves for what they save, from little to all.

    Each target takes one of its options (every 5% and its limit). A dynamic program over levels of saving
    finds, for each level, the options with the least summed loss (the multiple-choice knapsack problem,
    Kellerer, Pferschy & Pisinger 2004). It needs savings that add up. Those of channels do not quite,
    because coupled layers multiply: so they are taken around uniform cuts of several sizes, each of which
    gives candidates; all candidates are then counted exactly, and those that another beats in both
    loss and cost are dropped. What is left, ordered by cost, is the path, with steps between where two lie far
    apart.
    """
    between = [counts for counts in unbeaten(problem, guide, Losses(problem)) if any(counts.values())]
    at = _filled(problem, guide, [dict.fromkeys(problem.free, 0), *between, dict(problem.limits)])
    return Path(len(at) - 1, at.__getitem__)


def unbeaten(problem: Problem, guide: Guide, losses: Losses) -> list[Counts]:
    """The combinations of options that cost less than all that lose less, from the whole network on."""
    options = {target: _options(problem, target) for target in problem.free}
    lost = {target: [losses(target, count) for count in options[target]] for target in problem.free}
    candidates: list[Counts] = [dict.fromkeys(problem.free, 0), dict(problem.limits)]
    for ratio in _ANCHORS:
        around = problem.counts(dict.fromkeys(problem.free, ratio))
        saved = {target: _savings(problem, guide, around, target, options[target]) for target in problem.free}
        choices = least_losses([saved[t] for t in problem.free], [lost[t] for t in problem.free])
        candidates += [{t: options[t][i] for t, i in zip(problem.free, c, strict=True)} for c in choices]
    different: Mapping[tuple[int, ...], Counts] = {tuple(c[t] for t in problem.free): c for c in candidates}
    weighed = sorted(
        (sum(losses(target, count) for target, count in c.items()), problem.burden(c, guide), key)
        for key, c in different.items()
    )
    cheapest = [float("inf"), *accumulate((burden for _, burden, _ in weighed), min)]
    return [
        different[key] for (_, burden, key), before in zip(weighed, cheapest, strict=False) if burden < before
    ]


def least_losses(
    savings: Sequence[Sequence[int]], losses: Sequence[Sequence[float]]
) -> list[tuple[int, ...]]:
    """For each level of saving, one option of each target with the least summed loss that saves as much.

    Parameters
    ----------
    savings, losses : sequences
        Of each option of each target; the first option saves nothing.

    Returns
    -------
    list of tuple of int
        Different choices (an option's position for each target), from the least saving on.

    Notes
    -----
    Savings are counted in whole bins, rounded down, so that a level is never promised too much. With at most
    `BINS` units of saving in all a bin is one unit, and the result is exact.
    """
    total = sum(max(own) for own in savings)
    unit = max(1, -(-total // BINS))
    levels = total // unit + 1
    best = np.full(levels, np.inf)  # the least loss that saves at least so many bins
    best[0] = 0.0
    taken: list[np.ndarray] = []
    for own, lost in zip(savings, losses, strict=True):
        tried = np.full((len(own), levels), np.inf)
        for i, (saving, loss) in enumerate(zip(own, lost, strict=True)):
            gained = max(0, saving) // unit
            tried[i] = loss + np.concatenate([np.full(gained, best[0]), best[: levels - gained]])
        taken.append(tried.argmin(axis=0))
        best = tried.min(axis=0)
    found: dict[tuple[int, ...], None] = {}
    for level in np.flatnonzero(np.isfinite(best)):
        found[_trace_back(taken, savings, unit, int(level))] = None
    return list(found)


def _trace_back(
    taken: Sequence[np.ndarray], savings: Sequence[Sequence[int]], unit: int, level: int
) -> tuple[int, ...]:
    """Which option of each target led to a level."""
    choice = []
    for own, options in zip(reversed(taken), reversed(savings), strict=True):
        option = int(own[level])
        choice.append(option)
        level = max(0, level - max(0, options[option]) // unit)
    return tuple(reversed(choice))


def _options(problem: Problem, target: str) -> list[int]:
    shares = [i * _EVERY for i in range(round(1 / _EVERY) + 1)]
    return sorted({*(problem.counts({target: share})[target] for share in shares), problem.limits[target]})


def _savings(
    problem: Problem, guide: Guide, around: Counts, target: str, options: Sequence[int]
) -> list[int]:
    """What each option saves against leaving the target whole, while the others are cut like `around`."""
    left = [problem.burden({**around, target: count}, guide) for count in options]
    return [left[0] - burden for burden in left]


def _filled(problem: Problem, guide: Guide, path: Sequence[Counts]) -> list[Counts]:
    """A path with steps between neighbours that lie further apart than `_GAP`; each costs no more than the one before."""
    gap = max(1.0, _GAP * problem.burden(path[0], guide))
    found, cheapest = [path[0]], problem.burden(path[0], guide)
    for before, after in pairwise(path):
        end = problem.burden(after, guide)
        parts = max(1, int((cheapest - end) / gap))
        for part in range(1, parts + 1):
            share = part / parts
            counts = {t: round(before[t] + share * (after[t] - before[t])) for t in problem.free}
            burden = problem.burden(counts, guide)
            if part == parts or end < burden < cheapest:
                found.append(counts)
                cheapest = min(cheapest, burden)
    return found
