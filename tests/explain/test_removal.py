"""Insertion and deletion curves: closed forms of linear networks, slow loops, and what must hold of any curve."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.errors import AttributionError, NetworkError
from analysis.explain.removal import Curves, curves, of_ratios, order, random_order, worth
from analysis.network import Network
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION, settled
from analysis.tracing import trace
from tests.explain import nets
from tests.networks import same, snapshot

LOGITS = settled(CLASSIFICATION, torch.tensor([[2.0, -1.0, 3.0]]))
EMPTY = torch.tensor([0.5, -1.0, 0.0, 2.0, 0.3, -0.2])


def _linear(examples: int = 9) -> tuple[Network, Tensor, Tensor]:
    """A linear network, inputs, and what each feature contributes to the change from EMPTY."""
    network = nets.linear()
    inputs, _ = nets.examples(network, examples)
    return network, inputs, network.module.get_submodule("0").weight.detach() * (inputs - EMPTY)


def test_a_linear_network_loses_its_change_share_by_share():
    network, inputs, parts = _linear()
    judged = worth(network, REGRESSION, inputs, torch.zeros(9), EMPTY)
    total = parts.sum(dim=1)
    assert torch.equal(judged.direction, total.sign().double())
    toward = parts * total.sign()[:, None]
    positions = order(toward)
    found = curves("deletion", judged, inputs, EMPTY, positions)
    size = float(total.abs().mean())
    for row in range(9):
        left = sorted(toward[row].tolist(), reverse=True)
        expected = [sum(left[k:]) / size for k in range(7)]
        assert found.values[row].tolist() == pytest.approx(expected, abs=1e-5)
        area = sum((expected[k] + expected[k + 1]) / 2 / 6 for k in range(6))
        assert float(found.areas[row]) == pytest.approx(area, abs=1e-5)
    assert found.shares.tolist() == pytest.approx([k / 6 for k in range(7)])
    assert float(found.values[:, 0].mean()) == pytest.approx(1, abs=1e-6)


def test_no_order_beats_the_true_one_on_a_linear_network():
    network, inputs, parts = _linear(1)
    judged = worth(network, REGRESSION, inputs, torch.zeros(1), EMPTY)
    true = order(parts * judged.direction[:, None])
    every = torch.tensor(list(itertools.permutations(range(6))))
    repeated = inputs.expand(len(every), -1)

    judge = worth(network, REGRESSION, repeated, torch.zeros(len(every)), EMPTY)
    for way, best, worst in (("deletion", "min", "max"), ("insertion", "max", "min")):
        areas = curves(way, judge, repeated, EMPTY, every).areas
        found = float(curves(way, judged, inputs, EMPTY, true).areas)
        reverse = float(curves(way, judged, inputs, EMPTY, true.flip(1)).areas)
        assert found == pytest.approx(float(getattr(areas, best)()), abs=1e-5)
        assert reverse == pytest.approx(float(getattr(areas, worst)()), abs=1e-5)
        assert abs(found - reverse) > 0.1


def test_all_orders_together_lose_a_linear_networks_change_evenly():
    """What a random order is worth on average: the straight line."""
    network, inputs, _ = _linear(1)
    every = torch.tensor(list(itertools.permutations(range(6))))
    repeated = inputs.expand(len(every), -1)
    judged = worth(network, REGRESSION, repeated, torch.zeros(len(every)), EMPTY)
    found = curves("deletion", judged, repeated, EMPTY, every)
    assert found.values.mean(dim=0).tolist() == pytest.approx([1 - k / 6 for k in range(7)], abs=1e-5)
    assert float(found.areas.mean()) == pytest.approx(1 / 2, abs=1e-5)


def test_the_interval_of_shares_is_that_of_a_ratio_of_means():
    """Cochran 1977, equation 6.13, without the finite-population correction."""
    part, whole = torch.rand(2, 50, generator=torch.Generator().manual_seed(0)).double() + 0.2
    ratio = float(part.sum() / whole.sum())
    variance = sum((a - ratio * b) ** 2 for a, b in zip(part.tolist(), whole.tolist(), strict=True)) / 49
    expected = (variance / 50) ** 0.5 / float(whole.mean())
    found = of_ratios(part / whole.mean(), whole / whole.mean())
    assert float(found.mean()) == pytest.approx(ratio)
    assert float(found.std() / 50**0.5) == pytest.approx(expected)
    assert torch.equal(of_ratios(part, torch.ones(50)), part)


def test_the_share_kept_of_full_inputs_is_known_exactly():
    network, inputs, _ = _linear()
    judged = worth(network, REGRESSION, inputs, torch.zeros(9), EMPTY)
    assert float(judged.weights.mean()) == pytest.approx(1)
    assert of_ratios(judged.compute(inputs), judged.weights).tolist() == pytest.approx([1] * 9)


def test_areas_follow_the_trapezoid_rule():
    by_hand = Curves(
        torch.tensor([0.0, 0.25, 1.0]).double(),
        torch.tensor([[1.0, 0.5, 0.1], [0, 0, 1]]).double(),
        torch.ones(2).double(),
    )
    assert by_hand.areas.tolist() == pytest.approx([0.25 * 0.75 + 0.75 * 0.3, 0.75 * 0.5])


def _slow(
    network: Network, inputs: Tensor, empty: Tensor, positions: Tensor, steps: int, way: str, says
) -> np.ndarray:
    """Petsiuk et al. 2018, algorithm in words: one example, one step and one position at a time."""
    result = []
    count = positions.shape[1]
    for row, example in enumerate(inputs):
        background = empty.expand_as(example)
        start, goal = (example, background) if way == "deletion" else (background, example)
        line = []
        for step in range(steps + 1):
            mixed = start.clone()
            for position in positions[row, : round(step * count / steps)].tolist():
                if example.dim() == 3:
                    y, x = divmod(position, example.shape[2])
                    mixed[:, y, x] = goal[:, y, x]
                else:
                    mixed[position] = goal[position]
            with torch.no_grad():
                line.append(says(network.module(mixed[None])[0], row))
        result.append(line)
    return np.array(result)


@pytest.mark.parametrize("way", ["deletion", "insertion"])
@pytest.mark.parametrize("steps", [7, 20])
def test_the_curves_of_images_are_those_of_a_slow_loop(way, steps):
    network = nets.convolutional()
    inputs, targets = nets.examples(network, 5)
    maps = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(8))
    empty = torch.tensor([0.3, -0.7])[:, None, None]
    positions = torch.argsort(maps.sum(dim=1).flatten(1), dim=1, descending=True)
    assert torch.equal(order(maps), positions)
    judged = worth(network, LOGITS, inputs, targets, empty)
    found = curves(way, judged, inputs, empty, positions, steps=steps)
    expected = _slow(
        network, inputs, empty, positions, steps, way,
        lambda outputs, row: float(torch.softmax(outputs, 0)[targets[row]]),
    )  # fmt: skip
    assert np.abs(found.values.numpy() - expected).max() < 1e-5
    assert np.ptp(expected) > 0.1


def test_a_binary_networks_answer_is_worth_the_probability_of_the_true_class():
    network = nets.linear()
    inputs, _ = nets.examples(network, 6)
    targets = torch.tensor([0, 1, 0, 1, 0, 1])
    judged = worth(network, settled(BINARY, torch.tensor([[-3.0]])), inputs, targets, EMPTY)
    ones = torch.sigmoid(network.module(inputs)[:, 0].detach())
    expected = torch.where(targets == 1, ones, 1 - ones)
    assert judged.compute(inputs).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert judged.direction.tolist() == [1] * 6


def test_tokens_are_replaced_by_the_empty_one():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    network = trace(module, torch.zeros(1, 5, dtype=torch.long), "words")
    inputs = torch.randint(1, 9, (4, 5), generator=torch.Generator().manual_seed(1))
    targets, positions = torch.tensor([0, 1, 2, 1]), random_order(4, 5)
    judged = worth(network, LOGITS, inputs, targets, torch.tensor(0))
    found = curves("deletion", judged, inputs, torch.tensor(0), positions)
    expected = _slow(
        network, inputs, torch.tensor(0), positions, 5, "deletion",
        lambda outputs, row: float(torch.softmax(outputs, 0)[targets[row]]),
    )  # fmt: skip
    assert np.abs(found.values.numpy() - expected).max() < 1e-5


def test_insertion_is_deletion_in_the_opposite_order_read_backwards():
    network = nets.reused()
    inputs, targets = nets.examples(network, 12)
    positions = random_order(12, 6, seed=5)
    judge = worth(network, LOGITS, inputs, targets, EMPTY)
    inserted = curves("insertion", judge, inputs, EMPTY, positions)
    deleted = curves("deletion", judge, inputs, EMPTY, positions.flip(1))
    assert torch.allclose(inserted.values, deleted.values.flip(1), atol=1e-6)
    assert torch.allclose(inserted.values[:, -1], judge.compute(inputs), atol=1e-6)
    assert torch.allclose(inserted.values[:, 0], judge.compute(EMPTY.expand_as(inputs)), atol=1e-6)


def test_orders_put_larger_values_first_and_ties_at_random():
    maps = torch.tensor([[0.0, 2, 0, -1, 0, 5, 0]]).repeat(50, 1)
    found = order(maps, seed=3)
    assert torch.equal(found, order(maps, seed=3))
    assert (found[:, :2] == torch.tensor([5, 1])).all()
    assert (found[:, -1] == 3).all()
    ties = found[:, 2:6]
    assert (ties.sort(dim=1).values == torch.tensor([0, 2, 4, 6])).all()
    assert len(ties.unique(dim=0)) > 10


def test_random_orders_are_permutations_that_repeat():
    found = random_order(30, 11, seed=2)
    assert (found.sort(dim=1).values == torch.arange(11)).all()
    assert torch.equal(found, random_order(30, 11, seed=2))
    assert not torch.equal(found, random_order(30, 11, seed=3))
    assert len(found.unique(dim=0)) == 30


def test_nothing_is_modified_and_progress_may_end_it():
    network = nets.convolutional()
    inputs, targets = nets.examples(network, 3)
    before, given = snapshot(network.module), inputs.clone()
    judge = worth(network, LOGITS, inputs, targets, torch.tensor(0.0))
    shares: list[float] = []
    curves("insertion", judge, inputs, torch.tensor(0.0), random_order(3, 144), progress=shares.append)
    assert same(before, snapshot(network.module))
    assert torch.equal(inputs, given)
    assert shares == sorted(shares) and shares[-1] == 1

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        curves("deletion", judge, inputs, torch.tensor(0.0), random_order(3, 144), progress=stop)


def test_a_value_that_never_changes_is_refused():
    network = nets.linear()
    with torch.no_grad():
        network.module.get_submodule("0").weight.zero_()
    inputs, _ = nets.examples(network, 4)
    with pytest.raises(AttributionError, match="linear answers the same"):
        worth(network, REGRESSION, inputs, torch.zeros(4), EMPTY)


def test_answers_that_are_no_numbers_are_refused():
    network = nets.linear(3)
    inputs, targets = nets.examples(network, 4)
    judged = worth(network, LOGITS, inputs, targets, EMPTY)
    with pytest.raises(NetworkError, match="linear answers NaN or infinity"):
        judged.compute(inputs / 0)
