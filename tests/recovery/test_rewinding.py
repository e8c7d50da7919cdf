"""Rewinding: what is left goes back to the loaded weights, or to those after some epochs, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import remove
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.gradual import Course, gradually
from analysis.recovery.pruned import Pruned
from analysis.recovery.rewinding import checkpoint
from tests.networks import Mlp, dataset, load, randomise
from tests.recovery.test_gradual import RECIPE, at_start, same


@pytest.fixture(scope="module")
def start() -> Pruned:
    return at_start(load(randomise(Mlp()), (5,), "mlp"), dataset((5,), 3, 60))


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_each_cut_is_one_of_the_loaded_network(start, granularity):
    plan = uniform_plan(start.dense, "l1", granularity, 0.6)
    recipe = replace(RECIPE, learning_rate=0.3)
    stages = list(gradually(start, plan, Course("linear", steps=3, recipe=recipe, rewind=0)))
    for stage in stages:
        assert same(stage.cut, remove(start.dense, stage.selection))
    without = list(gradually(start, plan, Course("linear", steps=3, recipe=recipe)))
    assert not same(without[1].cut, remove(start.dense, without[1].selection)), (
        "the training does move weights"
    )


def test_the_mask_is_found_on_the_trained_network(start):
    """Weights go by what they were trained to, not by what they go back to."""
    plan = uniform_plan(start.dense, "l1", "weight", 0.6)
    recipe = replace(RECIPE, epochs=5, learning_rate=0.3)
    first, second = gradually(start, plan, Course("linear", steps=2, recipe=recipe, rewind=0))
    sizes = first.network.weight("fc1").abs().flatten()
    expected = torch.zeros(35, dtype=torch.bool)
    expected[sizes.argsort(stable=True)[:21]] = True
    assert torch.equal(second.selection.weights["fc1"].flatten(), expected)


def test_the_checkpoint_is_the_last_of_so_many_epochs(start):
    assert checkpoint(start, RECIPE, 0) is start.dense
    *_, last = fine_tune(start, replace(RECIPE, epochs=2))
    found = checkpoint(start, replace(RECIPE, patience=1), 2)
    assert same(found, last.now)
    assert found.groups == start.dense.groups
    plan = uniform_plan(start.dense, "l1", "weight", 0.6)
    (stage,) = gradually(start, plan, Course("one-shot", recipe=RECIPE, rewind=2))
    assert same(stage.cut, remove(found, stage.selection))
