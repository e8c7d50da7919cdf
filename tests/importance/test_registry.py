"""score(): what it refuses, which examples it sees, and that it leaves the network alone."""

import dataclasses

import pytest
import torch
from torch import nn

from analysis.errors import CriterionError
from analysis.importance import CRITERIA, score
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.networks import ConvNet, Mlp, dataset, randomise, same, snapshot

DATA_DRIVEN = [name for name, criterion in CRITERIA.items() if criterion.needs_data]


@pytest.fixture(scope="module")
def net():
    return trace(randomise(ConvNet()), torch.zeros(1, 2, 5, 5), "tiny")


@pytest.fixture
def data():
    return dataset((2, 5, 5), 4, 10)


def test_the_promised_criteria_are_there():
    assert set(CRITERIA) >= {
        "random",
        "l1",
        "l2",
        "bn-scale",
        "taylor",
        "fisher",
        "activation-mean",
        "activation-variance",
        "apoz",
        "wanda",
        "conductance",
        "movement",
        "learned-mask",
    }
    assert all(name == criterion.name for name, criterion in CRITERIA.items())
    assert all(c.label and c.sentence.endswith(".") for c in CRITERIA.values())
    assert [n for n, c in CRITERIA.items() if not c.needs_data] == ["random", "l1", "l2", "bn-scale"]


def test_an_unknown_name_lists_the_known(net, data):
    with pytest.raises(CriterionError) as caught:
        score(net, "L3", data)
    assert "'L3'" in str(caught.value)
    assert all(name in str(caught.value) for name in CRITERIA)


@pytest.mark.parametrize("criterion", DATA_DRIVEN)
def test_no_data(net, criterion):
    with pytest.raises(CriterionError, match="no data were given") as caught:
        score(net, criterion)
    message = str(caught.value)
    assert CRITERIA[criterion].label in message
    assert all(name in message for name in ("random", "l1", "l2", "bn-scale"))


@pytest.mark.parametrize("criterion", DATA_DRIVEN)
def test_no_calibration_example(net, data, criterion):
    """No example is no data: an average over nothing must not pass as scores."""
    none = dataclasses.replace(data, calibration=data.calibration.take(torch.arange(0)))
    with pytest.raises(CriterionError):
        score(net, criterion, none)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_shapes_and_finiteness(net, data, criterion):
    scores = score(net, criterion, data)
    assert scores.criterion == criterion
    assert scores.network == "tiny"
    for layer, values in scores.values.items():
        shape = net.weight(layer).shape
        expected = shape if CRITERIA[criterion].unit == "weight" else shape[:1]
        assert values.shape == expected
        assert bool(torch.isfinite(values).all())
        assert not values.requires_grad
        assert CRITERIA[criterion].signed or float(values.min()) >= 0
    needs_data = criterion in DATA_DRIVEN
    assert scores.examples == (10 if needs_data else 0)
    assert scores.origin == ("noise" if needs_data else "")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_evaluation_examples_are_never_seen(net, data, criterion):
    expected = score(net, criterion, data)
    poisoned = dataclasses.replace(data, evaluation=dataset((2, 5, 5), 4, 10, seed=5).evaluation)
    poisoned.evaluation.inputs.fill_(torch.nan)
    poisoned.evaluation.targets.fill_(-1)
    scores = score(net, criterion, poisoned)
    for layer, values in expected.values.items():
        assert torch.equal(values, scores.values[layer])


@pytest.mark.parametrize("criterion", DATA_DRIVEN)
def test_calibration_examples_matter(net, data, criterion):
    first = score(net, criterion, data)
    other = score(net, criterion, dataset((2, 5, 5), 4, 10, seed=9))
    assert any(not torch.equal(values, other.values[layer]) for layer, values in first.values.items())


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("task", "frozen"), [(CLASSIFICATION, False), (REGRESSION, True)], ids=["free", "frozen"]
)
def test_the_network_is_left_as_it_is(criterion, frozen, task):
    classes = 4 if task is CLASSIFICATION else 1
    module = randomise(ConvNet(classes)).requires_grad_(not frozen)
    net = trace(module, torch.zeros(1, 2, 5, 5), "tiny")
    data = dataset((2, 5, 5), classes, 8, task=task)
    inputs = data.calibration.inputs.clone()
    before = snapshot(net.module)
    score(net, criterion, data)
    assert same(before, snapshot(net.module))
    assert all(parameter.grad is None for parameter in net.module.parameters())
    assert torch.equal(inputs, data.calibration.inputs)
    assert not data.calibration.inputs.requires_grad


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_same_scores_twice_and_without_gradient_mode(criterion):
    net = trace(randomise(ResNet(ResNetConfig((3, 4), (1, 1), 3))), torch.zeros(1, 1, 6, 6), "tiny")
    data = dataset((1, 6, 6), 3, 10)
    first = score(net, criterion, data)
    with torch.no_grad():
        again = score(net, criterion, data)
    assert all(torch.equal(values, again.values[layer]) for layer, values in first.values.items())


@pytest.mark.parametrize("criterion", DATA_DRIVEN)
def test_progress_grows_to_one(net, criterion):
    seen = []
    score(net, criterion, dataset((2, 5, 5), 4, 130), progress=seen.append)
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[0] > 0
    assert seen[-1] == 1


@pytest.mark.parametrize("criterion", DATA_DRIVEN)
def test_a_large_calibration_split_is_sampled(criterion):
    net = trace(nn.Sequential(nn.Linear(2, 3)), torch.zeros(1, 2), "tiny")
    scores = score(net, criterion, dataset((2,), 3, 600))
    assert scores.examples == CRITERIA[criterion].examples < 600
    assert scores.origin == f"{scores.examples} of noise (seed 0)"


def test_mlp_scores_do_not_depend_on_how_the_module_is_written():
    """Functional activations and modules give the same scores."""

    class Functional(Mlp):
        def forward(self, x):
            return self.head(torch.relu(self.fc2(torch.relu(self.fc1(x)))))

    data = dataset((5,), 3, 20)
    for criterion in CRITERIA:
        if criterion == "bn-scale":
            continue
        scores = [
            score(trace(randomise(build()), torch.zeros(1, 5), "tiny"), criterion, data).values
            for build in (Mlp, Functional)
        ]
        for layer in ("fc1", "fc2", "head"):
            torch.testing.assert_close(scores[0][layer], scores[1][layer], rtol=0, atol=0)
