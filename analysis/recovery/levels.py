"""How much is gone after each step on the way to a plan: closed forms, for every cut of the plan alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.errors import PlanError
from analysis.network import Network
from analysis.pruning.plan import Cut, Plan

MAX_STEPS = 50
_DECAY = 4.0  # the first of the exponential steps is about e^4 = 55 times the last

Levels = tuple[tuple[Cut, ...], ...]  # after each step, the cuts that are made


@dataclass(frozen=True)
class Schedule:
    """A way to a plan in steps.

    `at` gives the ratio removed of a target after step t of n, from its final ratio: it never falls, and is the
    final ratio at t = n. Layer by layer has none: there each target goes to its final ratio at once, one after
    another.
    """

    name: str
    label: str
    sentence: str
    at: Callable[[float, int, int], float] | None


def one_shot(final: float, step: int, steps: int) -> float:
    """s_t = s_f."""
    return final


def linear(final: float, step: int, steps: int) -> float:
    """s_t = s_f t/n."""
    return final * step / steps


def constant_rate(final: float, step: int, steps: int) -> float:
    """1 - s_t = (1 - s_f)^(t/n): each step removes the same share of what is left.

    Han et al. 2015, "Learning both weights and connections"; Frankle & Carbin 2019, "The lottery ticket
    hypothesis". A target that goes whole goes at the first step.
    """
    return 1 - (1 - final) ** (step / steps)


def cubic(final: float, step: int, steps: int) -> float:
    """s_t = s_f - s_f (1 - t/n)^3: Zhu & Gupta 2017, "To prune, or not to prune" (AGP), from nothing removed."""
    return final - final * (1 - step / steps) ** 3


def exponential(final: float, step: int, steps: int) -> float:
    """s_t = s_f (1 - e^(-4 t/n)) / (1 - e^(-4)): each step is e^(-4/n) times the one before."""
    return final * math.expm1(-_DECAY * step / steps) / math.expm1(-_DECAY)


_ALL = (
    Schedule(
        "cubic", "Gradual, cubic (AGP)",
        "Large steps at first, while there is much to spare, and ever smaller ones towards the end.", cubic,
    ),
    Schedule(
        "constant-rate", "Iterative", "Each step removes the same share of what is left.", constant_rate
    ),
    Schedule("linear", "Linear", "Each step removes equally much.", linear),
    Schedule(
        "exponential", "Exponential", "Each step is smaller than the one before by the same factor.", exponential
    ),
    Schedule("one-shot", "One shot", "Everything goes at once, and recovers once.", one_shot),
    Schedule(
        "bottom-up", "Layer by layer, bottom up",
        "One target after another goes to its final ratio, those nearest to the input first.", None,
    ),
    Schedule(
        "top-down", "Layer by layer, top down",
        "One target after another goes to its final ratio, those nearest to the answer first.", None,
    ),
)  # fmt: skip

SCHEDULES: Mapping[str, Schedule] = {schedule.name: schedule for schedule in _ALL}


def find_schedule(name: str) -> Schedule:
    """The schedule called `name`; PlanError if there is none."""
    if name not in SCHEDULES:
        raise PlanError(f"There is no schedule {name!r}. Known: {', '.join(SCHEDULES)}.")
    return SCHEDULES[name]


def step_count(schedule: str, plan: Plan, steps: int) -> int:
    """How many steps a schedule really takes: one shot takes one, layer by layer at most one a target."""
    if schedule == "one-shot":
        return 1
    if find_schedule(schedule).at is None:
        return min(steps, len({cut.target for cut in plan.cuts}))
    return steps


def levels(schedule: str, network: Network, plan: Plan, steps: int) -> Levels:
    """The cuts after each step, without those that remove nothing yet; the last are the plan's.

    Layer by layer, ceil(m t/n) of the m targets have gone to their final ratio after step t of n.

    Raises
    ------
    PlanError
        If the schedule is unknown, there are no steps or too many, or the plan has no cut to go to in steps.
    """
    found = find_schedule(schedule)
    if not 1 <= steps <= MAX_STEPS:
        raise PlanError(f"{steps:,} steps are asked for; choose 1 to {MAX_STEPS}.")
    if plan.is_dense:
        raise PlanError(
            "This plan removes nothing, so there is nothing to do in steps. Cut something by a ratio."
        )
    if not plan.cuts:
        raise PlanError(
            "This plan removes channels by hand alone, and these go at once: there is nothing to do in steps. Cut "
            "something by a ratio, or fine-tune."
        )
    count = step_count(schedule, plan, steps)
    if found.at is None:
        order = in_order(network, plan)
        if schedule == "top-down":
            order = order[::-1]
        done = [set(order[: -(-len(order) * step // count)]) for step in range(1, count + 1)]
        return tuple(tuple(cut for cut in plan.cuts if cut.target in targets) for targets in done)
    between = (
        tuple(replace(cut, ratio=found.at(cut.ratio, step, count)) for cut in plan.cuts)
        for step in range(1, count)
    )
    return (*between, plan.cuts)


def in_order(network: Network, plan: Plan) -> Sequence[str]:
    """The plan's targets from the input on: each stands where its first layer is called."""
    place = {layer.name: i for i, layer in enumerate(network.layers)}
    for group in network.groups:
        place.setdefault(group.name, min(place[member] for member in group.members))
    return sorted({cut.target for cut in plan.cuts}, key=place.__getitem__)
