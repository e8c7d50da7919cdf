"""attribute(): refusals name the remedy, nothing is touched, batches do not matter, progress moves."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("method", [m for m in DETERMINISTIC if m != "grad-cam"])
def test_a_single_output_speaks_for_class_one_and_against_class_zero(method, flat):
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), *([nn.Flatten(0)] if flat else [])]
    network = trace(nn.Sequential(*layers), torch.zeros(1, 6), "binary")
    inputs, _ = examples(network, 20)
    targets = torch.arange(20) % 2
    value = attribute(network, method, inputs, None)
    sign = 1 if method == "saliency" else 2 * targets[:, None] - 1
    assert value.abs().max() > 0
    assert torch.equal(attribute(network, method, inputs, targets), value * sign)


def test_a_map_of_a_single_output_turns_around_with_the_class():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 1)
    network = trace(nn.Sequential(*layers), torch.zeros(1, 1, 6, 6), "binary")
    inputs, _ = examples(network, 4)
    found = attribute(network, "grad-cam", inputs, torch.tensor([1, 0, 0, 1]))
    value = attribute(network, "grad-cam", inputs, None)
    assert torch.equal(found, value * torch.tensor([1.0, -1, -1, 1])[:, None, None, None])


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_several_outputs_need_a_target(method):
    inputs, _ = examples(linear(3), 4)
    with pytest.raises(AttributionError, match="answers with 3 values an example"):
        attribute(linear(3), method, inputs, None)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_and_networks_of_zeros_have_attributions_without_nan(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    assert torch.isfinite(attribute(network, method, torch.zeros_like(inputs), targets)).all()
    dead = copy.deepcopy(network.module)
    with torch.no_grad():
        for parameter in dead.parameters():
            parameter.zero_()
    constant = dataclasses.replace(network, module=dead)
    assert attribute(constant, method, inputs, targets).abs().max() == 0


class _Norm(nn.Module):
    """The length of the answer: it has no gradient where that is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).pow(2).sqrt()


class _Cut(nn.Module):
    """Its answer is cut off from its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).detach()


def test_gradients_that_do_not_exist_are_said_in_words():
    network = trace(_Norm(), torch.ones(1, 6), "norm")
    with pytest.raises(AttributionError, match=r"Saliency finds NaN.*norm.*Choose another method"):
        attribute(network, "saliency", torch.zeros(2, 6), torch.tensor([0, 1]))


def test_what_the_library_refuses_becomes_a_sentence():
    network = trace(_Cut(), torch.zeros(1, 6), "cut off")
    inputs, targets = torch.randn(2, 6), torch.tensor([0, 1])
    with pytest.raises(AttributionError, match=r"DeepLift cannot explain cut off .*Choose another method"):
        attribute(network, "deep-lift", inputs, targets)
    assert torch.isfinite(attribute(network, "occlusion", inputs, targets)).all()
    with pytest.raises(AttributionError, match="cannot explain"):
        attribute(reused(), "saliency", inputs, torch.tensor([0, 99]))


class _Folded(nn.Module):
    """A convolution over rows that are folded into images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x.reshape(-1, 1, 5, 5))).mean((2, 3)))


class _ChannelsLast(nn.Module):
    """A linear layer whose output has three dimensions, the channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(2, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.fc(x.permute(0, 2, 3, 1))).mean((1, 2)))


@pytest.mark.parametrize(("module", "shape"), [(_Folded(), (25,)), (_ChannelsLast(), (2, 5, 5))])
def test_grad_cam_is_refused_where_no_convolution_looks_at_an_image(module, shape):
    network = trace(module, torch.zeros(1, *shape), "odd")
    with pytest.raises(AttributionError, match="needs a convolution over an image"):
        attribute(network, "grad-cam", torch.randn(2, *shape), torch.tensor([0, 1]))


def test_repeating_a_deterministic_method_gives_the_same_bits():
    network = convolutional()
    inputs, targets = examples(network, 5)
    for method in DETERMINISTIC:
        first = attribute(network, method, inputs, targets)
        assert torch.equal(attribute(network, method, inputs, targets), first)
