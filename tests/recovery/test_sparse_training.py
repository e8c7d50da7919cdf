"""Training for sparsity: what the penalty alone must do, what training is told, and that the network stays as it is."""

import math
from dataclasses import replace

import pytest
import torch

from analysis.errors import DataError, PrunescopeError
from analysis.measure.quality import evaluate
from analysis.recovery import schedules
from analysis.recovery.penalties import NEAR_ZERO, PENALTIES, relative, weight_sizes
from analysis.recovery.pruned import hold_out
from analysis.recovery.recipe import Recipe
from analysis.recovery.sparse_training import edges, histogram, train_for_sparsity, way
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot

RECIPE = Recipe(epochs=3, learning_rate=0.02, batch=16, seed=4)


def run(network, data, name="group-lasso", pull=1.0, recipe=RECIPE, **known):
    return list(train_for_sparsity(network, data, PENALTIES[name], pull, recipe, **known))


@pytest.fixture(scope="module")
def conv():
    return load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 60)


def test_what_no_example_holds_is_taken_to_zero_by_the_penalty_alone():
    """Plain SGD moves a weight that reads nothing by rate * strength a step, and then to and fro around zero."""
    network, data = load(randomise(Mlp()), (5,)), dataset((5,), 3, 64)
    data.calibration.inputs[:, 2] = 0
    recipe = Recipe(epochs=4, learning_rate=0.05, batch=16, momentum=0.0)
    *_, last = run(network, data, "l1", 1.0, recipe)
    before, after = (n.weight("fc1")[:, 2].abs() for n in (network, last.network))
    steps = 4 * math.ceil(len(hold_out(data.calibration)[0]) / 16)
    rates = [0.05 * schedules.factor(recipe, step, steps) for step in range(steps)]
    gone = last.strength * sum(rates)
    held = before > gone
    assert bool(held.any()) and not bool(held.all())
    torch.testing.assert_close(after[held], before[held] - gone, rtol=1e-4, atol=1e-5)
    assert float(after[~held].max()) <= last.strength * max(rates) + 1e-6


def test_without_a_pull_it_is_ordinary_training(conv):
    network, data = conv
    plain = run(network, data, "l1", 0.0)
    other = run(network, data, "group-lasso", 0.0)
    for one, two in zip(plain, other, strict=True):
        assert one.validation_loss == two.validation_loss and one.train_loss == two.train_loss
        for layer in network.layers:
            assert torch.equal(one.network.weight(layer.name), two.network.weight(layer.name))


def test_the_first_state_is_the_network_as_it_was(conv):
    network, data = conv
    first = run(network, data)[0]
    assert first.network is network and (first.number, first.train_loss, first.seconds) == (0, None, 0.0)
    held = hold_out(data.calibration, seed=RECIPE.seed)[1]
    judged = evaluate(network, held, data.task)
    assert first.validation == float(judged.correct.double().mean())
    assert first.validation_loss == pytest.approx(float(judged.losses.mean()))


def test_sizes_are_those_of_the_network_after_each_epoch(conv):
    network, data = conv
    for epoch in run(network, data, "l1", 5.0):
        sizes = {layer.name: epoch.network.weight(layer.name).abs() for layer in network.layers}
        near = sum(int((v <= NEAR_ZERO * v.max()).sum()) for v in sizes.values())
        assert epoch.near_zero == near / sum(v.numel() for v in sizes.values())
        assert epoch.counts == tuple(
            histogram(relative(weight_sizes(network, epoch.network.module))).tolist()
        )


def test_the_network_the_data_and_the_chance_of_the_process_stay_as_they_are(conv):
    network, data = conv
    before, inputs = snapshot(network.module), data.calibration.inputs.clone()
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    epochs = run(network, data)
    assert torch.equal(torch.rand(2), expected)
    assert same(before, snapshot(network.module)) and torch.equal(inputs, data.calibration.inputs)
    assert [epoch.number for epoch in epochs] == [0, 1, 2, 3]
    assert epochs[-1].network.groups == network.groups and epochs[-1].network.layers == network.layers


def test_evaluation_examples_are_never_seen(conv):
    network, data = conv
    poisoned = replace(data, evaluation=dataset((2, 5, 5), 4, 60, seed=7).evaluation)
    poisoned.evaluation.inputs.fill_(torch.nan)
    one, two = run(network, data)[-1], run(network, poisoned)[-1]
    assert torch.equal(one.network.weight("conv2"), two.network.weight("conv2"))


def test_the_same_seed_gives_the_same_network_and_another_seed_another(conv):
    network, data = conv
    one, again, other = (
        run(network, data, recipe=replace(RECIPE, seed=seed))[-1].network.weight("conv1")
        for seed in (4, 4, 5)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_training_goes_on_after_what_is_known(conv):
    network, data = conv
    first = run(network, data)[:2]
    known = [(epoch.validation_loss, epoch.validation) for epoch in first if epoch.number]
    rest = run(network, data, known=known, reached=first[-1].network)
    assert [epoch.number for epoch in rest] == [2, 3]
    assert rest[0].strength == first[0].strength


def test_the_way_is_the_sum_of_all_steps():
    recipe = Recipe(epochs=2, learning_rate=0.1, batch=10, momentum=0.5, schedule="constant", warm_up=0.0)
    assert way(recipe, 25) == pytest.approx(2 * 3 * 0.1 / 0.5)  # three batches an epoch
    assert way(recipe, 21) == pytest.approx(2 * 2 * 0.1 / 0.5), "a last single example joins the batch before"


def test_histogram_bins_by_hand():
    counts = histogram(torch.tensor([0.0, 1e-9, 1e-5, 0.5, 1.0]))
    assert len(counts) == len(edges()) - 1 and int(counts.sum()) == 5
    assert int(counts[0]) == 3, "what is smaller than the scale is not lost"
    assert int(counts[-1]) == 1
    low, high = edges()[:-1], edges()[1:]
    assert int(counts[((low < 0.5) & (high >= 0.5)).nonzero().item()]) == 1


def test_refusals_name_the_remedy(conv):
    mlp = load(randomise(Mlp()), (5,), "plain")
    with pytest.raises(PrunescopeError, match=r"plain has nothing that BatchNorm scale.*such as L1"):
        run(mlp, dataset((5,), 3, 40), "bn-scale")
    with pytest.raises(DataError, match="at least 8"):
        run(mlp, dataset((5,), 3, 6))
