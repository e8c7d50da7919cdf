"""Search: the front against slow oracles, what is tried first, going on, and a toy whose front is known."""

import itertools
import math
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch
from torch import nn

from analysis.allocation.costs import share
from analysis.allocation.goals import GOALS
from analysis.allocation.problem import Problem, make_problem
from analysis.allocation.registry import METHODS
from analysis.allocation.search import (
    MOST_KNOBS,
    SAMPLERS,
    SEARCHED,
    STEPS,
    TRIED,
    Seed,
    Tried,
    check_searchable,
    front,
    hypervolume,
    knobs,
    make_seeds,
    search,
    searchable,
)
from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.quality import Interval, evaluate
from analysis.pruning.plan import Pick, Plan, make_plan
from analysis.pruning.prune import prune
from analysis.sensitivity import curves_of, sweep
from analysis.tasks import REGRESSION
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot


def problem_of(
    module: nn.Module, shape: tuple[int, ...], granularity="channel", *, count=300, **options
) -> Problem:
    """Random examples that the dense network answers right three times in four."""
    network = load(randomise(module), shape)
    data = dataset(shape, 4, count)
    split = data.evaluation
    with torch.no_grad():
        said = network.module(split.inputs).argmax(dim=1)
    split = replace(split, targets=torch.where(torch.arange(count) % 4 > 0, said, split.targets))
    gauge = Gauge(network, split, data.task)
    return make_problem(gauge, score(network, "l1"), granularity, **options)


@pytest.fixture(scope="module")
def small() -> Problem:
    """Two groups, of 6 and 8 channels: 48 allocations in all."""
    return problem_of(ConvNet(), (2, 5, 5))


def everything(problem: Problem, kind: str) -> list[Tried]:
    """Every allocation there is, pruned for real and measured on all examples."""
    found = []
    for number, picked in enumerate(itertools.product(*(range(n + 1) for n in problem.limits.values()))):
        counts = dict(zip(problem.free, picked, strict=True))
        pruned = prune(problem.network, problem.plan(counts), problem.scores)
        split = problem.gauge.split
        merit = float(evaluate(pruned, split, problem.gauge.task).correct.double().mean())
        found.append(
            Tried(
                number,
                "all",
                problem.ratios(counts),
                share(problem, kind, counts),
                Interval(merit, merit, merit),
                1,
                is_exact=True,
            )
        )
    return found


def made(*points: tuple[float, float]) -> list[Tried]:
    return [Tried(i, "made", {}, x, Interval(y, y, y), 1, is_exact=True) for i, (x, y) in enumerate(points)]


def slow_front(tried: list[Tried]) -> set[tuple[float, float]]:
    """By comparing each with each."""
    points = {(t.share, t.quality.value) for t in tried if not math.isnan(t.quality.value)}
    return {(x, y) for x, y in points if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)}


def points(tried) -> list[tuple[float, float]]:
    return [(t.share, t.quality.value) for t in tried]


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_comparing_each_with_each_gives(seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, 8, (30, 2)) / 8  # many ties
    tried = made(*map(tuple, drawn.tolist()))
    found = front(tried)
    assert points(found) == sorted(slow_front(tried))
    earliest = {p: min(t.number for t in tried if points([t]) == [p]) for p in points(found)}
    assert all(t.number == earliest[points([t])[0]] for t in found)


def test_trials_of_unknown_quality_are_on_no_front() -> None:
    tried = made((0.5, 0.9), (0.1, math.nan), (0.7, 0.95))
    assert points(front(tried)) == [(0.5, 0.9), (0.7, 0.95)]


@pytest.mark.parametrize("seed", range(5))
def test_the_hypervolume_is_the_share_of_a_grid_that_is_beaten(seed: int) -> None:
    """Points on a grid of 20 x 20, so that counting its cells is exact; some are worse than guessing."""
    drawn = np.random.default_rng(seed).integers(0, 21, (8, 2)) / 20
    tried = made(*((x, 0.1 + 0.8 * (1.25 * y - 0.25)) for x, y in drawn.tolist()))
    cells = [(i + 0.5) / 20 for i in range(20)]
    fine = [(j + 0.5) / 80 for j in range(80)]
    beaten = sum(any(x < a and (y - 0.1) / 0.8 > b for x, y in points(tried)) for a in cells for b in fine)
    assert hypervolume(tried, 0.9, 0.1) == pytest.approx(beaten / 1600)


def test_the_hypervolume_agrees_with_optunas() -> None:
    from optuna._hypervolume import compute_hypervolume

    drawn = np.random.default_rng(3).random((25, 2))
    losses = np.column_stack([drawn[:, 0], 1 - drawn[:, 1]])
    expected = compute_hypervolume(losses, np.array([1.0, 1.0]))
    assert hypervolume(made(*map(tuple, drawn.tolist())), 1.0, 0.0) == pytest.approx(expected)


def test_the_hypervolume_never_falls_and_is_0_for_a_network_that_guesses() -> None:
    tried = made(*map(tuple, np.random.default_rng(1).random((30, 2)).tolist()))
    areas = [hypervolume(tried[: i + 1], 0.9, 0.2) for i in range(len(tried))]
    assert areas == sorted(areas) and areas[-1] > 0
    assert hypervolume(tried, 0.2, 0.2) == 0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_search_finds_the_front_of_all_allocations(small: Problem, sampler: str) -> None:
    """48 allocations, each of which is pruned and measured on its own to know the front."""
    tried = list(search(small, "macs", seeds=make_seeds(small, "macs"), trials=48, sampler=sampler, seed=0))
    truth = front(everything(small, "macs"))
    np.testing.assert_allclose(points(front(tried)), points(truth), rtol=1e-9)
    assert all(trial.is_exact for trial in front(tried))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_allocation_is_tried_twice_and_the_search_ends_when_all_were(small: Problem, sampler: str) -> None:
    shares: list[float] = []
    seeds = make_seeds(small, "macs")
    tried = list(
        search(small, "macs", seeds=seeds, trials=100, sampler=sampler, seed=0, progress=shares.append)
    )
    assert len({tuple(t.ratios.items()) for t in tried}) == len(tried) == 48
    assert shares == sorted(shares) and shares[-1] == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_trial_is_what_pruning_and_measuring_gives(small: Problem, sampler: str) -> None:
    truth = {tuple(sorted(t.ratios.items())): t for t in everything(small, "parameters")}
    for trial in search(small, "parameters", seeds=(), trials=40, sampler=sampler, seed=5):
        exact = truth[tuple(sorted(trial.ratios.items()))]
        assert trial.share == pytest.approx(exact.share) and trial.origin == SEARCHED
        assert trial.quality.low - 1e-9 <= trial.quality.value <= trial.quality.high + 1e-9
        if trial.is_exact:
            assert trial.quality.value == pytest.approx(exact.quality.value) and trial.examples == 300


def test_only_what_is_beaten_for_certain_is_left_unfinished(small: Problem) -> None:
    tried = list(search(small, "macs", seeds=(), trials=60, sampler="nsga2", seed=1))
    early = [trial for trial in tried if not trial.is_exact]
    assert early, "some were so bad that a part of the examples was enough"
    for trial in early:
        beaten_by = [t for t in tried if t.is_exact and t.number < trial.number and t.share <= trial.share]
        assert trial.quality.high < max(t.quality.value for t in beaten_by)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds_come_first_and_as_they_are(small: Problem, sampler: str) -> None:
    seeds = make_seeds(small, "macs")
    tried = list(search(small, "macs", seeds=seeds, trials=len(seeds) + 3, sampler=sampler, seed=0))
    assert [(t.origin, t.ratios) for t in tried[: len(seeds)]] == [
        (s.origin, small.ratios(s.counts)) for s in seeds
    ]
    assert [t.origin for t in tried[len(seeds) :]] == [SEARCHED] * 3
    assert [t.number for t in tried] == list(range(len(tried)))
    few = list(search(small, "macs", seeds=seeds, trials=2, sampler=sampler, seed=0))
    assert few == tried[:2]


def test_seeds_are_the_methods_own_proposals(small: Problem) -> None:
    seeds = make_seeds(small, "macs", shares=(0.6, 0.3))
    path = METHODS["uniform"].path(small, "macs", "smallest-loss")
    least = next(c for c in map(path.at, range(path.steps + 1)) if share(small, "macs", c) <= 0.6)
    assert seeds[0] == Seed("uniform", least)
    assert len({tuple(s.counts.values()) for s in seeds}) == len(seeds)
    assert not any(METHODS[s.origin].needs_curves for s in seeds), "no curves are known"


def test_methods_that_read_curves_are_asked_when_there_are_some(small: Problem) -> None:
    curves = curves_of(list(sweep(small.gauge, small.scores, "channel")))
    known = replace(small, curves=curves)
    assert {s.origin for s in make_seeds(known, "macs")} & {"greedy", "knapsack"}


def test_plans_tried_by_hand_are_seeds_if_the_search_could_find_them(small: Problem) -> None:
    first, second = small.free
    fitting = make_plan(small.network, "l1", "channel", {first: 1 / 6, second: 0.75})
    others = (
        replace(fitting, criterion="random"),
        replace(fitting, picks=(Pick(first, 0, True),)),
        make_plan(small.network, "l1", "weight", {"conv1": 0.5}),
    )
    seeds = make_seeds(small, "macs", tried=(*others, fitting, fitting), shares=())
    assert seeds == (Seed(TRIED, {first: 1, second: 6}),)
    held = replace(small, limits={second: 7}, held={first: 0.0})
    assert make_seeds(held, "macs", tried=(fitting,), shares=()) == (), "it cuts a target that is to stay"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_trials(small: Problem, sampler: str) -> None:
    seeds = make_seeds(small, "macs", shares=(0.5,))
    first, again, other = (
        list(search(small, "macs", seeds=seeds, trials=40, sampler=sampler, seed=seed)) for seed in (7, 7, 8)
    )
    assert first == again and first != other


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stop", [0, 3, 25])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not(small: Problem, sampler: str, stop: int) -> None:
    seeds = make_seeds(small, "macs", shares=(0.5,))
    options = {"seeds": seeds, "trials": 40, "sampler": sampler, "seed": 7}
    whole = list(search(small, "macs", **options))
    assert list(search(small, "macs", **options, known=whole[:stop])) == whole[stop:]
    shares: list[float] = []
    assert list(search(small, "macs", **options, known=whole, progress=shares.append)) == []
    assert shares == sorted(shares) and shares[-1] == 1


def test_held_targets_stay_and_limits_hold() -> None:
    problem = problem_of(ConvNet(), (2, 5, 5), cap=0.5)
    first, second = problem.free
    held = replace(problem, limits={second: problem.limits[second]}, held={first: 0.5})
    for trial in search(held, "macs", seeds=(), trials=30, sampler="nsga2", seed=0):
        assert trial.ratios[first] == 0.5 and trial.ratios.get(second, 0.0) <= 0.5


def test_many_targets_share_knobs_with_their_neighbours() -> None:
    deep = nn.Sequential(*(m for _ in range(45) for m in (nn.Linear(3, 3), nn.ReLU())), nn.Linear(3, 4))
    problem = problem_of(deep, (3,))
    found = knobs(problem)
    assert len(found) == MOST_KNOBS and [t for knob in found for t in knob] == list(problem.free)
    assert {len(knob) for knob in found} <= {1, 2}
    seeds = make_seeds(problem, "macs", shares=(0.5,))
    tried = list(search(problem, "macs", seeds=seeds, trials=len(seeds) + 5, sampler="tpe", seed=0))
    assert tried[0].ratios == problem.ratios(seeds[0].counts), "a seed is tried as it is"
    for trial in tried[len(seeds) :]:
        assert all(len({trial.ratios.get(t, 0.0) for t in knob}) == 1 for knob in found)


def test_weights_are_searched_by_what_zeros_save() -> None:
    problem = problem_of(Mlp(outputs=4), (5,), "weight")
    seeds = make_seeds(problem, "connections")
    tried = list(search(problem, "connections", seeds=seeds, trials=40, sampler="nsga2", seed=0))
    total = sum(layer.connections for layer in problem.network.layers)
    for trial in tried:
        pruned = prune(problem.network, problem.plan(problem.counts(trial.ratios)), problem.scores)
        left = sum(int(pruned.weight(layer.name).count_nonzero()) for layer in pruned.layers)
        assert trial.share == pytest.approx(left / total)
    assert len(knobs(problem)) == len(problem.network.layers)
    assert {t.origin for t in tried} > {SEARCHED}


def test_regression_is_searched_by_its_own_metric() -> None:
    network = load(randomise(Mlp(outputs=1)), (5,))
    data = dataset((5,), 1, 200, task=REGRESSION)
    with torch.no_grad():
        noisy = network.module(data.evaluation.inputs).flatten() + 0.05 * data.evaluation.targets
    gauge = Gauge(network, replace(data.evaluation, targets=noisy), REGRESSION)
    problem = make_problem(gauge, score(network, "l1"), "channel")
    tried = list(search(problem, "macs", seeds=make_seeds(problem, "macs"), trials=60, sampler="tpe", seed=0))
    best = front(tried)
    assert len(best) > 1 and all(t.is_exact for t in best) and points(best) == sorted(slow_front(tried))


def test_a_network_that_breaks_is_noted_and_the_search_goes_on(small: Problem, monkeypatch) -> None:
    from analysis.errors import NetworkError

    first = small.free[0]
    measure = small.gauge.run

    def run(plan: Plan, scores):
        if plan.ratios.get(first, 0) > 0.4:
            raise NetworkError("NaN")
        return measure(plan, scores)

    monkeypatch.setattr(small.gauge, "run", run)
    options = {"seeds": (), "trials": 30, "sampler": "nsga2", "seed": 0}
    tried = list(search(small, "macs", **options))
    broken = [t for t in tried if t.ratios.get(first, 0) > 0.4]
    assert broken and all(math.isnan(t.quality.value) for t in broken)
    assert not {t.number for t in broken} & {t.number for t in front(tried)}
    rest = list(search(small, "macs", **options, known=tried[:20]))
    assert repr(rest) == repr(tried[20:])


def test_what_cannot_be_searched_says_why(small: Problem) -> None:
    with pytest.raises(PlanError, match="lucky"):
        check_searchable("latency", "channel")
    with pytest.raises(PlanError, match="Choose a cost"):
        check_searchable("floor", "channel")
    with pytest.raises(PlanError, match="still multiplied"):
        list(search(small_weights(), "macs", seeds=(), trials=1, sampler="tpe", seed=0))
    with pytest.raises(PlanError, match="no sampler 'luck'"):
        list(search(small, "macs", seeds=(), trials=1, sampler="luck", seed=0))
    shut = replace(small, limits={})
    with pytest.raises(PlanError, match="nothing to search"):
        list(search(shut, "macs", seeds=(), trials=1, sampler="tpe", seed=0))
    assert searchable("weight") == ("connections", "best-bytes")
    assert set(searchable("channel")) == {k for k, g in GOALS.items() if g.is_cost} - {"latency"}


def small_weights() -> Problem:
    return problem_of(Mlp(outputs=4), (5,), "weight", count=20)


def test_the_network_is_left_alone_and_nothing_is_told(small: Problem, capfd) -> None:
    before, verbosity = snapshot(small.network.module), optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sampler in SAMPLERS:
            list(search(small, "macs", seeds=(), trials=15, sampler=sampler, seed=0))
    assert same(before, snapshot(small.network.module))
    assert optuna.logging.get_verbosity() == verbosity
    assert capfd.readouterr() == ("", "")


def test_a_wide_target_is_cut_in_fifty_steps() -> None:
    wide = problem_of(nn.Sequential(nn.Linear(3, 200), nn.ReLU(), nn.Linear(200, 4)), (3,), count=40)
    (only,) = wide.free
    tried = list(search(wide, "macs", seeds=(), trials=100, sampler="nsga2", seed=2))
    gone = {round(trial.ratios.get(only, 0.0) * 200) for trial in tried}
    assert gone == {round(k * wide.limits[only] / STEPS) for k in range(STEPS + 1)}
