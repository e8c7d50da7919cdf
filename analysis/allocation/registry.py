"""The list of allocation methods. A new one is a file in `methods/` and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analysis.allocation.goals import Guide
from analysis.allocation.methods.erk import erk
from analysis.allocation.methods.greedy import Order, greedy
from analysis.allocation.methods.knapsack import knapsack
from analysis.allocation.methods.lamp import lamp
from analysis.allocation.methods.threshold import normalised, plain
from analysis.allocation.methods.uniform import uniform
from analysis.allocation.path import Path
from analysis.allocation.problem import Problem
from analysis.errors import PlanError


@dataclass(frozen=True)
class Method:
    """A way to spread cuts over targets.

    `path` is given the count that stands in for the goal, and the order in which targets are
    taken; most methods heed neither. `needs_curves` says whether it reads measured sensitivities; `takes_signed`
    whether scores below 0 mean anything to it.
    """

    name: str
    label: str
    sentence: str
    path: Callable[[Problem, Guide, Order], Path]
    needs_curves: bool = False
    heeds_order: bool = False
    takes_signed: bool = True


def _simple(path: Callable[[Problem], Path]) -> Callable[[Problem, Guide, Order], Path]:
    return lambda problem, guide, order: path(problem)


def _unsigned(label: str, path: Callable[[Problem], Path]) -> Callable[[Problem, Guide, Order], Path]:
    """The path; PlanError if scores are below 0, of which neither squares nor shares mean anything."""

    def of_unsigned(problem: Problem, guide: Guide, order: Order) -> Path:
        if problem.is_signed:
            others = ", ".join(method.label for method in METHODS.values() if method.takes_signed)
            raise PlanError(
                f"{label} compares scores as shares, and the criterion {problem.scores.criterion} gives some below 0. "
                f"Choose another criterion, or a method that takes them: {others}."
            )
        return path(problem)

    return of_unsigned


_ALL = (
    Method("uniform", "Uniform", "Every target loses the same share.", _simple(uniform)),
    Method(
        "global", "Global threshold", "The lowest scores of the whole network go, compared as they are.",
        _simple(plain),
    ),
    Method(
        "global-mean", "Global, mean per target",
        "The lowest scores go, each in units of its target's mean score.",
        _unsigned("Global, mean per target", normalised), takes_signed=False,
    ),
    Method("erk", "ERK", "Large layers lose more, by their shapes alone.", _simple(erk)),
    Method(
        "lamp", "LAMP", "What matters least beside all that its layer would still keep goes first.",
        _unsigned("LAMP", lamp), takes_signed=False,
    ),
    Method(
        "greedy", "Sensitivity-greedy", "Step by step where the measured curves lose least.", greedy,
        needs_curves=True, heeds_order=True,
    ),
    Method(
        "knapsack", "Knapsack", "The best combination of points of the measured curves.",
        lambda problem, guide, order: knapsack(problem, guide), needs_curves=True,
    ),
)  # fmt: skip

METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}


def find_method(name: str) -> Method:
    """The method called `name`; PlanError if there is none."""
    if name not in METHODS:
        raise PlanError(f"There is no allocation method {name!r}. Known: {', '.join(METHODS)}.")
    return METHODS[name]
