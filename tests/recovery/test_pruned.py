"""Where recovery begins: what is held out, and which zeros are locked."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.errors import DataError
from analysis.importance.registry import score
from analysis.network import weight_parameters
from analysis.pruning.channels import cut_modules
from analysis.pruning.plan import Cut, uniform_plan
from analysis.pruning.prune import prune, remove
from analysis.pruning.selection import Selection, select
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.gradual import Course, gradually
from analysis.recovery.penalties import PENALTIES
from analysis.recovery.pruned import begin, hold_out, locks
from analysis.recovery.recipe import Recipe
from analysis.recovery.registry import METHODS
from analysis.recovery.sparse_training import train_for_sparsity
from analysis.tasks import CLASSIFICATION
from tests.networks import ConvNet, Mlp, dataset, load, randomise
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module


def examples(count: int, classes: int = 4) -> Split:
    return Split(torch.arange(count, dtype=torch.float32)[:, None], torch.arange(count) % classes, "numbers")


@pytest.mark.parametrize(("count", "held"), [(8, 2), (40, 4), (1077, 108), (10_000, 1000), (60_000, 1000)])
def test_a_tenth_is_held_out_and_no_example_is_in_both(count, held):
    fit, validation = hold_out(examples(count))
    assert (len(fit), len(validation)) == (count - held, held)
    both = torch.cat([fit.inputs, validation.inputs]).flatten().sort().values
    assert torch.equal(both, torch.arange(count, dtype=torch.float32))
    assert torch.equal(fit.inputs.flatten().long() % 4, fit.targets), "answers stay with their examples"
    assert torch.equal(validation.inputs.flatten().long() % 4, validation.targets)


def test_every_class_is_held_out_alike_and_a_seed_draws_others():
    one, other = (hold_out(examples(400), seed=seed)[1] for seed in (0, 1))
    assert one.targets.bincount().tolist() == [10, 10, 10, 10]
    assert not torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.inputs, hold_out(examples(400))[1].inputs)


def test_too_few_examples_are_refused_in_words():
    with pytest.raises(DataError, match="at least 8"):
        hold_out(examples(7))


def test_the_evaluation_examples_are_not_looked_at():
    network = load(randomise(ConvNet()), (2, 5, 5), "conv")
    calibration = Split(torch.randn(40, 2, 5, 5), torch.arange(40) % 4, "noise")
    poison = Split(torch.full((4, 2, 5, 5), float("nan")), torch.zeros(4, dtype=torch.long), "poison")
    dataset = Dataset("noise", CLASSIFICATION, poison, calibration)
    plan = uniform_plan(network, "l1", "channel", 0.5)
    scores = score(network, "l1")
    ready = begin(network, prune(network, plan, scores), select(network, plan, scores), dataset)
    assert ready.task.meaning == "logits"
    assert bool(torch.isfinite(ready.fit.inputs).all() and torch.isfinite(ready.validation.inputs).all())


@pytest.mark.parametrize("name", list(BY_NAME))
def test_locked_is_what_was_removed_and_nothing_else(name):
    """Against marks: removed weights are set to NaN in the dense network, and looked for after the cut."""
    network = from_module(name)
    weights = tuple(Cut(layer.name, "weight", 0.3) for layer in network.layers)
    plan = uniform_plan(network, "l1", "channel", 0.4)
    plan = replace(plan, cuts=(*plan.cuts, *weights))
    selection = select(network, plan, score(network, "l1"))
    found = locks(network, selection)
    marked = {}
    for layer, mask in selection.weights.items():
        marked[layer] = copy.deepcopy(network.module.get_submodule(layer))
        holes = network.weight(layer).masked_fill(mask, torch.nan)
        for part, values in weight_parameters(marked[layer], holes).items():
            setattr(marked[layer], part, torch.nn.Parameter(values.contiguous()))
    channels = [(network.group(g), gone) for g, gone in selection.channels.items()]
    cut = {**marked, **cut_modules(network, channels, marked)}
    for key, mask in found.items():
        layer, _, part = key.rpartition(".")
        assert torch.equal(mask, torch.isnan(getattr(cut[layer], part))), key
    assert {key.rpartition(".")[0] for key in found} == set(selection.weights)


def test_nothing_is_locked_where_channels_alone_are_gone():
    network = load(randomise(ConvNet()), (2, 5, 5), "conv")
    plan = uniform_plan(network, "l1", "channel", 0.5)
    assert locks(network, select(network, plan, score(network, "l1"))) == {}


@pytest.mark.parametrize("part", ["removed too", "alone"])
def test_zeros_that_a_layer_came_with_are_locked_if_they_are_many(part):
    """A tenth of 320 weights is 32; the rows of removed channels go from the mask, too."""
    module = randomise(nn.Sequential(nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3)))
    with torch.no_grad():
        module[0].weight[:2] = 0  # 32 of 320
        module[2].weight[0, :5] = 0  # 5 of 60: fewer than a tenth
    network = load(module, (16,), "sparse")
    gone = {"0": torch.zeros(20, 16, dtype=torch.bool)} if part == "removed too" else {}
    for mask in gone.values():
        mask[7, 3] = True
    expected = module[0].weight.detach() == 0
    if gone:
        expected[7, 3] = True
    found = locks(network, Selection({"0": (0, 5)}, gone))
    assert list(found) == ["0.weight"]
    assert torch.equal(found["0.weight"], expected[[row for row in range(20) if row not in (0, 5)]])
    with torch.no_grad():
        module[0].weight[0, 0] = 1.0  # 31 of 320
    assert locks(load(module, (16,), "dense"), Selection()) == {}


def test_a_network_that_came_sparse_stays_as_sparse():
    module = randomise(Mlp())
    with torch.no_grad():
        module.fc2.weight[torch.rand(6, 7, generator=torch.Generator().manual_seed(0)) < 0.6] = 0
    network, data = load(module, (5,)), dataset((5,), 3, 60)
    selection = select(network, uniform_plan(network, "l1", "channel", 0.4), score(network, "l1"))
    begun = begin(network, remove(network, selection), selection, data)
    zero = begun.network.weight("fc2") == 0
    recipe = Recipe(epochs=1, learning_rate=0.1, batch=8)
    course = Course(steps=2, recipe=recipe)
    start = begin(network, network, Selection(), data)
    (*_, last) = gradually(start, uniform_plan(network, "l1", "weight", 0.1), course)
    assert not last.network.weight("fc2")[network.weight("fc2") == 0].any()
    (*_, trained) = train_for_sparsity(network, data, PENALTIES["l1"], 1.0, recipe)
    assert not trained.network.weight("fc2")[network.weight("fc2") == 0].any()
    for found in (next(fine_tune(begun, recipe)).now, METHODS["reconstruction"].run(begun, print).network):
        assert not torch.equal(found.weight("fc2"), begun.network.weight("fc2"))
        assert torch.equal(found.weight("fc2") == 0, zero)
