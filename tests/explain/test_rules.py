"""DeepLift and guided backprop against their rules written out by hand.

Captum is silently wrong on functional and reused activations; tracing gives each call its own module.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sample_models
from analysis.errors import AttributionError
from analysis.explain.attribution import attribute
from analysis.network import Network
from analysis.tracing import trace
from tests.explain.nets import answer, convolutional, examples, gradients, preactivation, reused, values_of

LAYERS = ("fc1", "fc2", "fc3", "head")


def _preactivations(network: Network, inputs: Tensor) -> list[Tensor]:
    """What each of the three hidden layers of the reused network computes before its ReLU."""
    found = []
    values = inputs
    for name in LAYERS[:3]:
        layer = network.module.get_submodule(name)
        found.append(values @ layer.weight.detach().T + layer.bias.detach())
        values = found[-1].clamp(min=0)
    return found


def _guided_by_hand(network: Network, inputs: Tensor, targets: Tensor) -> Tensor:
    signal = network.weight("head")[targets]
    for name, before in zip(LAYERS[2::-1], reversed(_preactivations(network, inputs)), strict=True):
        signal = signal.clamp(min=0) * (before > 0)
        signal = signal @ network.weight(name)
    return signal


def _deconvolution_by_hand(network: Network, inputs: Tensor, targets: Tensor) -> Tensor:
    signal = network.weight("head")[targets]
    for name in LAYERS[2::-1]:
        signal = signal.clamp(min=0) @ network.weight(name)
    return signal


def _deep_lift_by_hand(network: Network, inputs: Tensor, targets: Tensor, baseline: float) -> Tensor:
    """The rescale rule: a ReLU passes on the share (change of its output) / (change of its input)."""
    here = _preactivations(network, inputs)
    there = _preactivations(network, torch.full_like(inputs, baseline))
    signal = network.weight("head")[targets]
    for name, a, b in zip(LAYERS[2::-1], reversed(here), reversed(there), strict=True):
        signal = signal * (a.clamp(min=0) - b.clamp(min=0)) / (a - b)
        signal = signal @ network.weight(name)
    return signal * (inputs - baseline)


def test_guided_backprop_is_the_guided_backward_pass():
    network = reused()
    inputs, targets = examples(network, 30)
    found = values_of(network, "guided-backprop", inputs, targets)
    torch.testing.assert_close(found, _guided_by_hand(network, inputs, targets), atol=1e-6, rtol=1e-4)
    assert found.abs().max() > 0


def test_deconvolution_passes_positive_signals_through_every_relu():
    network = reused()
    inputs, targets = examples(network, 30)
    found = values_of(network, "deconvolution", inputs, targets)
    torch.testing.assert_close(found, _deconvolution_by_hand(network, inputs, targets), atol=1e-5, rtol=1e-4)
    assert (found - _guided_by_hand(network, inputs, targets)).abs().max() > 0.01


def _passed_on(network: Network, inputs: Tensor, targets: Tensor, rule) -> Tensor:
    """Back through the shortcut around a ReLU: `rule` says what the ReLU passes on, the shortcut all."""
    layers = network.module
    before = layers.fc1(inputs).detach()
    signal = network.weight("head")[targets]
    return (signal + rule(signal @ network.weight("fc2"), before)) @ network.weight("fc1")


RULES = {
    "guided-backprop": lambda signal, before: signal.clamp(min=0) * (before > 0),
    "deconvolution": lambda signal, before: signal.clamp(min=0),
}


@pytest.mark.parametrize("method", RULES)
def test_a_shortcut_around_a_relu_keeps_its_signal(method):
    """Captum alone replaces the gradient of the tensor that both read, and so drops the shortcut's."""
    network = preactivation()
    inputs, targets = examples(network, 20)
    expected = _passed_on(network, inputs, targets, RULES[method])
    torch.testing.assert_close(values_of(network, method, inputs, targets), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_deep_lift_keeps_the_signal_of_a_shortcut(baseline):
    network = preactivation()
    inputs, targets = examples(network, 20)
    there = network.module.fc1(torch.full_like(inputs, baseline)).detach()

    def rescale(signal: Tensor, here: Tensor) -> Tensor:
        return signal * (here.clamp(min=0) - there.clamp(min=0)) / (here - there)

    expected = _passed_on(network, inputs, targets, rescale) * (inputs - baseline)
    found = attribute(network, "deep-lift", inputs, targets, baseline=baseline)
    torch.testing.assert_close(found.values, expected, atol=1e-5, rtol=1e-3)
    assert found.delta.abs().max() < 1e-4


def test_deep_lift_passes_a_module_that_gives_several_tensors():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = nn.Linear(6, 8), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            one, other = self.fc(x).chunk(2, dim=1)
            return self.head(torch.relu(one) + torch.tanh(other))

    torch.manual_seed(0)
    network = trace(Gated(), torch.zeros(1, 6), "gated")
    found = attribute(network, "deep-lift", *examples(network, 10))
    assert found.delta.abs().max() < 1e-4 and found.values.abs().max() > 0.1


@pytest.mark.parametrize("method", ["deep-lift", "deep-lift-shap"])
def test_deep_lift_is_refused_where_its_rule_mixes_the_examples(method):
    network = trace(nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)), torch.zeros(1, 6), "softmax")
    with pytest.raises(AttributionError, match="no rule for Softmax"):
        attribute(network, method, *examples(network, 2))


def test_guided_backprop_differs_from_the_plain_gradient():
    network = reused()
    inputs, targets = examples(network, 30)
    plain = gradients(network, inputs, targets)
    found = values_of(network, "guided-backprop", inputs, targets)
    assert (found - plain).abs().max() > 0.01
    assert (found.abs() - plain.abs()).abs().max() > 0.01


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_deep_lift_is_the_rescale_rule(baseline):
    network = reused()
    inputs, targets = examples(network, 30)
    found = values_of(network, "deep-lift", inputs, targets, baseline=baseline)
    expected = _deep_lift_by_hand(network, inputs, targets, baseline)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_deep_lift_differs_from_input_times_gradient():
    network = reused()
    inputs, targets = examples(network, 30)
    plain = inputs * gradients(network, inputs, targets)
    assert (values_of(network, "deep-lift", inputs, targets) - plain).abs().max() > 0.01


@pytest.mark.parametrize("baseline", [0.0, 0.4])
@pytest.mark.parametrize("build", [reused, convolutional])
def test_deep_lift_adds_up_to_the_change_of_the_answer(build, baseline):
    network = build()
    inputs, targets = examples(network, 30)
    found = values_of(network, "deep-lift", inputs, targets, baseline=baseline)
    empty = torch.full_like(inputs, baseline)
    expected = answer(network, inputs, targets) - answer(network, empty, targets)
    torch.testing.assert_close(found.flatten(1).sum(dim=1), expected, atol=1e-4, rtol=1e-3)
    assert expected.abs().max() > 0.1


@pytest.mark.parametrize("name", sample_models.names())
def test_deep_lift_adds_up_on_the_samples(name):
    sample = sample_models.load(name)
    network, data = sample.network, sample.dataset
    examples = data.evaluation.take(torch.arange(20))
    targets = examples.targets if data.task.is_classification else None
    found = values_of(network, "deep-lift", examples.inputs, targets, baseline=data.baseline)
    empty = torch.full_like(examples.inputs, data.baseline)
    expected = answer(network, examples.inputs, targets) - answer(network, empty, targets)
    torch.testing.assert_close(found.flatten(1).sum(dim=1), expected, atol=1e-3, rtol=1e-3)


SPELLINGS = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "x.relu()": lambda x: x.relu(),
    "F.relu_": F.relu_,
    "torch.relu_": torch.relu_,
    "x.relu_()": lambda x: x.relu_(),
}


class _Spelt(nn.Module):
    def __init__(self, spelling: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head, self.spelling = nn.Linear(6, 12), nn.Linear(12, 3), spelling

    def forward(self, x: Tensor) -> Tensor:
        return self.head(SPELLINGS[self.spelling](self.fc(x)))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_relu_is_found(spelling):
    network = trace(_Spelt(spelling), torch.zeros(1, 6), spelling)
    fc, head = _Spelt("").children()
    modules = trace(nn.Sequential(fc, nn.ReLU(), head), torch.zeros(1, 6), "with modules")
    inputs, targets = examples(network, 10)
    for method in ("deep-lift", "guided-backprop"):
        expected = values_of(modules, method, inputs, targets)
        torch.testing.assert_close(values_of(network, method, inputs, targets), expected)
    plain = inputs * gradients(network, inputs, targets)
    assert (values_of(network, "deep-lift", inputs, targets) - plain).abs().max() > 0.01


def test_a_gradient_that_meets_only_open_relus_is_the_same_guided():
    """With positive weights everywhere nothing is dropped, so the two must agree."""
    network = reused()
    with torch.no_grad():
        for parameter in network.module.parameters():  # this network is our own
            parameter.abs_()
    inputs, targets = examples(network, 8)
    found = values_of(network, "guided-backprop", inputs.abs(), targets)
    torch.testing.assert_close(found, gradients(network, inputs.abs(), targets))
