"""Occlusion and GradCAM against slow direct computations."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.explain.attribution import spatial_layers
from analysis.network import Network
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.explain.nets import answer, convolutional, examples, linear, reused, values_of


@pytest.mark.parametrize("baseline", [0.0, -1.3])
def test_occlusion_of_a_linear_network_is_weight_times_input(baseline):
    network = linear()
    inputs, _ = examples(network, 9)
    found = values_of(network, "occlusion", inputs, None, baseline=baseline)
    torch.testing.assert_close(found, network.weight("0") * (inputs - baseline), atol=1e-5, rtol=1e-4)


def test_occlusion_of_features_blanks_out_one_at_a_time():
    network = reused()
    inputs, targets = examples(network, 5)
    expected = torch.zeros_like(inputs)
    for feature in range(6):
        blank = inputs.clone()
        blank[:, feature] = 0.5
        expected[:, feature] = answer(network, inputs, targets) - answer(network, blank, targets)
    found = values_of(network, "occlusion", inputs, targets, baseline=0.5)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def _occlusion_by_hand(
    network: Network, inputs: Tensor, targets: Tensor, baseline: float, side: int, stride: int
) -> Tensor:
    """Each pixel's mean drop over the patches that cover it."""
    total, covered = torch.zeros_like(inputs), torch.zeros_like(inputs)
    whole = answer(network, inputs, targets)
    starts = range(0, inputs.shape[-1] - side + 1, stride)
    for top, left in itertools.product(starts, starts):
        patch = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        blank = inputs.clone()
        blank[patch] = baseline
        total[patch] += (whole - answer(network, blank, targets))[:, None, None, None]
        covered[patch] += 1
    assert covered.min() > 0
    return total / covered


@pytest.mark.parametrize(("size", "side", "stride"), [(28, 4, 2), (14, 2, 1), (8, 1, 1)])
def test_occlusion_of_images_blanks_out_patches_of_a_seventh(size, side, stride):
    network = convolutional(size)
    inputs, targets = examples(network, 2)
    found = values_of(network, "occlusion", inputs, targets, baseline=0.2)
    expected = _occlusion_by_hand(network, inputs, targets, 0.2, side, stride)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_occlusion_of_images_lower_than_a_seventh_of_their_width():
    """A patch of a seventh of the width must still fit the height."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 2 * 28, 3))
    network = trace(module, torch.zeros(1, 1, 2, 28), "flat")
    inputs, targets = examples(network, 2)
    found = values_of(network, "occlusion", inputs, targets)
    assert found.shape == inputs.shape and found.abs().max() > 0


def _grad_cam_by_hand(activations: Tensor, answers: Tensor, size: int, channels: int) -> Tensor:
    """Mean gradient over space times activation, summed over channels, drawn at the image's size."""
    gradient = torch.autograd.grad(answers.sum(), activations)[0]
    importance = gradient.mean(dim=(2, 3), keepdim=True)
    cam = (importance * activations).sum(dim=1, keepdim=True)
    drawn = F.interpolate(cam, size=(size, size), mode="bilinear", align_corners=False)
    return drawn.expand(-1, channels, -1, -1).detach()


@pytest.mark.parametrize("layer", ["conv1", "conv2", None])
def test_grad_cam_looks_at_the_layer_after_its_activation(layer):
    network = convolutional()
    net = network.module
    inputs, targets = examples(network, 4)
    first = F.relu(net.bn1(net.conv1(inputs)))  # (N, 4, 12, 12)
    first = first.detach().requires_grad_(True)
    second = F.relu(net.conv2(net.pool(first)))  # (N, 5, 4, 4)
    answers = net.head(second.flatten(1)).gather(1, targets[:, None])
    heard = first if layer == "conv1" else second  # the last convolution by default
    expected = _grad_cam_by_hand(heard, answers, 12, channels=2)
    found = values_of(network, "grad-cam", inputs, targets, layer=layer)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert found.min() < 0 < found.max()  # speaks against the answer, too


def test_grad_cam_of_a_residual_stage_is_taken_after_the_addition():
    torch.manual_seed(0)
    network = trace(ResNet(ResNetConfig(widths=(4, 6), blocks=(1, 1))), torch.zeros(1, 1, 12, 12), "residual")
    net = network.module
    inputs, targets = examples(network, 3)
    values: dict[str, Tensor] = {}
    interpreter = torch.fx.Interpreter(net)
    last_relu = [n for n in net.graph.nodes if n.op == "call_module" and "relu" in n.target][-1]
    run = interpreter.run_node

    def keep(node):
        values[node.name] = run(node)
        return values[node.name]

    interpreter.run_node = keep
    outputs = interpreter.run(inputs)
    expected = _grad_cam_by_hand(values[last_relu.name], outputs.gather(1, targets[:, None]), 12, channels=1)
    for layer in ("stage2.0.conv2", "stage2.0.shortcut.conv"):  # both end in the same sum
        found = values_of(network, "grad-cam", inputs, targets, layer=layer)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_spatial_layers_are_the_convolutions():
    assert spatial_layers(convolutional()) == ("conv1", "conv2")
    assert spatial_layers(reused()) == ()
