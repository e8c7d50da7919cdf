"""Intervals that may be looked at while they narrow: each part by hand, and how often they hold the truth."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import analysis.live
from analysis.datasets import Split
from analysis.importance.scores import Scores
from analysis.inference import Layout
from analysis.live import Gauge
from analysis.measure.anytime import (
    SINGLE_LOOK,
    critical_value,
    intersection,
    looks,
    regression_mean,
    standardised,
    stay_probability,
)
from analysis.measure.quality import Interval
from analysis.pruning.plan import make_plan
from analysis.tasks import CLASSIFICATION
from tests.networks import Mlp, load, randomise

TOTALS = (129, 150, 193, 300, 1000, 2000, 10000)


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1, (1,)),
        (127, (127,)),
        (128, (128,)),
        (129, (128, 129)),
        (192, (128, 192)),
        (193, (128, 192, 193)),
        (256, (128, 192, 256)),
        (500, (128, 192, 256, 384, 500)),
        (2000, (128, 192, 256, 384, 512, 768, 1024, 1536, 2000)),
    ],
)
def test_looks_by_hand(total, expected):
    assert looks(total) == expected


def test_looks_grow_and_end_with_all():
    for total in range(1, 3000):
        at = looks(total)
        assert at[-1] == total and at[0] == min(128, total)
        assert all(a < b for a, b in pairwise(at))


def information(total):
    return 1 / (1 / np.array(looks(total)[:-1], dtype=float) - 1 / total)


def test_a_single_look_stays_within_its_bound_as_the_normal_distribution_says():
    for bound in (0.3, 1.0, 1.959964, 2.5, 3.9):
        found = stay_probability(bound, np.array([77.0]))
        assert found == pytest.approx(math.erf(bound / math.sqrt(2)), abs=1e-9)
    assert critical_value(150) == pytest.approx(SINGLE_LOOK, abs=1e-4)
    assert critical_value(100) == critical_value(128) == 0.0


@pytest.mark.parametrize("total", [193, 256, 300, 500])
def test_staying_within_a_bound_against_the_multivariate_normal_distribution(total):
    known = information(total)
    covariance = np.array([[math.sqrt(min(a, b) / max(a, b)) for b in known] for a in known])
    law = multivariate_normal(np.zeros(len(known)), covariance, seed=0, abseps=1e-6, releps=1e-6)
    for bound in (1.0, 2.0, critical_value(total)):
        inside = law.cdf(np.full(len(known), bound), lower_limit=np.full(len(known), -bound))
        assert stay_probability(bound, known) == pytest.approx(inside, abs=2e-4)
    assert inside == pytest.approx(0.95, abs=3e-4)


def test_more_looks_need_a_wider_bound():
    bounds = [critical_value(total) for total in TOTALS]
    assert bounds[0] < bounds[2] < bounds[3] < bounds[4] < bounds[5] < bounds[6] < 3.0


@pytest.mark.parametrize("total", [300, 2000])
def test_the_bound_holds_for_sampling_without_replacement(total):
    generator = np.random.default_rng(0)
    population = generator.normal(size=total)
    population -= population.mean()
    spread = math.sqrt((population**2).sum() / (total - 1))
    at, trials = np.array(looks(total)[:-1]), 5000
    errors = spread * np.sqrt(1 / at - 1 / total)
    inside = 0
    for _ in range(trials):
        means = np.cumsum(generator.permutation(population))[at - 1] / at
        inside += bool(np.all(np.abs(means) <= critical_value(total) * errors))
    assert abs(inside / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)


def draw(seed, count, total, width):
    """Values and standardised columns of `total` examples, the values of the first `count`, and their mean."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(total, width, generator=generator, dtype=torch.float64)
    values = raw @ torch.arange(1.0, width + 1, dtype=torch.float64) + torch.randn(total, generator=generator)
    return values, standardised(list(raw.T)) if width else torch.zeros(total, 0, dtype=torch.float64)


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize(("count", "total"), [(2, 5), (20, 100), (128, 10000)])
def test_without_covariates_it_is_the_mean_with_two_values_added_to_the_variance(count, total, scale):
    values, none = draw(3, count, total, 0)
    seen = values[:count].tolist()
    mean = sum(seen) / count
    edge = max(abs(v - mean) for v in seen) if scale is None else scale
    variance = (sum((v - mean) ** 2 for v in seen) + 2 * edge**2) / (count + 1)
    half = 2.3 * math.sqrt(variance / count * (1 - count / total))
    found = regression_mean(values[:count], none, 2.3, scale=scale)
    assert found.value == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize(("count", "width"), [(5, 8), (30, 1), (60, 5), (399, 12)])
def test_with_covariates_against_least_squares_with_rows_that_shrink(count, width, scale):
    values, columns = draw(count, count, 400, width)
    y, x = values[:count].numpy(), columns.numpy()
    rows = np.vstack([x[:count], np.eye(width)])
    centred = y - y.mean()
    slopes = np.linalg.lstsq(rows, np.append(centred, np.zeros(width)), rcond=None)[0]
    left = centred - x[:count] @ slopes
    # the fit of all, plus what it misses on average of those seen
    expected = y.mean() + (x @ slopes).mean() + left.mean()
    # the trace of the shrunken hat matrix, from singular values
    singular = np.linalg.svd(x[:count], compute_uv=False)
    freedom = max(1.0, count + 1 - (singular**2 / (singular**2 + 1)).sum())
    edge = np.abs(left).max() if scale is None else scale
    variance = ((left**2).sum() + 2 * edge**2) / freedom
    half = 1.7 * math.sqrt(variance * (1 / count - 1 / 400))
    found = regression_mean(values[:count], columns, 1.7, scale=scale)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((expected - half, expected + half), abs=1e-8)


def test_all_examples_give_the_mean_itself():
    values, columns = draw(1, 50, 50, 4)
    found = regression_mean(values, columns, 2.5, scale=1.0)
    assert found == Interval(float(values.mean()), float(values.mean()), float(values.mean()))


def test_the_order_of_the_covariates_changes_nothing():
    values, columns = draw(2, 40, 200, 6)
    first = regression_mean(values[:40], columns, 2.0)
    for seed in range(5):
        order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
        again = regression_mean(values[:40], columns[:, order], 2.0)
        assert (again.value, again.low, again.high) == pytest.approx((first.value, first.low, first.high))


def test_the_estimate_is_right_on_average_and_as_far_off_as_its_interval_says():
    values, columns = draw(5, 100, 600, 3)
    truth, trials = float(values.mean()), 2000
    generator = torch.Generator().manual_seed(0)
    found, halves = [], []
    for _ in range(trials):
        order = torch.randperm(600, generator=generator)
        interval = regression_mean(values[order][:100], columns[order], 1.0)
        found.append(interval.value)
        halves.append(interval.high - interval.value)
    spread = float(np.std(found))
    assert abs(np.mean(found) - truth) < 4 * spread / math.sqrt(trials)
    assert spread < 0.3 * float(values.std()) * math.sqrt(1 / 100 - 1 / 600)  # the relation is used
    assert spread == pytest.approx(np.mean(halves), rel=0.15)


def test_a_column_that_says_nothing_is_dropped():
    rising, same, mixed = torch.arange(6.0), torch.full((6,), 3.0), torch.tensor([1, 0, 1, 0, 0, 0])
    found = standardised([same, rising, mixed, same])
    assert found.shape == (6, 2) and found.dtype == torch.float64
    assert torch.allclose(found.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(found.var(0), torch.ones(2, dtype=torch.float64))
    assert float(found[1, 0] - found[0, 0]) == pytest.approx(1 / math.sqrt(3.5))
    assert standardised([same]).shape == (6, 0)
    assert standardised([torch.ones(1)]).shape == (1, 0)


def test_a_column_that_says_nothing_is_dropped_though_its_mean_is_rounded():
    assert standardised([torch.full((1000,), 0.3, dtype=torch.float64)]).shape == (1000, 0)


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ((5, 2, 8), (6, 3, 9), (6, 3, 8)),
        ((5, 2, 8), (6, 5, 7), (6, 5, 7)),
        ((5, 4, 6), (3, 0, 6), (4, 4, 6)),
        ((5, 4, 6), (8, 5, 11), (6, 5, 6)),
        ((5, 4, 6), (8, 7, 9), (8, 7, 9)),
        ((5, 4, 6), (8, 6, 10), (6, 6, 6)),
    ],
)
def test_two_looks_together_by_hand(earlier, later, expected):
    assert intersection(Interval(*earlier), Interval(*later)) == Interval(*expected)


PLANS, TOTAL, CLASSES = 500, 2000, 10


def population(generator, dense_accuracy):
    """What a dense network knows of each example: right or wrong, margin, class."""
    classes = torch.from_numpy(generator.integers(CLASSES, size=TOTAL))
    hard = generator.random(TOTAL)
    right = torch.from_numpy(hard < dense_accuracy)
    margin = torch.from_numpy(np.abs(hard - dense_accuracy) ** 0.7 * generator.random(TOTAL) ** 0.3)
    columns = [right.double(), margin, right.double() * margin]
    columns += [(classes == label).double() for label in range(CLASSES - 1)]
    return classes, right, margin, columns


def damage(generator, kind, classes, right, margin):
    """Which examples a pruned network gets right."""
    amount = generator.random() ** 2
    after = right.clone()
    if kind == "flips":  # the less sure, the likelier
        chance = amount * torch.exp(-margin / (0.05 + amount))
        after = torch.where(torch.from_numpy(generator.random(TOTAL)) < chance, ~right, right)
    elif kind == "classes":
        gone = generator.permutation(CLASSES)[: 1 + int(amount * (CLASSES - 1))]
        hit = torch.from_numpy(np.isin(classes.numpy(), gone))
        after = right & ~(hit & torch.from_numpy(generator.random(TOTAL) < 0.5 + amount / 2))
    elif kind == "collapse":
        after = classes == int(generator.integers(CLASSES))
    elif kind == "few":  # a handful of changes anywhere
        some = generator.permutation(TOTAL)[: int(amount * 20)]
        after[some] = ~after[some]
    return after.double()


KINDS = ("flips", "classes", "collapse", "few")


@pytest.fixture(scope="module")
def simulated():
    """500 plans: (truth, ends of the running interval at every look, where a single look stops)."""
    generator = np.random.default_rng(7)
    dense = [population(generator, accuracy) for accuracy in (0.8, 0.92, 0.99, 1.0)]
    known = [standardised(columns) for *_, columns in dense]
    bound, found = critical_value(TOTAL), []
    for plan in range(PLANS):
        which = int(generator.integers(len(dense)))
        classes, right, margin, _ = dense[which]
        kind = KINDS[plan % len(KINDS)]
        order = torch.from_numpy(generator.permutation(TOTAL))
        values = damage(generator, kind, classes, right, margin)[order]
        covariates, running, stopped = known[which][order], [], None
        for look in looks(TOTAL):
            now = regression_mean(values[:look], covariates, bound, scale=1.0)
            before = running[-1] if running else now
            running.append(now if look == TOTAL else intersection(before, now))
        for look in range(128, TOTAL + 64, 64):
            stopped = regression_mean(values[:look], covariates, SINGLE_LOOK, scale=1.0)
            if stopped.high - stopped.low <= 0.04:
                break
        found.append((kind, float(values.mean()), running, stopped))
    return found


def holds(interval, truth):
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def test_every_running_interval_of_a_plan_holds_the_truth_in_95_of_100_plans(simulated):
    held = [all(holds(i, truth) for i in running) for _, truth, running, _ in simulated]
    assert np.mean(held) >= 0.93
    for kind in KINDS:
        some = [h for h, (k, *_) in zip(held, simulated, strict=True) if k == kind]
        assert np.mean(some) >= 0.90, kind
    for _, truth, running, _ in simulated:
        assert running[-1] == Interval(truth, truth, truth)
        assert running[-2].high - running[-2].low < running[0].high - running[0].low


def test_an_interval_looked_at_once_holds_the_truth_in_95_of_100_plans(simulated):
    held = [holds(stopped, truth) for _, truth, _, stopped in simulated]
    assert np.mean(held) >= 0.93
    for kind in KINDS:
        some = [h for h, (k, *_) in zip(held, simulated, strict=True) if k == kind]
        assert np.mean(some) >= 0.90, kind


def test_the_simulated_plans_reach_from_hardly_any_damage_to_collapse(simulated):
    truths = [truth for _, truth, *_ in simulated]
    assert min(truths) < 0.12 and max(truths) > 0.98 and np.std(truths) > 0.15


@pytest.fixture(scope="module")
def measured():
    """Real plans of a small network, each on examples in an order of its own."""
    patch = pytest.MonkeyPatch()
    patch.setattr(analysis.live, "calibrate", lambda *_: Layout(64))
    net = load(randomise(Mlp(outputs=4)), (5,))
    generator = np.random.default_rng(11)
    inputs = torch.from_numpy(generator.normal(size=(700, 5))).float()
    with torch.no_grad():
        targets = net.module(inputs).argmax(1)
    wrong = torch.from_numpy(generator.random(700) < 0.1)
    targets[wrong] = torch.from_numpy(generator.integers(4, size=int(wrong.sum())))
    split, found = Split(inputs, targets, "drawn"), []
    for plan in range(PLANS):
        shapes = {layer.name: layer.shape for layer in net.layers}
        noise = {name: torch.from_numpy(generator.random(shape)) for name, shape in shapes.items()}
        scores = Scores("random", net.name, noise)
        granularity = ("weight", "channel")[plan % 2]
        ratios = {name: generator.random() ** 2 for name in ("fc1", "fc2")}
        gauge = Gauge(net, split, CLASSIFICATION, seed=plan)
        plan = make_plan(net, "random", granularity, ratios)
        run, readings = gauge.run(plan, scores, hand="fc2"), []
        while not readings or not readings[-1].is_exact:
            readings.append(run.advance())
        once = gauge.run(plan, scores, single_look=True).finish(lambda r: r.is_within(0.02))
        found.append((readings, once))
    patch.undo()
    return found


def test_all_readings_of_real_plans_hold_what_the_last_one_says(measured):
    held = [all(holds(r.value, readings[-1].value.value) for r in readings) for readings, _ in measured]
    assert np.mean(held) >= 0.93
    held = [all(holds(r.change, readings[-1].change.value) for r in readings) for readings, _ in measured]
    assert np.mean(held) >= 0.93
    truths = [readings[-1].value.value for readings, _ in measured]
    assert min(truths) < 0.5 and max(truths) > 0.85


def test_single_looks_at_real_plans_hold_what_all_examples_say(measured):
    held = [holds(once.value, readings[-1].value.value) for readings, once in measured]
    assert np.mean(held) >= 0.93
    assert all(once.is_exact or once.is_within(0.02) for _, once in measured)
    assert len({once.examples for _, once in measured}) > 3 and min(o.examples for _, o in measured) == 128
