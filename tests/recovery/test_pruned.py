"""Where recovery begins: what is held out, and which zeros are locked."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from analysis.datasets import Dataset, Split
from analysis.errors import DataError
from analysis.importance.registry import score
from analysis.network import weight_parameters
from analysis.pruning.channels import cut_modules
from analysis.pruning.plan import Cut, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.recovery.pruned import begin, hold_out, locks
from analysis.tasks import CLASSIFICATION
from tests.networks import ConvNet, load, randomise
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
