"""An empty input with a value for each channel, on linear networks: weight times what is not empty."""

import pytest
import torch
from torch import nn

from analysis.errors import AttributionError
from analysis.network import Network
from analysis.tracing import trace
from tests.explain.nets import examples, linear, values_of

EMPTY = torch.tensor([-2.0, 0.7]).reshape(2, 1, 1)


def _of_images() -> tuple[Network, torch.Tensor]:
    """A linear network on images of two channels, and its weights in their shape."""
    torch.manual_seed(0)
    network = trace(nn.Sequential(nn.Flatten(), nn.Linear(18, 1)), torch.zeros(1, 2, 3, 3), "linear")
    return network, network.weight("1").reshape(2, 3, 3)


@pytest.mark.parametrize("method", ["integrated-gradients", "deep-lift"])
def test_each_channel_has_its_own_emptiness(method):
    network, weight = _of_images()
    inputs, _ = examples(network, 20)  # more than one batch
    found = values_of(network, method, inputs, None, baseline=EMPTY)
    torch.testing.assert_close(found, weight * (inputs - EMPTY), atol=1e-5, rtol=1e-4)


def test_occlusion_blanks_each_channel_with_its_own_value():
    network, weight = _of_images()
    inputs, _ = examples(network, 20)
    found = values_of(network, "occlusion", inputs, None, baseline=EMPTY)
    lost = (weight * (inputs - EMPTY)).sum(dim=1, keepdim=True)  # a patch goes through all channels
    torch.testing.assert_close(found, lost.expand_as(inputs), atol=1e-5, rtol=1e-4)


def test_gradient_shap_starts_from_it():
    network, weight = _of_images()
    inputs, _ = examples(network, 5)
    far = 100 * EMPTY  # beside which its noise is nothing
    found = values_of(network, "gradient-shap", inputs, None, baseline=far)
    torch.testing.assert_close(found, weight * (inputs - far), rtol=0.05, atol=0.5)


@pytest.mark.parametrize("method", ["integrated-gradients", "deep-lift", "occlusion"])
def test_each_feature_has_its_own_average(method):
    network = linear()
    inputs, _ = examples(network, 5)
    average = torch.arange(6.0)
    found = values_of(network, method, inputs, None, baseline=average)
    torch.testing.assert_close(found, network.weight("0") * (inputs - average), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["integrated-gradients", "deep-lift", "occlusion"])
def test_a_tensor_of_equal_values_is_the_number(method):
    network, _ = _of_images()
    inputs, _ = examples(network, 5)
    one = values_of(network, method, inputs, None, baseline=0.3)
    assert torch.equal(values_of(network, method, inputs, None, baseline=torch.full((2, 1, 1), 0.3)), one)


def test_an_emptiness_of_another_shape_is_refused():
    network, _ = _of_images()
    with pytest.raises(AttributionError, match=r"shape \(3, 1, 1\).*shape \(2, 3, 3\)"):
        values_of(network, "saliency", examples(network, 2)[0], None, baseline=torch.zeros(3, 1, 1))
