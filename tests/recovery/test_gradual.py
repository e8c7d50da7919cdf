"""Prune a little, recover a little: what is gone stays gone, every step can be restored, chance is seeded."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from analysis.errors import PlanError, PrunescopeError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.network import Network
from analysis.pruning.plan import Cut, Pick, Plan, make_plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, removal_count, removed_weights, select
from analysis.recovery.distil import Distillation
from analysis.recovery.gradual import Course, Reached, Stage, advance, gradually
from analysis.recovery.levels import levels
from analysis.recovery.lifting import lifted
from analysis.recovery.pruned import Pruned, begin
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import from_bytes, recovered_from, restore, to_bytes
from analysis.tasks import REGRESSION
from tests.networks import ConvNet, Mlp, architecture, dataset, load, randomise
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

RECIPE = Recipe(epochs=1, learning_rate=0.05, batch=16)
STILL = replace(RECIPE, learning_rate=1e-30)  # moves no weight that is not zero


def state(network: Network) -> dict[str, Tensor]:
    return network.module.state_dict()


def same(one: Network, other: Network) -> bool:
    mine, theirs = state(one), state(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def at_start(network: Network, data) -> Pruned:
    return begin(network, network, Selection(), data)


@pytest.fixture(scope="module")
def conv() -> Pruned:
    return at_start(load(randomise(ConvNet()), (2, 5, 5), "conv"), dataset((2, 5, 5), 4, 60))


@pytest.fixture(scope="module")
def mlp() -> Pruned:
    return at_start(load(randomise(Mlp()), (5,), "mlp"), dataset((5,), 3, 60))


def both(network: Network, criterion: str = "l1", channel: float = 0.5, weight: float = 0.6) -> Plan:
    """Every group and every layer cut."""
    plan = uniform_plan(network, criterion, "channel", channel)
    weights = tuple(Cut(layer.name, "weight", weight) for layer in network.layers)
    return replace(plan, cuts=(*plan.cuts, *weights))


def random_scores(network: Network, seed: int) -> Scores:
    return score(network, "random", seed=seed)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_what_is_gone_stays_gone_whatever_the_next_scores_say(name):
    network = from_module(name)
    plan = both(network, "random")
    gone, before = Selection(), None
    for step, cuts in enumerate(levels("linear", network, plan, 3)):
        gone = advance(network, replace(plan, cuts=cuts), gone, random_scores(network, step))
        now = removed_weights(network, gone)
        assert before is None or all(bool((now[layer] >= before[layer]).all()) for layer in now)
        before = now
    channels = plan.ratios_of("channel")
    for target, ratio in channels.items():
        group = network.group(target)
        assert len(gone.channels[target]) == removal_count(group.size, ratio, "channel", group.floor)
    taken = removed_weights(network, Selection(gone.channels))
    for layer, mask in gone.weights.items():
        left = int((~taken[layer]).sum())
        assert not bool((mask & taken[layer]).any()), "a channel takes it along already"
        assert int(mask.sum()) >= removal_count(left, plan.ratios_of("weight")[layer], "weight")


@pytest.mark.parametrize("name", list(BY_NAME))
def test_from_nothing_gone_it_is_what_select_chooses(name):
    network = from_module(name)
    plan, scores = both(network, "random"), random_scores(network, 5)
    found, expected = advance(network, plan, Selection(), scores), select(network, plan, scores)
    assert found.channels == expected.channels
    assert found.weights.keys() == expected.weights.keys()
    assert all(torch.equal(found.weights[layer], mask) for layer, mask in expected.weights.items())


def test_a_layer_loses_no_more_if_channels_took_along_what_was_left(mlp):
    """fc1 has 7 x 5 weights. Its first 3 channels lose no weight at first, then go whole."""
    network = mlp.dense
    group = next(g.name for g in network.groups if g.members == ("fc1",))
    mask = torch.zeros(7, 5, dtype=torch.bool)
    mask[3:, :4] = True  # 16 of the 20 weights that the last four channels have
    values = torch.arange(35.0).reshape(7, 5)
    scores = Scores(
        "l1",
        network.name,
        {layer.name: torch.ones(layer.shape) for layer in network.layers} | {"fc1": values},
    )
    plan = Plan(network.name, "l1", (Cut(group, "channel", 3 / 7), Cut("fc1", "weight", 0.5)))
    found = advance(network, plan, Selection({}, {"fc1": mask}), scores)
    assert found.channels[group] == (0, 1, 2)
    assert torch.equal(found.weights["fc1"], mask), "16 of 20 are gone, where the ratio asks for 10"


def steps_of(start: Pruned, plan: Plan, course: Course, **more) -> list[Stage]:
    return list(gradually(start, plan, course, **more))


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
@pytest.mark.parametrize("make", [both, lambda n, c: uniform_plan(n, c, "weight", 0.7),
                                  lambda n, c: uniform_plan(n, c, "channel", 0.6)])  # fmt: skip
def test_every_step_can_be_restored_bit_for_bit(conv, criterion, make):
    before = copy.deepcopy(state(conv.dense))
    stages = steps_of(conv, make(conv.dense, criterion), Course(steps=3, recipe=RECIPE))
    assert [stage.number for stage in stages] == [1, 2, 3]
    for stage in stages:
        kept = from_bytes(to_bytes(recovered_from(stage.network, stage.selection)))
        assert same(restore(conv.dense, kept), stage.network)
        for layer, mask in stage.selection.weights.items():
            whole = lifted(conv.dense, stage.network, stage.selection).weight(layer)
            assert not bool(whole[mask].any()), "what is gone is exactly zero after training"
    assert all(torch.equal(before[key], value) for key, value in state(conv.dense).items())


@pytest.mark.parametrize("name", ["resnet", "small resnet", "deep resnet"])
def test_coupled_layers_of_residual_networks_keep_their_places(name):
    _, network = architecture(name)
    start = at_start(network, dataset(tuple(network.example_input.shape[1:]), 2, 24))
    stages = steps_of(start, both(network), Course(steps=3, recipe=RECIPE))
    for one, two in pairwise(stages):
        whole = lifted(network, one.network, one.selection)
        expected = {
            layer: whole.weight(layer).masked_fill(mask, 0)
            for layer, mask in removed_weights(network, two.selection).items()
        }
        found = lifted(network, two.cut, two.selection)
        gone = removed_weights(network, two.selection)
        for layer, values in expected.items():
            assert torch.equal(found.weight(layer).masked_fill(gone[layer], 0), values), (
                "the cut keeps what was learned"
            )
    last = stages[-1]
    assert same(restore(network, recovered_from(last.network, last.selection)), last.network)


def test_one_shot_cuts_what_the_plan_cuts(conv):
    plan = both(conv.dense)
    (stage,) = steps_of(conv, plan, Course("one-shot", steps=5, recipe=RECIPE))
    assert stage.plan == plan
    assert same(stage.cut, prune(conv.dense, plan))


def test_kept_scores_choose_what_the_dense_network_says(conv):
    plan = both(conv.dense)
    stages = steps_of(conv, plan, Course("linear", steps=3, recipe=RECIPE, rescore=False))
    scores = score(conv.dense, "l1")
    for stage, cuts in zip(stages, levels("linear", conv.dense, plan, 3), strict=True):
        assert stage.plan.cuts == cuts
        expected = select(conv.dense, replace(plan, cuts=cuts), scores)
        assert stage.selection.channels == expected.channels


def test_scores_are_those_of_the_network_as_recovered(mlp):
    """The smallest weights of what the first step came to are gone next: by hand, with a sort."""
    plan = make_plan(mlp.dense, "l1", "weight", {"fc1": 0.6})
    recipe = replace(RECIPE, epochs=5, learning_rate=0.3)
    first, second = steps_of(mlp, plan, Course("linear", steps=2, recipe=recipe))
    sizes = first.network.weight("fc1").abs().flatten().tolist()
    smallest = sorted(range(35), key=lambda i: sizes[i])[:21]
    mask = second.selection.weights["fc1"].flatten()
    assert set(mask.nonzero().flatten().tolist()) == set(smallest)
    dense = sorted(range(35), key=lambda i: abs(float(mlp.dense.weight("fc1").flatten()[i])))[:21]
    assert set(smallest) != set(dense), "the training is strong enough to tell the two apart"


def test_criteria_see_no_validation_example(conv):
    plan = uniform_plan(conv.dense, "taylor", "weight", 0.5)
    (stage,) = steps_of(conv, plan, Course("one-shot", recipe=RECIPE))
    data = replace(conv.dataset, calibration=conv.fit)
    expected = select(conv.dense, plan, score(conv.dense, "taylor", data))
    assert all(torch.equal(stage.selection.weights[layer], mask) for layer, mask in expected.weights.items())


def test_channels_picked_by_hand_go_first_or_never(conv):
    group = next(g for g in conv.dense.groups if g.members == ("conv2",))
    picks = (Pick(group.name, 0, True), Pick(group.name, 1, False))
    plan = replace(make_plan(conv.dense, "l1", "channel", {group.name: 0.9}), picks=picks)
    stages = steps_of(conv, plan, Course("linear", steps=4, recipe=RECIPE))
    assert all(0 in stage.selection.channels[group.name] for stage in stages)
    assert not any(1 in stage.selection.channels[group.name] for stage in stages)
    counts = [len(stage.selection.channels[group.name]) for stage in stages]
    assert counts == sorted(counts) and counts[-1] == len(
        select(conv.dense, plan, score(conv.dense, "l1")).channels[group.name]
    )


def test_the_same_seed_gives_the_same_network_and_another_one_another(mlp):
    plan = both(mlp.dense)
    course = Course(steps=2, recipe=RECIPE)
    one, two = (steps_of(mlp, plan, course)[-1] for _ in range(2))
    other = steps_of(mlp, plan, replace(course, recipe=replace(RECIPE, seed=9)))[-1]
    assert same(one.network, two.network)
    assert not same(one.network, other.network)


@pytest.mark.parametrize("course", [
    Course("cubic", steps=3, recipe=RECIPE), Course("cubic", steps=3, recipe=RECIPE, rescore=False),
    Course("cubic", steps=3, recipe=RECIPE, rewind=1), Course("cubic", steps=3, recipe=RECIPE, soft=True),
    Course("bottom-up", steps=3, recipe=RECIPE, distillation=Distillation()),
])  # fmt: skip
def test_going_on_comes_to_the_same_as_in_one_go(mlp, course):
    plan = both(mlp.dense)
    whole = steps_of(mlp, plan, course)
    first = whole[0]
    reached = Reached(1, first.selection, first.network, first.is_soft)
    rest = steps_of(mlp, plan, course, reached=reached)
    assert [stage.number for stage in rest] == [2, 3]
    assert all(same(one.network, two.network) for one, two in zip(rest, whole[1:], strict=True))
    last = whole[-1]
    assert steps_of(mlp, plan, course, reached=Reached(3, last.selection, last.network)) == []


def test_it_stops_at_the_first_step_below_the_floor(mlp):
    plan = both(mlp.dense)
    assert [stage.holds for stage in steps_of(mlp, plan, Course(steps=3, recipe=RECIPE, floor=1.1))] == [
        False
    ]
    assert [s.holds for s in steps_of(mlp, plan, Course(steps=3, recipe=RECIPE, floor=0.0))] == [True] * 3
    values = [stage.validation for stage in steps_of(mlp, plan, Course(steps=3, recipe=RECIPE))]
    floor = max(values) + 1e-9 if values[0] < max(values) else values[0]
    found = steps_of(mlp, plan, Course(steps=3, recipe=RECIPE, floor=floor))
    expected = [value >= floor for value in values]
    until = expected.index(False) + 1 if False in expected else 3
    assert [stage.holds for stage in found] == expected[:until]


def test_the_last_step_may_take_longer(mlp):
    plan, longer = both(mlp.dense), Course(steps=2, recipe=RECIPE, last_epochs=3)
    short = steps_of(mlp, plan, replace(longer, last_epochs=None))
    long = steps_of(mlp, plan, longer)
    assert same(short[0].network, long[0].network)
    alone = steps_of(
        mlp, plan, replace(longer, recipe=replace(RECIPE, epochs=3), last_epochs=None),
        reached=Reached(1, long[0].selection, long[0].network),
    )  # fmt: skip
    assert same(alone[-1].network, long[-1].network)


def test_progress_grows_to_one_over_all_steps(mlp):
    for course in (Course(steps=3, recipe=RECIPE), Course(steps=3, recipe=RECIPE, rewind=2)):
        shares: list[float] = []
        steps_of(mlp, both(mlp.dense), course, progress=shares.append)
        assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == 1


def test_a_network_that_gives_values():
    start = at_start(load(randomise(Mlp(outputs=1)), (5,), "values"), dataset((5,), 1, 60, task=REGRESSION))
    stages = steps_of(start, both(start.dense), Course(steps=2, recipe=replace(RECIPE, learning_rate=0.01)))
    assert same(
        restore(start.dense, recovered_from(stages[-1].network, stages[-1].selection)), stages[-1].network
    )


def test_what_contradicts_itself_is_refused(mlp):
    with pytest.raises(PrunescopeError, match="Choose one of them"):
        Course(soft=True, rewind=0)
    with pytest.raises(PrunescopeError, match="cannot stop on the way"):
        Course(soft=True, floor=0.5)
    for wrong, words in (
        ({"last_epochs": 0}, "at least 1 epoch"), ({"rewind": -1}, "0 epochs of training on, or more"),
        ({"floor": float("nan")}, "floor is a number"),
    ):  # fmt: skip
        with pytest.raises(PrunescopeError, match=words):
            Course(**wrong)
    with pytest.raises(PlanError, match="by hand alone"):
        steps_of(mlp, Plan(mlp.dense.name, "l1", picks=(Pick(mlp.dense.groups[0].name, 0, True),)), Course())
