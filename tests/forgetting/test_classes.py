"""Which classes paid: hand counts, McNemar against scipy, Holm against closed testing, all relabellings."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from analysis.errors import DataError
from analysis.forgetting import classes
from analysis.forgetting.classes import class_changes, disparity, holm, mcnemar
from analysis.measure.quality import paired_proportions, per_class
from tests.forgetting.answered import noisy, said, valued

# class 0: right, right, right, wrong -> lost, right, lost, gained; class 1 unchanged; class 2 has no example
TARGETS = [0, 0, 0, 0, 1, 1]
BEFORE = [0, 0, 0, 1, 1, 0]
AFTER = [2, 0, 1, 0, 1, 0]


def test_a_table_counted_by_hand():
    zero, one, two = class_changes(said(BEFORE, TARGETS, 3), said(AFTER, TARGETS, 3))
    assert (zero.label, zero.examples, zero.gained, zero.lost) == (0, 4, 1, 2)
    assert (zero.before.value, zero.after.value, zero.change.value) == (0.75, 0.5, -0.25)
    assert zero.p_value == 1.0
    assert (one.label, one.examples, one.gained, one.lost, one.change.value) == (1, 2, 0, 0, 0.0)
    assert two is None


def test_intervals_are_those_of_the_measurement():
    before, after = noisy(120, 4, seed=1), noisy(120, 4, seed=2)
    found = class_changes(before, after)
    assert [change.before for change in found] == per_class(before, 4)
    assert [change.after for change in found] == per_class(after, 4)
    for label, change in enumerate(found):
        members = before.split.targets == label
        assert change.change == paired_proportions(after.correct[members], before.correct[members])


@pytest.mark.parametrize("gained", [0, 1, 2, 5, 8, 30, 200])
@pytest.mark.parametrize("lost", [0, 1, 2, 6, 8, 31, 230])
def test_mcnemar_is_the_binomial_test(gained, lost):
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def closed_testing(p_values):
    """Holm as the closure of Bonferroni (Marcus et al. 1976): the worst of all sets that hold a hypothesis."""
    every = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(every, size)]
    return [max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in every]


@pytest.mark.parametrize(
    "p_values",
    [[], [0.03], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.5], [1.0, 0.0, 0.02], [0.02, 0.02, 0.9, 0.011, 0.3]],
)
def test_holm_is_the_closure_of_bonferroni(p_values):
    assert holm(p_values) == pytest.approx(closed_testing(p_values))


def test_changes_are_corrected_over_the_classes_that_occur():
    # class 0 loses 6 of 6, p = 2/64; with class 1 it counts twice, with the absent class 2 it would thrice
    targets = [0] * 6 + [1] * 6
    zero, one, two = class_changes(said(targets, targets, 3), said([1] * 12, targets, 3))
    assert zero.p_value == pytest.approx(2 / 64)
    assert zero.adjusted == pytest.approx(4 / 64)
    assert not zero.is_real
    assert (one.p_value, one.adjusted, two) == (1.0, 1.0, None)
    (alone,) = [c for c in class_changes(said([0] * 6, [0] * 6, 2), said([1] * 6, [0] * 6, 2)) if c]
    assert alone.adjusted == pytest.approx(2 / 64)
    assert alone.is_real


def all_relabellings(before, after):
    """The exact p-value: every order of the examples' changes, dealt out to the classes."""
    change = after.correct.long().numpy() - before.correct.long().numpy()
    targets = before.split.targets.numpy()
    members = [np.flatnonzero(targets == label) for label in np.unique(targets)]

    def worst(values):
        return min(values[m].mean() for m in members)

    orders = [np.array(order) for order in permutations(change)]
    return np.mean([worst(order) <= worst(change) + 1e-12 for order in orders])


@pytest.mark.parametrize(
    ("right_before", "right_after"),
    [
        ("11111111", "00111111"),
        ("11111100", "00111111"),
        ("11101110", "01110111"),
        ("11111111", "11111110"),
        ("00000000", "11110000"),
    ],
)
def test_the_chance_of_the_worst_class_against_all_relabellings(monkeypatch, right_before, right_after):
    targets = [0, 0, 0, 1, 1, 1, 2, 2]
    before, after = (
        said([t if bit == "1" else 3 for t, bit in zip(targets, bits, strict=True)], targets, 4)
        for bits in (right_before, right_after)
    )
    found = disparity(before, after)
    exact = all_relabellings(before, after)
    spread = (exact * (1 - exact) / classes.DRAWS) ** 0.5
    assert abs(found.p_value - exact) < 4 * spread + 1 / classes.DRAWS


def test_the_worst_class_is_named_with_the_average():
    targets = [0] * 50 + [1] * 50
    after = [1] * 30 + [0] * 20 + [1] * 50
    found = disparity(said(targets, targets, 2), said(after, targets, 2))
    assert (found.worst, found.change, found.average) == (0, -0.6, -0.3)
    assert found.is_real
    assert found.p_value == pytest.approx(1 / (1 + classes.DRAWS))
    evenly = [1] * 15 + [0] * 35 + [0] * 15 + [1] * 35
    fair = disparity(said(targets, targets, 2), said(evenly, targets, 2))
    assert (fair.change, fair.average) == (-0.3, -0.3)
    assert fair.p_value == 1.0


def test_a_single_class_has_nothing_to_be_compared_with():
    assert disparity(said([0, 0], [0, 0], 2), said([1, 0], [0, 0], 2)) is None
    (only, _) = class_changes(said([0, 0], [0, 0], 2), said([1, 0], [0, 0], 2))
    assert only.change.value == -0.5


def test_regression_has_no_classes():
    values = valued([1.0, 2.0], [1.0, 3.0])
    for function in (class_changes, disparity):
        with pytest.raises(DataError, match="Compare errors"):
            function(values, values)


def test_nothing_is_modified():
    before, after = noisy(40, 3, seed=1), noisy(40, 3, seed=2)
    copies = [one.outputs.clone() for one in (before, after)]
    class_changes(before, after)
    assert disparity(before, after) == disparity(before, after)
    assert all(torch.equal(one.outputs, copy) for one, copy in zip((before, after), copies, strict=True))
