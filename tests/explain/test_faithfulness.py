"""Faithfulness before and after: findings against their parts, pairing, what does not apply."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from analysis.datasets import Split
from analysis.errors import DataError
from analysis.explain.faithfulness import MEASURES, faithfulness, removal_curves
from analysis.explain.fidelity import Subject, infidelity, sensitivity
from analysis.explain.removal import curves, order, random_order, worth
from analysis.measure.quality import mean_interval
from analysis.network import Network
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION, settled
from analysis.tracing import trace
from tests.explain import nets
from tests.networks import same, snapshot

NAMES = [measure.name for measure in MEASURES]


def _gradients(network: Network, inputs: Tensor, targets: Tensor | None, progress=None) -> Tensor:
    return nets.gradients(network, inputs, targets)


def _pair() -> tuple[Network, Network, Split]:
    before, after = nets.reused(), nets.reused()
    with torch.no_grad():
        after.module.get_submodule("fc2").weight[::2] = 0
    return before, after, Split(*nets.examples(before, 30), "noise")


def _found(before, after, task, split, **options):
    arguments = {"empty": 0.0, "signed": True, "local": True, **options}
    return list(faithfulness(before, after, task, split, _gradients, **arguments))


def test_each_measure_is_told_before_and_after_with_its_paired_change():
    before, after, split = _pair()
    found = _found(before, after, CLASSIFICATION, split, seed=4)
    assert [f.measure for f in found] == NAMES
    task = settled(CLASSIFICATION, before.module(split.inputs))
    subjects = [
        Subject(n, task, split, nets.gradients(n, split.inputs, split.targets), torch.tensor(0.0), True, True)
        for n in (before, after)
    ]
    values = {
        "infidelity": [infidelity(s, seed=4) for s in subjects],
        "max-sensitivity": [sensitivity(s, _gradients, seed=4) for s in subjects],
    }
    for way, sign in (("deletion", -1), ("insertion", 1)):
        areas, margins = [], []
        for subject in subjects:
            judge = worth(subject.network, task, split.inputs, split.targets, subject.empty)
            by_map, chance = (
                curves(way, judge, split.inputs, subject.empty, positions).areas
                for positions in (order(subject.maps, seed=4), random_order(30, 6, seed=5))
            )
            emptied = judge.compute(torch.zeros_like(split.inputs))
            change = (judge.compute(split.inputs) - emptied).abs()
            ratio = sign * (by_map - chance).sum() / change.sum()
            areas.append(by_map)
            margins.append(ratio + (sign * (by_map - chance) - ratio * change) / change.mean())
        values[way] = areas
        finding = next(f for f in found if f.measure == way)
        for margin, expected in (
            (finding.before.margin, margins[0]),
            (finding.after.margin, margins[1]),
            (finding.margin_change, margins[1] - margins[0]),
        ):
            whole = mean_interval(expected)
            assert (margin.value, margin.low, margin.high) == pytest.approx(
                (whole.value, whole.low, whole.high)
            )
    for finding in found:
        first, second = values[finding.measure]
        assert finding.before.value == mean_interval(first)
        assert finding.after.value == mean_interval(second)
        assert finding.change == mean_interval(second - first)
        assert finding.examples == len(first)


def test_the_mean_curve_is_the_mean_of_the_curves():
    before, after, split = _pair()
    finding = _found(before, after, CLASSIFICATION, split, steps=4)[0]
    task = settled(CLASSIFICATION, before.module(split.inputs))
    maps = nets.gradients(after, split.inputs, split.targets)
    subject = Subject(after, task, split, maps, torch.tensor(0.0), True, True)
    by_map, chance = removal_curves(subject, "deletion", steps=4)
    for drawn, whole in ((finding.after.curve, by_map), (finding.after.random, chance)):
        assert drawn.shares == tuple(whole.shares.tolist())
        assert [v.value for v in drawn.values] == pytest.approx(whole.values.mean(dim=0).tolist())
        assert [v.high - v.value for v in drawn.values] == pytest.approx(
            (1.959964 * whole.values.std(dim=0) / 30**0.5).tolist()
        )


def test_a_network_compared_with_itself_has_not_changed():
    before, _, split = _pair()
    for finding in _found(before, before, CLASSIFICATION, split):
        assert finding.before == finding.after
        assert (finding.change.low, finding.change.high) == (0, 0)


def test_the_true_order_beats_chance_and_its_opposite_does_not():
    """What a feature contributes to a linear network is known: no order does better."""
    network = nets.linear()
    inputs, _ = nets.examples(network, 40)
    split = Split(inputs, torch.zeros(40), "noise")
    weight = network.module.get_submodule("0").weight.detach()
    for sign in (1, -1):

        def explain(
            network: Network, given: Tensor, targets: Tensor | None, progress=None, sign=sign
        ) -> Tensor:
            return sign * weight * given

        options = {"empty": 0.0, "signed": True, "local": False}
        found = list(faithfulness(network, network, REGRESSION, split, explain, **options))
        for finding in found[:2]:
            assert sign * finding.before.margin.value > 0.05
        full = found[0].before.curve.values[0]
        assert (full.low, full.value, full.high) == pytest.approx((1, 1, 1))
        assert found[2].before.value.value == pytest.approx(0, abs=1e-9)  # scaled to its best, by -1


def test_unsigned_maps_are_not_turned_for_falling_values():
    """f(x) = -|w|·x falls with every input; what matters most is known by size."""
    network = nets.linear()
    with torch.no_grad():
        network.module.get_submodule("0").weight.copy_(-torch.arange(1.0, 7)[None])
    split = Split(torch.ones(4, 6), torch.zeros(4), "ones")
    task = REGRESSION
    gradient = nets.gradients(network, split.inputs, None)
    areas = []
    for maps, signed in ((gradient.abs(), False), (gradient, True)):
        subject = Subject(network, task, split, maps, torch.tensor(0.0), signed, True)
        areas.append(removal_curves(subject, "deletion")[0].areas)
    left = [21, 15, 10, 6, 3, 1, 0]  # of 21, as 6, 5, 4, ... go
    expected = sum((a + b) / 2 / 21 / 6 for a, b in itertools.pairwise(left))
    for area in areas:
        assert area.tolist() == pytest.approx([expected] * 4, abs=1e-6)


def test_known_measures_are_left_out():
    before, after, split = _pair()
    found = _found(before, after, CLASSIFICATION, split, known=["deletion", "infidelity"])
    assert [f.measure for f in found] == ["insertion", "max-sensitivity"]
    whole = _found(before, after, CLASSIFICATION, split)
    assert found == [whole[1], whole[3]]


def test_tokens_are_not_nudged():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    network = trace(module, torch.zeros(1, 5, dtype=torch.long), "words")
    inputs = torch.randint(1, 9, (8, 5), generator=torch.Generator().manual_seed(1))
    split = Split(inputs, torch.tensor([0, 1, 2, 1, 0, 1, 2, 0]), "noise")

    def explain(network: Network, given: Tensor, targets: Tensor | None, progress=None) -> Tensor:
        return given.float()

    found = list(
        faithfulness(network, network, CLASSIFICATION, split, explain, empty=0, signed=True, local=False)
    )
    assert [f.measure for f in found] == NAMES
    assert all(f.before is not None for f in found[:3])
    assert found[3].before is None and "Tokens cannot be nudged" in found[3].note


def test_a_network_that_never_changes_its_answer_has_no_infidelity():
    before, after, split = _pair()
    with torch.no_grad():
        after.module.get_submodule("head").weight.zero_()
    deletion, _, finding, _ = _found(before, after, CLASSIFICATION, split)
    assert finding.before is None and "do not change" in finding.note
    assert deletion.after.margin is None and deletion.margin_change is None
    assert deletion.before.margin is not None and deletion.after.value.value == deletion.after.chance.value


def test_how_sure_a_network_is_does_not_count_for_the_gain():
    """Half of the answer's height at every input: the areas halve, what the map knows does not."""
    network = nets.linear()
    with torch.no_grad():
        network.module.get_submodule("0").weight.mul_(0.01)
    inputs, _ = nets.examples(network, 30)
    split = Split(inputs, torch.ones(30, dtype=torch.long), "noise")
    less = nets.linear()
    with torch.no_grad():
        less.module.get_submodule("0").weight.mul_(0.005)
        less.module.get_submodule("0").bias.copy_(network.module.get_submodule("0").bias)
    for finding in _binary(network, less, split)[:2]:
        areas = [abs(side.value.value - side.chance.value) for side in (finding.before, finding.after)]
        assert areas[1] == pytest.approx(areas[0] / 2, rel=0.02)
        assert finding.after.margin.value == pytest.approx(finding.before.margin.value, rel=0.02)


def _binary(before, after, split):
    def explain(network: Network, given: Tensor, targets: Tensor | None, progress=None) -> Tensor:
        return network.module.get_submodule("0").weight.detach() * given

    return list(faithfulness(before, after, BINARY, split, explain, empty=0.0, signed=True, local=False))


def test_a_binary_network_is_judged_by_both_of_its_classes():
    network = nets.linear()
    inputs, _ = nets.examples(network, 20)
    targets = (torch.arange(20) % 2).long()
    weight = network.module.get_submodule("0").weight.detach()

    def explain(network: Network, given: Tensor, targets: Tensor | None, progress=None) -> Tensor:
        return weight * given * torch.where(targets == 0, -1, 1)[:, None]

    split = Split(inputs, targets, "noise")
    found = list(faithfulness(network, network, BINARY, split, explain, empty=0.0, signed=True, local=False))
    assert found[2].before.value.value == pytest.approx(0, abs=1e-9)
    assert found[0].before.margin.low > 0 and found[1].before.margin.low > 0


def test_one_example_is_too_few():
    before, after, split = _pair()
    with pytest.raises(DataError, match="at least two examples"):
        _found(before, after, CLASSIFICATION, split.take(torch.tensor([0])))


def test_nothing_is_modified_and_progress_may_end_it():
    before, after, split = _pair()
    snapshots, given = [snapshot(n.module) for n in (before, after)], split.inputs.clone()
    generator = torch.get_rng_state()
    shares: list[float] = []
    _found(before, after, CLASSIFICATION, split, progress=shares.append)
    assert all(
        same(*pair) for pair in zip(snapshots, map(snapshot, (before.module, after.module)), strict=True)
    )
    assert torch.equal(split.inputs, given)
    assert torch.equal(torch.get_rng_state(), generator)
    assert shares == sorted(shares) and shares[-1] == 1

    def stop(share: float) -> None:
        if share > 0.5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _found(before, after, CLASSIFICATION, split, progress=stop)
