"""A goal into plans: the sensitivity points that methods read, the dense network, then a part for each method."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.allocation.appraisal import Appraisal, appraise
from analysis.allocation.costs import VALUES, share_of
from analysis.allocation.feasibility import feasibility, number
from analysis.allocation.goals import Goal, in_words
from analysis.allocation.methods.greedy import Order
from analysis.allocation.problem import CAP, Problem, make_problem
from analysis.allocation.proposal import Proposal, TimingError, propose
from analysis.allocation.registry import METHODS, find_method
from analysis.allocation.repaired_curves import repair, repaired_sweep, usual_repair
from analysis.errors import PlanError, PrunescopeError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.live import Gauge
from analysis.measure.measurement import Measurement, measure
from analysis.measure.quality import Interval
from analysis.network import Network
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, select
from analysis.recovery.keep import KeepError, keep_here
from analysis.recovery.recovered import Step, recovered_from
from analysis.sensitivity import Sensitivity, curves_of, sweep
from analysis.units import Case, Message, Say
from analysis.units import sweep as sweeping

_SWEEPING = 0.5  # of the work, if curves are missing
_TRIES = 5  # at a cost that repaired weights miss
_LESS = 0.998  # of it is asked for next, at most

DENSE = "dense"


@dataclass(frozen=True)
class Measured:
    """A proposal with what it was measured to keep; `refused` says why a method made none."""

    method: str
    order: str
    proposal: Proposal | None
    appraisal: Appraisal | None
    refused: str = ""

    @property
    def name(self) -> str:
        """Tells proposals of one goal apart."""
        return name_of(self.method, self.order)


def name_of(method: str, order: str) -> str:
    """The name of a method's proposal; its order is part of it where the method heeds one."""
    return f"{method} {order}" if find_method(method).heeds_order else method


def parameters(
    goal: Goal,
    granularity: str,
    criterion: str,
    methods: Sequence[str] = tuple(METHODS),
    *,
    order: str = "smallest-loss",
    cap: float = CAP,
    held: Mapping[str, float] | None = None,
    repaired: bool = False,
) -> Message:
    """What the unit wants to know; as :func:`analysis.allocation.problem.make_problem`.

    With `repaired`, sensitivities and proposals are measured after the usual repair
    (:mod:`analysis.allocation.repaired_curves`), and the plans name the repaired weights.
    """
    return {
        "goal": asdict(goal),
        "granularity": granularity,
        "criterion": criterion,
        "methods": list(methods),
        "order": order,
        "cap": cap,
        "held": dict(held or {}),
        "repaired": repaired,
    }


def hints(points: Sequence[Sensitivity]) -> Message:
    """What is known of the targets' sensitivity, to be given along with a request."""
    return {"points": [point_part(point) for point in points]}


def point_part(point: Sensitivity) -> Message:
    """A sensitivity point as a part."""
    return {"name": f"point {point.ratio:g} {point.target}", "point": sweeping.to_data(point)}


def points_of(parts: Sequence[Mapping[str, Any]]) -> list[Sensitivity]:
    """The sensitivity points among the parts."""
    return [sweeping.from_data(part["point"]) for part in parts if "point" in part]


def dense_of(parts: Sequence[Mapping[str, Any]]) -> Appraisal | None:
    """The dense network's figures; None if they are not known yet."""
    return next((_appraisal(part["appraisal"]) for part in parts if part["name"] == DENSE), None)


def proposals_of(parts: Sequence[Mapping[str, Any]]) -> list[Measured]:
    """The proposals among the parts, in the order they were made."""
    return [
        Measured(
            part["method"],
            part["order"],
            _proposal(part["proposal"]) if part["proposal"] else None,
            _appraisal(part["appraisal"]) if part["appraisal"] else None,
            part["refused"],
        )
        for part in parts
        if "method" in part
    ]


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Make and measure the proposals that are not `known`; sensitivity points that the hints hold are taken as they are.

    Hints are of cuts that were not repaired.

    Raises
    ------
    PlanError
        If the goal cannot be met. If a latency was not reached by some method's timing, once the others are done:
        that is no finding, as the next timing may reach it.
    KeepError
        If repaired weights cannot be kept.
    """
    goal, order = Goal(**parameters["goal"]), parameters["order"]
    network, task = case.network, case.dataset.task
    scores = score(network, parameters["criterion"], case.dataset)
    dense = measure(network, case.split, task)
    gauge = Gauge(network, case.split, task, dense=dense.evaluation)
    limits = {"cap": parameters["cap"], "held": parameters["held"]}
    judged = feasibility(make_problem(gauge, scores, parameters["granularity"], **limits), goal)
    if not judged.is_met:
        raise PlanError(judged.sentence)
    names = {part["name"] for part in known}
    if DENSE not in names:
        yield {"name": DENSE, "appraisal": asdict(appraise(dense, dense))}
    repaired = parameters["repaired"]
    hinted = () if repaired else case.hints.get("points", ())
    points, begun = [*points_of(hinted), *points_of(known)], 0.0
    if any(find_method(name).needs_curves for name in parameters["methods"]):
        begun = _SWEEPING
        found = _sweep(case, gauge, scores, parameters, points, lambda share: say(_SWEEPING * share))
        for point in found:
            points.append(point)
            yield point_part(point)
    problem = make_problem(gauge, scores, parameters["granularity"], curves=curves_of(points), **limits)
    late: TimingError | None = None
    for i, method in enumerate(parameters["methods"]):

        def report(share: float, i: int = i) -> None:
            say(begun + (1 - begun) * (i + share) / len(parameters["methods"]))

        if name_of(method, order) not in names:
            try:
                part = _part(case, problem, goal, method, order, dense, report, repaired=repaired)
            except TimingError as error:
                late = error
            else:
                yield part
        report(1.0)
    if late is not None:
        raise late


def _sweep(
    case: Case,
    gauge: Gauge,
    scores: Scores,
    parameters: Mapping[str, Any],
    known: Sequence[Sensitivity],
    progress: Say,
) -> Iterator[Sensitivity]:
    granularity, known = parameters["granularity"], tuple(known)
    if not parameters["repaired"]:
        return sweep(gauge, scores, granularity, known=known, progress=progress)
    return repaired_sweep(
        case.network, scores, granularity, case.dataset, case.split, known=known, progress=progress
    )


def _part(
    case: Case,
    problem: Problem,
    goal: Goal,
    method: str,
    order: Order,
    dense: Measurement,
    report: Say,
    *,
    repaired: bool,
) -> Message:
    part = {"name": name_of(method, order), "method": method, "order": order, "refused": ""}
    try:
        made = propose(problem, goal, method, order=order, progress=report)
        if not repaired or made.plan.is_dense:
            network = prune(problem.network, made.plan, problem.scores)
            measured = measure(network, problem.gauge.split, problem.gauge.task, dense=dense)
        else:
            made, measured = _repaired(case, problem, goal, made, order, dense)
    except (KeepError, TimingError):
        raise
    except PrunescopeError as error:
        return {**part, "proposal": None, "appraisal": None, "refused": str(error)}
    return {
        **part,
        "proposal": {**asdict(made), "plan": to_json(made.plan)},
        "appraisal": asdict(appraise(measured, dense)),
    }


def _repaired(
    case: Case, problem: Problem, goal: Goal, made: Proposal, order: Order, dense: Measurement
) -> tuple[Proposal, Measurement]:
    """A proposal after the usual repair of its network: it names the kept weights, and its share is theirs.

    Where these miss the cost, less is proposed, by as much as they missed it, and by more each time.

    Raises
    ------
    PlanError
        If the repaired network misses the goal.
    """
    mended, selection, step = _mended(case, problem, made)
    aim, tries = goal, 0
    while goal.kind in VALUES and (share := share_of(mended, problem.network, goal.kind)) > goal.value:
        missed = PlanError(
            f"After its repair the network has {100 * share:.4g}% of the {in_words(goal.kind)}, more than "
            f"{100 * goal.value:.4g}%: repaired weights fill zeros, and encode less well. Choose a larger share, or "
            "propose without repair."
        )
        tries += 1
        if tries == _TRIES:
            raise missed
        aim = Goal(goal.kind, aim.value * min(goal.value / share, _LESS) ** tries)
        try:
            made = propose(problem, aim, made.method, order=order)
        except PlanError as error:
            raise missed from error
        mended, selection, step = _mended(case, problem, made)
    measured = measure(mended, problem.gauge.split, problem.gauge.task, dense=dense)
    metric = problem.gauge.task.headline
    if not goal.about.is_cost and measured.headline.value < goal.value:
        raise PlanError(
            f"After its repair the network has {metric.label} {number(measured.headline.value, metric)}, less than "
            f"{number(goal.value, metric)}. Propose without repair."
        )
    if goal.kind in VALUES:  # no repair changes a shape: a timing stands
        made = replace(made, share=share)
    digest = keep_here().put(recovered_from(mended, selection, (step,)))
    return replace(made, plan=replace(made.plan, recovered=digest)), measured


def _mended(case: Case, problem: Problem, made: Proposal) -> tuple[Network, Selection, Step]:
    start = time.perf_counter()
    selection = select(problem.network, made.plan, problem.scores)
    cut = case.whole.without(selection)
    return repair(cut), selection, Step(usual_repair(cut.network), {}, time.perf_counter() - start)


def _proposal(data: Mapping[str, Any]) -> Proposal:
    return Proposal(**{**data, "plan": from_json(data["plan"])})


def _appraisal(data: Mapping[str, Any]) -> Appraisal:
    intervals = {key: Interval(**data[key]) for key in ("quality", "change")}
    return Appraisal(**intervals, costs=data["costs"], shares=data["shares"])
