"""The unit for gradual pruning: numbers measured anew, weights that restore, going on, and the floor."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from analysis.importance.registry import score
from analysis.measure.cost import cost
from analysis.measure.quality import evaluate, headline, headline_change
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import remove
from analysis.pruning.selection import Selection
from analysis.recovery.augmentation import Augmentation
from analysis.recovery.distil import Distillation
from analysis.recovery.gradual import Course, gradually
from analysis.recovery.keep import FOLDER, keep_here
from analysis.recovery.levels import levels
from analysis.recovery.pruned import begin
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import restore
from analysis.units import Case, find_unit, once
from analysis.units.gradual import METHOD, Point, course_of, from_data, parameters
from tests.networks import ConvNet, dataset, load, randomise

COURSE = Course("linear", steps=3, recipe=Recipe(epochs=1, batch=16))


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))


@pytest.fixture(scope="module")
def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5), "conv"), dataset((2, 5, 5), 4, 60)
    return Case(network, data, data.evaluation, uniform_plan(network, "l1", "channel", 0.5))


def _found(case: Case, course: Course, known=(), say=lambda share: None) -> list[dict]:
    wanted, known = json.loads(json.dumps(parameters(course))), json.loads(json.dumps(list(known)))
    return [json.loads(json.dumps(part)) for part in find_unit("gradual")(case, wanted, known, say)]


def _same(one: Point, other: Point) -> bool:
    """Alike but for the time they took (which the kept file tells, too)."""
    return replace(one, seconds=0, recovered="") == replace(other, seconds=0, recovered="")


def test_each_step_is_measured_on_the_evaluation_examples(case):
    points = [from_data(part) for part in _found(case, COURSE)]
    start = begin(case.network, case.network, Selection(), case.dataset)
    stages = list(gradually(start, case.plan, COURSE))
    before = evaluate(case.network, case.split, start.task)
    assert [point.step for point in points] == [1, 2, 3]
    for point, stage in zip(points, stages, strict=True):
        after = evaluate(stage.network, case.split, start.task)
        assert point.plan == stage.plan and point.validation == stage.validation
        assert point.after == headline(after) and point.change == headline_change(after, before)
        assert point.cut == headline(evaluate(stage.cut, case.split, start.task))
        left = sum(int(stage.cut.weight(layer.name).count_nonzero()) for layer in case.network.layers)
        every = sum(layer.connections for layer in case.network.layers)
        assert point.removed == 1 - left / every
        counted = cost(stage.network)
        assert (point.parameters, point.macs) == (counted.parameters, counted.macs)
        assert point.is_usable


def test_the_plan_of_each_step_brings_its_network_back(case):
    parts = _found(case, COURSE)
    for part, cuts in zip(parts, levels("linear", case.network, case.plan, 3), strict=True):
        point = from_data(part)
        kept = keep_here().get(point.recovered)
        assert point.result == Plan(case.network.name, "l1", cuts, recovered=point.recovered)
        found = restore(case.network, kept)
        assert headline(evaluate(found, case.split, case.dataset.task)) == point.after
        assert found.parameters() == point.parameters
        assert kept.steps[-1].method == METHOD and kept.steps[-1].settings["step"] == point.step
        again = Case(case.network, case.dataset, case.split, point.result)
        assert torch.equal(again.pruned.module(case.split.inputs), found.module(case.split.inputs))


def test_it_starts_from_the_dense_network_whatever_was_recovered_before(case):
    first = _found(case, COURSE)
    recovered = replace(case.plan, recovered=first[-1]["recovered"])
    again = _found(Case(case.network, case.dataset, case.split, recovered), COURSE)
    assert all(_same(from_data(one), from_data(two)) for one, two in zip(first, again, strict=True))
    assert len(keep_here().get(again[-1]["recovered"]).steps) == 1


@pytest.mark.parametrize("course", [COURSE, replace(COURSE, soft=True)])
def test_it_goes_on_behind_what_is_known(case, course):
    shares: list[float] = []
    whole = _found(case, course, say=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    rest = _found(case, course, whole[:2])
    assert [part["step"] for part in rest] == [3]
    last, expected = from_data(rest[0]), from_data(whole[2])
    assert _same(last, expected)
    assert _found(case, course, whole) == []
    assert once("gradual", [*whole, *rest]) == whole


def test_it_begins_where_weights_are_still_kept(case):
    whole = _found(case, COURSE)
    (keep_here().folder / f"{whole[1]['recovered']}.safetensors").unlink()
    assert [part["step"] for part in _found(case, COURSE, whole[:2])] == [2, 3]


def test_below_the_floor_it_ends(case):
    course = replace(COURSE, floor=1.1)
    (part,) = _found(case, course)
    assert not from_data(part).holds and not from_data(part).is_usable
    assert _found(case, course, [part]) == []


def test_soft_steps_are_not_to_be_used(case):
    points = [from_data(part) for part in _found(case, replace(COURSE, soft=True))]
    assert [point.is_usable for point in points] == [False, False, True]
    assert [point.parameters for point in points[:2]] == [case.network.parameters()] * 2
    assert [point.back is None for point in points] == [True, False, False]
    (last,) = [point for point in points if point.is_usable]
    cut = remove(case.network, keep_here().get(last.recovered).selection)
    assert cut.parameters() == last.parameters < case.network.parameters()


def test_parameters_are_plain_data():
    course = Course(
        "top-down", 5, Recipe(epochs=2, augmentation=Augmentation(shift=1, flip=True)),
        distillation=Distillation(2.0, 0.5, ("conv1",)), last_epochs=4, rescore=False, rewind=1, floor=0.5,
    )  # fmt: skip
    for one in (course, COURSE, replace(COURSE, soft=True)):
        assert course_of(json.loads(json.dumps(parameters(one)))) == one


def test_scores_with_data_are_asked_of_the_network_as_it_is(case):
    plan = uniform_plan(case.network, "taylor", "weight", 0.5)
    assert score(case.network, "taylor", case.dataset).examples > 0
    other = Case(case.network, case.dataset, case.split, plan)
    assert [part["step"] for part in _found(other, COURSE)] == [1, 2, 3]


@pytest.mark.parametrize("done", [1, 2])
@pytest.mark.parametrize("course", [COURSE, replace(COURSE, rescore=False)])
def test_what_has_grown_back_is_known_when_it_goes_on(case, course, done):
    soft = replace(course, soft=True, steps=4, recipe=Recipe(epochs=1, batch=16, learning_rate=0.3))
    whole = _found(case, soft)
    rest = _found(case, soft, whole[:done])
    assert [from_data(part).back for part in rest] == [from_data(part).back for part in whole[done:]]
    assert None not in [from_data(part).back for part in rest]
    assert all(_same(from_data(a), from_data(b)) for a, b in zip(rest, whole[done:], strict=True))
