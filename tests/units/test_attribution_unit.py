"""The unit that explains examples: its parts, what is known, and the way through plain data."""

import json

import pytest
import torch

from analysis.explain.attribution import Attribution
from analysis.explain.question import Question, ask
from analysis.measure.quality import evaluate
from analysis.pruning.plan import uniform_plan
from analysis.units import Case, find_unit
from analysis.units.attribution import EACH, attribution_from_data, pair_from_parts, run, to_data
from tests.networks import ConvNet, dataset, load, randomise


@pytest.fixture
def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 12)
    return Case(network, data, data.evaluation, uniform_plan(network, "l1", "channel", 0.5))


@pytest.mark.parametrize("delta", [None, torch.tensor([0.25, -1e-20])])
def test_an_attribution_comes_through_plain_data_as_it_was(delta):
    found = Attribution(torch.randn(2, 3, 4).transpose(1, 2), delta)
    back = attribution_from_data(json.loads(json.dumps(to_data(found))))
    assert torch.equal(back.values, found.values)
    assert back.delta is None if delta is None else torch.equal(back.delta, delta)


@pytest.mark.parametrize("method", ["integrated-gradients", "kernel-shap", "grad-cam"])
def test_the_parts_are_what_both_networks_are_asked_at_once(case, method):
    question = Question(method, (7, 3, 0, 11, 4), target="predicted")
    shares: list[float] = []
    parts = list(run(case, json.loads(json.dumps(question.to_data())), [], shares.append))
    assert len(parts) == -(-5 // EACH) and shares == sorted(shares) and shares[-1] == 1
    places, *pair = pair_from_parts(json.loads(json.dumps(parts)))
    assert places == [0, 1, 2, 3, 4]
    before = evaluate(case.network, case.split, case.dataset.task)
    for found, network in zip(pair, (case.network, case.pruned), strict=True):
        expected = ask(question, network, before, case.dataset.baseline)
        torch.testing.assert_close(found.values, expected.values, atol=1e-6, rtol=1e-4)
        assert (found.delta is None) == (expected.delta is None)


def test_what_is_known_is_not_explained_again(case):
    question = Question("saliency", (7, 3, 0, 11, 4)).to_data()
    parts = list(run(case, question, [], lambda share: None))
    rest = list(run(case, question, [parts[1]], lambda share: None))
    assert [part["first"] for part in rest] == [0, 2 * EACH]
    assert rest == [parts[0], parts[2]]
    assert list(run(case, question, parts, lambda share: None)) == []


def test_parts_in_any_order_and_number_make_the_same_pair(case):
    parts = list(run(case, Question("saliency", (7, 3, 0)).to_data(), [], lambda share: None))
    places, before, _ = pair_from_parts([*parts[::-1], parts[0]])
    assert places == [0, 1, 2] and torch.equal(before.values, pair_from_parts(parts)[1].values)
    places, before, _ = pair_from_parts(parts[1:])
    assert places == [2] and len(before.values) == 1


def test_it_is_found_by_its_kind():
    assert find_unit("attribution") is run
