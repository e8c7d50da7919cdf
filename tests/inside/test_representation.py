"""Linear CKA: the estimator against its definition, and what it must and must not notice."""

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import DataError
from analysis.importance.signals import signal_node
from analysis.inside.representation import BATCH, Minibatch, cka, minibatches, unbiased_centred
from analysis.inside.values import example_dims
from analysis.network import Network, node_values
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.tracing import trace
from tests.inside.nets import TimeFirst
from tests.networks import ConvNet, Mlp, load, randomise, same, snapshot
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module


def gram(seed: int, n: int, features: int = 3) -> Tensor:
    values = torch.randn(n, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values @ values.T


def features(network: Network, layer: str, inputs: Tensor) -> Tensor:
    node = signal_node(network, layer)
    with torch.no_grad():
        return node_values(network.module, inputs, {node})[node].flatten(1).double()


def hsic(k: Tensor, l: Tensor) -> float:  # noqa: E741 - the paper's names
    """HSIC_1 by the formula of Song et al. 2012, equation 5."""
    n = len(k)
    k, l = k.clone().fill_diagonal_(0), l.clone().fill_diagonal_(0)  # noqa: E741
    one = torch.ones(n, dtype=k.dtype)
    trace = (k @ l).trace()
    product = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return float((trace + product - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3)))


def as_linear(weight: Tensor) -> Network:
    """The network x -> W x, whose only layer says just that."""
    module = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    with torch.no_grad():
        module[0].weight.copy_(weight)
    return trace(module, torch.zeros(1, weight.shape[1]), "linear")


def between(before: Network, after: Network, inputs: Tensor) -> Tensor:
    return cka(list(minibatches(before, after, inputs)))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_centred_products_are_the_u_statistic_over_distinct_examples() -> None:
    n = 7
    k, l = gram(1, n), gram(2, n)  # noqa: E741
    pairs = [(i, j) for i, j in permutations(range(n), 2)]
    triples = list(permutations(range(n), 3))
    fours = list(permutations(range(n), 4))
    first = sum(float(k[i, j] * l[i, j]) for i, j in pairs) / len(pairs)
    second = sum(float(k[i, j] * l[q, r]) for i, j, q, r in fours) / len(fours)
    third = sum(float(k[i, j] * l[i, q]) for i, j, q in triples) / len(triples)
    found = float((unbiased_centred(k) * unbiased_centred(l)).sum()) / (n * (n - 3))
    assert found == pytest.approx(first + second - 2 * third, rel=1e-9)
    assert found == pytest.approx(hsic(k, l), rel=1e-9)


@pytest.mark.parametrize("n", [4, 5, 33])
def test_centred_products_are_the_formula_of_song(n: int) -> None:
    k, l = gram(3, n), gram(4, n)  # noqa: E741
    found = float((unbiased_centred(k) * unbiased_centred(l)).sum()) / (n * (n - 3))
    assert found == pytest.approx(hsic(k, l), rel=1e-9, abs=1e-12)


def test_every_pair_of_layers_is_compared_minibatch_by_minibatch() -> None:
    before, after = load(randomise(Mlp(), 1), (5,)), load(randomise(Mlp(nn.Tanh), 2), (5,))
    inputs = normal(150, 5)
    parts = list(minibatches(before, after, inputs))
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    groups = [order[:75], order[75:]]
    assert [part.examples for part in parts] == [75, 75]
    names = [layer.name for layer in before.layers]
    matrix = cka(parts)
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            sums = [0.0, 0.0, 0.0]
            for group in groups:
                x, y = features(before, one, inputs[group]), features(after, other, inputs[group])
                for place, (k, m) in enumerate(((x, y), (x, x), (y, y))):
                    sums[place] += hsic(k @ k.T, m @ m.T)
            assert float(matrix[i, j]) == pytest.approx(sums[0] / (sums[1] * sums[2]) ** 0.5, abs=1e-6)


def test_with_many_examples_it_is_the_plain_cka_of_kornblith() -> None:
    """The biased formula differs by terms of order 1 / n only."""
    x = normal(127, 4)
    weights = [normal(3, 4, seed=5), normal(5, 4, seed=6)]
    parts = list(minibatches(as_linear(weights[0]), as_linear(weights[1]), x))
    assert len(parts) == 1
    a, b = ((x.double() @ w.double().T) for w in weights)
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    plain = (b.T @ a).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm())
    assert float(cka(parts)) == pytest.approx(float(plain), abs=5 / 127)


@pytest.mark.parametrize(
    ("weight", "is_same"),
    [
        (torch.eye(4), True),
        (3.7 * torch.eye(4), True),
        (torch.linalg.qr(normal(4, 4, seed=8))[0], True),
        (torch.eye(4)[[2, 0, 3, 1]], True),
        (torch.cat([torch.eye(4), torch.zeros(2, 4)]), True),
        (torch.diag(torch.tensor([1.0, 1.0, 1.0, 30.0])), False),
    ],
    ids=["itself", "scaled", "turned", "permuted", "with silent units", "stretched"],
)
def test_turning_and_scaling_are_not_noticed_but_stretching_is(weight: Tensor, is_same: bool) -> None:
    found = float(between(as_linear(torch.eye(4)), as_linear(weight), normal(200, 4)))
    assert found == pytest.approx(1, abs=1e-6) if is_same else found < 0.9


def test_a_network_is_the_same_as_itself_and_as_its_twin_with_channels_in_another_order() -> None:
    module = randomise(ConvNet(), 4)
    network = load(module, (2, 5, 5))
    inputs = normal(40, 2, 5, 5)
    assert between(network, network, inputs).diagonal() == pytest.approx(torch.ones(3), abs=1e-9)
    twin = randomise(ConvNet(), 4)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    with torch.no_grad():
        for parameter in (twin.conv1.weight, twin.conv1.bias, *twin.bn1.parameters()):
            parameter.copy_(parameter[order])
        for buffer in (twin.bn1.running_mean, twin.bn1.running_var):
            buffer.copy_(buffer[order])
        twin.conv2.weight.copy_(twin.conv2.weight[:, order])
    permuted = load(twin, (2, 5, 5))
    assert between(network, permuted, inputs).diagonal() == pytest.approx(torch.ones(3), abs=1e-6)


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_a_plan_that_removes_nothing_changes_nothing(granularity) -> None:
    network = load(randomise(ConvNet(), 5), (2, 5, 5))
    same_network = prune(network, uniform_plan(network, "l1", granularity, 0.0))
    found = between(network, same_network, normal(20, 2, 5, 5))
    assert found.diagonal() == pytest.approx(torch.ones(3), abs=1e-9)
    cut = between(network, prune(network, uniform_plan(network, "l1", granularity, 0.5)), normal(20, 2, 5, 5))
    assert cut.shape == (3, 3) and (cut.diagonal() < 1 - 1e-6).any()


def test_unrelated_representations_are_zero_on_average() -> None:
    """The estimator is unbiased, although each single value is not zero; the plain one is far from it."""
    found = torch.tensor([hsic_of(seed) for seed in range(400)])
    error = float(found.std()) / len(found) ** 0.5
    assert abs(float(found.mean())) < 3.5 * error
    assert error < 0.1


def hsic_of(seed: int) -> float:
    x, y = (unbiased_centred(gram(2 * seed + i, 8, 4)) for i in range(2))
    return float((x * y).sum() / (8 * 5))


def test_a_layer_that_always_says_the_same_has_no_similarity() -> None:
    module = randomise(Mlp(), 6)
    with torch.no_grad():
        module.fc2.weight.zero_()
        module.fc2.bias.fill_(1000.0)
    found = between(load(module, (5,)), load(randomise(Mlp(), 7), (5,)), normal(30, 5))
    assert found[1].isnan().all() and found[2].isnan().all()
    assert not found[0].isnan().any()


def test_similarity_that_is_not_defined_anywhere_is_not_a_number() -> None:
    part = Minibatch(8, torch.zeros(1, 1), torch.zeros(1), torch.ones(1))
    assert cka([part]).isnan().all()


@pytest.mark.parametrize(
    "name", ["gpt", "vit-fused", "lstm", "embedding-tied", "mixer", "textcnn", "unrolled-cell"]
)
def test_values_lie_between_minus_one_and_one_whatever_the_network(name: str) -> None:
    network = from_module(name)
    found = between(network, network, BY_NAME[name].inputs(24))
    own = found.diagonal()
    known = ~own.isnan()
    assert known.any() and own[known] == pytest.approx(torch.ones(int(known.sum())), abs=1e-9)
    assert (found[~found.isnan()].abs() <= 1 + 1e-9).all()


def test_what_does_not_come_example_by_example_is_left_out() -> None:
    network = from_module("gpt")
    nodes = {node.name: node for node in network.module.graph.nodes}
    wanted = {nodes["tokens"], nodes["places"], nodes["chunk_1"]}
    assert example_dims(network, wanted) == {nodes["tokens"]: 0}, "not positions, nor a tuple"


def test_the_dimension_that_counts_examples_is_found() -> None:
    network = trace(randomise(TimeFirst(), 3), torch.zeros(1, 5, 4), "time-first")
    inputs = normal(6, 5, 4)
    nodes = {layer.name: signal_node(network, layer.name) for layer in network.layers}
    dims = example_dims(network, set(nodes.values()))
    assert [dims[nodes[name]] for name in ("first", "second", "third", "head")] == [0, 1, 0, 0]
    alone = [
        cka(list(minibatches(network, network, inputs[order]))) for order in (slice(None), [5, 0, 3, 1, 4, 2])
    ]
    assert torch.allclose(alone[0], alone[1], atol=1e-6), "one minibatch does not care for the order"


def test_examples_sorted_by_class_are_shuffled() -> None:
    inputs = torch.arange(4 * BATCH).float()[:, None].expand(-1, 5) / 100
    network = load(randomise(Mlp(), 1), (5,))
    seen = []
    module = network.module

    def note(_module, given):
        seen.append(given[0].clone())

    handle = module.fc1.register_forward_pre_hook(note)
    try:
        parts = list(minibatches(network, network, inputs))
    finally:
        handle.remove()
    batches = [s for s in seen if len(s) == BATCH]
    assert len(batches) == len(parts) == 4
    assert torch.equal(torch.cat(batches)[:, 0].sort().values, inputs[:, 0])
    assert all(batch[:, 0].max() - batch[:, 0].min() > 2 * BATCH / 100 for batch in batches)


def test_known_minibatches_are_left_out_and_progress_rises_to_one() -> None:
    network = load(randomise(Mlp(), 1), (5,))
    inputs, shares = normal(3 * BATCH + 5, 5), []
    whole = list(minibatches(network, network, inputs, progress=shares.append))
    rest = list(minibatches(network, network, inputs, known=2))
    assert len(whole) == 3 and sum(part.examples for part in whole) == len(inputs)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    assert len(rest) == 1 and torch.equal(rest[0].cross, whole[2].cross)


def test_too_few_examples_are_refused_and_four_are_enough() -> None:
    network = load(randomise(Mlp(), 1), (5,))
    with pytest.raises(DataError, match="at least 4 examples, and there are 3"):
        next(minibatches(network, network, normal(3, 5)))
    assert between(network, network, normal(4, 5)).diagonal() == pytest.approx(torch.ones(3), abs=1e-9)


def test_nothing_is_modified() -> None:
    network = load(randomise(ConvNet(), 1), (2, 5, 5))
    before, inputs = snapshot(network.module), normal(10, 2, 5, 5)
    copy = inputs.clone()
    list(minibatches(network, network, inputs))
    assert same(before, snapshot(network.module)) and torch.equal(inputs, copy)
