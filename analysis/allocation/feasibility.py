"""Whether a goal can be met at all, and why, in words with numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.allocation.costs import dense_value, share
from analysis.allocation.goals import Goal, in_words
from analysis.allocation.problem import Problem
from analysis.tasks import Metric

_NAMED = 3


@dataclass(frozen=True)
class Feasibility:
    """Whether a goal can be met.

    `sentence` says why or why not; `least` is the share of the cost that the smallest network still has
    (None for a quality to keep).
    """

    is_met: bool
    sentence: str
    least: float | None = None


def feasibility(problem: Problem, goal: Goal) -> Feasibility:
    """Judge a goal before anything is tried.

    A cost can be met if the smallest network that the problem allows, every free target cut to its limit,
    meets it: that network is built and counted, encoded or timed. A quality can be kept if the dense network
    has it.
    """
    if not any(problem.limits.values()):
        return Feasibility(False, f"Nothing may be cut. {in_the_way(problem)}".strip())
    if unmoved := goal.unmoved_by(problem.granularity):
        return Feasibility(False, unmoved)
    if not goal.about.is_cost:
        return _keeps_quality(problem, goal)
    least = share(problem, goal.kind, problem.limits)
    name = in_words(goal.kind)
    verb = "is" if goal.kind == "latency" else "are"
    smallest = f"With every target cut as far as it may be, {_percent(least)} of the {name} {verb} left"
    if goal.kind != "latency":
        whole = dense_value(problem.network, goal.kind)
        smallest += f" ({least * whole:,.0f} of {whole:,.0f})"
    if least <= goal.value:
        return Feasibility(True, f"{smallest}, so {_percent(goal.value)} can be reached.", least)
    return Feasibility(
        False,
        f"{smallest}, so {_percent(goal.value)} is out of reach. {in_the_way(problem)}".strip(),
        least,
    )


def _keeps_quality(problem: Problem, goal: Goal) -> Feasibility:
    metric, dense = problem.gauge.task.headline, problem.gauge.dense_headline
    if math.isnan(dense):
        return Feasibility(
            False,
            f"The {metric.label} of the dense network has no value on these examples, so there is none to keep. Give "
            "examples whose targets differ, or ask for a cost.",
        )
    has = f"The dense network has {metric.label} {number(dense, metric)} on these examples"
    if goal.value > dense:
        return Feasibility(
            False, f"{has}: less than {number(goal.value, metric)} before anything is cut. Ask for less."
        )
    return Feasibility(True, f"{has}, so there is {_room(dense - goal.value, metric)} to spend.")


def in_the_way(problem: Problem) -> str:
    """What keeps a network from getting smaller: targets that take no part, and how far the others may go."""
    reasons = []
    if problem.shut:
        name, why = next(iter(problem.shut.items()))
        more = f" ({len(problem.shut)} in all)" if len(problem.shut) > 1 else ""
        reasons.append(f"{name} takes no part{more}: {why.rstrip('.')}.")
    if problem.held:
        names = ", ".join(list(problem.held)[:_NAMED])
        more = f" and {len(problem.held) - _NAMED} more" if len(problem.held) > _NAMED else ""
        reasons.append(f"Locked: {names}{more}.")
    loosest = max((limit / problem.sizes[t] for t, limit in problem.limits.items()), default=0.0)
    if problem.limits:
        reasons.append(f"No other target may lose more than {_percent(loosest)}.")
    if problem.granularity == "channel":
        reasons.append("What the first layer reads and the last one answers stays.")
    else:
        reasons.append("Biases and BatchNorm stay.")
    return " ".join(reasons)


def number(value: float, metric: Metric) -> str:
    """A metric's value in a sentence."""
    return f"{value:.1%}" if metric.percent else f"{value:.3f}"


def _room(value: float, metric: Metric) -> str:
    return f"{100 * value:.1f} points" if metric.percent else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
