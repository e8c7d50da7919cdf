"""Soft pruning: what is zeroed by hand count, what grows back where it is planted to, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.pruning.plan import make_plan, uniform_plan
from analysis.pruning.selection import Selection
from analysis.recovery.gradual import Course, gradually
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import recovered_from, restore
from analysis.recovery.soft import share_back, softly_zeroed
from analysis.tasks import REGRESSION
from tests.networks import ConvNet, dataset, load, randomise
from tests.recovery.test_gradual import STILL, at_start, same


def test_only_the_weights_that_make_a_channel_become_zero():
    network = load(randomise(ConvNet()), (2, 5, 5))
    group = next(g.name for g in network.groups if g.members == ("conv1",))
    mask = torch.zeros(8, 6, 3, 3, dtype=torch.bool)
    mask[0, 0, 0, 0] = True
    found = softly_zeroed(network, Selection({group: (2, 3)}, {"conv2": mask}))
    expected = {key: value.clone() for key, value in network.module.state_dict().items()}
    expected["conv1.weight"][[2, 3]] = 0
    expected["conv2.weight"][0, 0, 0, 0] = 0
    assert all(torch.equal(value, expected[key]) for key, value in found.module.state_dict().items())


def test_what_has_grown_back_is_counted():
    masks = {"fc": torch.tensor([[True, True, False]])}
    before = Selection({"a": (0, 1, 2), "b": (4,)}, masks)
    now = Selection({"a": (1, 5)}, {"fc": torch.tensor([[False, True, True]])})
    assert share_back(before, now) == 4 / 6  # 0, 2 of a; 4 of b; one weight of two
    assert share_back(before, before) == 0
    assert share_back(Selection(), now) == 0


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_nothing_grows_back_where_nothing_learns(granularity):
    start = at_start(load(randomise(ConvNet()), (2, 5, 5), "conv"), dataset((2, 5, 5), 4, 60))
    plan = uniform_plan(start.dense, "l1", granularity, 0.5)
    stages = list(gradually(start, plan, Course("linear", steps=3, recipe=STILL, soft=True)))
    assert [stage.is_soft for stage in stages] == [True, True, False]
    assert [stage.back for stage in stages] == [None, 0, 0]


class Line(nn.Module):
    """Four inputs, one value."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 1)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[1.0, 1.0, 1.0, 0.1]]))
            self.fc.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def line_data() -> Dataset:
    """y = x1 + x2 + 3 x3: the first input, which the network listens to, says nothing; the last says most."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((200, 4), generator=generator)
    examples = Split(inputs, inputs @ torch.tensor([0.0, 1.0, 1.0, 3.0]), "a plane")
    return Dataset("plane", REGRESSION, evaluation=examples, calibration=examples)


def test_a_weight_that_is_needed_grows_back_and_the_useless_one_goes():
    start = at_start(load(Line(), (4,), "line"), line_data())
    plan = make_plan(start.dense, "l1", "weight", {"fc": 0.25})
    recipe = Recipe(epochs=20, learning_rate=0.05, batch=20)
    course = Course("constant-rate", steps=2, recipe=recipe, soft=True)
    plan = replace(plan)
    hard = list(gradually(start, plan, Course("one-shot", recipe=recipe)))
    assert hard[-1].selection.weights["fc"].tolist() == [[False, False, False, True]]
    first, last = gradually(start, plan, course)
    assert first.selection.weights["fc"].tolist() == [[False, False, False, True]]
    assert last.back == 1 and last.selection.weights["fc"].tolist() == [[True, False, False, False]]
    assert last.network.weight("fc").tolist()[0] == pytest.approx([0, 1, 1, 3], abs=0.01)
    assert last.validation > 0.99 > hard[-1].validation


def test_the_last_step_is_a_hard_cut_that_can_be_restored():
    start = at_start(load(randomise(ConvNet()), (2, 5, 5), "conv"), dataset((2, 5, 5), 4, 60))
    plan = uniform_plan(start.dense, "l1", "channel", 0.5)
    recipe = Recipe(epochs=1, learning_rate=0.05, batch=16)
    *softly, last = gradually(start, plan, Course("linear", steps=3, recipe=recipe, soft=True))
    assert all(stage.network.parameters() == start.dense.parameters() for stage in softly)
    assert last.network.parameters() < start.dense.parameters()
    assert same(restore(start.dense, recovered_from(last.network, last.selection)), last.network)
