"""Why a channel stays or goes: every branch, from plans that are really carried out."""

from dataclasses import replace

import pytest
import torch

from analysis.errors import CriterionError, PlanError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.inside.channel import Effect, Rank, rank
from analysis.inside.channel_activity import Twin
from analysis.inside.decision import Decision, decide, sentence
from analysis.measure.quality import Interval
from analysis.network import by_output
from analysis.pruning.plan import Cut, Pick, Plan, make_plan, targets
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.tasks import ACCURACY, LOSS, R2
from tests.networks import ConvNet, architecture, load, randomise
from tests.pruning.test_awkward_groups import Halves
from tests.zoo.opened import from_module


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5), "conv")


@pytest.fixture(scope="module")
def scores():
    """Channel c of conv1 scores c: it ranks 6 - c of 6."""
    return Scores("bn-scale", "conv", {"conv1": torch.arange(6.0), "conv2": torch.arange(8.0)})


def plan_of(ratio=0.0, removed=(), kept=(), target="conv1"):
    picks = [Pick(target, c, True) for c in removed] + [Pick(target, c, False) for c in kept]
    return Plan("conv", "bn-scale", (Cut(target, "channel", ratio),), tuple(picks))


BY = "by BatchNorm scale"
CASES = {
    "dense": (plan_of(), 2, f"Kept: the plan removes nothing yet; it ranks 4 of 6 {BY}."),
    "no cut here": (
        plan_of(0.5, target="conv2"), 2,
        f"Kept: the plan cuts no channels of this group by rank; it ranks 4 of 6 {BY}.",
    ),
    "another picked": (
        plan_of(removed=(1,)), 2,
        f"Kept: the plan cuts no channels of this group by rank; it ranks 4 of 6 {BY}.",
    ),
    "another kept": (plan_of(kept=(1,)), 2, f"Kept: the plan removes nothing yet; it ranks 4 of 6 {BY}."),
    "removed": (plan_of(0.5), 2, f"Removed: it ranks 4 of 6 {BY}, and the plan takes the 3 least important."),
    "removed alone": (
        plan_of(1 / 6), 0, f"Removed: it ranks 6 of 6 {BY}, and the plan takes the least important one.",
    ),
    "kept": (plan_of(0.5), 3, f"Kept: it ranks 3 of 6 {BY}, and the plan takes only the 3 least important."),
    "less than one": (
        plan_of(0.05), 0, f"Kept: it ranks 6 of 6 {BY}, and the plan's cut of this group is less than one channel.",
    ),
    "the last": (
        plan_of(1.0), 5,
        "Kept: its score would not save it, but it is the best channel of this group, and one of them must stay.",
    ),
    "by hand, without a cut": (
        plan_of(removed=(4,)), 4, f"Removed by hand: it ranks 2 of 6 {BY}, and without that the plan would keep it.",
    ),
    "by hand against the cut": (
        plan_of(0.5, removed=(4,)), 4,
        f"Removed by hand: it ranks 2 of 6 {BY}, and without that the plan would keep it.",
    ),
    "by hand with the cut": (
        plan_of(0.5, removed=(1,)), 1,
        f"Removed by hand, and without that the plan would take it too: it ranks 5 of 6 {BY}.",
    ),
    "kept against the cut": (
        plan_of(0.5, kept=(1,)), 1, f"Kept by hand: it ranks 5 of 6 {BY}, and without that the plan would take it.",
    ),
    "kept with the cut": (
        plan_of(0.5, kept=(4,)), 4,
        f"Kept by hand, and without that the plan would keep it too: it ranks 2 of 6 {BY}.",
    ),
    "kept by hand alone": (
        plan_of(kept=(4,)), 4, f"Kept by hand, and without that the plan would keep it too: it ranks 2 of 6 {BY}.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_decision_in_words(net, scores, case):
    plan, channel, expected = CASES[case]
    decision = decide(net, plan, scores, "conv1", channel)
    assert sentence(decision, ACCURACY) == expected
    assert decision.removed == (channel in select(net, plan, scores).channels.get("conv1", ()))
    without_hand = select(net, replace(plan, picks=()), scores).channels.get("conv1", ())
    assert decision.by_cut == (channel in without_hand)


def test_a_refused_group(net, scores):
    decision = decide(net, plan_of(0.5), scores, "head", 0)
    assert (decision.cause, decision.removed, decision.rank) == ("refused", False, None)
    text = sentence(decision, ACCURACY)
    assert text.startswith("Kept: this group keeps its channels, as ") and "are the network's answer" in text


def test_the_last_of_a_part():
    net = load(randomise(Halves(8)), (1, 9, 9), "halves")
    (target,) = [group.name for group in net.groups if group.parts]
    values = torch.tensor([0.0, 3, 1, 2, 10, 11, 12, 13])  # the first half is the least important
    scores = Scores("apoz", "halves", {target: values})
    plan = make_plan(net, "apoz", "channel", {target: 0.5})
    found = [decide(net, plan, scores, target, c) for c in range(8)]
    assert [d.removed for d in found] == [True, False, True, True, True, False, False, False]
    assert [d.cause for d in found] == ["cut", "last", *["cut"] * 6]
    assert sentence(found[1], ACCURACY) == (
        "Kept: its score would not save it, but it is the best channel of channels 0, 1, 2, 3, which some layer "
        "reads alone, and one of them must stay."
    )
    assert sentence(replace(found[1], part=tuple(range(6))), ACCURACY).count("0, 1, 2, 3…, which") == 1


def test_a_plan_without_cuts_needs_no_scores(net):
    plan = plan_of(removed=(4,))
    assert sentence(decide(net, plan, None, "conv1", 4), ACCURACY) == "Removed by hand."
    assert sentence(decide(net, plan_of(kept=(4,)), None, "conv1", 4), ACCURACY) == "Kept by hand."
    assert (
        sentence(decide(net, plan_of(), None, "conv1", 4), ACCURACY) == "Kept: the plan removes nothing yet."
    )
    assert sentence(decide(net, plan, None, "conv1", 3), ACCURACY) == (
        "Kept: the plan cuts no channels of this group by rank."
    )


def test_a_criterion_that_does_not_rank_the_group(net):
    partial = Scores("bn-scale", "conv", {"conv2": torch.arange(8.0)})
    assert sentence(decide(net, plan_of(removed=(4,)), partial, "conv1", 4), ACCURACY) == "Removed by hand."
    with pytest.raises(CriterionError):
        decide(net, plan_of(0.5), partial, "conv1", 4)


def test_plans_that_do_not_fit(net, scores):
    with pytest.raises(PlanError, match="for the network 'other'"):
        decide(net, replace(plan_of(0.5), network="other"), scores, "conv1", 0)


@pytest.mark.parametrize("name", ["resnet", "cnn", "mlp"])
def test_decisions_agree_with_the_pruned_network(name):
    net = architecture(name)[1]
    scores = score(net, "l1")
    for ratio in (0.3, 1.0):
        ratios = dict.fromkeys(targets(net, "channel"), ratio)
        plan = replace(
            make_plan(net, "l1", "channel", ratios), picks=(Pick(targets(net, "channel")[0], 0, False),)
        )
        smaller = prune(net, plan, scores)
        for target in targets(net, "channel"):
            group = net.group(target)
            found = [decide(net, plan, scores, target, c) for c in range(group.size)]
            left = by_output(smaller.module.get_submodule(target), smaller.weight(target)).shape[0]
            assert sum(not d.removed for d in found) == left
            for channel, d in enumerate(found):
                assert d.rank == rank(scores, net, target, channel)
                assert d.cause == ("hand" if plan.pick_of(target, channel) else d.cause)
                assert not (d.removed and d.cause == "last")


@pytest.mark.parametrize("with_channels", [False, True])
def test_weights_set_to_zero_are_counted(net, with_channels):
    scores = score(net, "l1")
    cuts = (Cut("conv2", "weight", 0.4), *([Cut("conv1", "channel", 0.5)] if with_channels else []))
    plan = Plan("conv", "l1", cuts)
    smaller, counted = prune(net, plan, scores), 0
    for channel in range(8):
        d = decide(net, plan, scores, "conv2", channel)
        kernel = smaller.weight("conv2")[channel]
        assert (d.zeros, d.weights) == (int((kernel == 0).sum()), kernel.numel())
        assert d.cause == "no cut" and not d.removed
        counted += d.zeros
        words = (
            f"; the plan sets {d.zeros} of its {d.weights} weights to zero" if d.zeros else "by L1 magnitude."
        )
        assert words in sentence(d, ACCURACY)
    assert counted == int((smaller.weight("conv2") == 0).sum()) > 0
    first = decide(net, plan, scores, "conv1", 0)
    assert first.zeros == 0 and "to zero" not in sentence(first, ACCURACY)


def test_weights_of_all_members_are_counted():
    net = architecture("small resnet")[1]
    scores, group = score(net, "l1"), net.group("conv1")
    plan = Plan(net.name, "l1", tuple(Cut(member, "weight", 0.5) for member in group.members))
    smaller = prune(net, plan, scores)
    for channel in range(group.size):
        d = decide(net, plan, scores, "conv1", channel)
        rows = [smaller.weight(member)[channel] for member in group.members]
        assert (d.zeros, d.weights) == (sum(int((r == 0).sum()) for r in rows), sum(r.numel() for r in rows))


def test_a_removed_channel_says_nothing_of_its_weights(net):
    plan = Plan("conv", "l1", (Cut("conv2", "weight", 0.4),), (Pick("conv2", 3, True),))
    d = decide(net, plan, score(net, "l1"), "conv2", 3)
    assert (d.removed, d.zeros, d.weights) == (True, 0, 0)


def test_heads_are_called_heads():
    net = from_module("vit-separate")
    group = next(group for group in net.groups if group.unit == "head")
    plan = make_plan(net, "l1", "channel", {group.name: 1 / group.size})
    d = [decide(net, plan, score(net, "l1"), group.name, c) for c in range(group.size)]
    assert sum(x.removed for x in d) == 1 and {x.unit for x in d} == {"head"}
    kept = next(x for x in d if not x.removed)
    assert sentence(kept, ACCURACY, twin=Twin(2, -0.99)).endswith(
        "; head 2 says nearly the opposite (-0.99)."
    )


# ---- clauses

BASE = Decision(True, "cut", Rank("l1", 29, 32), taken=10)
NOTHING = "changes nothing that can be measured"
LEAD = "Removed: it ranks 29 of 32 by L1 magnitude, and the plan takes the 10 least important"


def moved(value, low, high, changed: int | None = 3):
    return Effect(0.9, 0.9 + value, Interval(value, low, high), changed, 450)


@pytest.mark.parametrize(
    ("effect", "metric", "words"),
    [
        (moved(-0.002, -0.005, -0.001), ACCURACY, "costs 0.2 points of accuracy (95% interval 0.1 to 0.5)"),
        (moved(0.012, 0.001, 0.02), ACCURACY, "gains 1.2 points of accuracy (95% interval 0.1 to 2.0)"),
        (moved(-0.002, -0.005, 0.0), ACCURACY, f"{NOTHING} (-0.5 to 0.0 points of accuracy at 95%)"),
        (moved(-0.0021, -0.0052, 0.001), ACCURACY, f"{NOTHING} (-0.5 to +0.1 points of accuracy at 95%)"),
        (moved(0.0, -0.001, 0.012, None), R2, f"{NOTHING} (-0.001 to +0.012 of R² at 95%)"),
        (moved(-0.0001, -0.0003, 0.0001), ACCURACY, f"{NOTHING} (0.0 to 0.0 points of accuracy at 95%)"),
        (moved(-0.0131, -0.02, -0.001, None), R2, "costs 0.013 of R² (95% interval 0.001 to 0.020)"),
        (moved(0.0131, 0.001, 0.02, None), R2, "gains 0.013 of R² (95% interval 0.001 to 0.020)"),
        (moved(0.0131, 0.001, 0.02), LOSS, "costs 0.013 of Loss (95% interval 0.001 to 0.020)"),
        (moved(-0.0131, -0.02, -0.001), LOSS, "gains 0.013 of Loss (95% interval 0.001 to 0.020)"),
    ],
)  # fmt: skip
def test_the_effect_in_words(effect, metric, words):
    assert sentence(BASE, metric, effect=effect) == f"{LEAD}; removing it alone {words}."


def test_an_effect_that_is_unknown_is_not_given_as_a_number():
    text = sentence(BASE, R2, effect=moved(float("nan"), float("nan"), float("nan"), None))
    assert text == f"{LEAD}; what removing it alone costs cannot be told in R²."


def test_an_effect_without_any_changed_answer():
    text = sentence(BASE, ACCURACY, effect=moved(0.0, -0.01, 0.01, changed=0))
    assert text == f"{LEAD}; removing it alone changes no answer."


@pytest.mark.parametrize(
    ("twin", "goes", "words"),
    [
        (Twin(7, 0.974), False, "; channel 7 says nearly the same (0.97)"),
        (Twin(7, 0.974), True, "; channel 7, which goes too, says nearly the same (0.97)"),
        (Twin(7, -0.95), False, "; channel 7 says nearly the opposite (-0.95)"),
        (Twin(7, 0.9), False, "; channel 7 says nearly the same (0.90)"),
        (Twin(7, 0.899), False, ""),
        (Twin(7, -0.5), True, ""),
        (None, False, ""),
    ],
)
def test_the_twin_in_words(twin, goes, words):
    assert sentence(BASE, ACCURACY, twin=twin, twin_goes=goes) == f"{LEAD}{words}."


def test_all_clauses_together():
    decision = Decision(False, "cut", Rank("l1", 3, 32), taken=10, zeros=1200, weights=2304)
    text = sentence(decision, ACCURACY, effect=moved(-0.002, -0.005, -0.001), twin=Twin(7, 0.97), silent=True)
    assert text == (
        "Kept: it ranks 3 of 32 by L1 magnitude, and the plan takes only the 10 least important; the plan sets 1,200 "
        "of its 2,304 weights to zero; it says the same on every example looked at; removing it alone costs 0.2 "
        "points of accuracy (95% interval 0.1 to 0.5); channel 7 says nearly the same (0.97)."
    )
