"""A search for the best plans at every cost: a part for each sensitivity point that is missing, one for what is
tried first, and one for each trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.allocation.methods.greedy import Order
from analysis.allocation.problem import CAP, Problem, make_problem
from analysis.allocation.search import Seed, Tried, make_seeds, search
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.quality import Interval
from analysis.pruning.plan import Granularity, Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.sensitivity import Sensitivity, curves_of, sweep
from analysis.units import Case, Message, Say
from analysis.units import sweep as sweep_unit

_SEEDS = -1  # the number of the part that says what is tried first
_SWEEP_SHARE = 0.3  # of the work, if sensitivities must be measured first


def parameters(
    kind: str,
    granularity: Granularity,
    criterion: str,
    *,
    trials: int,
    sampler: str,
    seed: int,
    held: Mapping[str, float],
    order: Order = "smallest-loss",
    cap: float = CAP,
) -> Message:
    """What the unit wants to know; see :func:`analysis.allocation.search.search` and
    :func:`analysis.allocation.problem.make_problem`."""
    return {
        "kind": kind,
        "granularity": granularity,
        "criterion": criterion,
        "trials": trials,
        "sampler": sampler,
        "seed": seed,
        "held": dict(held),
        "order": order,
        "cap": cap,
    }


def hints(points: Sequence[Sensitivity], tried: Sequence[Plan]) -> Message:
    """What helps it along: sensitivity points that are known, and plans that were tried by hand."""
    return {
        "points": [sweep_unit.to_data(point) for point in points],
        "tried": [to_json(plan) for plan in tried],
    }


def to_data(part: Tried) -> Message:
    """A trial as plain data."""
    return asdict(part)


def from_data(data: Mapping[str, Any]) -> Tried:
    """The trial of :func:`to_data`."""
    return Tried(**{**data, "quality": Interval(**data["quality"])})


def trials_of(parts: Sequence[Mapping[str, Any]]) -> list[Tried]:
    """The trials among the parts, in their order."""
    found = [from_data(part) for part in parts if part.get("number", _SEEDS) != _SEEDS]
    return sorted(found, key=lambda trial: trial.number)


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Measure what is not `known`: sensitivities first, for the methods that begin the search.

    What is tried first is settled once: a search that goes on begins with the same.
    """
    scores = score(case.network, parameters["criterion"], case.dataset)
    gauge = Gauge(case.network, case.split, case.dataset.task)
    granularity: Granularity = parameters["granularity"]
    seeds = next((part["seeds"] for part in known if part.get("number") == _SEEDS), None)
    begun = 0.0
    points = [sweep_unit.from_data(entry) for entry in case.hints.get("points", ())]
    points += [sweep_unit.from_data(part) for part in known if "target" in part]
    if seeds is None:
        missing = sweep(
            gauge, scores, granularity, known=points, progress=lambda share: say(_SWEEP_SHARE * share)
        )
        for point in missing:
            begun = _SWEEP_SHARE
            points.append(point)
            yield sweep_unit.to_data(point)
    problem = make_problem(
        gauge, scores, granularity, cap=parameters["cap"], held=parameters["held"], curves=curves_of(points)
    )
    if seeds is None:
        found = _first(problem, parameters, case.hints)
        seeds = [{"origin": seed.origin, "counts": dict(seed.counts)} for seed in found]
        yield {"number": _SEEDS, "seeds": seeds}
    tried = search(
        problem,
        parameters["kind"],
        seeds=[Seed(seed["origin"], seed["counts"]) for seed in seeds],
        trials=parameters["trials"],
        sampler=parameters["sampler"],
        seed=parameters["seed"],
        known=trials_of(known),
        progress=lambda share: say(begun + (1 - begun) * share),
    )
    yield from map(to_data, tried)


def _first(problem: Problem, parameters: Mapping[str, Any], hints: Mapping[str, Any]) -> tuple[Seed, ...]:
    tried = [from_json(text) for text in hints.get("tried", ())]
    return make_seeds(problem, parameters["kind"], parameters["order"], tried)
