"""Which answer is explained, and the question that both networks are asked."""

import json

import pytest
import torch

from analysis.datasets import Split
from analysis.errors import AttributionError
from analysis.explain.attribution import attribute
from analysis.explain.question import Question, ask, from_data
from analysis.explain.targets import TARGET_KINDS, resolve_targets
from analysis.measure.quality import Evaluation, evaluate
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.explain.nets import convolutional, linear, reused
from tests.networks import split

SOME = torch.tensor([4, 0, 7])


def _evaluated(task=CLASSIFICATION) -> Evaluation:
    network = reused() if task is CLASSIFICATION else linear()
    return evaluate(network, split((6,), 3 if task is CLASSIFICATION else 2, 12, task=task), task)


def test_the_true_class_comes_from_the_data():
    before = _evaluated()
    expected = [int(before.split.targets[i]) for i in (4, 0, 7)]
    assert resolve_targets("true", before, SOME).tolist() == expected


def test_the_predicted_class_is_what_the_dense_network_answered():
    before = _evaluated()
    found = resolve_targets("predicted", before, SOME)
    outputs = reused().module(before.split.inputs[SOME])
    assert torch.equal(found, outputs.argmax(dim=1))
    assert not torch.equal(before.answers, before.split.targets), "the two must be told apart here"


def test_a_chosen_class_is_that_of_all():
    assert resolve_targets("chosen", _evaluated(), SOME, 2).tolist() == [2, 2, 2]
    assert resolve_targets("chosen", _evaluated(), SOME, 2).dtype == torch.int64


@pytest.mark.parametrize("chosen", [None, -1, 3])
def test_a_class_that_does_not_exist_is_refused_with_the_range(chosen):
    with pytest.raises(AttributionError, match=f"no class {chosen}. Choose one from 0 to 2"):
        resolve_targets("chosen", _evaluated(), SOME, chosen)


def test_a_binary_network_has_two_classes():
    before = _evaluated(BINARY)
    assert resolve_targets("chosen", before, SOME, 1).tolist() == [1, 1, 1]
    assert torch.equal(resolve_targets("true", before, SOME), before.split.targets[SOME])
    assert torch.equal(resolve_targets("predicted", before, SOME), before.answers[SOME])
    with pytest.raises(AttributionError, match="from 0 to 1"):
        resolve_targets("chosen", before, SOME, 2)


@pytest.mark.parametrize("kind", [kind.name for kind in TARGET_KINDS])
def test_a_task_without_classes_has_no_target(kind):
    assert resolve_targets(kind, _evaluated(REGRESSION), SOME, 1) is None


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(AttributionError, match=r"no target 'guess'\. Known: true, predicted, chosen"):
        resolve_targets("guess", _evaluated(), SOME)


@pytest.mark.parametrize(
    "question",
    [
        Question("saliency", (3, 1)),
        Question("grad-cam", (0,), "conv1", "chosen", 2),
        Question("integrated-gradients", (5,), target="predicted", parameters=(("steps", 8),)),
    ],
)
def test_a_question_comes_through_plain_data_as_it_was(question):
    back = from_data(json.loads(json.dumps(question.to_data())))
    assert back == question and hash(back) == hash(question)


def test_both_networks_are_asked_the_same():
    """The target is what the *dense* network answered, whichever network is asked."""
    network, other = convolutional(), convolutional()
    with torch.no_grad():
        other.module.head.weight.mul_(-1)  # this network is our own
    before = evaluate(network, split((2, 12, 12), 3, 10), CLASSIFICATION)
    question = Question("layer-conductance", (8, 2, 5), "conv1", "predicted", parameters=(("steps", 8),))
    rows = torch.tensor([8, 2, 5])
    inputs, targets = before.split.inputs[rows], before.answers[rows]
    shares: list[float] = []
    for asked in (network, other):
        found = ask(question, asked, before, 0.3, shares.append)
        expected = attribute(
            asked, "layer-conductance", inputs, targets, layer="conv1", baseline=0.3, parameters={"steps": 8}
        )
        assert torch.equal(found.values, expected.values) and torch.equal(found.delta, expected.delta)
    assert shares[-1] == 1 and isinstance(before.split, Split)
