"""A proposal: what one method makes of a goal, with what it is predicted to keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from analysis.allocation.feasibility import feasibility
from analysis.allocation.goals import Goal
from analysis.allocation.methods.greedy import Order
from analysis.allocation.problem import Problem
from analysis.allocation.registry import find_method
from analysis.allocation.solve import solve
from analysis.errors import PlanError
from analysis.pruning.plan import Plan
from analysis.sensitivity import predict


class TimingError(PlanError):
    """A latency that this timing did not reach; another may."""


@dataclass(frozen=True)
class Proposal:
    """The plan by which a method meets a goal.

    Parameters
    ----------
    share : float or None
        What is left of the goal's cost; None for a quality to keep.
    predicted : float or None
        The headline metric by the measured curves: an estimate. None where curves are missing.
    step, steps : int
        Where on the method's path the goal is met.
    looks : int
        How many allocations were counted, timed or measured to find it.
    seconds : float
        How long that took.
    """

    method: str
    plan: Plan
    share: float | None
    predicted: float | None
    step: int
    steps: int
    looks: int
    seconds: float


def propose(
    problem: Problem,
    goal: Goal,
    method: str,
    *,
    order: Order = "smallest-loss",
    progress: Callable[[float], None] = lambda share: None,
) -> Proposal:
    """The least a method must remove to meet a goal (or, for a quality to keep, the most it may).

    Raises
    ------
    PlanError
        If the goal cannot be met, in words, or the method is unknown. A TimingError if it was timed.
    PrunescopeError
        If the method reads curves that are not measured.
    """
    start = time.perf_counter()
    entry = find_method(method)
    missed = TimingError if goal.kind == "latency" else PlanError
    judged = feasibility(problem, goal)
    if not judged.is_met:
        raise missed(judged.sentence)
    path = entry.path(problem, goal.about.guide, order)
    solution = solve(problem, goal, path, progress)
    if solution is None:  # a timing or an encoding that met the goal once, and did not again
        raise missed(
            f"{entry.label} found no plan with {goal.words()}: the goal is at the edge of what can be reached. Ask for "
            "a little less."
        )
    plan = problem.plan(solution.counts)
    return Proposal(
        method=method,
        plan=plan,
        share=solution.value if goal.about.is_cost else None,
        predicted=predict(
            problem.curves, plan.ratios, dense=problem.gauge.dense_headline, floor=problem.gauge.floor
        ),
        step=solution.step,
        steps=path.steps,
        looks=solution.looks,
        seconds=time.perf_counter() - start,
    )
