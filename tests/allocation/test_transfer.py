"""Transfer: ratios by name or by relative depth, read by hand; picks; what takes no part says why."""

import pytest
import torch
from torch import nn

from analysis.allocation.transfer import depth_of, transfer
from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.network import Network
from analysis.pruning.plan import GRANULARITIES, Cut, Pick, Plan, check_plan, make_plan, targets
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from tests.networks import ConvNet, Mlp, architecture, load, randomise, same, snapshot
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module


class Tower(nn.Module):
    """Linear layers of the given widths with ReLU between them; reads (4,)."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        sizes = (4, *widths)
        layers: list[nn.Module] = []
        for i in range(len(widths)):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def tower(*widths: int, name: str = "tower", seed: int = 0) -> Network:
    return load(randomise(Tower(*widths), seed), (4,), name)


def test_networks_built_alike_share_a_plan_by_name() -> None:
    one, other = tower(10, 8, 3, name="one"), tower(10, 8, 3, name="other", seed=1)
    first, second = targets(one, "channel")
    plan = Plan(
        "one", "l1", (Cut(first, "channel", 0.33), Cut("body.2", "weight", 0.71)), (Pick(second, 2, True),)
    )
    found = transfer(plan, one, other, score(other, "l1"))
    assert found.way == "name" and not found.left_out
    assert found.plan == Plan("other", "l1", plan.cuts, plan.picks)


def test_ratios_are_read_at_the_relative_depth() -> None:
    short, long = tower(8, 8, 8, 3, name="short"), tower(100, 100, 100, 100, 100, 100, 3, name="long")
    a, b, c = targets(short, "channel")  # at depths 0, 1/3 and 2/3
    plan = make_plan(short, "l1", "channel", {a: 0.2, c: 0.8})  # b keeps all: 0
    found = transfer(plan, short, long, score(long, "l1"))
    assert found.way == "depth"
    taken = [entry for entry in found.taken if not entry.reason]
    assert [entry.target for entry in taken] == list(targets(long, "channel"))
    assert [entry.depth for entry in taken] == [i / 6 for i in range(6)]
    # by hand: 0 -> 0.2; 1/6 -> halfway to 0; 2/6 -> 0; 3/6 -> halfway to 0.8; 4/6 -> 0.8; 5/6 -> the last
    assert [entry.wanted for entry in taken] == pytest.approx([0.2, 0.1, 0.0, 0.4, 0.8, 0.8])
    assert [entry.sources for entry in taken] == [(a,), (a, b), (b,), (b, c), (c,), (c,)]
    gone = select(long, found.plan, score(long, "l1")).channels
    assert [len(gone.get(entry.target, ())) for entry in taken] == [20, 10, 0, 40, 80, 80]
    (head,) = found.left_out
    assert head.target == "body.12" and "keeps its channels" in head.reason and head.ratio == 0


def test_weights_go_by_depth_too_and_both_kinds_of_cut_go_together() -> None:
    short, long = tower(8, 8, 3, name="short"), tower(8, 8, 8, 8, 3, name="long")
    first, _ = targets(short, "channel")
    cuts = (Cut("body.0", "weight", 0.5), Cut("body.4", "weight", 0.9), Cut(first, "channel", 0.25))
    found = transfer(Plan("short", "l1", cuts), short, long, score(long, "l1"))
    weights = found.plan.ratios_of("weight")
    names = ["body.0", "body.2", "body.4", "body.6", "body.8"]
    assert [weights.get(n, 0.0) for n in names] == pytest.approx([0.5, 0.25, 0.0, 0.45, 0.9])
    channels = [found.plan.ratios_of("channel").get(t, 0.0) for t in targets(long, "channel")]
    assert channels == pytest.approx([0.25, 0.125, 0, 0])


def test_both_ways_agree_on_networks_of_equal_depth() -> None:
    """Networks that differ in their widths alone go by depth, and get the ratios that names would give."""
    one, other = tower(10, 20, 30, 3, name="one"), tower(20, 40, 60, 3, name="other")
    plan = make_plan(one, "l1", "channel", dict(zip(targets(one, "channel"), (0.1, 0.5, 0.9), strict=True)))
    found = transfer(plan, one, other, score(other, "l1"))
    assert found.way == "depth" and found.plan.ratios == plan.ratios


def test_a_plan_carried_to_its_own_network_is_itself() -> None:
    for name in ("resnet", "cnn", "mlp"):
        _, network = architecture(name)
        cuts = {t: (i + 1) / 12 for i, t in enumerate(targets(network, "channel"))}
        plan = make_plan(network, "l1", "channel", cuts)
        assert transfer(plan, network, network, score(network, "l1")).plan == plan


@pytest.mark.parametrize("name", list(BY_NAME))
def test_no_two_targets_stand_at_one_depth(name: str) -> None:
    network = from_module(name)
    for granularity in GRANULARITIES:
        depths = [depth_of(network, target, granularity) for target in targets(network, granularity)]
        assert len(set(depths)) == len(depths) and all(0 <= depth <= 1 for depth in depths)


def test_picks_go_along_to_the_same_group_alone() -> None:
    one, other = tower(10, 8, 3, name="one"), tower(10, 9, 3, name="other")
    first, second = targets(one, "channel")
    plan = Plan("one", "l1", (Cut(first, "channel", 0.2),), (Pick(first, 7, True), Pick(second, 1, False)))
    found = transfer(plan, one, other, score(other, "l1"))
    assert found.plan.picks == (Pick(first, 7, True),)
    account = {entry.target: entry for entry in found.taken}
    assert account[first].picks == 1 and not account[first].reason
    assert "the group is another" in account[second].reason


def test_picks_that_would_leave_nothing_stay_behind() -> None:
    """All but channel 0 go in one network by hand and by its cut; in the other, the cut takes channel 0."""
    one, other = tower(3, 3, name="one"), tower(3, 3, name="other", seed=5)
    (group,) = targets(one, "channel")
    order = select(other, make_plan(other, "l1", "channel", {group: 1 / 3}), score(other, "l1"))
    (lowest,) = order.channels[group]
    others = [c for c in range(3) if c != lowest]
    plan = Plan("one", "l1", (Cut(group, "channel", 1 / 3),), tuple(Pick(group, c, True) for c in others))
    found = transfer(plan, one, other, score(other, "l1"))
    assert not found.plan.picks and found.plan.ratios == {group: pytest.approx(1 / 3)}
    assert "one must stay" in found.taken[0].reason


def test_a_target_that_the_criterion_cannot_rank_takes_no_part() -> None:
    """BatchNorm's scale ranks what a BatchNorm follows; of the receiving network, nothing in the last block."""

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.b = nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 5, 1)
            self.head = nn.Linear(5, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.b(torch.relu(self.norm(self.a(x)))))
            return self.head(x.mean((2, 3)))

    source, network = (
        load(randomise(ConvNet()), (2, 5, 5), "source"),
        load(randomise(Half()), (2, 5, 5), "half"),
    )
    plan = make_plan(source, "bn-scale", "channel", dict.fromkeys(targets(source, "channel"), 0.5))
    found = transfer(plan, source, network, score(network, "bn-scale"))
    account = {entry.target: entry for entry in found.taken}
    first, second = targets(network, "channel")
    assert account[first].ratio == 0.5 and not account[first].reason
    assert account[second].ratio == 0 and "gives no score" in account[second].reason
    assert found.plan.ratios == {first: 0.5}


def test_nothing_that_can_go_along_is_refused_in_words() -> None:
    source = load(randomise(ConvNet()), (2, 5, 5), "source")
    network = load(randomise(Mlp()), (5,), "plain")
    plan = make_plan(source, "l1", "channel", {targets(source, "channel")[0]: 0.001})
    with pytest.raises(PlanError, match="Nothing of this plan of source can go along to plain"):
        transfer(Plan("source", "l1"), source, network, None)
    assert transfer(plan, source, network, score(network, "l1")).plan.network == "plain"


def test_recovered_weights_stay_behind() -> None:
    one, other = tower(10, 3, name="one"), tower(10, 3, name="other", seed=1)
    plan = Plan("one", "l1", (Cut(targets(one, "channel")[0], "channel", 0.5),), (), "a" * 64)
    assert not transfer(plan, one, other, score(other, "l1")).plan.recovered


@pytest.mark.parametrize("granularity", ["channel", "weight"])
@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_network_of_the_zoo_takes_a_plan(name: str, granularity: str) -> None:
    """The deep tower's plan can be carried out, leaves the networks alone, and reads ratios within its own."""
    source = tower(8, 8, 8, 3, name="tower")
    network = from_module(name)
    chosen = dict(zip(targets(source, granularity), (0.3, 0.9, 1.0, 0.4), strict=False))
    plan = make_plan(source, "l1", granularity, chosen)
    before = snapshot(network.module)
    scores = score(network, "l1")
    if not targets(network, granularity):
        with pytest.raises(PlanError, match="Nothing of this plan"):
            transfer(plan, source, network, scores)
        return
    found = transfer(plan, source, network, scores)
    check_plan(found.plan, network)
    prune(network, found.plan, scores)
    assert all(min(chosen.values()) <= e.wanted <= max(chosen.values()) for e in found.taken if not e.reason)
    assert same(before, snapshot(network.module))
