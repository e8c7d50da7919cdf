"""The unit for training: parts against the engine itself, the best weights kept, going on, plain data."""

import json

import pytest
import torch

from analysis.pruning.plan import make_plan
from analysis.recovery import keep
from analysis.recovery.augmentation import Augmentation
from analysis.recovery.distil import Distillation, distil
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.keep import keep_here
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import restore
from analysis.recovery.training import improves, merit
from analysis.units import Case, find_unit
from analysis.units import fine_tune as unit
from analysis.units.fine_tune import BEST, START, curves, from_parameters, parameters
from tests.networks import ConvNet, dataset, load, randomise

RECIPE = Recipe(4, 0.05, batch=8, momentum=0.0, augmentation=Augmentation(shift=1))


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(keep.FOLDER, str(tmp_path))


@pytest.fixture(scope="module")
def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 60)
    plan = make_plan(network, "l1", "channel", {network.groups[0].name: 0.5})
    return Case(network, data, data.evaluation, plan)


def _found(case, wanted, known=(), say=lambda share: None):
    wanted, known = json.loads(json.dumps(wanted)), json.loads(json.dumps(list(known)))
    return [json.loads(json.dumps(part)) for part in find_unit("fine-tune")(case, wanted, known, say)]


def _without_time(parts):
    return [{k: v for k, v in p.items() if k not in ("seconds", "recovered", "kept_epoch")} for p in parts]


@pytest.mark.parametrize("distillation", [None, Distillation(2.0, 0.5, ("conv1",))])
def test_epochs_are_the_engines_and_the_best_weights_are_kept(case, distillation):
    found = curves(_found(case, parameters(RECIPE, distillation)))
    begun = case.begin()
    expected = list(distil(begun, RECIPE, distillation) if distillation else fine_tune(begun, RECIPE))
    assert found.judged == [(e.validation_loss, e.validation) for e in expected]
    assert [part["train_loss"] for part in found.epochs] == [e.train_loss for e in expected]
    number = max((epoch.number for epoch in expected if improves(epoch, found.start)), default=0)
    if number:
        assert found.kept_epoch == number
        kept = keep_here().get(found.kept)
        network = restore(case.network, kept)
        for name, value in expected[number - 1].now.module.state_dict().items():
            assert torch.equal(network.module.state_dict()[name], value)
        assert [step.method for step in kept.steps] == [unit.METHODS[distillation is not None]]
        assert kept.steps[0].settings["epoch"] == number
        assert kept.steps[0].settings[unit.PARENT] == ""
        assert kept.steps[0].seconds == pytest.approx(found.seconds)
    else:
        assert found.kept == ""


def test_weights_are_kept_on_the_way_once_time_has_passed(case, monkeypatch):
    monkeypatch.setattr(unit, "KEEP_SECONDS", 0.0)
    parts = _found(case, parameters(RECIPE))
    known = curves(parts[:1])
    for part, epoch in zip(parts[1:], fine_tune(case.begin(), RECIPE), strict=True):
        assert ("recovered" in part) == improves(epoch, known.start)
    assert any("recovered" in part for part in parts)
    assert all(part["epoch"] != BEST for part in parts)


def test_a_cancelled_training_goes_on_from_its_best_weights(case, monkeypatch):
    monkeypatch.setattr(unit, "KEEP_SECONDS", 0.0)
    wanted, shares = parameters(RECIPE), []
    whole = _found(case, wanted)
    known = whole[: next(i for i, part in enumerate(whole) if "recovered" in part) + 1]
    before = curves(known)
    rest = _found(case, wanted, known, shares.append)
    assert [part["epoch"] for part in rest] == [part["epoch"] for part in whole[len(known) :]]
    middle = case.begin()
    resumed = type(middle)(
        **{**middle.__dict__, "network": restore(case.network, keep_here().get(before.kept))}
    )
    expected = list(fine_tune(resumed, RECIPE, known=before.judged))
    assert [(p["validation_loss"], p["validation"]) for p in rest] == [
        (e.validation_loss, e.validation) for e in expected
    ]
    seconds = [part["seconds"] for part in [*known[1:], *rest]]
    assert seconds == sorted(seconds)
    assert shares[-1] == pytest.approx(1.0)


def test_what_counts_when_it_goes_on_is_what_was_kept(case, monkeypatch):
    """An epoch that was said to be perfect, and whose weights were lost, keeps nothing from being kept."""
    monkeypatch.setattr(unit, "KEEP_SECONDS", 0.0)
    recipe = Recipe(12, 0.05, batch=8, momentum=0.0)
    whole = _found(case, parameters(recipe))
    first = next(i for i, part in enumerate(whole) if "recovered" in part)
    lost = {**whole[first], "epoch": whole[first]["epoch"] + 1, "validation": 1.0, "validation_loss": 0.0}
    del lost["recovered"], lost["kept_epoch"]
    rest = _found(case, parameters(recipe), [*whole[: first + 1], lost])
    assert any("recovered" in part for part in rest)


def test_without_kept_weights_it_begins_again_and_finds_the_same(case, monkeypatch, tmp_path):
    wanted = parameters(RECIPE)
    whole = _found(case, wanted)
    monkeypatch.setenv(keep.FOLDER, str(tmp_path / "elsewhere"))
    again = _found(case, wanted, whole[:3])
    assert _without_time(again) == _without_time(whole[1:])


def test_the_first_better_weights_are_kept_at_once(case, monkeypatch):
    monkeypatch.setattr(unit, "KEEP_SECONDS", 1e9)
    start, *parts = _found(case, parameters(RECIPE))
    better = [p for p in parts if p["epoch"] != BEST and _merit(p) > merit(tuple(start["start"]))]
    assert "recovered" in better[0]
    assert not any("recovered" in part for part in parts if part["epoch"] not in (better[0]["epoch"], BEST))


def _merit(part):
    return merit((part["validation_loss"], part["validation"]))


@pytest.mark.parametrize("missing", [[1], [2], [1, 2, 3, 4]])
def test_where_an_epoch_is_missing_it_begins_again(case, missing):
    wanted = parameters(RECIPE)
    whole = _found(case, wanted)
    assert whole[-1]["epoch"] == BEST
    known = [part for part in whole if part["epoch"] not in missing]
    assert _without_time(_found(case, wanted, known)) == _without_time(whole[1:])


def test_nothing_is_kept_that_is_no_better_than_the_start(case, monkeypatch):
    monkeypatch.setattr(unit, "KEEP_SECONDS", 0.0)
    hopeless = Recipe(2, 1e-30, batch=54, momentum=0.0, last=1)  # the head alone, which does not move
    found = curves(_found(case, parameters(hopeless)))
    assert found.judged == [found.start] * 2
    assert found.kept == ""


def test_the_start_and_the_dense_network_are_judged_on_the_held_out_examples(case):
    part = _found(case, parameters(RECIPE))[0]
    assert part["epoch"] == START
    begun = case.begin()
    for key, network in (("start", case.pruned), ("dense", case.network)):
        with torch.no_grad():
            outputs = network.module(begun.validation.inputs)
        correct = float((outputs.argmax(1) == begun.validation.targets).double().mean())
        loss = float(torch.nn.functional.cross_entropy(outputs, begun.validation.targets))
        assert part[key] == pytest.approx([loss, correct], rel=1e-4)


def test_parameters_are_plain_data_there_and_back():
    for distillation in (None, Distillation(3.0, 0.2, ("conv1",), 0.5)):
        data = json.loads(json.dumps(parameters(RECIPE, distillation)))
        assert from_parameters(data) == (RECIPE, distillation)


def test_curves_of_nothing_are_empty():
    assert curves([]).judged == []
    assert curves([]).seconds == 0
