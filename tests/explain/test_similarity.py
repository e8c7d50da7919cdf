"""Similarities of attributions against SciPy, sets and a slow SSIM."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import distance
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from analysis.explain.similarity import (
    SIMILARITIES,
    TOP_SHARE,
    cosine,
    similarities,
    spearman,
    ssim,
    top_overlap,
)
from tests.explain.nets import gradients
from tests.networks import ConvNet, load, randomise

SHAPES = [(8, 7), (6, 1, 8, 8), (4, 1, 28, 28), (3, 3, 12, 20)]
MAPS = {entry.name: entry.compute for entry in SIMILARITIES}


def _pair(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(shape[-1])
    before = torch.randn(shape, generator=generator)
    return before, before + 0.7 * torch.randn(shape, generator=generator)


def _rows(*maps: Tensor) -> list[tuple[np.ndarray, ...]]:
    return list(zip(*[m.double().flatten(1).numpy() for m in maps], strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_spearman_is_scipys(shape):
    before, after = _pair(*shape)
    expected = [stats.spearmanr(a, b).statistic for a, b in _rows(before, after)]
    assert spearman(before, after).tolist() == pytest.approx(expected, abs=1e-12)


def test_spearman_shares_ranks_among_ties():
    before, after = (m.round() for m in _pair(10, 40))
    assert len(before[0].unique()) < 10
    expected = [stats.spearmanr(a, b).statistic for a, b in _rows(before, after)]
    assert spearman(before, after).tolist() == pytest.approx(expected, abs=1e-12)


def test_spearman_looks_at_the_order_alone():
    before, _ = _pair(5, 30)
    assert spearman(before, before.exp()).tolist() == pytest.approx([1] * 5, abs=1e-12)
    assert spearman(before, -before).tolist() == pytest.approx([-1] * 5, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_cosine_is_scipys(shape):
    before, after = _pair(*shape)
    expected = [1 - distance.cosine(a, b) for a, b in _rows(before, after)]
    assert cosine(before, after).tolist() == pytest.approx(expected, abs=1e-12)
    assert cosine(before, -3 * after).tolist() == pytest.approx([-e for e in expected], abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_top_overlap_counts_a_common_set(shape):
    before, after = _pair(*shape)
    expected = []
    for a, b in _rows(before, after):
        count = max(1, round(TOP_SHARE * len(a)))
        top = [set(sorted(range(len(m)), key=lambda i, m=m: -abs(m[i]))[:count]) for m in (a, b)]
        expected.append(len(top[0] & top[1]) / count)
    assert top_overlap(before, after).tolist() == pytest.approx(expected)
    assert len(set(expected)) > 1


@pytest.mark.parametrize("share", [0.02, 0.25, 0.5, 1.0])
def test_top_overlap_takes_any_share(share):
    before, after = _pair(5, 40)
    expected = []
    for a, b in _rows(before, after):
        count = max(1, round(share * 40))
        tops = [set(np.argsort(-np.abs(m))[:count].tolist()) for m in (a, b)]
        expected.append(len(tops[0] & tops[1]) / count)
    assert top_overlap(before, after, share=share).tolist() == pytest.approx(expected)


def test_top_overlap_looks_at_sizes_not_signs():
    before, _ = _pair(6, 50)
    assert top_overlap(before, -before).tolist() == [1] * 6


def test_maps_with_nothing_in_common_do_not_overlap():
    before, after = torch.zeros(1, 40), torch.zeros(1, 40)
    before[0, :4], after[0, 10:14] = 5, 5
    assert top_overlap(before, after).tolist() == [0]


def _slow_ssim(a: np.ndarray, b: np.ndarray, window: int, sigma: float) -> float:
    """Wang et al. 2004, eq. 13, on (C, H, W): mean over a window around each pixel, borders reflected."""
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    taps = [math.exp(-((i - window // 2) ** 2) / (2 * sigma**2)) for i in range(window)]
    weight = np.outer(taps, taps) / sum(taps) ** 2
    values = []
    for x, y in zip(a, b, strict=True):
        x, y = (np.pad(m, window // 2, mode="reflect") for m in (x, y))
        for top in range(x.shape[0] - window + 1):
            for left in range(x.shape[1] - window + 1):
                patch = slice(top, top + window), slice(left, left + window)
                mean_x, mean_y = (weight * x[patch]).sum(), (weight * y[patch]).sum()
                var_x = (weight * x[patch] ** 2).sum() - mean_x**2
                var_y = (weight * y[patch] ** 2).sum() - mean_y**2
                covariance = (weight * x[patch] * y[patch]).sum() - mean_x * mean_y
                values.append(
                    (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                    / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
                )  # fmt: skip
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("shape", "window", "sigma"),
    [((6, 1, 8, 8), 5, 0.5), ((4, 1, 28, 28), 11, 1.5), ((1, 28, 28), 11, 1.5), ((3, 3, 12, 20), 5, 0.5)],
)
def test_ssim_is_that_of_a_slow_loop(shape, window, sigma):
    before, after = _pair(*shape)
    if len(shape) == 3:  # one grey image
        before, after = before[None], after[None]
    pairs = zip(before.double().numpy(), after.double().numpy(), strict=True)
    expected = [_slow_ssim(a, b, window, sigma) for a, b in pairs]
    assert ssim(before, after).tolist() == pytest.approx(expected, abs=1e-5)
    assert max(expected) < 0.95


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 28])
def test_ssim_of_small_images_draws_pixels_larger(height, width):
    before, after = _pair(2, 1, height, width)
    larger = [-(-3 // side) for side in (height, width)]
    pairs = [
        [np.kron(m, np.ones((1, *larger))) for m in pair]
        for pair in zip(before.double().numpy(), after.double().numpy(), strict=True)
    ]
    expected = [_slow_ssim(a, b, 5, 0.5) for a, b in pairs]
    assert ssim(before, after).tolist() == pytest.approx(expected, abs=1e-5)
    assert ssim(before, before).tolist() == pytest.approx([1, 1])
    assert np.isfinite([v for values in similarities(before, after).values() for v in values]).all()


def test_ssim_divides_each_map_by_its_own_peak():
    before, after = _pair(3, 1, 28, 28)
    after[1] *= 5
    factors = torch.tensor([1e-6, 1, 1e6])[:, None, None, None]
    assert ssim(before * factors, after).tolist() == pytest.approx(ssim(before, after).tolist())
    expected = [
        float(structural_similarity_index_measure(
            (a.double() / a.abs().max())[None], (b.double() / b.abs().max())[None], data_range=2.0
        ))
        for a, b in zip(before, after, strict=True)
    ]  # fmt: skip
    assert ssim(before, after).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "shape"), [(n, s) for n in MAPS for s in SHAPES if len(s) == 4 or n != "ssim"]
)
def test_identical_maps_are_exactly_alike(name, shape):
    maps, _ = _pair(*shape)
    for factor in (1, 1e-12, 1e12):
        found = MAPS[name](maps * factor, maps * factor)
        assert found.tolist() == [1] * shape[0]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_a_constant_map_is_exactly_like_itself(name, value):
    constant = torch.full((2, 3, 9, 9), value)
    assert MAPS[name](constant, constant.clone()).tolist() == [1, 1]


@torch.no_grad()
def test_a_twin_with_its_channels_in_another_order_looks_at_the_same():
    """The order of hidden channels means nothing to what a network computes."""
    module, twin = (randomise(ConvNet()) for _ in range(2))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    twin.conv1.weight.copy_(module.conv1.weight[order])
    twin.conv1.bias.copy_(module.conv1.bias[order])
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(twin.bn1, name).copy_(getattr(module.bn1, name)[order])
    twin.conv2.weight.copy_(module.conv2.weight[:, order])
    inputs = torch.randn((12, 2, 5, 5), generator=torch.Generator().manual_seed(2))
    targets = torch.arange(12) % 4
    before, after = (gradients(load(m, (2, 5, 5)), inputs, targets) for m in (module, twin))
    assert not torch.equal(module.conv1.weight, twin.conv1.weight)
    for values in similarities(before, after).values():
        assert values.tolist() == pytest.approx([1] * 12, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_two_constant_maps_are_ordered_alike(value):
    constant = torch.full((1, 1, 8, 8), value)
    other, _ = _pair(1, 1, 8, 8)
    assert spearman(constant, torch.full((1, 1, 8, 8), 0.3)).tolist() == [1]
    assert spearman(constant, other).tolist() == [0]
    assert spearman(other, constant).tolist() == [0]


def test_two_empty_maps_are_alike_and_one_is_not():
    empty, (other, _) = torch.zeros(1, 1, 8, 8), _pair(1, 1, 8, 8)
    for name in MAPS:
        assert MAPS[name](empty, empty).tolist() == pytest.approx([1], abs=1e-12)
    assert cosine(empty, other).tolist() == [0]
    assert cosine(other, empty).tolist() == [0]
    assert 0 <= float(ssim(empty, other)) < 0.5


def test_inputs_of_no_importance_are_not_named():
    """Two of 40 inputs matter to each map, fewer than a tenth, and one is common to both."""
    before, after = torch.zeros(1, 40), torch.zeros(1, 40)
    before[0, [7, 20]], after[0, [20, 31]] = 3, -2
    assert top_overlap(before, after).tolist() == [1 / 2]
    after[0, :4] = 5  # now it names four, none of them common
    assert top_overlap(before, after).tolist() == [0]
    after[0, 20] = 9  # three of these and the common one
    assert top_overlap(before, after).tolist() == [1 / 4]


def test_an_empty_map_names_no_important_inputs():
    """A map of zeros ranks nothing, so it cannot share the top tenth of one that does."""
    other = torch.arange(40, 0, -1).float()[None]
    assert top_overlap(torch.zeros(1, 40), other).tolist() == [0]


@pytest.mark.parametrize("name", MAPS)
def test_the_measures_are_symmetric(name):
    before, after = _pair(4, 1, 28, 28)
    assert MAPS[name](before, after).tolist() == pytest.approx(MAPS[name](after, before).tolist(), abs=1e-12)


def test_every_measure_that_suits_the_shape_is_given():
    before, after = _pair(6, 1, 8, 8)
    found = similarities(before, after)
    assert list(found) == ["spearman", "cosine", "top-overlap", "ssim"]
    for name, values in found.items():
        assert values.tolist() == MAPS[name](before, after).tolist()
    assert list(similarities(*_pair(6, 7))) == ["spearman", "cosine", "top-overlap"]
