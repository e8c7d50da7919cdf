"""Every method on an image, a table, a network that reuses its ReLU; on a twin; on linear networks."""

import pytest
import torch
from torch import nn

from analysis.explain.attribution import METHODS, attribute, pixel_maps, refusal, spatial_layers
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.tracing import trace
from tests.explain.nets import Convolutional, convolutional, examples, gradients, linear, reused, smooth

LAYER_METHODS = {name for name, entry in METHODS.items() if entry.needs_layer}
RELU_METHODS = {"guided-backprop", "deconvolution", "guided-grad-cam"}
FAST = {"patch": 0.25}  # few patches
ADDITIVE = (
    "input-x-gradient",
    "integrated-gradients",
    "gradient-shap",
    "deep-lift",
    "deep-lift-shap",
    "occlusion",
    "feature-ablation",
    "shapley-sampling",
    "kernel-shap",
)


def test_the_methods_are_those_of_the_three_kinds():
    kinds = {
        kind: [m.name for m in METHODS.values() if m.kind == kind]
        for kind in ("gradient", "perturbation", "layer")
    }
    assert {kind: len(names) for kind, names in kinds.items()} == {
        "gradient": 9,
        "perturbation": 5,
        "layer": 5,
    }
    assert [name for names in kinds.values() for name in names] == list(METHODS), "grouped by kind"
    assert all(m.sentence.endswith(".") and m.source and m.label for m in METHODS.values())


@pytest.mark.parametrize(
    ("build", "refused"),
    [(convolutional, set()), (reused, LAYER_METHODS), (smooth, LAYER_METHODS | RELU_METHODS)],
)
@pytest.mark.parametrize("method", METHODS)
def test_it_explains_or_says_why_not(method, build, refused):
    network = build()
    inputs, targets = examples(network, 3)
    assert bool(refusal(method, network)) == (method in refused)
    if method in refused:
        assert refusal(method, network).startswith(METHODS[method].label)
        return
    found = attribute(network, method, inputs, targets)
    assert found.values.shape == inputs.shape and found.values.abs().max() > 0
    assert found.delta is None or found.delta.shape == (3,)


@pytest.mark.parametrize("method", ["deep-lift", "deep-lift-shap", "guided-backprop", "deconvolution"])
def test_a_reused_relu_is_not_silently_the_plain_gradient(method):
    network = reused()
    inputs, targets = examples(network, 30)
    plain = gradients(network, inputs, targets)
    plain = plain * inputs if method.startswith("deep") else plain
    assert (attribute(network, method, inputs, targets).values - plain).abs().max() > 0.01


@pytest.mark.parametrize("baseline", [0.0, -1.3])
@pytest.mark.parametrize("method", ADDITIVE)
def test_additive_methods_share_out_weight_times_input_on_a_linear_network(method, baseline):
    """All but one say weight * (input - empty); input times gradient knows no empty input."""
    network = linear()
    inputs, _ = examples(network, 5)
    options = {"noise": 0.0} if method in ("gradient-shap", "deep-lift-shap") else None
    found = attribute(network, method, inputs, None, baseline=baseline, parameters=options)
    expected = network.weight("0") * (inputs - (0 if method == "input-x-gradient" else baseline))
    torch.testing.assert_close(found.values, expected, atol=2e-4, rtol=1e-3)
    if found.delta is not None:
        assert found.delta.abs().max() < 1e-3


def _twin(network: Network) -> Network:
    """The same function with the channels of its first convolution in another order."""
    order = torch.tensor([2, 0, 3, 1])
    module = Convolutional()
    module.load_state_dict(network.module.state_dict(), strict=False)
    module.eval()
    with torch.no_grad():
        for values in (
            *module.conv1.parameters(),
            *module.bn1.parameters(),
            module.bn1.running_mean,
            module.bn1.running_var,
        ):
            values.copy_(values[order].clone())
        module.conv2.weight.copy_(module.conv2.weight[:, order].clone())
    return trace(module, network.example_input, network.name)


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_hidden_channels_does_not_matter(method, layer):
    network = convolutional()
    inputs, targets = examples(network, 3)
    chosen = layer if METHODS[method].needs_layer else None
    fast = FAST if method in ("kernel-shap", "lime", "shapley-sampling") else None
    first = attribute(network, method, inputs, targets, layer=chosen, parameters=fast)
    second = attribute(_twin(network), method, inputs, targets, layer=chosen, parameters=fast)
    torch.testing.assert_close(second.values, first.values, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", sorted(LAYER_METHODS))
def test_a_layer_can_be_looked_at_before_and_after_pruning(method):
    dense = with_groups(convolutional())
    pruned = prune(dense, uniform_plan(dense, "l1", "channel", 0.5))
    assert spatial_layers(pruned) == spatial_layers(dense) == ("conv1", "conv2")
    inputs, targets = examples(dense, 3)
    for layer in spatial_layers(dense):
        before, after = (attribute(n, method, inputs, targets, layer=layer).values for n in (dense, pruned))
        assert before.shape == after.shape == inputs.shape
        assert not torch.equal(before, after)


@pytest.mark.parametrize("method", METHODS)
def test_pixel_maps_are_one_value_a_pixel(method):
    network = convolutional()
    inputs, targets = examples(network, 2)
    fast = FAST if method in ("kernel-shap", "lime", "shapley-sampling") else None
    values = attribute(network, method, inputs, targets, parameters=fast).values
    maps = pixel_maps(method, values)
    assert maps.shape == (2, 12, 12)
    same = bool((values[:, :1] == values).all())
    if METHODS[method].is_map:
        assert same and torch.equal(maps, values[:, 0])
    else:
        torch.testing.assert_close(maps, values[:, 0] + values[:, 1])


def test_networks_on_rectangles_and_small_images_are_explained_too():
    torch.manual_seed(0)
    for height, width in ((3, 9), (2, 2)):
        layers = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * height * width, 3)
        network = trace(nn.Sequential(*layers), torch.zeros(1, 1, height, width), "small")
        inputs, targets = examples(network, 2)
        for method in METHODS:
            assert attribute(network, method, inputs, targets).values.shape == inputs.shape
