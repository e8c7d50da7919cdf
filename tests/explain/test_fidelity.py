"""Infidelity and max-sensitivity: linear networks, where the truth is known, and slow sums from the paper."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.datasets import Split
from analysis.explain import fidelity
from analysis.explain.fidelity import RADIUS, Subject, infidelity, sensitivity
from analysis.network import Network
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION, Task, settled
from analysis.tracing import trace
from tests.explain import nets
from tests.networks import same, snapshot

LOGITS = settled(CLASSIFICATION, torch.tensor([[2.0, -1.0, 3.0]]))
EMPTY = torch.tensor([0.5, -1.0, 0.0, 2.0, 0.3, -0.2])


def _subject(
    network: Network,
    task: Task,
    maps: Tensor,
    inputs: Tensor,
    targets: Tensor,
    *,
    empty: Tensor = EMPTY,
    local: bool = True,
    signed: bool = True,
) -> Subject:
    return Subject(network, task, Split(inputs, targets, "noise"), maps, empty, signed, local)


def _gradients(network: Network, inputs: Tensor, targets: Tensor | None, progress=None) -> Tensor:
    return nets.gradients(network, inputs, targets)


def test_the_gradient_of_a_linear_network_foresees_everything():
    network = nets.linear(3)
    inputs, targets = nets.examples(network, 7)
    gradient = nets.gradients(network, inputs, targets)
    by_reaction = _subject(network, LOGITS, gradient, inputs, targets)
    by_share = _subject(network, LOGITS, gradient * (inputs - EMPTY), inputs, targets, local=False)
    assert infidelity(by_reaction).abs().max() < 1e-10
    assert infidelity(by_share).abs().max() < 1e-10
    mistaken = _subject(network, LOGITS, gradient, inputs, targets, local=False)
    assert infidelity(mistaken).min() > 0.01


def test_a_single_output_is_turned_around_for_class_0_as_its_signed_maps_are():
    network = nets.linear()
    inputs, _ = nets.examples(network, 6)
    targets = torch.tensor([0, 1, 0, 1, 0, 1])
    turned = nets.gradients(network, inputs, None) * torch.where(targets == 0, -1, 1)[:, None]
    task = settled(BINARY, torch.tensor([[-3.0]]))
    assert infidelity(_subject(network, task, turned, inputs, targets)).abs().max() < 1e-10
    regression = _subject(network, REGRESSION, turned.abs() * 0 + turned[1], inputs, targets.float())
    assert infidelity(regression).abs().max() < 1e-10


def _every_removal(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """All 64 subsets of six features, for each example."""
    every = torch.tensor(list(itertools.product([False, True], repeat=6)))
    return every.repeat(len(inputs) // 64, 1)


@pytest.mark.parametrize("local", [True, False])
def test_infidelity_is_the_papers_sum_over_all_removals(monkeypatch, local):
    monkeypatch.setattr(fidelity, "_random_removals", _every_removal)
    network = nets.reused()
    inputs, targets = nets.examples(network, 5)
    maps = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(4))
    found = infidelity(_subject(network, LOGITS, maps, inputs, targets, local=local), removals=64)
    with torch.no_grad():
        for row in range(5):
            said, real = [], []
            for subset in itertools.product([0.0, 1.0], repeat=6):
                gone = torch.tensor(subset)
                left = inputs[row] * (1 - gone) + EMPTY * gone
                change = inputs[row] - left if local else gone
                said.append(float((change * maps[row]).sum()))
                outputs = network.module(torch.stack([inputs[row], left]))[:, targets[row]]
                real.append(float(outputs[0] - outputs[1]))
            said, real = np.array(said), np.array(real)
            scale = (said * real).mean() / (said**2).mean()
            expected = ((scale * said - real) ** 2).mean() / (real**2).mean()
            assert float(found[row]) == pytest.approx(expected, abs=1e-4)
            assert 0.05 < expected < 0.999


def test_neither_the_size_of_maps_nor_that_of_answers_counts():
    network = nets.reused()
    inputs, targets = nets.examples(network, 6)
    maps = nets.gradients(network, inputs, targets)
    found = infidelity(_subject(network, LOGITS, maps, inputs, targets))
    larger = infidelity(_subject(network, LOGITS, 1000 * maps, inputs, targets))
    assert torch.allclose(found, larger, atol=1e-9)
    head = network.module.get_submodule("head")
    with torch.no_grad():
        head.weight.mul_(50), head.bias.mul_(50)
    louder = infidelity(_subject(network, LOGITS, maps, inputs, targets))
    assert torch.allclose(found, louder, atol=1e-4)


def test_an_empty_map_foresees_nothing_and_a_constant_network_asks_nothing():
    network = nets.reused()
    inputs, targets = nets.examples(network, 4)
    empty = _subject(network, LOGITS, torch.zeros_like(inputs), inputs, targets)
    assert infidelity(empty).tolist() == [1] * 4
    with torch.no_grad():
        network.module.get_submodule("head").weight.zero_()
    assert infidelity(_subject(network, LOGITS, inputs, inputs, targets)).isnan().all()


def test_images_lose_squares_that_fit_and_reach_everywhere():
    inputs = torch.zeros(400, 3, 6, 9)
    gone = fidelity._random_removals(inputs, torch.Generator().manual_seed(0))
    assert gone.shape == (400, 1, 6, 9)
    sides = set()
    for mask in gone[:, 0]:
        rows, columns = torch.where(mask)
        height, width = (int(v.max() - v.min()) + 1 for v in (rows, columns))
        assert height == width and int(mask.sum()) == height * width
        sides.add(height)
    assert sides == {1, 2, 3}
    assert gone.any(dim=0).all()
    one = fidelity._random_removals(torch.zeros(5, 1, 1, 4), torch.Generator().manual_seed(0))
    assert one.flatten(1).sum(dim=1).tolist() == [1] * 5


def test_removals_repeat_and_progress_is_told():
    network = nets.convolutional()
    inputs, targets = nets.examples(network, 6)
    before = snapshot(network.module)
    maps = nets.gradients(network, inputs, targets)
    subject = _subject(network, LOGITS, maps, inputs, targets, empty=torch.tensor(0.0))
    shares: list[float] = []
    found = infidelity(subject, seed=1, progress=shares.append)
    assert torch.equal(found, infidelity(subject, seed=1))
    assert not torch.equal(found, infidelity(subject, seed=2))
    assert shares == sorted(shares) and shares[-1] == 1
    assert same(before, snapshot(network.module))


@pytest.mark.parametrize("local", [True, False])
def test_tokens_can_be_removed(local):
    """Each token adds a value of its own, and the map says exactly how much more than the empty one."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(9, 1), nn.Flatten(), nn.Linear(5, 1))
    network = trace(module, torch.zeros(1, 5, dtype=torch.long), "words")
    inputs = torch.randint(1, 9, (4, 5), generator=torch.Generator().manual_seed(1))
    values = network.module.get_submodule("0").weight.detach()[:, 0]
    maps = (values[inputs] - values[0]) * network.module.get_submodule("2").weight.detach()
    subject = _subject(network, REGRESSION, maps, inputs, torch.zeros(4), empty=torch.tensor(0), local=local)
    assert infidelity(subject).abs().max() < 1e-10


def test_the_gradient_of_a_linear_network_never_moves():
    network = nets.linear(3)
    inputs, targets = nets.examples(network, 7)
    subject = _subject(network, LOGITS, inputs, inputs, targets)
    assert sensitivity(subject, _gradients, examples=5).tolist() == [0] * 5


@pytest.mark.parametrize("make", [nets.smooth, nets.convolutional])
def test_max_sensitivity_is_the_largest_move_of_the_nudged_maps(make):
    network = make()
    inputs, targets = nets.examples(network, 6)
    subject = _subject(network, LOGITS, inputs, inputs, targets)
    asked: list[Tensor] = []

    def explain(network: Network, given: Tensor, targets: Tensor | None, progress=None) -> Tensor:
        asked.append(given)
        return nets.gradients(network, given, targets)

    found = sensitivity(subject, explain, examples=4, nudges=5)
    original, nudged = asked
    assert torch.equal(original, inputs[:4])
    nudged = nudged.reshape(4, 5, *inputs.shape[1:])
    axis = 0 if inputs.dim() == 2 else (0, 2, 3)
    limit = RADIUS * inputs.std(dim=axis, correction=0, keepdim=True)
    moves = (nudged - inputs[:4, None]).abs()
    assert (moves <= limit[:, None] + 1e-6).all()
    assert moves.max() > 0.9 * limit.min()
    for row in range(4):
        map_ = nets.gradients(network, inputs[row : row + 1], targets[row : row + 1])
        distances = [
            float((nets.gradients(network, near[None], targets[row : row + 1]) - map_).norm() / map_.norm())
            for near in nudged[row]
        ]
        assert float(found[row]) == pytest.approx(max(distances), rel=1e-4)
        assert max(distances) > min(distances) > 0
    assert torch.equal(found, sensitivity(subject, explain, examples=4, nudges=5))


def test_a_value_is_explained_without_a_class():
    network = nets.linear()
    inputs, _ = nets.examples(network, 3)
    asked: list[Tensor | None] = []

    def explain(network: Network, given: Tensor, targets: Tensor | None, progress=None) -> Tensor:
        asked.append(targets)
        return given**2

    found = sensitivity(_subject(network, REGRESSION, inputs, inputs, torch.zeros(3)), explain)
    assert asked == [None, None]
    assert found.shape == (3,) and (found > 0).all()
