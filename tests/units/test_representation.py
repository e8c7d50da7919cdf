"""The unit that compares layers: its parts, what is known, and the way through plain data."""

import json

import torch

from analysis.inside.representation import MOST, Minibatch, cka, minibatches
from analysis.pruning.plan import Plan, uniform_plan
from analysis.units import Case, find_unit, once
from analysis.units.representation import from_data, run, to_data
from tests.networks import Mlp, dataset, load, randomise


def case(examples: int, ratio: float) -> Case:
    network, data = load(randomise(Mlp()), (5,)), dataset((5,), 3, examples)
    plan = uniform_plan(network, "l1", "channel", ratio) if ratio else Plan(network.name, "l1")
    return Case(network, data, data.evaluation, plan)


def test_parts_are_the_minibatches_of_the_evaluation_examples():
    given, said = case(200, 0.5), []
    parts = list(run(given, {}, [], said.append))
    expected = list(minibatches(given.network, given.pruned, given.split.inputs))
    found = [from_data(json.loads(json.dumps(part))) for part in parts]
    assert len(parts) == 3 and said[-1] == 1
    assert torch.equal(cka(found), cka(expected))
    assert [part.examples for part in found] == [part.examples for part in expected]
    assert list(run(given, {}, parts[:1], said.append)) == parts[1:]


def test_a_missing_minibatch_is_found_whatever_is_known_after_it():
    given = case(200, 0.5)
    parts = list(run(given, {}, [], lambda share: None))
    again = list(run(given, {}, [parts[0], parts[2], parts[0]], lambda share: None))
    assert once("representation", [parts[0], parts[2], parts[0], *again]) == [parts[0], parts[2], parts[1]]


def test_no_more_examples_are_read_than_are_enough():
    parts = list(run(case(MOST + 100, 0.5), {}, [], lambda share: None))
    assert sum(part["examples"] for part in parts) == MOST


def test_the_dense_plan_compares_the_network_with_itself():
    (part,) = run(case(30, 0.0), {}, [], lambda share: None)
    assert torch.allclose(cka([from_data(part)]).diagonal(), torch.ones(3, dtype=torch.float64), atol=1e-9)


def test_what_is_not_defined_survives_as_plain_data():
    nan = float("nan")
    given = Minibatch(4, torch.tensor([[1.0, nan]]), torch.tensor([2.0]), torch.tensor([nan, 0.5]))
    text = json.dumps(to_data(given), allow_nan=False)
    found = from_data(json.loads(text))
    assert torch.equal(found.cross.isnan(), given.cross.isnan()) and found.cross[0, 0] == 1
    assert found.after.dtype == torch.float64 and found.after[1] == 0.5


def test_it_is_found_by_its_kind():
    assert find_unit("representation") is run
