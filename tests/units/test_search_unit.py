"""The unit for a search: plain data there and back, what is tried first, and going on."""

import json

import pytest

from analysis.allocation.problem import make_problem
from analysis.allocation.search import TRIED, front, make_seeds, search
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.pruning.plan import Plan, make_plan, targets
from analysis.sensitivity import curves_of, sweep
from analysis.units import Case, digest, find_unit, make_request, once, open_case
from analysis.units.search import from_data, hints, parameters, to_data, trials_of
from tests.networks import ConvNet, dataset, load, randomise

NETWORK, DATA = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 60)
FIRST, SECOND = targets(NETWORK, "channel")
BY_HAND = make_plan(NETWORK, "l1", "channel", {FIRST: 2 / 6, SECOND: 0.125})
WANTED = parameters("macs", "channel", "l1", trials=45, sampler="nsga2", seed=3, held={})


def case(help_: dict | None = None) -> Case:
    return Case(NETWORK, DATA, DATA.evaluation, Plan(NETWORK.name, "l1"), help_ or {})


def found(about: Case, wanted=WANTED, known=(), say=lambda share: None) -> list[dict]:
    wanted, known = json.loads(json.dumps(wanted)), json.loads(json.dumps(list(known)))
    return [json.loads(json.dumps(part)) for part in find_unit("search")(about, wanted, known, say)]


@pytest.fixture(scope="module")
def whole() -> list[dict]:
    return found(case(hints([], [BY_HAND])))


def test_sensitivities_come_first_then_the_seeds_then_every_trial(whole):
    gauge, scores = Gauge(NETWORK, DATA.evaluation, DATA.task), score(NETWORK, "l1")
    points = list(sweep(gauge, scores, "channel"))
    problem = make_problem(gauge, scores, "channel", curves=curves_of(points))
    seeds = make_seeds(problem, "macs", tried=[BY_HAND])
    assert whole[: len(points)] == [json.loads(json.dumps(find_data(point))) for point in points]
    assert whole[len(points)]["seeds"] == [{"origin": s.origin, "counts": dict(s.counts)} for s in seeds]
    tried = list(search(problem, "macs", seeds=seeds, trials=45, sampler="nsga2", seed=3))
    assert trials_of(whole) == [from_data(part) for part in whole[len(points) + 1 :]] == tried
    assert TRIED in {trial.origin for trial in tried}


def find_data(point):
    from analysis.units.sweep import to_data

    return to_data(point)


@pytest.mark.parametrize("stop", [1, 5, "seeds", 20, 30])
def test_a_search_goes_on_where_it_stopped_whatever_the_hints_are_by_then(whole, stop):
    seeds = next(i for i, part in enumerate(whole) if part.get("number") == -1)
    stop = seeds + 1 if stop == "seeds" else stop
    later = case(hints([], [BY_HAND])) if stop <= seeds else case()
    assert found(later, known=whole[:stop]) == whole[stop:]
    assert found(case(), known=whole) == []


def test_known_sensitivities_are_not_measured_again(whole):
    points = list(sweep(Gauge(NETWORK, DATA.evaluation, DATA.task), score(NETWORK, "l1"), "channel"))
    quick = found(case(hints(points, [BY_HAND])))
    assert quick == [part for part in whole if "target" not in part]


def test_the_share_done_never_falls_and_ends_at_all():
    for help_ in ({}, hints([], [])):
        shares: list[float] = []
        found(case(help_), say=shares.append)
        assert shares == sorted(shares) and shares[-1] == 1


def test_held_targets_and_caps_are_heeded():
    wanted = parameters("macs", "channel", "l1", trials=25, sampler="tpe", seed=0, held={FIRST: 0.5}, cap=0.5)
    for trial in trials_of(found(case(), wanted)):
        assert trial.ratios[FIRST] == 0.5 and trial.ratios.get(SECOND, 0) <= 0.5


def test_parts_are_plain_data_and_told_apart(whole):
    assert [to_data(trial) for trial in trials_of(whole)] == [p for p in whole if p.get("number", -1) >= 0]
    assert once("search", [*whole, *whole]) == whole
    assert front(trials_of(whole))


def test_hints_do_not_change_what_is_asked():
    asked = [
        make_request("search", "tiny", 60, parameters=WANTED, hints=h) for h in (None, hints([], [BY_HAND]))
    ]
    assert digest(asked[0]) == digest(asked[1]) and asked[0] != asked[1]
    from analysis.sources import Opened

    opened = open_case(lambda name: Opened(NETWORK, DATA), asked[1])
    assert (
        opened.hints == hints([], [BY_HAND])
        and open_case(lambda name: Opened(NETWORK, DATA), asked[0]).hints == {}
    )
