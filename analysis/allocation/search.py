"""Search: plans tried one after another, each learning from those before, for the best quality at every cost.

The search begins with what the other methods propose at several sizes and with plans that were tried by hand,
so that its front is never behind theirs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from analysis.allocation.costs import share
from analysis.allocation.goals import GOALS, Goal
from analysis.allocation.methods.greedy import Order
from analysis.allocation.problem import Counts, Problem
from analysis.allocation.registry import METHODS
from analysis.allocation.solve import solve
from analysis.errors import NetworkError, PlanError
from analysis.history import pareto_front
from analysis.measure.quality import Interval
from analysis.pruning.plan import Granularity, Plan

MOST_KNOBS = 40  # numbers that are searched over; more need far more trials than anyone waits for
STEPS = 50  # of a knob, at most
SEED_SHARES = (0.75, 0.5, 0.35, 0.2)  # of the cost, at which the other methods are asked
SEARCHED, TRIED = "search", "tried"  # origins beside the names of methods
_WALK = 1000  # steps from an allocation to one that was not tried, after which there is none
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Sampler:
    """A way to propose the next trial; `make` is given a seed."""

    name: str
    label: str
    sentence: str
    make: Callable[[int], BaseSampler]


SAMPLERS: Mapping[str, Sampler] = {
    sampler.name: sampler
    for sampler in (
        Sampler(
            "nsga2",
            "NSGA-II",
            "Evolution: the plans of the front, and those around it, are crossed and changed a little.",
            lambda seed: NSGAIISampler(population_size=20, seed=seed),
        ),
        Sampler(
            "tpe",
            "TPE",
            "Where good plans were dense and bad ones rare, the next is drawn.",
            lambda seed: TPESampler(multivariate=True, seed=seed),
        ),
    )
}


@dataclass(frozen=True)
class Seed:
    """An allocation that is tried first, and where it comes from: a method's name, or ``tried`` by hand."""

    origin: str
    counts: Counts


@dataclass(frozen=True)
class Tried:
    """One trial of a search.

    Parameters
    ----------
    origin : str
        The seed's, or ``search`` for what the sampler proposed.
    ratios : mapping
        {target: ratio} of the plan.
    share : float
        What is left of the cost, as a share of the dense network's.
    quality : Interval
        The headline metric: exact if all `examples` were seen. NaN if the network answered NaN or infinity.
    """

    number: int
    origin: str
    ratios: Mapping[str, float]
    share: float
    quality: Interval
    examples: int
    is_exact: bool


def check_searchable(kind: str, granularity: Granularity) -> None:
    """Refuse what cannot be searched for.

    Raises
    ------
    PlanError
        If `kind` is no cost, is timed, or is not changed by cuts of this granularity.
    """
    goal = Goal(kind, 1.0)
    if not goal.about.is_cost:
        raise PlanError("A search weighs quality against a cost. Choose a cost, such as MACs.")
    if kind == "latency":
        raise PlanError(
            "Timings are noisy: of many, a search would pick the lucky ones. Search by MACs or parameters, and look at "
            "the latency of what it finds."
        )
    if reason := goal.unmoved_by(granularity):
        raise PlanError(reason)


def searchable(granularity: Granularity) -> tuple[str, ...]:
    """The costs that can be searched by."""
    found = []
    for kind in GOALS:
        try:
            check_searchable(kind, granularity)
        except PlanError:
            continue
        found.append(kind)
    return tuple(found)


def make_seeds(
    problem: Problem,
    kind: str,
    order: Order = "smallest-loss",
    tried: Sequence[Plan] = (),
    shares: Sequence[float] = SEED_SHARES,
) -> tuple[Seed, ...]:
    """What is tried first: proposals of all methods at several sizes, largest first, then plans tried by hand.

    Methods that need sensitivity curves are asked if every free target has one, and those that cannot weigh
    scores below 0 if there are none. Sizes are of the count that stands in for the cost (parameters or MACs;
    connections for weights), which is exact arithmetic. Of equal allocations the first stays. Plans tried under
    another criterion, at another granularity, with picks, or beyond what the problem allows, are left out.
    """
    guide = GOALS[kind].guide
    counted = "connections" if problem.granularity == "weight" else guide
    known = all(problem.curves.get(target) for target in problem.free)
    known &= problem.gauge.dense_headline > problem.gauge.floor
    paths = {
        name: method.path(problem, guide, order)
        for name, method in METHODS.items()
        if (known or not method.needs_curves) and (method.takes_signed or not problem.is_signed)
    }
    found: dict[tuple[tuple[str, int], ...], Seed] = {}
    for left in shares:
        for name, path in paths.items():
            solution = solve(problem, Goal(counted, left), path)
            if solution is not None:
                found.setdefault(_key(solution.counts), Seed(name, solution.counts))
    for plan in tried:
        counts = problem.counts(plan.ratios_of(problem.granularity))
        if problem.plan(counts) == plan.as_pruned:
            found.setdefault(_key(counts), Seed(TRIED, counts))
    return tuple(found.values())


def knobs(problem: Problem) -> tuple[tuple[str, ...], ...]:
    """The targets that each searched number moves together.

    One target each, if there are no more than `MOST_KNOBS`; else neighbours in depth share one, in runs of
    nearly equal length.
    """
    movable = [target for target in problem.free if problem.limits[target] > 0]
    count = min(MOST_KNOBS, len(movable))
    bounds = [len(movable) * i // count for i in range(count + 1)] if count else []
    return tuple(tuple(movable[start:stop]) for start, stop in pairwise(bounds))


def search(
    problem: Problem,
    kind: str,
    *,
    seeds: Sequence[Seed],
    trials: int,
    sampler: str,
    seed: int,
    known: Sequence[Tried] = (),
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Tried]:
    """Try allocations for the best quality at every cost; both are measured, neither is estimated.

    The seeds come first, as they are. Then the sampler proposes: for each knob (see :func:`knobs`) in how many
    of its steps of what its targets may lose they are cut. Cost is exact. Quality is measured until it is
    exact, or until its 95% interval, over all looks together, lies below what a cheaper plan is known to get: so
    whatever stands on the front was measured on all examples. No allocation is tried twice: where the sampler
    repeats itself, a neighbour of what it asked for is tried. If there is no other, the search is over.

    Parameters
    ----------
    kind : str
        A cost of :data:`analysis.allocation.goals.GOALS`.
    trials : int
        How many there are at most, seeds among them.
    sampler : str
        A name in :data:`SAMPLERS`.
    seed : int
        Decides all draws: the same seed and seeds give the same trials.
    known : sequence of Tried
        Trials of the same search that were carried out before. The sampler hears of them again, in their
        order, and so goes on as if it had never stopped; they are not measured, and not given again.

    Raises
    ------
    PlanError
        If the cost cannot be searched by, the sampler is unknown, or nothing may be cut.

    Notes
    -----
    Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II"; Bergstra et al. 2011,
    "Algorithms for hyper-parameter optimization" (TPE), for several objectives Ozaki et al. 2022,
    "Multiobjective tree-structured Parzen estimator". The sampler hears no quality below guessing.
    """
    check_searchable(kind, problem.granularity)
    if sampler not in SAMPLERS:
        raise PlanError(f"There is no sampler {sampler!r}. Known: {', '.join(SAMPLERS)}.")
    dials = _Dials(problem)
    if not dials.ranges:
        raise PlanError("No target may be cut, so there is nothing to search. Unlock one.")
    study = _study(SAMPLERS[sampler].make(seed))
    for one in seeds[:trials]:
        study.enqueue_trial(dials.nearest(one.counts))
    before = {trial.number: trial for trial in known}
    tried, generator = _Known(), np.random.default_rng(seed)
    for number in range(trials):
        if number < len(seeds):
            origin, counts, asked = seeds[number].origin, seeds[number].counts, study.ask(dials.ranges)
        else:
            proposed = _propose(study, dials, tried, generator)
            if proposed is None:  # there is no other allocation
                break
            origin, (asked, counts) = SEARCHED, proposed
        trial = before.get(number) or _try(problem, kind, number, origin, counts, tried)
        _tell(study, asked, trial, problem.gauge.floor)
        tried.add(counts, trial)
        progress((number + 1) / trials)
        if number not in before:
            yield trial
    progress(1.0)


def front(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """Trials that no other beats: none leaves as little and is as good, and better in one; sorted by cost.

    Of equals the earliest is kept; trials of unknown quality are left out.
    """
    in_order = sorted(tried, key=lambda one: one.number)
    return pareto_front(in_order, lambda one: one.share, lambda one: one.quality.value)


def hypervolume(tried: Sequence[Tried], dense: float, guess: float) -> float:
    """How much of the plane of saving and quality the front covers, from 0 to about 1.

    The area that some trial beats, between the dense network's cost and none, and between guessing and the dense
    network's quality. 1 would be a network that costs nothing and answers as well.

    Notes
    -----
    Zitzler & Thiele 1998, "Multiobjective optimization using evolutionary algorithms". 0 if the dense
    network is no better than guessing.
    """
    if dense <= guess:
        return 0.0
    area, right = 0.0, 1.0
    for trial in reversed(front([one for one in tried if one.share < 1 and one.quality.value > guess])):
        area += (right - trial.share) * (trial.quality.value - guess) / (dense - guess)
        right = trial.share
    return area


class _Dials:
    """The searched numbers: a whole number of steps for each knob."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.knobs = {f"knob {i}": targets for i, targets in enumerate(knobs(problem))}
        self.steps = {
            name: min(STEPS, max(problem.limits[target] for target in targets))
            for name, targets in self.knobs.items()
        }
        self.ranges: dict[str, BaseDistribution] = {
            name: IntDistribution(0, steps) for name, steps in self.steps.items()
        }

    def counts(self, steps: Mapping[str, int]) -> dict[str, int]:
        """How many of each target go."""
        found = dict.fromkeys(self.problem.free, 0)
        for name, targets in self.knobs.items():
            for target in targets:
                found[target] = round(self.problem.limits[target] * steps[name] / self.steps[name])
        return found

    def nearest(self, counts: Counts) -> dict[str, int]:
        """The steps nearest to an allocation: of targets that share a knob, to their mean."""
        limits = self.problem.limits
        shares = {
            name: sum(counts.get(target, 0) / limits[target] for target in targets) / len(targets)
            for name, targets in self.knobs.items()
        }
        return {name: round(share * self.steps[name]) for name, share in shares.items()}


class _Known:
    """The trials so far: by allocation, and the best exact quality at each cost."""

    def __init__(self) -> None:
        self._trials: dict[tuple[tuple[str, int], ...], Tried] = {}
        self._costs: list[float] = []
        self._qualities: list[float] = []

    def add(self, counts: Counts, trial: Tried) -> None:
        self._trials[_key(counts)] = trial
        stairs = front([one for one in self._trials.values() if one.is_exact])
        self._costs = [one.share for one in stairs]
        self._qualities = [one.quality.value for one in stairs]

    def find(self, counts: Counts) -> Tried | None:
        """The trial of an allocation."""
        return self._trials.get(_key(counts))

    def quality_within(self, cost: float) -> float:
        """The best quality that is known of a plan that costs no more; -infinity if there is none."""
        place = bisect_right(self._costs, cost)
        return self._qualities[place - 1] if place else -math.inf


def _propose(
    study: optuna.Study, dials: _Dials, tried: _Known, generator: np.random.Generator
) -> tuple[Trial, Counts] | None:
    """What the sampler asks for; if that was tried before, a step or a few from it; None if all was tried.

    The sampler hears of its repetition first, so that it learns from what it asked for.
    """
    asked = study.ask(dials.ranges)
    counts = dials.counts(asked.params)
    known = tried.find(counts)
    if known is None:
        return asked, counts
    _tell(study, asked, known, dials.problem.gauge.floor)
    steps, names = dict(asked.params), list(dials.steps)
    for i in range(_WALK):
        name = names[generator.integers(len(names))]
        reach = min(1 + i // len(names), dials.steps[name])  # near first, then farther
        steps[name] = min(dials.steps[name], max(0, steps[name] + int(generator.integers(-reach, reach + 1))))
        if tried.find(dials.counts(steps)) is None:
            study.enqueue_trial(steps)
            return study.ask(dials.ranges), dials.counts(steps)
    return None


def _try(problem: Problem, kind: str, number: int, origin: str, counts: Counts, tried: _Known) -> Tried:
    ratios, cost = problem.ratios(counts), share(problem, kind, counts)
    bar = tried.quality_within(cost)
    try:
        run = problem.gauge.run(problem.plan(counts), problem.scores)
        reading = run.finish(lambda reading: reading.value.high < bar)
    except NetworkError:
        return Tried(number, origin, ratios, cost, _UNKNOWN, 0, is_exact=False)
    return Tried(number, origin, ratios, cost, reading.value, reading.examples, is_exact=reading.is_exact)


def _study(sampler: BaseSampler) -> optuna.Study:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells every study and trial otherwise
    try:
        return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _tell(study: optuna.Study, asked: Trial, trial: Tried, guess: float) -> FrozenTrial:
    if math.isnan(trial.quality.value):
        return study.tell(asked, state=TrialState.FAIL)
    return study.tell(asked, [max(trial.quality.value, guess), trial.share])


def _key(counts: Counts) -> tuple[tuple[str, int], ...]:
    """Equal for equal allocations."""
    return tuple(sorted((target, count) for target, count in counts.items() if count))
