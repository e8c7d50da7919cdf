"""attribute(): refusals name the remedy, nothing is touched, batches do not matter, progress moves."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from analysis.errors import AttributionError
from analysis.explain.attribution import METHODS, attribute, refusal
from analysis.tracing import trace
from tests.explain.nets import convolutional, examples, linear, reused, smooth

DETERMINISTIC = [name for name in METHODS if name != "gradient-shap"]


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(AttributionError, match="no method 'magic'") as caught:
        attribute(reused(), "magic", *examples(reused(), 2))
    assert all(name in str(caught.value) for name in METHODS)


@pytest.mark.parametrize(
    ("build", "method", "missing"),
    [(reused, "grad-cam", "convolution"), (smooth, "guided-backprop", "ReLU"), (linear, "grad-cam", "conv")],
)
def test_a_method_that_does_not_suit_names_reason_and_remedy(build, method, missing):
    network = build()
    with pytest.raises(AttributionError, match=f"{missing}.*Choose another method") as caught:
        attribute(network, method, *examples(network, 2))
    assert network.name in str(caught.value)
    assert refusal(method, network) in str(caught.value)


def test_every_method_suits_a_convolutional_network():
    network = convolutional()
    assert [refusal(method, network) for method in METHODS] == [""] * len(METHODS)


def test_a_relu6_is_no_relu():
    network = trace(nn.Sequential(nn.Linear(6, 3), nn.ReLU6()), torch.zeros(1, 6), "six")
    assert "no ReLU" in refusal("guided-backprop", network)


@pytest.mark.parametrize("layer", ["head", "nowhere"])
def test_grad_cam_lists_the_layers_it_can_look_at(layer):
    network = convolutional()
    with pytest.raises(AttributionError, match=f"cannot look at {layer}. Choose one of conv1, conv2"):
        attribute(network, "grad-cam", *examples(network, 2), layer=layer)


@pytest.mark.parametrize("method", METHODS)
def test_network_and_inputs_are_left_as_they_are(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    inputs.requires_grad_(True)
    inputs.grad = torch.full_like(inputs, 7)
    kept = inputs.detach().clone(), targets.clone()
    state = {name: value.clone() for name, value in network.module.state_dict().items()}
    names = [name for name, _ in network.module.named_modules()]
    found = attribute(network, method, inputs, targets)
    assert found.shape == inputs.shape and not found.requires_grad
    assert torch.equal(inputs.detach(), kept[0]) and torch.equal(targets, kept[1])
    assert torch.equal(inputs.grad, torch.full_like(kept[0], 7))
    assert all(torch.equal(value, state[name]) for name, value in network.module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.module.parameters())
    assert [name for name, _ in network.module.named_modules()] == names
    for module in network.module.modules():
        hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks
        assert not any(hooks) and not module._backward_pre_hooks
        assert not module.training


def test_captum_gets_a_copy_since_other_sessions_may_run_the_network_meanwhile(monkeypatch):
    network, seen = convolutional(), []
    entry = METHODS["saliency"]

    def spy(request):
        seen.append(request.module)
        return entry.compute(request)

    monkeypatch.setitem(METHODS, "saliency", dataclasses.replace(entry, compute=spy))
    attribute(network, "saliency", *examples(network, 3))
    assert len(seen) == 1
    assert not set(seen[0].modules()) & set(network.module.modules())
    assert not {p.data_ptr() for p in seen[0].parameters()} & {
        p.data_ptr() for p in network.module.parameters()
    }


def test_gradient_shap_leaves_the_random_generators_alone():
    network = convolutional()
    torch.manual_seed(123)
    np.random.seed(123)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), np.random.get_state()[2]
    attribute(network, "gradient-shap", *examples(network, 3))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1]) and np.random.get_state()[2] == before[2]


@pytest.mark.parametrize("method", METHODS)
def test_gradients_may_be_off_where_it_is_called(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    with torch.no_grad():
        found = attribute(network, method, inputs, targets)
        assert not torch.is_grad_enabled()
    assert torch.isfinite(found).all() and found.abs().max() > 0


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_a_batch_gives_what_each_example_gives_alone(method):
    network = convolutional()
    count = METHODS[method].batch + 3
    inputs, targets = examples(network, count)
    together = attribute(network, method, inputs, targets)
    rows = [0, 1, count - 4, count - 3, count - 1]
    alone = [attribute(network, method, inputs[r : r + 1], targets[r : r + 1]) for r in rows]
    torch.testing.assert_close(together[rows], torch.cat(alone), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_progress_rises_batch_by_batch_to_one(method):
    network = convolutional()
    batch = METHODS[method].batch
    inputs, targets = examples(network, 2 * batch + 1)
    shares: list[float] = []
    attribute(network, method, inputs, targets, progress=shares.append)
    assert shares == pytest.approx([batch / len(inputs), 2 * batch / len(inputs), 1])
    assert shares[-1] == 1


@pytest.mark.parametrize("method", ["saliency", "deep-lift", "guided-backprop"])
def test_answers_in_one_output_need_no_target(method):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    network = trace(module, torch.zeros(1, 6), "regression")
    inputs, _ = examples(network, 4)
    zeros = torch.zeros(4, dtype=torch.long)
    assert torch.equal(attribute(network, method, inputs, None), attribute(network, method, inputs, zeros))


def test_repeating_a_deterministic_method_gives_the_same_bits():
    network = convolutional()
    inputs, targets = examples(network, 5)
    for method in DETERMINISTIC:
        first = attribute(network, method, inputs, targets)
        assert torch.equal(attribute(network, method, inputs, targets), first)
