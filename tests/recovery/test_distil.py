"""Distillation: losses by hand and by torch's formula, hints on the channels that are left, what it tends to."""

import math
import re

import pytest
import torch

from analysis.datasets import Dataset, Split
from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.inference import Layout
from analysis.network import node_values
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import masked_twin, prune
from analysis.pruning.selection import Selection, select
from analysis.recovery.distil import (
    Distillation,
    Teacher,
    channels_left,
    distil,
    hint_layers,
    hint_loss,
    mixed_loss,
)
from analysis.recovery.learner import Hint, learner
from analysis.recovery.pruned import Pruned, begin, locks
from analysis.recovery.recipe import Recipe
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module


def _pruned(granularity, ratio=0.5) -> Pruned:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    plan = uniform_plan(network, "l1", granularity, ratio)
    scores = score(network, "l1", data)
    return begin(network, prune(network, plan, scores), select(network, plan, scores), data)


@pytest.fixture(scope="module")
def pruned() -> Pruned:
    return _pruned("channel")


def test_two_classes_by_hand():
    # student (0, ln 9), dense (0, ln 81), temperature 2: probabilities (1/4, 3/4) and (1/10, 9/10)
    outputs, taught = torch.tensor([[0.0, math.log(9)]]), torch.tensor([[0.0, math.log(81)]])
    divergence = 0.1 * math.log(0.1 / 0.25) + 0.9 * math.log(0.9 / 0.75)
    hard = -math.log(0.9)  # at temperature 1 the student gives class 1 a probability of 9/10
    for soft in (0.0, 0.3, 1.0):
        found = mixed_loss(CLASSIFICATION, outputs, taught, torch.tensor([1]), Distillation(2.0, soft))
        assert found.tolist() == pytest.approx([(1 - soft) * hard + soft * 4 * divergence], rel=1e-5)


def test_a_single_output_counts_as_two_logits():
    outputs, taught, targets = (
        torch.tensor([[1.2], [-0.4]]),
        torch.tensor([[0.3], [2.0]]),
        torch.tensor([0, 1]),
    )
    zero = torch.zeros(2, 1)
    wanted = Distillation(3.0, 0.7)
    expected = mixed_loss(
        CLASSIFICATION, torch.cat([zero, outputs], 1), torch.cat([zero, taught], 1), targets, wanted
    )
    assert mixed_loss(BINARY, outputs, taught, targets, wanted).tolist() == pytest.approx(expected.tolist())


def test_regression_is_squared_distance_to_both():
    found = mixed_loss(
        REGRESSION, torch.tensor([[2.0]]), torch.tensor([[5.0]]), torch.tensor([1.0]), Distillation(soft=0.25)
    )
    assert found.tolist() == pytest.approx([0.75 * 1 + 0.25 * 9])


def test_the_soft_loss_is_the_formula_written_out():
    generator = torch.Generator().manual_seed(0)
    outputs, taught = torch.randn((2, 6, 5), generator=generator)
    found = mixed_loss(
        CLASSIFICATION, outputs, taught, torch.zeros(6, dtype=torch.long), Distillation(4.0, 1.0)
    )
    for row, own, other in zip(found.tolist(), outputs.double(), taught.double(), strict=True):
        p, q = (other / 4).exp() / (other / 4).exp().sum(), (own / 4).exp() / (own / 4).exp().sum()
        assert row == pytest.approx(16 * float((p * (p / q).log()).sum()), rel=1e-4)


def test_nothing_is_lost_where_both_answer_alike():
    outputs = torch.randn(4, 3)
    found = mixed_loss(
        CLASSIFICATION, outputs, outputs, torch.zeros(4, dtype=torch.long), Distillation(soft=1.0)
    )
    assert found.abs().max() < 1e-5


def test_hints_by_hand():
    mine = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    theirs = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    # mean square of the dense values: (1 + 9) / 4 = 2.5; squared distances 4 / 2 and 9 / 2
    assert hint_loss(mine, theirs).tolist() == pytest.approx([2 / 2.5, 4.5 / 2.5])


@pytest.mark.parametrize("dropout", [None, 0.5])
def test_hints_compare_the_channels_that_are_left(pruned, dropout):
    """The masked twin holds, in the dense shape, what the pruned network computes."""
    twin = masked_twin(pruned.dense, pruned.selection)
    student = learner(
        pruned.network, Recipe(dropout=dropout), Hint(("conv1", "conv2"), lambda inputs, values: inputs)
    )
    student.module.eval()
    _, inside = student(pruned.fit.inputs)
    nodes = {str(node.target): value for node, value in node_values(twin.module, pruned.fit.inputs).items()}
    for layer, activation, values in zip(("conv1", "conv2"), ("relu1", "relu2"), inside, strict=True):
        left = channels_left(pruned.dense, pruned.selection, layer)
        assert 0 < len(left) < pruned.dense.layer(layer).shape[0]
        assert torch.allclose(values, nodes[activation][:, left], atol=1e-5)
    assert channels_left(pruned.dense, Selection(), "conv1").tolist() == list(range(6))


def test_hints_are_offered_where_values_have_a_row_an_example(pruned):
    assert hint_layers(pruned) == ("conv1", "conv2", "head")


def test_hints_are_refused_where_steps_come_before_examples():
    """Attention lays its steps first, so that a value's rows are steps, not examples."""
    network = from_module("transformer-encoder")
    inputs = BY_NAME["transformer-encoder"].inputs(20)
    examples = Split(inputs, torch.arange(20) % 3, "noise")
    plan = uniform_plan(network, "l1", "weight", 0.3)
    begun = begin(
        network, prune(network, plan), select(network, plan, score(network, "l1")),
        Dataset("noise", CLASSIFICATION, examples, examples),
    )  # fmt: skip
    offered = hint_layers(begun)
    refused = next(layer.name for layer in network.layers if layer.name not in offered)
    assert offered
    with pytest.raises(PrunescopeError, match=re.escape(refused)):
        distil(begun, Recipe(1, 1e-3, batch=8), Distillation(hints=(refused,)))
    (epoch,) = distil(begun, Recipe(1, 1e-3, batch=8, optimiser="adamw"), Distillation(hints=offered))
    assert epoch.number == 1


def test_the_teacher_is_the_dense_network(pruned):
    inputs = pruned.fit.inputs
    expected = node_values(pruned.dense.module, inputs)
    by_name = {str(node.target): value for node, value in expected.items()}
    for hints in ((), ("conv1",)):
        teacher = Teacher(pruned.dense, Layout(8, channels_last=True), hints)
        assert torch.allclose(teacher.answer(inputs), by_name["head"], atol=1e-5)
    assert torch.equal(teacher.inside(inputs)[0], by_name["relu1"])
    other = inputs.clone() + 1
    assert not torch.equal(teacher.answer(other), teacher.answer(inputs))


@pytest.mark.parametrize("hints", [(), ("conv1", "head")])
def test_the_dense_network_is_left_alone_and_the_seed_decides(pruned, hints):
    before = snapshot(pruned.dense.module), snapshot(pruned.network.module)
    recipe, wanted = Recipe(2, 0.02, batch=8), Distillation(hints=hints)
    runs = [[e.now.module.state_dict() for e in distil(pruned, recipe, wanted)] for _ in range(2)]
    assert all(torch.equal(one[key], other[key]) for one, other in zip(*runs, strict=True) for key in one)
    assert same(before[0], snapshot(pruned.dense.module))
    assert same(before[1], snapshot(pruned.network.module))


def test_a_network_that_lost_nothing_has_nothing_to_learn_from_the_soft_loss():
    """Without BatchNorm, whose batches differ from its statistics, the gradient is zero from the first step on."""
    network, data = load(randomise(Mlp()), (5,)), dataset((5,), 3, 40)
    whole = begin(network, network, Selection(), data)
    for epoch in distil(whole, Recipe(2, 0.1, batch=8), Distillation(soft=1.0, hints=("fc1",))):
        assert epoch.train_loss == pytest.approx(0, abs=1e-6)
        for name, value in epoch.now.module.state_dict().items():
            assert torch.allclose(value, network.module.state_dict()[name], atol=1e-4)


def test_removed_weights_stay_zero_with_hints():
    sparse = _pruned("weight", 0.6)
    masks = locks(sparse.dense, sparse.selection)
    for epoch in distil(sparse, Recipe(2, 0.02, batch=8), Distillation(hints=("conv2",))):
        parameters = dict(epoch.now.module.named_parameters())
        assert all(not parameters[name][mask].any() for name, mask in masks.items())


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"temperature": math.inf}, {"temperature": math.nan}, {"soft": 1.1}, {"soft": -0.1},
     {"soft": math.nan}, {"hint_weight": -1.0}, {"hint_weight": math.nan}, {"hint_weight": math.inf}],
)  # fmt: skip
def test_out_of_range_is_refused(wrong):
    with pytest.raises(PrunescopeError):
        Distillation(**wrong)


def test_a_hint_of_no_layer_is_refused_with_those_there_are(pruned):
    with pytest.raises(PrunescopeError, match=r"no layer called 'nope'.*conv1, conv2, head"):
        next(distil(pruned, Recipe(1), Distillation(hints=("conv1", "nope"))))
