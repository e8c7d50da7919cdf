"""Block influence against its definition, and the accuracy without each block."""

import pytest
import torch
from torch import Tensor, nn

from analysis.inside.blocks import find_blocks
from analysis.inside.redundancy import influences, skips
from analysis.measure.quality import change, evaluate, quality
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.inside.nets import Chain, Residual
from tests.networks import load, randomise, same, snapshot, split
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module, module


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cosine(one: Tensor, other: Tensor) -> float:
    """Written out, in float64."""
    one, other = one.double().flatten(), other.double().flatten()
    norms = float((one * one).sum()) ** 0.5, float((other * other).sum()) ** 0.5
    if norms == (0.0, 0.0):
        return 1.0
    return float((one * other).sum()) / (norms[0] * norms[1]) if all(norms) else 0.0


def planted() -> Residual:
    """The first block adds nothing."""
    module = randomise(Residual())
    with torch.no_grad():
        module.a2.weight.zero_()
        module.a2.bias.zero_()
    return module


def test_a_block_that_adds_nothing_has_no_influence_and_is_not_missed() -> None:
    network, data = load(planted(), (3,)), split((3,), 3, 90)
    first, second = skips(network, data, CLASSIFICATION)
    assert (first.influence.value, first.influence.low, first.influence.high) == pytest.approx(
        (0, 0, 0), abs=1e-12
    )
    assert first.change.value == 0 and first.change.low <= 0 <= first.change.high
    assert first.quality.value == float(evaluate(network, data, CLASSIFICATION).correct.double().mean())
    assert second.influence.value > 1e-3


def test_influence_of_a_residual_block_is_the_angle_between_what_it_reads_and_gives() -> None:
    module = randomise(Residual(), 2)
    network, inputs = load(module, (3,)), normal(150, 3)
    found = influences(network, find_blocks(network), inputs)
    with torch.no_grad():
        x = torch.relu(module.stem(inputs))
        y = torch.relu(x + module.a2(torch.tanh(module.a1(x))))
        z = torch.relu(module.b2(torch.tanh(module.b1(y))) + y)
    for one, (before, after) in zip(found, [(x, y), (y, z)], strict=True):
        values = [1 - cosine(a, b) for a, b in zip(before, after, strict=True)]
        mean = sum(values) / len(values)
        deviation = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
        assert one.value == pytest.approx(mean, abs=1e-6)
        assert one.high - one.low == pytest.approx(2 * 1.959964 * deviation / len(values) ** 0.5, rel=1e-4)


def test_tokens_count_one_by_one_as_in_the_paper() -> None:
    transformer = module("vit-fused")
    network, inputs = from_module("vit-fused"), BY_NAME["vit-fused"].inputs(9)
    found = influences(network, find_blocks(network), inputs)
    with torch.no_grad():
        x = transformer.embed(inputs)
        expected = []
        for place in range(2):
            norms = transformer.norms1[place], transformer.norms2[place]
            for part, norm in zip(
                (transformer.attentions[place], transformer.mlps[place]), norms, strict=True
            ):
                y = x + part(norm(x))
                angles = [cosine(x[i, t], y[i, t]) for i in range(9) for t in range(x.shape[1])]
                expected.append(1 - sum(angles) / len(angles))
                x = y
    assert [one.value for one in found] == pytest.approx(expected, abs=1e-5)


def test_images_count_whole() -> None:
    blocks = module("resnet-projection")
    network, inputs = from_module("resnet-projection"), BY_NAME["resnet-projection"].inputs(9)
    found = influences(network, find_blocks(network), inputs)
    with torch.no_grad():
        x = torch.relu(blocks.stem(inputs))
        for one, part in zip(found, blocks.blocks, strict=True):
            kept, given = torch.relu(part.shortcut(x)), part(x)
            angles = [cosine(a, b) for a, b in zip(kept, given, strict=True)]
            assert one.value == pytest.approx(1 - sum(angles) / 9, abs=1e-5)
            x = given


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (torch.eye(2), 0.0),
        (5 * torch.eye(2), 0.0),
        (torch.tensor([[0.0, -1.0], [1.0, 0.0]]), 1.0),
        (-torch.eye(2), 2.0),
        (torch.zeros(2, 2), 1.0),
    ],
    ids=["identity", "longer", "right angle", "turned round", "silence"],
)
def test_influence_is_about_direction(matrix: Tensor, expected: float) -> None:
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False), nn.Linear(2, 3))
    randomise(layers)
    with torch.no_grad():
        layers[1].weight.copy_(matrix)
    network = load(layers, (3,))
    (found,) = influences(network, find_blocks(network), normal(40, 3))
    assert found.value == pytest.approx(expected, abs=1e-6)


def test_two_silent_vectors_are_the_same() -> None:
    layers = randomise(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3)))
    with torch.no_grad():
        for layer in (layers[0], layers[2]):
            layer.weight.zero_()
            layer.bias.fill_(-1)
    network = load(layers, (3,))
    (found,) = influences(network, find_blocks(network), normal(10, 3))
    assert found.value == 0


@pytest.mark.parametrize(("task", "outputs"), [(CLASSIFICATION, 3), (BINARY, 1), (REGRESSION, 1)])
def test_the_metric_without_a_block_is_that_of_the_network_written_without_it(task, outputs: int) -> None:
    module = randomise(Residual(), 3)
    module.head = nn.Linear(4, outputs)
    randomise(module, 3)
    network = load(module, (3,))
    data = split((3,), max(2, outputs), 120, task=task)
    dense = evaluate(network, data, task)
    for found, skipped in zip(skips(network, data, task), ("a", "b"), strict=True):
        expected = Residual((skipped,))
        expected.head = nn.Linear(4, outputs)
        expected.load_state_dict(module.state_dict())
        answered = evaluate(load(expected, (3,)), data, dense.task)
        assert found.quality == quality(answered)[task.headline.key]
        assert found.change == change(answered, dense)[task.headline.key]


def test_known_blocks_are_left_out_and_progress_rises_to_one() -> None:
    network, data, shares = load(randomise(Chain()), (3,)), split((3,), 3, 70), []
    whole = list(skips(network, data, CLASSIFICATION, progress=shares.append))
    rest = list(skips(network, data, CLASSIFICATION, known=["fc2"]))
    assert [found.block.name for found in whole] == ["fc2", "down + up"]
    assert rest == whole[1:]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)


def test_without_a_block_nothing_is_found() -> None:
    shares: list[float] = []
    assert list(skips(from_module("mlp"), split((6,), 4, 20), CLASSIFICATION, progress=shares.append)) == []
    assert shares == [1.0]


def test_a_network_that_cannot_do_without_a_block_says_why() -> None:
    """Without the block that keeps values small, they overflow."""
    layers = randomise(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 3)))
    with torch.no_grad():
        layers[0].weight.fill_(1e30)
        layers[1].weight.copy_(1e-30 * torch.eye(2))
        layers[2].weight.copy_(torch.tensor([[1e30, 0], [0, 1e30], [1e30, 1e30]]))
        for layer in layers:
            layer.bias.zero_()
    network = load(layers, (3,))
    (found,) = skips(network, split((3,), 3, 20), CLASSIFICATION)
    assert found.quality is None and found.change is None
    assert "NaN or infinity" in found.reason and found.influence is not None


def test_nothing_is_modified() -> None:
    network, data = load(planted(), (3,)), split((3,), 3, 30)
    before, inputs = snapshot(network.module), data.inputs.clone()
    list(skips(network, data, CLASSIFICATION))
    assert same(before, snapshot(network.module)) and torch.equal(data.inputs, inputs)
