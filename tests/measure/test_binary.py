"""Networks with one output, or with probabilities at the end, all the way from evaluate() to the gauge."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from analysis.datasets import Split
from analysis.errors import DataError
from analysis.explain.examples import choose, confidence_lost
from analysis.importance import score
from analysis.live import Gauge
from analysis.measure import measure
from analysis.measure.quality import confusion, evaluate, per_class, quality
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import make_plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.store.rows import numbers_from_json, numbers_to_json
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from analysis.tracing import trace

ENDS = {"(N, 1)": [], "(N,)": [nn.Flatten(0)], "sigmoid": [nn.Sigmoid()]}


def load(module: nn.Module) -> Network:
    return with_groups(trace(copy.deepcopy(module), torch.zeros(1, 5), "yes or no"))


def layers(outputs: int) -> list[nn.Module]:
    torch.manual_seed(0)
    first, last = nn.Linear(5, 12), nn.Linear(12, outputs)
    with torch.no_grad():
        last.weight.mul_(4)
        last.bias.zero_()
    return [first, nn.Tanh(), last]


def data(module: nn.Module, count: int = 300) -> Split:
    """Examples of which the network gets about nine in ten right."""
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(count, 5, generator=generator)
    with torch.no_grad():
        outputs = module(inputs)
    right = outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).long()
    wrong = torch.rand(count, generator=generator) < 0.1
    return Split(inputs, torch.where(wrong, 1 - right.clamp(max=1), right), "made up")


@pytest.fixture(params=ENDS)
def binary(request) -> tuple[Network, Split]:
    parts = layers(1)
    return load(nn.Sequential(*parts, *ENDS[request.param])), data(nn.Sequential(*parts))


def by_hand(network: Network, split: Split) -> tuple[float, float]:
    """Accuracy and loss by a loop over probabilities of class 1."""
    ends_in_sigmoid = any(isinstance(m, nn.Sigmoid) for m in network.module.modules())
    right, loss = 0, 0.0
    for x, label in zip(split.inputs, split.targets.tolist(), strict=True):
        z = float(network.module(x[None]).detach())
        p = z if ends_in_sigmoid else 1 / (1 + math.exp(-z))
        right += (p > 0.5) == bool(label)
        loss -= math.log(p if label else 1 - p)
    return right / len(split), loss / len(split)


def test_accuracy_and_loss_are_those_of_a_loop_also_when_pruned(binary):
    network, split = binary
    dense = measure(network, split, BINARY)
    plan = uniform_plan(network, "l1", "channel", 0.4)
    pruned = prune(network, plan)
    found = measure(pruned, split, BINARY, dense=dense)
    for measured, one in ((dense, network), (found, pruned)):
        accuracy, loss = by_hand(one, split)
        assert measured.quality["accuracy"].value == pytest.approx(accuracy)
        assert measured.quality["loss"].value == pytest.approx(loss, rel=1e-4)
    assert 0.85 < dense.headline.value < 0.95 and found.headline.value != dense.headline.value
    assert list(dense.quality) == [metric.key for metric in BINARY.metrics]


def test_the_gauge_ends_where_a_measurement_is(binary):
    network, split = binary
    gauge = Gauge(network, split, BINARY)
    assert gauge.floor == 0.5
    target = network.groups[0].name
    plan = make_plan(network, "l1", "weight", {"0": 0.6})
    for chosen in (plan, make_plan(network, "l1", "channel", {target: 0.5})):
        run = gauge.run(chosen, score(network, "l1"), hand=chosen.cuts[0].target)
        readings = [run.advance() for _ in range(len(gauge.looks))]
        assert not readings[0].is_exact and readings[-1].is_exact
        expected = quality(evaluate(prune(network, chosen), split, gauge.task))
        assert readings[-1].value.value == pytest.approx(expected["accuracy"].value)
        assert quality(run.evaluation())["loss"].value == pytest.approx(expected["loss"].value, rel=1e-5)
        assert readings[0].value.low <= expected["accuracy"].value <= readings[0].value.high


def test_classes_confusions_and_forgotten_examples_are_those_of_two_classes(binary):
    network, split = binary
    before = evaluate(network, split, BINARY)
    after = evaluate(prune(network, uniform_plan(network, "l1", "channel", 0.6)), split, before.task)
    table = confusion(after, 2)
    assert table.shape == (2, 2) and int(table.sum()) == len(split)
    shares = [interval.value for interval in per_class(after, 2) if interval is not None]
    assert shares == pytest.approx([float(table[i, i] / table[i].sum()) for i in range(2)])
    forgotten = choose("forgotten", before, after)
    assert len(forgotten) > 0 and (before.correct & ~after.correct)[forgotten].all()
    assert (confidence_lost(before, after)[forgotten] > 0).all()


def test_what_outputs_mean_is_decided_by_the_dense_network():
    """Pruned to its bias alone, a network of logits says 0.3 of everything: still a logit, class 1."""
    parts = layers(1)
    with torch.no_grad():
        parts[2].bias.fill_(0.3)
    network, split = load(nn.Sequential(*parts)), data(nn.Sequential(*parts))
    dense = measure(network, split, BINARY)
    assert dense.evaluation.task.meaning == "logits"
    pruned = prune(network, make_plan(network, "l1", "weight", {"2": 1.0}))
    found = measure(pruned, split, BINARY, dense=dense)
    assert found.evaluation.answers.tolist() == [1] * len(split)
    assert found.evaluation.task == dense.evaluation.task


def test_networks_that_end_in_softmax_answer_probabilities_and_those_in_log_softmax_logits():
    parts = layers(3)
    split = data(nn.Sequential(*parts))
    plain = measure(load(nn.Sequential(*parts)), split, CLASSIFICATION)
    ends = {"probabilities": nn.Softmax(dim=1), "logits": nn.LogSoftmax(dim=1)}
    for meaning, end in ends.items():
        network = load(nn.Sequential(*parts, end))
        found = measure(network, split, CLASSIFICATION)
        assert found.evaluation.task.meaning == meaning
        for key, interval in plain.quality.items():
            assert found.quality[key].value == pytest.approx(interval.value, abs=1e-5)
        run = Gauge(network, split, CLASSIFICATION).run(uniform_plan(network, "l1", "channel", 0.0), None)
        run.finish()
        assert quality(run.evaluation())["loss"].value == pytest.approx(found.quality["loss"].value, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "said"),
    [
        (BINARY, 1, torch.tensor([0, 2, 1]), "Labels run from 0 to 2"),
        (BINARY, 2, torch.tensor([0, 1, 1]), "Choose the task classification"),
        (CLASSIFICATION, 1, torch.tensor([0, 0, 0]), "Choose the task binary"),
        (REGRESSION, 3, torch.randn(3), "several values are not supported"),
        (REGRESSION, 1, torch.randn(3, 1), r"targets have shape \(3, 1\).*Keep one column"),
    ],
)
def test_what_the_task_cannot_read_is_refused_in_words(task, outputs, targets, said):
    network = load(nn.Sequential(*layers(outputs)))
    with pytest.raises(DataError, match=said):
        evaluate(network, Split(torch.randn(3, 5), targets, "made up"), task)


def test_trials_of_before_and_after_the_other_metrics_can_be_read():
    parts = layers(1)
    found = measure(load(nn.Sequential(*parts)), data(nn.Sequential(*parts)), BINARY).numbers()
    again = numbers_from_json(numbers_to_json(found))
    assert dict(again.quality) == dict(found.quality) and again.headline == found.quality["accuracy"]
    content = json.loads(numbers_to_json(found))
    content["quality"] = {key: content["quality"][key] for key in ("accuracy", "loss")}
    assert numbers_from_json(json.dumps(content)).headline == found.quality["accuracy"]
