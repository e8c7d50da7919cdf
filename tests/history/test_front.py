"""The Pareto front of trials, against every pair of them."""

import random
from types import SimpleNamespace

import pytest

from analysis.history import Trial, pareto_front
from analysis.pruning.plan import Cut, Plan


def trials(points):
    return [
        Trial(
            Plan("net", "l1", (Cut("a", "weight", (i + 1) / 1000),)),
            SimpleNamespace(cost=cost, quality=quality),
        )
        for i, (cost, quality) in enumerate(points)
    ]


def front(some):
    return pareto_front(some, lambda t: t.measurement.cost, lambda t: t.measurement.quality)


def point(trial):
    return trial.measurement.cost, trial.measurement.quality


def brute_force(some):
    """Trials beaten by none, of equals the earliest, sorted by cost."""
    kept = []
    for i, trial in enumerate(some):
        cost, quality = point(trial)
        beaten = any(
            c <= cost and q >= quality and (c < cost or q > quality)
            for c, q in (point(other) for other in some)
        )
        repeated = any(point(earlier) == (cost, quality) for earlier in some[:i])
        if not beaten and not repeated:
            kept.append(trial)
    return tuple(sorted(kept, key=lambda t: t.measurement.cost))


@pytest.mark.parametrize("levels", [2, 4, 10, 1000])
@pytest.mark.parametrize("seed", range(20))
def test_against_every_pair(levels, seed):
    draw = random.Random(seed)
    points = [(draw.randrange(levels), draw.randrange(levels) / levels) for _ in range(1 + seed * 2)]
    some = trials(points)
    assert front(some) == brute_force(some)


def test_by_hand():
    some = trials([(10, 0.9), (5, 0.8), (5, 0.7), (7, 0.8), (1, 0.1), (20, 0.9), (8, 0.95)])
    assert [point(t) for t in front(some)] == [(1, 0.1), (5, 0.8), (8, 0.95)]


def test_the_earliest_of_equals_stays():
    some = trials([(2, 0.5), (1, 0.5), (1, 0.5)])
    assert front(some) == (some[1],)


def test_none_and_one():
    assert front([]) == ()
    some = trials([(3, 0.2)])
    assert front(some) == (some[0],)


def test_a_trial_knows_where_it_came_from():
    dense = Plan("net", "l1")
    plan = Plan("net", "l1", (Cut("a", "weight", 0.5),))
    trial = Trial(plan, SimpleNamespace(), parent=dense)
    assert (trial.plan, trial.parent) == (plan, dense)
    assert Trial(dense, SimpleNamespace()).parent is None
