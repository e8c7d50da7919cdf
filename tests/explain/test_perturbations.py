"""Ablation, Shapley values, KernelShap and LIME against enumeration, closed forms and hands."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.explain.attribution import attribute
from analysis.explain.methods.noise import seeded
from analysis.explain.methods.patches import evenly, patch_count, patches
from analysis.network import Network
from analysis.tracing import trace
from tests.explain.nets import answer, convolutional, examples, reused
from tests.explain.shapley import exact_shapley


def test_patches_are_a_grid_through_all_channels():
    mask = patches((2, 5, 4), 0.5)  # patches of 2 x 2; the last row is one pixel high
    grid = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3], [4, 4, 5, 5]])
    assert torch.equal(mask, grid.expand(1, 2, 5, 4)) and patch_count((2, 5, 4), 0.5) == 6


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 2, 2)])
def test_what_is_no_image_falls_into_single_values(shape):
    mask = patches(shape, 0.5)
    assert mask.shape == (1, *shape) and mask.flatten().tolist() == list(range(mask.numel()))


def test_evenly_divides_by_the_size_of_the_patch():
    mask = torch.tensor([[0, 0, 0, 1]])
    assert evenly(torch.tensor([[6.0, 6, 6, 5], [3, 3, 3, -1]]), mask).tolist() == [
        [2, 2, 2, 5],
        [1, 1, 1, -1],
    ]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_ablation_blanks_out_one_patch_at_a_time(share):
    network = convolutional()
    inputs, targets = examples(network, 3)
    side = int(share * 12)
    expected = torch.zeros_like(inputs)
    for top in range(0, 12, side):
        for left in range(0, 12, side):
            patch = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
            blank = inputs.clone()
            blank[patch] = 0.3
            lost = answer(network, inputs, targets) - answer(network, blank, targets)
            expected[patch] = (lost / (2 * side * side))[:, None, None, None]
    found = attribute(network, "feature-ablation", inputs, targets, baseline=0.3, parameters={"patch": share})
    torch.testing.assert_close(found.values, expected, atol=1e-6, rtol=1e-3)
    assert found.delta is None and expected.abs().max() > 1e-3


def _worth(network: Network, inputs: Tensor, target: Tensor, baseline: float):
    """The answer to one example when only some features are kept."""

    def worth(kept: tuple[int, ...]) -> float:
        given = torch.full_like(inputs, baseline)
        given[:, list(kept)] = inputs[:, list(kept)]
        return float(answer(network, given, target))

    return worth


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize(
    ("method", "parameters", "tolerance"),
    [("shapley-sampling", {"orders": 200}, 0.12), ("kernel-shap", {"samples": 2000}, 0.05)],
)
def test_sampled_shapley_values_are_near_those_of_all_subsets(method, parameters, tolerance, baseline):
    """Six features that ReLUs make depend on each other; the tolerance is a share of the largest value."""
    network = reused()
    inputs, targets = examples(network, 3)
    expected = torch.stack(
        [
            exact_shapley(6, _worth(network, inputs[i : i + 1], targets[i : i + 1], baseline))
            for i in range(len(inputs))
        ]
    )
    found = attribute(network, method, inputs, targets, baseline=baseline, parameters=parameters)
    assert (found.values - expected).abs().max() < tolerance * expected.abs().max()
    ablated = attribute(network, "feature-ablation", inputs, targets, baseline=baseline).values
    assert (ablated - expected).abs().max() > 3 * tolerance * expected.abs().max(), "they are not additive"


@pytest.mark.parametrize("method", ["shapley-sampling", "kernel-shap"])
def test_shapley_values_of_patches_add_up_and_say_how_well(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    found = attribute(network, method, inputs, targets, baseline=0.2, parameters={"patch": 0.25})
    change = answer(network, inputs, targets) - answer(network, torch.full_like(inputs, 0.2), targets)
    total = found.values.flatten(1).sum(dim=1)
    torch.testing.assert_close(total, change, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.delta, total - change, atol=1e-5, rtol=0)
    for patch in patches((2, 12, 12), 0.25).unique():
        inside = found.values[:, (patches((2, 12, 12), 0.25) == patch)[0]]
        assert (inside == inside[:, :1]).all()


def test_more_orders_come_nearer():
    network = reused()
    inputs, targets = examples(network, 8)
    expected = torch.stack(
        [exact_shapley(6, _worth(network, inputs[i : i + 1], targets[i : i + 1], 0.0)) for i in range(8)]
    )
    errors = [
        (attribute(network, "shapley-sampling", inputs, targets, parameters={"orders": orders}).values - expected)
        .pow(2).mean().sqrt()
        for orders in (2, 200)
    ]  # fmt: skip
    assert errors[1] < errors[0] / 3  # a tenth is expected


def test_kernel_shap_of_a_single_feature_gives_it_all():
    torch.manual_seed(0)
    network = trace(nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1)), torch.zeros(1, 1), "one")
    inputs = torch.tensor([[0.5], [-2.0]])
    found = attribute(network, "kernel-shap", inputs, None, baseline=0.1)
    change = answer(network, inputs, None) - answer(network, torch.full_like(inputs, 0.1), None)
    torch.testing.assert_close(found.values[:, 0], change)


def _ridge_by_hand(network: Network, example: Tensor, target: Tensor, samples: int) -> Tensor:
    """Weighted ridge regression with an intercept, solved by its normal equations."""
    with seeded(example, 0):
        present = torch.cat([torch.bernoulli(torch.full((1, 6), 0.5)) for _ in range(samples)])
    changed = present * example
    distance = 1 - nn.functional.cosine_similarity(changed, example, dim=1)
    weight = torch.exp(-(distance**2) / 2).double().numpy()
    said = answer(network, changed, target.expand(samples)).double().numpy()
    players = present.double().numpy()
    mean_x, mean_y = (np.average(values, axis=0, weights=weight) for values in (players, said))
    x, y = players - mean_x, said - mean_y
    return torch.from_numpy(
        np.linalg.solve(x.T @ (weight[:, None] * x) + np.eye(6), x.T @ (weight * y))
    ).float()


def test_lime_is_a_ridge_regression_on_what_is_present():
    network = reused()
    inputs, targets = examples(network, 3)
    found = attribute(network, "lime", inputs, targets, parameters={"samples": 60})
    expected = torch.stack(
        [_ridge_by_hand(network, inputs[i : i + 1], targets[i : i + 1], 60) for i in range(3)]
    )
    torch.testing.assert_close(found.values, expected, atol=1e-4, rtol=1e-3)
    assert found.delta is None and expected.abs().max() > 0.05


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_window_of_occlusion_can_be_chosen(share):
    network = convolutional()
    inputs, targets = examples(network, 2)
    side = int(share * 12)
    total, covered = torch.zeros_like(inputs), torch.zeros_like(inputs)
    for top in range(0, 12 - side + 1, max(1, side // 2)):
        for left in range(0, 12 - side + 1, max(1, side // 2)):
            patch = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
            blank = inputs.clone()
            blank[patch] = 0.0
            lost = answer(network, inputs, targets) - answer(network, blank, targets)
            total[patch] += lost[:, None, None, None]
            covered[patch] += 1
    found = attribute(network, "occlusion", inputs, targets, parameters={"window": share}).values
    torch.testing.assert_close(found, total / covered, atol=1e-5, rtol=1e-3)
