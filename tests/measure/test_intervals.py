"""Intervals against SciPy, the formula of Agresti & Min, and simulated coverage."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from analysis.measure.quality import mean_interval, paired_proportions, wilson


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 20), (7, 13), (445, 450), (9999, 10_000)]
)
def test_wilson_is_scipys(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    found = wilson(successes, trials)
    assert found.value == successes / trials
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert 0 <= found.low <= found.value <= found.high <= 1


def _outcomes(both: int, gained: int, lost: int, neither: int) -> tuple[torch.Tensor, torch.Tensor]:
    after = [True] * both + [True] * gained + [False] * lost + [False] * neither
    before = [True] * both + [False] * gained + [True] * lost + [False] * neither
    return torch.tensor(after), torch.tensor(before)


@pytest.mark.parametrize(
    "table", [(80, 5, 10, 5), (40, 0, 3, 7), (0, 9, 1, 0), (400, 0, 0, 50), (1, 1, 1, 1), (0, 0, 0, 1)]
)
def test_paired_proportions_adds_half_an_observation_to_each_cell(table):
    _, gained, lost, _ = (cell + 0.5 for cell in table)
    total = sum(table) + 2
    p, q = gained / total, lost / total
    half = stats.norm.ppf(0.975) * math.sqrt((p + q - (p - q) ** 2) / total)
    value = (table[1] - table[2]) / sum(table)
    found = paired_proportions(*_outcomes(*table))
    assert found.value == value
    assert found.low == pytest.approx(max(-1.0, min(value, p - q - half)), abs=1e-6)
    assert found.high == pytest.approx(min(1.0, max(value, p - q + half)), abs=1e-6)


def test_networks_that_never_differed_are_not_declared_equal():
    found = paired_proportions(*_outcomes(445, 0, 0, 5))
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    assert 0.001 < found.high < 0.01


def test_swapping_the_networks_mirrors_the_interval():
    after, before = _outcomes(70, 12, 4, 14)
    one, other = paired_proportions(after, before), paired_proportions(before, after)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


@pytest.mark.parametrize(("gain", "loss", "count"), [(0.05, 0.10, 100), (0.02, 0.02, 200), (0.0, 0.03, 450)])
def test_paired_interval_covers_the_true_change(gain, loss, count):
    rng = np.random.default_rng(0)
    covered = 0
    for cells in rng.multinomial(count, [0.8 - gain, gain, loss, 0.2 - loss], size=2000):
        found = paired_proportions(*_outcomes(*cells.tolist()))
        covered += found.low <= gain - loss <= found.high
    assert covered / 2000 >= 0.93


@pytest.mark.parametrize("count", [2, 10, 500])
def test_mean_interval_is_the_normal_one(count):
    values = np.random.default_rng(count).gamma(2, 3, count)
    low, high = stats.norm.interval(0.95, np.mean(values), stats.sem(values))
    found = mean_interval(torch.from_numpy(values))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high), rel=1e-6)


def test_one_value_says_nothing_of_the_mean():
    found = mean_interval(torch.tensor([3.0]))
    assert (found.value, found.low, found.high) == (3, -math.inf, math.inf)


def test_the_mean_is_taken_in_double_precision():
    """In float32 the small values would drown beside the large one."""
    values = torch.cat([torch.tensor([2.0**24]), torch.ones(999)])
    assert mean_interval(values).value == (2**24 + 999) / 1000
