"""Methods that add noise, against own loops over the same noise."""

import numpy as np
import pytest
import torch

from analysis.explain.attribution import attribute
from analysis.explain.methods.noise import deviation, seeded
from tests.explain.nets import answer, convolutional, examples, gradients, reused


def test_noise_begins_anew_for_every_example_and_seed():
    one, other = examples(reused(), 2)[0].split(1)

    def draw(inputs, seed):
        with seeded(inputs, seed):
            return torch.rand(4), np.random.rand(4)

    first, again = draw(one, 0), draw(one, 0)
    assert torch.equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    for changed in (draw(other, 0), draw(one, 1)):
        assert not torch.equal(first[0], changed[0]) and not np.array_equal(first[1], changed[1])


def test_generators_are_put_back_even_after_an_error():
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    with pytest.raises(KeyError), seeded(torch.zeros(2), 0):
        torch.rand(5), np.random.rand(5)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_noise_is_a_share_of_the_examples_own_range():
    assert deviation(torch.tensor([[-1.0, 3.0]]), 0.25) == 1
    assert deviation(torch.full((1, 4), 7.0), 0.25) == 0


@pytest.mark.parametrize("build", [reused, convolutional])
def test_smooth_grad_is_the_mean_of_saliency_at_noisy_copies(build):
    network = build()
    inputs, targets = examples(network, 3)
    found = attribute(
        network, "smooth-grad", inputs, targets, parameters={"samples": 6, "noise": 0.2}, seed=4
    )
    for i in range(3):
        one = inputs[i : i + 1]
        copies = one.repeat(6, *[1] * (one.dim() - 1))
        with seeded(one, 4):
            noise = torch.normal(0, torch.full_like(copies, 0.2 * float(one.max() - one.min())))
        expected = gradients(network, copies + noise, targets[i].expand(6)).abs().mean(dim=0)
        torch.testing.assert_close(found.values[i], expected, atol=1e-6, rtol=1e-4)
    assert found.delta is None


def test_smooth_grad_without_noise_is_saliency():
    network = convolutional()
    inputs, targets = examples(network, 3)
    found = attribute(network, "smooth-grad", inputs, targets, parameters={"noise": 0.0}).values
    torch.testing.assert_close(found, gradients(network, inputs, targets).abs(), atol=1e-6, rtol=1e-4)


def test_smooth_grad_in_several_batches_draws_as_many_samples(monkeypatch):
    """Without noise the number of samples must not matter, whatever batches they fall into."""
    monkeypatch.setattr("analysis.explain.attribution.TOGETHER", 5)
    network = convolutional()
    inputs, targets = examples(network, 2)
    for method, expected in (("smooth-grad", "saliency"),):
        found = attribute(network, method, inputs, targets, parameters={"noise": 0.0, "samples": 12}).values
        torch.testing.assert_close(
            found, attribute(network, expected, inputs, targets).values, atol=1e-6, rtol=1e-4
        )


@pytest.mark.parametrize("together", [64, 5])
def test_gradient_shap_is_a_mean_at_random_places_of_the_way(together, monkeypatch):
    monkeypatch.setattr("analysis.explain.attribution.TOGETHER", together)
    network = reused()
    inputs, targets = examples(network, 3)
    chosen = {"samples": 12, "noise": 0.2}
    found = attribute(network, "gradient-shap", inputs, targets, baseline=0.3, parameters=chosen, seed=2)
    for i in range(3):
        one, parts = inputs[i : i + 1], []
        with seeded(one, 2):
            for count in (12,) if together == 64 else (5, 5, 2):
                noise = torch.normal(0, torch.full((count, 6), 0.2 * float(one.max() - one.min())))
                np.random.choice(1, count)  # which of the empty inputs: there is one
                place = torch.tensor(np.random.uniform(0, 1, count), dtype=torch.float32)[:, None]
                noisy = one + noise
                slope = gradients(network, place * noisy + (1 - place) * 0.3, targets[i].expand(count))
                parts.append((noisy - 0.3) * slope)
        torch.testing.assert_close(found.values[i], torch.cat(parts).mean(dim=0), atol=1e-5, rtol=1e-4)
    change = answer(network, inputs, targets) - answer(network, torch.full_like(inputs, 0.3), targets)
    torch.testing.assert_close(found.delta, found.values.sum(dim=1) - change)


def test_deep_lift_shap_is_the_mean_of_deep_lift_over_nearly_empty_inputs():
    network = reused()
    inputs, targets = examples(network, 3)
    chosen = {"samples": 5, "noise": 0.2}
    found = attribute(network, "deep-lift-shap", inputs, targets, baseline=0.3, parameters=chosen)
    for i in range(3):
        one, target = inputs[i : i + 1], targets[i : i + 1]
        with seeded(one, 0):
            empties = 0.3 + 0.2 * float(one.max() - one.min()) * torch.randn(5, 6)
        values = [attribute(network, "deep-lift", one, target, baseline=empty).values for empty in empties]
        torch.testing.assert_close(
            found.values[i : i + 1], torch.stack(values).mean(dim=0), atol=1e-5, rtol=1e-3
        )
        change = answer(network, one, target) - answer(network, empties, target.expand(5)).mean()
        torch.testing.assert_close(
            found.delta[i : i + 1], found.values[i].sum()[None] - change, atol=1e-4, rtol=0
        )
    assert found.delta.abs().max() < 1e-3, "DeepLift adds up for each of them"


def test_deep_lift_shap_without_noise_is_deep_lift():
    network = convolutional()
    inputs, targets = examples(network, 3)
    found = attribute(network, "deep-lift-shap", inputs, targets, parameters={"noise": 0.0})
    expected = attribute(network, "deep-lift", inputs, targets)
    torch.testing.assert_close(found.values, expected.values, atol=1e-5, rtol=1e-3)


def test_more_steps_make_integrated_gradients_add_up_better():
    network = reused()
    inputs, targets = examples(network, 30)
    deltas = []
    for steps in (4, 256):
        found = attribute(
            network, "integrated-gradients", inputs, targets, baseline=0.4, parameters={"steps": steps}
        )
        change = answer(network, inputs, targets) - answer(network, torch.full_like(inputs, 0.4), targets)
        torch.testing.assert_close(found.delta, found.values.sum(dim=1) - change)
        deltas.append(found.delta.abs())
    assert deltas[1].max() < 0.02 and deltas[1].mean() < deltas[0].mean() / 5
