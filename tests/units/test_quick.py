"""The unit of recovery without training: its parts, what is kept, what is known, the way through plain data."""

import json
from dataclasses import replace

import pytest
import torch

from analysis.pruning.plan import uniform_plan
from analysis.recovery import keep
from analysis.recovery.recovered import restore
from analysis.recovery.registry import CHAINS
from analysis.recovery.repairs import Gain, repairs
from analysis.units import Case, find_unit, once
from analysis.units.quick import Repair, from_data, run, to_data
from tests.networks import ConvNet, dataset, load, randomise


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(keep.FOLDER, str(tmp_path))


@pytest.fixture
def given():
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 60)
    return Case(network, data, data.evaluation, uniform_plan(network, "l1", "channel", 0.4))


def timeless(gain):
    return replace(gain, times=())


def test_parts_are_the_repairs_with_weights_to_take_over(given):
    said = []
    parts = [json.loads(json.dumps(part)) for part in run(given, {}, [], said.append)]
    expected = list(repairs(given.begin(), given.split))
    assert len(parts) == len(expected) == len(CHAINS) and said[-1] == 1
    for part, (gain, network) in zip(parts, expected, strict=True):
        found = from_data(part)
        assert timeless(found.gain) == timeless(gain)
        kept = keep.keep_here().get(found.recovered)
        assert [step.method for step in kept.steps] == list(gain.methods)
        assert [step.seconds for step in kept.steps] == list(found.gain.times)
        back = restore(given.network, kept)
        with torch.no_grad():
            inputs = given.split.inputs
            assert torch.equal(back.module(inputs), network.module(inputs))


def test_what_is_known_is_not_done_again(given):
    parts = list(run(given, {}, [], lambda share: None))
    rest = list(run(given, {}, parts[:3], lambda share: None))
    assert [part["methods"] for part in rest] == [part["methods"] for part in parts[3:]]
    assert once("quick", [*parts, *rest]) == parts


def test_a_recovered_plan_is_gone_on_from(given):
    """Methods begin with the weights that the plan names, and their steps go behind those that led there."""
    first = from_data(next(iter(run(given, {}, [], lambda share: None))))
    case = Case(given.network, given.dataset, given.split, replace(given.plan, recovered=first.recovered))
    again = from_data(next(iter(run(case, {}, [], lambda share: None))))
    steps = keep.keep_here().get(again.recovered).steps
    assert [step.method for step in steps] == ["recalibration", "recalibration"]
    assert again.gain.change.value == 0, "the statistics were right already"


def test_a_method_that_does_not_apply_survives_as_plain_data():
    for repair in (
        Repair(Gain(("merging",), reason="nothing to merge")),
        Repair(Gain(("merging",), times=(0.5,), layers=2, left={"head": "it has no bias"}), "0" * 64),
    ):
        assert from_data(json.loads(json.dumps(to_data(repair)))) == repair


def test_it_is_found_by_its_kind():
    assert find_unit("quick") is run
