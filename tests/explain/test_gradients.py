"""Methods that follow gradients, against autograd and what is known of linear networks."""

import pytest
import torch

from tests.explain.nets import answer, convolutional, examples, gradients, linear, reused, smooth, values_of


@pytest.mark.parametrize("build", [reused, convolutional, smooth])
def test_saliency_is_the_size_of_the_gradient(build):
    network = build()
    inputs, targets = examples(network, 5)
    found = values_of(network, "saliency", inputs, targets)
    torch.testing.assert_close(found, gradients(network, inputs, targets).abs())
    assert found.min() >= 0 and found.max() > 0


@pytest.mark.parametrize("build", [reused, convolutional, smooth])
def test_input_x_gradient_is_the_product(build):
    network = build()
    inputs, targets = examples(network, 5)
    found = values_of(network, "input-x-gradient", inputs, targets)
    torch.testing.assert_close(found, inputs * gradients(network, inputs, targets))
    assert found.min() < 0 < found.max()


def test_the_class_explained_is_the_one_asked_for():
    network = smooth()
    inputs, targets = examples(network, 5)
    wrong = gradients(network, inputs, (targets + 1) % 3).abs()
    assert (values_of(network, "saliency", inputs, targets) - wrong).abs().amax(dim=1).min() > 1e-3


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_integrated_gradients_add_up_to_the_change_of_the_answer(baseline):
    network = smooth()
    inputs, targets = examples(network, 20)
    found = values_of(network, "integrated-gradients", inputs, targets, baseline=baseline)
    empty = torch.full_like(inputs, baseline)
    expected = answer(network, inputs, targets) - answer(network, empty, targets)
    torch.testing.assert_close(found.sum(dim=1), expected, atol=1e-4, rtol=1e-4)
    assert expected.abs().max() > 0.1


def test_integrated_gradients_are_the_integral_of_a_fine_riemann_sum():
    network = smooth()
    inputs, targets = examples(network, 3)
    steps = (torch.arange(2000) + 0.5) / 2000
    path = torch.stack([gradients(network, float(step) * inputs, targets) for step in steps])
    found = values_of(network, "integrated-gradients", inputs, targets)
    torch.testing.assert_close(found, inputs * path.mean(dim=0), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", ["integrated-gradients", "deep-lift"])
@pytest.mark.parametrize("baseline", [0.0, -1.3])
def test_a_linear_network_shares_out_weight_times_input(method, baseline):
    network = linear()
    inputs, _ = examples(network, 9)
    found = values_of(network, method, inputs, None, baseline=baseline)
    torch.testing.assert_close(found, network.weight("0") * (inputs - baseline), atol=1e-5, rtol=1e-4)


def test_a_linear_network_reacts_by_its_weights():
    network = linear(outputs=3)
    inputs, targets = examples(network, 9)
    weight = network.weight("0")[targets]
    torch.testing.assert_close(values_of(network, "saliency", inputs, targets), weight.abs())
    torch.testing.assert_close(values_of(network, "input-x-gradient", inputs, targets), weight * inputs)


@pytest.mark.parametrize("baseline", [0.0, 2.0])
def test_gradient_shap_is_near_weight_times_input_on_a_linear_network(baseline):
    """Noise of a tenth of each example's range on 16 draws leaves |w| * deviation / 4 as standard error."""
    network = linear()
    inputs, _ = examples(network, 50)
    deviation = 0.1 * (inputs.amax(dim=1, keepdim=True) - inputs.amin(dim=1, keepdim=True))
    found = values_of(network, "gradient-shap", inputs, None, baseline=baseline)
    weight = network.weight("0")
    errors = (found - weight * (inputs - baseline)) / (weight.abs() * deviation / 4)
    assert errors.abs().max() < 5
    assert float(errors.std()) == pytest.approx(1, abs=0.25)


def test_gradient_shap_is_reproducible_with_its_seed():
    network = smooth()
    inputs, targets = examples(network, 20)
    first = values_of(network, "gradient-shap", inputs, targets, seed=4)
    torch.manual_seed(99)
    assert torch.equal(values_of(network, "gradient-shap", inputs, targets, seed=4), first)
    assert not torch.equal(values_of(network, "gradient-shap", inputs, targets, seed=5), first)


def test_gradient_shap_nearly_adds_up_to_the_change_of_the_answer():
    network = smooth()
    inputs, targets = examples(network, 200)
    found = values_of(network, "gradient-shap", inputs, targets).sum(dim=1)
    expected = answer(network, inputs, targets) - answer(network, torch.zeros_like(inputs), targets)
    assert torch.corrcoef(torch.stack([found, expected]))[0, 1] > 0.9
