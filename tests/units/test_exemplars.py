"""The unit that draws a population: its parts, what is known, and the way through plain data."""

import json

import torch

from analysis.forgetting.exemplars import Member, consensus, population
from analysis.measure.quality import evaluate
from analysis.pruning.plan import uniform_plan
from analysis.units import Case, find_unit
from analysis.units.exemplars import from_data, run, to_data
from tests.networks import ConvNet, dataset, load, randomise


def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    return Case(network, data, data.evaluation, uniform_plan(network, "random", "channel", 0.5))


def silent(share: float) -> None:
    """Nobody watches."""


def test_members_come_through_plain_data_as_they_were():
    dense = torch.tensor([0, 1, 2, 2])
    member = Member(3, torch.tensor([0, 2, 2, 1]))
    data = json.loads(json.dumps(to_data(member, dense)))
    assert data == {"seed": 3, "places": [1, 3], "answers": [2, 1]}
    back = from_data(data, dense)
    assert back.seed == 3
    assert torch.equal(back.answers, member.answers)
    same = from_data(to_data(Member(0, dense), dense), dense)
    assert torch.equal(same.answers, dense)
    assert torch.equal(dense, torch.tensor([0, 1, 2, 2]))


def test_members_are_those_of_the_plan():
    given = case()
    parts = list(run(given, {"members": 4}, [], silent))
    dense = evaluate(given.network, given.split, given.dataset.task)
    expected = population(given.network, given.plan, given.dataset, given.split, dense.task, seeds=range(4))
    found = [from_data(part, dense.answers) for part in parts]
    for one, other in zip(found, expected, strict=True):
        assert one.seed == other.seed
        assert torch.equal(one.answers, other.answers)
    assert consensus(dense.answers, [one.answers for one in found]).members == 4


def test_known_members_are_not_drawn_again():
    given, parameters = case(), {"members": 4}
    whole = list(run(given, parameters, [], silent))
    assert list(run(given, parameters, whole[:3], silent)) == whole[3:]
    assert list(run(given, parameters, whole, silent)) == []


def test_it_is_found_by_its_kind():
    assert find_unit("exemplars") is run
