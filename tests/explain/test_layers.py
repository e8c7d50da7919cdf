"""Methods that look at a layer, against autograd at that layer."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.errors import AttributionError
from analysis.explain.attribution import METHODS, attribute
from analysis.explain.methods.maps import over_inputs, passes_everything
from analysis.network import Network
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.explain.nets import answer, convolutional, examples, preactivation

LAYERS = ["conv1", "conv2"]
LAYER_METHODS = [name for name, entry in METHODS.items() if entry.needs_layer]


def _at_layer(network: Network, inputs: Tensor, layer: str) -> Tensor:
    """What the layer says after its activation, as the network computes it."""
    net = network.module
    first = F.relu(net.bn1(net.conv1(inputs)))
    return first if layer == "conv1" else F.relu(net.conv2(net.pool(first)))


def _from_layer(network: Network, values: Tensor, layer: str, targets: Tensor) -> Tensor:
    """The answers, given what the layer says."""
    net = network.module
    second = F.relu(net.conv2(net.pool(values))) if layer == "conv1" else values
    return net.head(second.flatten(1)).gather(1, targets[:, None])[:, 0]


def _slope(network: Network, values: Tensor, layer: str, targets: Tensor) -> Tensor:
    values = values.detach().requires_grad_(True)
    return torch.autograd.grad(_from_layer(network, values, layer, targets).sum(), values)[0]


def _drawn(maps: Tensor, mode: str = "bilinear") -> Tensor:
    return F.interpolate(maps, size=(12, 12), mode=mode, align_corners=False).expand(-1, 2, -1, -1)


@pytest.mark.parametrize("layer", LAYERS)
def test_layer_activation_is_what_the_layer_says_whatever_the_answer(layer):
    network = convolutional()
    inputs, targets = examples(network, 4)
    found = attribute(network, "layer-activation", inputs, targets, layer=layer).values
    expected = _drawn(_at_layer(network, inputs, layer).detach().sum(dim=1, keepdim=True))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    other = attribute(network, "layer-activation", inputs, (targets + 1) % 3, layer=layer).values
    assert torch.equal(found, other)


@pytest.mark.parametrize("layer", LAYERS)
def test_internal_influence_is_the_mean_gradient_on_the_way(layer):
    network = convolutional()
    inputs, targets = examples(network, 3)
    steps = 400
    total = 0.0
    for step in range(steps):
        there = 0.2 + (step + 0.5) / steps * (inputs - 0.2)
        total = total + _slope(network, _at_layer(network, there, layer), layer, targets) / steps
    expected = _drawn(total.sum(dim=1, keepdim=True))
    found = attribute(
        network, "internal-influence", inputs, targets, layer=layer, baseline=0.2, parameters={"steps": 128}
    )
    torch.testing.assert_close(found.values, expected, atol=0.02 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_conductance_is_gradient_times_movement_at_the_layer(layer):
    network = convolutional()
    inputs, targets = examples(network, 3)
    steps = 400
    way = [_at_layer(network, 0.2 + i / steps * (inputs - 0.2), layer).detach() for i in range(steps + 1)]
    shares = sum(_slope(network, (a + b) / 2, layer, targets) * (b - a) for a, b in pairwise(way))
    expected = _drawn(shares.sum(dim=1, keepdim=True))
    found = attribute(
        network, "layer-conductance", inputs, targets, layer=layer, baseline=0.2, parameters={"steps": 128}
    )
    torch.testing.assert_close(found.values, expected, atol=0.03 * float(expected.abs().max()), rtol=0)
    change = answer(network, inputs, targets) - answer(network, torch.full_like(inputs, 0.2), targets)
    torch.testing.assert_close(shares.flatten(1).sum(dim=1), change, atol=0.01, rtol=0.01)
    assert found.delta.abs().max() < 0.05 * change.abs().max()


def test_conductance_says_what_is_missing_from_its_sum():
    network = convolutional()
    inputs, targets = examples(network, 3)
    found = attribute(network, "layer-conductance", inputs, targets, layer="conv1", parameters={"steps": 4})
    change = answer(network, inputs, targets) - answer(network, torch.zeros_like(inputs), targets)
    total = found.delta + change  # at the layer, whose maps are as large as the image and not interpolated
    torch.testing.assert_close(total, found.values[:, 0].flatten(1).sum(dim=1), atol=1e-4, rtol=1e-3)
    finer = attribute(network, "layer-conductance", inputs, targets, layer="conv1", parameters={"steps": 128})
    assert finer.delta.abs().mean() < found.delta.abs().mean() / 3


def test_conductance_has_no_delta_where_a_branch_leads_around_the_layer():
    torch.manual_seed(0)
    network = trace(ResNet(ResNetConfig(widths=(4,), blocks=(1,))), torch.zeros(1, 1, 8, 8), "residual")
    inputs, targets = examples(network, 2)
    around = [layer.name for layer in network.layers if layer.name.endswith("conv1") and "." in layer.name]
    last = [layer.name for layer in network.layers if layer.name.endswith("conv2")]
    assert attribute(network, "layer-conductance", inputs, targets, layer=around[0]).delta is None
    assert attribute(network, "layer-conductance", inputs, targets, layer=last[0]).delta is not None


def test_a_branch_around_is_found_by_the_graph():
    around = preactivation().module
    names = [str(node.target) for node in around.graph.nodes if node.op == "call_module"]
    passed = {name for name in names if passes_everything(around, name)}
    assert passed == {"fc1", "head"} and "fc2" in names


@pytest.mark.parametrize("layer", LAYERS)
def test_guided_grad_cam_is_guided_backprop_times_what_speaks_for_the_answer(layer):
    network = convolutional()
    inputs, targets = examples(network, 6)
    values = _at_layer(network, inputs, layer)
    weight = _slope(network, values, layer, targets).mean(dim=(2, 3), keepdim=True)
    cam = (weight * values).sum(dim=1, keepdim=True).detach().clamp(min=0)
    guided = attribute(network, "guided-backprop", inputs, targets).values
    found = attribute(network, "guided-grad-cam", inputs, targets, layer=layer).values
    torch.testing.assert_close(found, guided * _drawn(cam), atol=1e-6, rtol=1e-4)
    assert found.abs().max() > 0


@pytest.mark.parametrize("method", LAYER_METHODS)
def test_the_default_is_the_last_convolution_and_others_are_named(method):
    network = convolutional()
    inputs, targets = examples(network, 2)
    last = attribute(network, method, inputs, targets, layer="conv2").values
    assert torch.equal(attribute(network, method, inputs, targets).values, last)
    with pytest.raises(AttributionError, match=r"cannot look at head. Choose one of conv1, conv2"):
        attribute(network, method, inputs, targets, layer="head")


def test_maps_are_summed_over_channels_and_drawn_at_the_inputs_size():
    maps = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert over_inputs(maps, torch.zeros(1, 3, 2, 2)).tolist() == [[[[4, 6], [8, 10]]] * 3]
    assert over_inputs(maps, torch.zeros(1, 1, 6, 4)).shape == (1, 1, 6, 4)


def test_a_layer_that_says_nothing_has_empty_maps():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    with torch.no_grad():
        module[0].weight.zero_(), module[0].bias.fill_(-1)
    network = trace(module, torch.zeros(1, 1, 6, 6), "silent")
    inputs, targets = examples(network, 2)
    for method in ("grad-cam", "guided-grad-cam", "layer-conductance", "layer-activation"):
        assert attribute(network, method, inputs, targets).values.abs().max() == 0
