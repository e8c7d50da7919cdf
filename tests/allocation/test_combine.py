"""Combining plans: what really goes, against sets counted by hand; laws that every rule keeps."""

from collections import Counter
from itertools import permutations

import pytest
import torch

from analysis.allocation.combine import RULES, combine, criterion_of
from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.network import Network
from analysis.pruning.plan import Cut, Pick, Plan, make_plan, targets
from analysis.pruning.selection import removed_weights, select
from tests.networks import ConvNet, architecture, load, randomise, same, snapshot
from tests.zoo.opened import from_module

RESNET = architecture("resnet")[1]
GROUPS = targets(RESNET, "channel")


def channels(network: Network, plan: Plan) -> dict[str, set[int]]:
    """What really goes by a plan."""
    gone = select(network, plan, score(network, plan.criterion)).channels
    return {target: set(gone.get(target, ())) for target in targets(network, "channel")}


def joined(network: Network, rule: str, *plans: Plan):
    selections = [select(network, plan.as_pruned, score(network, plan.criterion)) for plan in plans]
    return combine(network, plans, selections, rule, score(network, criterion_of(plans)))


def plan_of(criterion: str, *ratios: float, picks: tuple[Pick, ...] = ()) -> Plan:
    made = make_plan(RESNET, criterion, "channel", dict(zip(GROUPS, ratios, strict=False)))
    return Plan(made.network, made.criterion, made.cuts, picks)


PLANS = (
    plan_of("l1", 0.4, 0.2, 0.3, 0.1),
    plan_of("random", 0.4, 0.3, 0.2, 0.3, picks=(Pick(GROUPS[0], 1, True), Pick(GROUPS[1], 0, False))),
    plan_of("bn-scale", 0.2, 0.4, 0.3),
)


def by_hand(rule: str, plans: tuple[Plan, ...]) -> dict[str, set[int]]:
    """Counted channel by channel."""
    sets = [channels(RESNET, plan) for plan in plans]
    found = {}
    for group in RESNET.groups:
        if group.is_prunable:
            counts = [sum(c in one[group.name] for one in sets) for c in range(group.size)]
            enough = {
                "union": lambda n: n > 0,
                "intersection": lambda n: n == len(sets),
                "vote": lambda n: 2 * n > len(sets),
            }[rule]
            found[group.name] = {c for c, n in enumerate(counts) if enough(n)}
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_goes_is_what_was_counted_by_hand(rule: str, count: int) -> None:
    plans = PLANS[:count]
    found = joined(RESNET, rule, *plans)
    assert channels(RESNET, found.plan) == by_hand(rule, plans)
    for entry in found.joined:
        size = RESNET.group(entry.target).size
        assert entry.given == tuple(len(channels(RESNET, p)[entry.target]) / size for p in plans)
        assert entry.share == len(channels(RESNET, found.plan)[entry.target]) / size


@pytest.mark.parametrize("rule", RULES)
def test_a_plan_with_itself_is_itself(rule: str) -> None:
    for plan in PLANS:
        assert joined(RESNET, rule, plan, plan, plan).plan == plan


@pytest.mark.parametrize("rule", RULES)
def test_the_order_does_not_matter(rule: str) -> None:
    found = {joined(RESNET, rule, *order).plan for order in permutations(PLANS)}
    assert len(found) == 1


def test_plans_that_rank_alike_stay_sliders() -> None:
    """Of one criterion the rules are the largest, the smallest and the middle ratio, and nothing is picked."""
    plans = [plan_of("l1", *ratios) for ratios in ((0.2, 0.6), (0.4, 0.0), (0.6, 0.2))]
    for rule, wanted in (("union", (0.6, 0.6)), ("intersection", (0.2, 0.0)), ("vote", (0.4, 0.2))):
        found = joined(RESNET, rule, *plans)
        assert found.plan == plan_of("l1", *wanted) and not found.notes


def test_an_even_vote_needs_more_than_half() -> None:
    plans = [plan_of("l1", ratio) for ratio in (0.2, 0.4, 0.6, 0.8)]
    assert joined(RESNET, "vote", *plans).plan == plan_of("l1", 0.4), "3 of 4 remove as much"


def test_sliders_stand_at_what_goes_and_picks_are_where_the_ranking_differs() -> None:
    found = joined(RESNET, "union", *PLANS)
    gone = channels(RESNET, found.plan)
    for group in (RESNET.group(name) for name in GROUPS):
        ratio = found.plan.ratios.get(group.name, 0.0)
        assert round(ratio * group.size) == len(gone[group.name])
        cut = make_plan(RESNET, found.plan.criterion, "channel", {group.name: ratio})
        differing = channels(RESNET, cut)[group.name] ^ gone[group.name]
        assert {pick.channel for pick in found.plan.picks_of(group.name)} == differing
    assert found.plan.picks and any("picked by hand" in note for note in found.notes)


def test_what_must_stay_stays() -> None:
    """Two plans that each leave one other channel: their union would leave none."""
    network = load(randomise(ConvNet()), (2, 5, 5))
    first, _ = targets(network, "channel")
    size = network.group(first).size
    plans = [
        Plan(network.name, "l1", (), tuple(Pick(first, c, True) for c in range(size) if c != left))
        for left in (1, 4)
    ]
    found = joined(network, "union", *plans)
    (entry,) = found.joined
    assert len(entry.spared) == 1 and entry.spared[0] in (1, 4), "one that fewer plans remove"
    better = max((1, 4), key=lambda c: float(network.weight("conv1")[c].abs().sum()))
    assert entry.spared == (better,) and channels(network, found.plan)[first] == set(range(size)) - {better}
    assert any("stay" in note for note in found.notes)


def test_a_part_that_is_read_alone_keeps_a_channel() -> None:
    network = from_module("uneven-split")
    (group,) = [group for group in network.groups if group.parts]
    part = group.parts[0]
    halves = (part[: len(part) // 2], part[len(part) // 2 :])
    plans = [Plan(network.name, "l1", (), tuple(Pick(group.name, c, True) for c in half)) for half in halves]
    found = joined(network, "union", *plans)
    (entry,) = found.joined
    assert len(entry.spared) == 1
    assert channels(network, found.plan)[group.name] == set(part) - set(entry.spared)


def test_weights_of_one_criterion_go_by_the_rule_on_the_weights_themselves() -> None:
    ratios = ((0.3, 0.8), (0.5, 0.2), (0.7, 0.5))
    layers = [layer.name for layer in RESNET.layers[:2]]
    plans = [make_plan(RESNET, "l1", "weight", dict(zip(layers, r, strict=True))) for r in ratios]
    scores = score(RESNET, "l1")
    masks = [removed_weights(RESNET, select(RESNET, plan, scores)) for plan in plans]
    for rule, needed in (("union", 1), ("intersection", 3), ("vote", 2)):
        found = removed_weights(RESNET, select(RESNET, joined(RESNET, rule, *plans).plan, scores))
        for layer in layers:
            votes = torch.stack([mask[layer] for mask in masks]).sum(dim=0)
            assert torch.equal(found[layer], votes >= needed)


def test_weights_of_several_criteria_go_by_ratio_and_it_is_said() -> None:
    layer = RESNET.layers[0].name
    plans = [make_plan(RESNET, c, "weight", {layer: r}) for c, r in (("l1", 0.2), ("random", 0.6))]
    found = joined(RESNET, "union", *plans)
    assert found.plan == make_plan(RESNET, "l1", "weight", {layer: 0.6})
    assert any("different criteria" in note for note in found.notes)


def test_channels_of_one_plan_and_weights_of_another_go_together() -> None:
    """The criterion is that of the weights, and the channels are still just those of their own plan."""
    layer = RESNET.layers[0].name
    weights = make_plan(RESNET, "random", "weight", {layer: 0.5})
    found = joined(RESNET, "union", PLANS[0], weights).plan
    assert found.criterion == "random" and found.ratios_of("weight") == {layer: 0.5}
    assert channels(RESNET, found.only("channel")) == channels(RESNET, PLANS[0])


def test_the_criterion_is_the_one_most_plans_use() -> None:
    assert criterion_of([PLANS[0], PLANS[1], PLANS[1]]) == "random"
    assert criterion_of(PLANS) == min(p.criterion for p in PLANS)
    assert criterion_of([Plan("resnet", "l2", (), (Pick(GROUPS[0], 0, True),)), PLANS[0]]) == "l1"


def test_recovered_weights_stay_behind_and_it_is_said() -> None:
    recovered = Plan("resnet", "l1", PLANS[0].cuts, (), "a" * 64)
    found = joined(RESNET, "union", recovered, PLANS[0])
    assert found.plan == PLANS[0] and any("recovery" in note for note in found.notes)


def test_nothing_is_modified() -> None:
    before = snapshot(RESNET.module)
    joined(RESNET, "vote", *PLANS)
    assert same(before, snapshot(RESNET.module))


def test_what_cannot_be_combined_is_refused_in_words() -> None:
    scores = score(RESNET, "l1")
    with pytest.raises(PlanError, match="no rule 'sum'"):
        combine(RESNET, PLANS, [], "sum", scores)
    with pytest.raises(PlanError, match="no plans"):
        combine(RESNET, [], [], "union", scores)
    other = Plan("mlp", "l1", (Cut("x", "weight", 0.5),))
    with pytest.raises(PlanError, match="Transfer it first"):
        joined_with(other)


def joined_with(other: Plan):
    return combine(RESNET, [PLANS[0], other], [], "union", score(RESNET, "l1"))


def test_votes_are_counted_as_a_counter_counts() -> None:
    """The same majority by another way of counting."""
    votes = Counter(
        (target, c) for plan in PLANS for target, gone in channels(RESNET, plan).items() for c in gone
    )
    found = channels(RESNET, joined(RESNET, "vote", *PLANS).plan)
    assert {(t, c) for t, gone in found.items() for c in gone} == {key for key, n in votes.items() if n >= 2}
