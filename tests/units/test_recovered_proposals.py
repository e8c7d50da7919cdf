"""Proposals after the same recovery: where it starts, what is kept, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from analysis.measure.quality import evaluate, headline
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import Plan, make_plan, uniform_plan
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.keep import FOLDER, KeepError, keep_here
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import Step, recovered_from, restore
from analysis.recovery.training import judge, merit, snapshot
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace
from analysis.units import Case
from analysis.units.recovered_proposals import from_data, parameters, run
from tests.networks import Mlp, Shares, dataset, load, randomise

STILL = Recipe(epochs=1, learning_rate=1e-30, momentum=0.0, warm_up=0.0)  # nothing moves


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path / "recovered"))


def case_of(outputs: int = 3, task=CLASSIFICATION) -> Case:
    network, data = load(randomise(Mlp(outputs=outputs)), (5,)), dataset((5,), outputs, 60, task=task)
    return Case(network, data, data.evaluation, Plan(network.name, "l1"))


def found(case: Case, plans, recipe: Recipe):
    wanted = json.loads(json.dumps(parameters(plans, recipe)))
    parts = list(run(case, wanted, [], lambda share: None))
    return [from_data(json.loads(json.dumps(part))) for part in parts]


def mended(case: Case) -> Plan:
    """A plan with weights of its own: all are zero, and the answer is always class 2."""
    given = replace(case, plan=uniform_plan(case.network, "l1", "channel", 0.5))
    module = given.pruned.module
    network = snapshot(given.pruned, module)
    for value in network.module.parameters():
        value.zero_()
    network.module.head.bias[2] = 1
    step = Step("by hand")
    return replace(given.plan, recovered=keep_here().put(recovered_from(network, given.selection, (step,))))


def test_it_starts_from_the_repaired_weights_that_a_plan_names():
    case = case_of()
    plan = mended(case)
    (part,) = found(case, {"repaired": plan}, STILL)
    share = float((case.split.targets == 2).double().mean())
    assert part.epoch == 0 and part.quality.value == pytest.approx(share)
    assert part.recovered == plan.recovered


@pytest.mark.parametrize("repaired", [False, True])
def test_recovered_weights_are_kept_for_the_plan_to_name(repaired):
    case = case_of()
    plan = mended(case) if repaired else uniform_plan(case.network, "l1", "channel", 0.7)
    (part,) = found(case, {"it": plan}, Recipe(epochs=6, optimiser="adam", learning_rate=0.02, batch=8))
    assert part.epoch > 0
    kept = keep_here().get(part.recovered)
    network = restore(case.network, kept)
    assert headline(evaluate(network, case.split, case.dataset.task)) == part.quality
    assert [step.method for step in kept.steps] == [*(["by hand"] if repaired else []), "fine-tuning"]
    assert kept.steps[-1].settings["epoch"] == part.epoch and kept.steps[-1].seconds == part.seconds


def test_where_the_metric_has_no_value_the_loss_decides():
    """R² of targets that are all alike is none."""
    case = case_of(1, REGRESSION)
    case.dataset.calibration.targets[:] = 1.0
    plan = uniform_plan(case.network, "l1", "channel", 0.5)
    recipe = Recipe(epochs=3, optimiser="adam", learning_rate=0.01, batch=8)
    (part,) = found(case, {"it": plan}, recipe)
    begun = replace(case, plan=plan).begin()
    start = judge(begun.network, begun.validation, begun.task)
    judged = [start, *((e.validation_loss, e.validation) for e in fine_tune(begun, recipe))]
    assert all(value != value for _, value in judged)
    assert part.epoch == max(range(4), key=lambda i: merit(judged[i])) > 0


def test_a_network_that_answers_no_numbers_is_refused_and_the_others_go_on():
    module = randomise(Shares())
    with torch.no_grad():
        module.first.weight.abs_()
    network = with_groups(trace(module, torch.ones(1, 5), "shares"))
    data = dataset((5,), 3, 60)
    for part in (data.calibration, data.evaluation):
        part.inputs.abs_()
    case = Case(network, data, data.evaluation, Plan(network.name, "l1"))
    plans = {name: make_plan(network, "l1", "weight", {"first": r}) for name, r in (("a", 1.0), ("b", 0.3))}
    lost = replace(plans["b"], recovered="0" * 64)
    refused, made, gone = found(case, {**plans, "c": lost}, STILL)
    assert refused.name == "a" and refused.quality is None and "NaN" in refused.refused
    assert made.name == "b" and made.quality is not None and made.refused == ""
    assert gone.quality is None and "not kept here" in gone.refused


def test_weights_that_cannot_be_kept_are_no_finding(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file" / "folder"))
    case = case_of()
    plan = uniform_plan(case.network, "l1", "channel", 0.7)
    with pytest.raises(KeepError):
        found(case, {"it": plan}, Recipe(epochs=6, optimiser="adam", learning_rate=0.02, batch=8))
