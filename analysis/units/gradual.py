"""Gradual pruning to the plan: a part for each step, with its weights kept, so that it can be gone on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.measure.cost import Cost, cost
from analysis.measure.quality import Evaluation, Interval, evaluate, headline, headline_change
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.selection import Selection
from analysis.recovery.gradual import Course, Reached, Stage, chosen, gradually
from analysis.recovery.keep import keep_here
from analysis.recovery.pruned import Pruned
from analysis.recovery.recovered import Step, recovered_from, restore
from analysis.units import Case, Message, Say
from analysis.units import fine_tune as training

METHOD = "gradual pruning"  # what the step of recovery is called


@dataclass(frozen=True)
class Point:
    """One step, measured on the evaluation examples.

    Parameters
    ----------
    step : int
        From 1.
    plan : Plan
        With the cuts of this step.
    removed : float
        The share of the dense network's connections that is gone (in a soft step: that a cut now would take).
    cut, after, change : Interval
        The headline metric right after the cut and after recovery, and its paired change from the dense network.
    validation : float
        The headline metric on the validation examples, by which it stops.
    parameters, macs, connections : int
        Of the recovered network; `connections` are the nonzero ones.
    back : float or None
        The share of what the step before set to zero that has grown back (soft pruning).
    soft, holds : bool
        Nothing is gone for good yet; the floor is held.
    seconds : float
        Of this step.
    recovered : str
        The digest of its weights.
    """

    step: int
    plan: Plan
    removed: float
    cut: Interval
    after: Interval
    change: Interval
    validation: float
    parameters: int
    macs: int
    connections: int
    back: float | None
    soft: bool
    holds: bool
    seconds: float
    recovered: str

    @property
    def is_usable(self) -> bool:
        """True if its network is smaller for good and holds the floor."""
        return self.holds and not self.soft

    @property
    def result(self) -> Plan:
        """The plan of its network, with the recovered weights."""
        return replace(self.plan, recovered=self.recovered)


def parameters(course: Course) -> Message:
    """What the unit wants to know."""
    plain = {
        "schedule": course.schedule,
        "steps": course.steps,
        "last_epochs": course.last_epochs,
        "rescore": course.rescore,
        "soft": course.soft,
        "rewind": course.rewind,
        "floor": course.floor,
    }
    return {**plain, **training.parameters(course.recipe, course.distillation)}


def course_of(parameters: Mapping[str, Any]) -> Course:
    """The course of :func:`parameters`."""
    recipe, distillation = training.from_parameters(parameters)
    return Course(**{**parameters, "recipe": recipe, "distillation": distillation})


def to_data(point: Point) -> Message:
    """A point as plain data."""
    return {**asdict(point), "plan": to_json(point.plan)}


def from_data(data: Mapping[str, Any]) -> Point:
    """The point of :func:`to_data`."""
    intervals = {key: Interval(**data[key]) for key in ("cut", "after", "change")}
    return Point(**{**data, **intervals, "plan": from_json(data["plan"])})


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Go on behind the last `known` step whose weights are still kept; to the plan, or to the floor.

    Each step trains with a fresh optimiser anyway, so going on gives what one go would have given.
    """
    course, plan = course_of(parameters), case.plan.as_pruned
    start = case.whole
    found = sorted(map(from_data, known), key=lambda point: point.step)
    if any(not point.holds for point in found):
        return
    found = [point for point in found if keep_here().holds(point.recovered)]
    spent = sum(point.seconds for point in found)
    reached = _reached(case, start, plan, course, found) if found else None
    whole = cost(case.network)
    before: Evaluation = evaluate(case.network, case.split, start.task)
    for stage in gradually(start, plan, course, reached=reached, progress=say):
        spent += stage.seconds
        yield to_data(_measured(case, start, stage, parameters, spent, whole, before))


def _reached(case: Case, start: Pruned, plan: Plan, course: Course, found: Sequence[Point]) -> Reached:
    """Where the last of the steps came to. What a soft step set to zero is found as it was: by the step before."""
    point, keep = found[-1], keep_here()
    kept = keep.get(point.recovered)
    reached = Reached(point.step, kept.selection, restore(case.network, kept), point.soft)
    before = {other.step: other.recovered for other in found[:-1]}.get(point.step - 1)
    if not point.soft or (before is None and point.step > 1):
        return reached
    earlier = restore(case.network, keep.get(before)) if before else case.network
    at = Reached(point.step - 1, Selection(), earlier, is_soft=True)
    return replace(reached, selection=chosen(start, plan, course, at))


def _measured(
    case: Case,
    start: Pruned,
    stage: Stage,
    parameters: Mapping[str, Any],
    spent: float,
    whole: Cost,
    before: Evaluation,
) -> Point:
    cut, after = (evaluate(network, case.split, start.task) for network in (stage.cut, stage.network))
    costs = cost(stage.network)
    gone = Selection() if stage.is_soft else stage.selection
    step = Step(METHOD, {**parameters, "step": stage.number}, spent)
    return Point(
        step=stage.number,
        plan=stage.plan,
        removed=1 - cost(stage.cut).nonzero_connections / whole.connections,
        cut=headline(cut),
        after=headline(after),
        change=headline_change(after, before),
        validation=stage.validation,
        parameters=costs.parameters,
        macs=costs.macs,
        connections=costs.nonzero_connections,
        back=stage.back,
        soft=stage.is_soft,
        holds=stage.holds,
        seconds=stage.seconds,
        recovered=keep_here().put(recovered_from(stage.network, gone, (step,))),
    )
