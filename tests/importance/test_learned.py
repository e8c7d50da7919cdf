"""Learned criteria: the papers' formulas by hand, planted weights that must grow, shrink, or stay unheard."""

import copy
import math

import pytest
import torch
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.errors import CriterionError
from analysis.importance import CRITERIA, learned, score
from analysis.importance.scores import group_scores
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace
from tests.importance.test_dead_channels import CASES, planted
from tests.networks import ConvNet, Mlp, dataset, load, randomise
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

LEARNED = ("movement", "learned-mask")


def rows(weights, x, y):
    """A linear network with these weights and no bias, and a dataset to learn from."""
    module = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([weights]))
    split = Split(x, y, "rows")
    net = trace(nn.Sequential(module), torch.zeros(1, len(weights)), "line")
    return net, Dataset("rows", REGRESSION, split, split)


def test_the_first_step_of_movement_is_minus_weight_times_gradient(monkeypatch):
    """One batch, once: nothing has moved yet, and the mask lets everything through."""
    monkeypatch.setattr(learned, "EPOCHS", 1)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    y = x @ torch.tensor([2.0, 0.0, 1.0])
    net, data = rows([1.0, -0.5, 3.0], x, y)
    w = torch.tensor([1.0, -0.5, 3.0])
    gradient = 2 * (x.T @ (x @ w - y)) / 20  # of the mean squared error
    torch.testing.assert_close(score(net, "movement", data).values["0"][0], -w * gradient)


def test_the_first_step_of_a_learned_mask_by_hand(monkeypatch):
    """Half of the weights answer; the gradient reaches the scores of all four as if none were masked."""
    monkeypatch.setattr(learned, "EPOCHS", 1)
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    y = torch.randn(20, generator=torch.Generator().manual_seed(1))
    w = torch.tensor([4.0, -1.0, 2.0, -3.0])
    net, data = rows(w.tolist(), x, y)
    s, shown = w / 4, w * torch.tensor([1.0, 0.0, 0.0, 1.0])  # the largest two in size
    gradient = w * (2 * (x.T @ (x @ shown - y)) / 20) * s.sign()
    stepped = s - 0.1 * gradient / gradient.square().mean().sqrt()
    torch.testing.assert_close(score(net, "learned-mask", data).values["0"][0], stepped.abs())


def slow_movement(module, data, seed):
    """Hard movement pruning, straight from the paper, with Adam written out; for `Mlp`, in evaluation mode."""
    twin = copy.deepcopy(module)
    layers = {name: twin.get_submodule(name) for name in ("fc1", "fc2", "head")}
    scores = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
    values = {name: value.detach().clone() for name, value in twin.named_parameters()}
    first = {name: torch.zeros_like(value) for name, value in values.items()}
    second = {name: torch.zeros_like(value) for name, value in values.items()}
    inputs, targets = data.calibration.inputs, data.calibration.targets
    generator = torch.Generator().manual_seed(seed)
    step, batches = 0, math.ceil(len(inputs) / 32)
    for _ in range(8):
        for chosen in torch.randperm(len(inputs), generator=generator).split(32):
            share = 0.5 + 0.5 * (1 - step / (8 * batches)) ** 3
            masks = {}
            for name, found in scores.items():
                count = math.ceil(share * found.numel())
                ranked = sorted(range(found.numel()), key=lambda i: -float(found.flatten()[i]))
                masks[name] = torch.zeros(found.numel())
                masks[name][ranked[:count]] = 1
                masks[name] = masks[name].reshape(found.shape)
            with torch.no_grad():
                for name, value in twin.named_parameters():
                    layer, _, kind = name.partition(".")
                    value.copy_(values[name] * masks[layer] if kind == "weight" else values[name])
            twin.zero_grad()
            nn.functional.cross_entropy(twin(inputs[chosen]), targets[chosen]).backward()
            step += 1
            for name, value in twin.named_parameters():
                layer, _, kind = name.partition(".")
                gradient = value.grad
                if kind == "weight":
                    scores[layer] = scores[layer] - values[name] * gradient
                    gradient = gradient * masks[layer]
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                mean, variance = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
                values[name] = values[name] - 1e-4 * mean / (variance.sqrt() + 1e-8)
    return scores


def test_movement_against_the_paper_written_out():
    module, data = randomise(Mlp()), dataset((5,), 3, 80)
    found = score(trace(module, torch.zeros(1, 5), "tiny"), "movement", data, seed=3).values
    for name, expected in slow_movement(module, data, 3).items():
        torch.testing.assert_close(found[name], expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_weight_that_must_grow_one_that_must_shrink_and_one_that_is_not_heard():
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    x[:, 2] = 0
    net, data = rows([1.0, 1.0, 1.0], x, 2 * x[:, 0])
    grows, shrinks, unheard = score(net, "movement", data).values["0"][0].tolist()
    assert grows > 0 > shrinks and unheard == 0


def test_a_mask_learns_which_inputs_the_answer_needs():
    """The two largest weights read noise and end below the two that answer, which by size come last."""
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    net, data = rows([1.2, 1.1, 1.0, 1.0], x, x[:, 2] + x[:, 3])
    scores = score(net, "learned-mask", data).values["0"][0].tolist()
    assert max(scores[:2]) < min(scores[2:])


@pytest.mark.parametrize("name", CASES)
def test_channels_that_say_nothing_do_not_move(name):
    net, group, dead, data = planted(name)
    values = group_scores(score(net, "movement", data), net, net.group(group)).tolist()
    assert [values[channel] for channel in dead] == [0] * len(dead)
    assert all(value != 0 for channel, value in enumerate(values) if channel not in dead)


def test_the_mask_and_its_gradient():
    scores = torch.tensor([0.1, 0.5, 0.5, 0.3, 0.0], requires_grad=True)
    mask = learned.straight_through(scores)
    assert mask.tolist() == [0, 1, 1, 1, 0]  # three of five: half, rounded up
    (mask * torch.arange(5.0)).sum().backward()
    assert scores.grad.tolist() == [0, 1, 2, 3, 4]
    assert learned.best(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), 0.5).tolist() == [[1, 1], [0, 0]]
    assert learned.best(torch.arange(4.0), 1.0).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("criterion", LEARNED)
def test_the_random_numbers_of_the_process_are_left_alone(criterion):
    net, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    score(net, criterion, data)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("criterion", LEARNED)
def test_a_layer_of_zeros_is_no_division_by_zero(criterion):
    net, data = rows([0.0, 0.0], torch.ones(12, 2), torch.ones(12))
    assert bool(torch.isfinite(score(net, criterion, data).values["0"]).all())


@pytest.mark.parametrize("criterion", LEARNED)
def test_scores_that_are_no_numbers_are_refused(criterion):
    net, data = rows([1e25, 1e25], torch.full((12, 2), 1e25), torch.ones(12))
    with pytest.raises(CriterionError, match=r"scores of 0 NaN or infinite.*such as l1"):
        score(net, criterion, data)


@pytest.mark.parametrize("criterion", LEARNED)
@pytest.mark.parametrize("name", ["gru-tokens", "vit-fused"])
def test_recurrences_tokens_and_attention_are_scored_weight_by_weight(criterion, name):
    net = from_module(name)
    split = Split(BY_NAME[name].inputs(12), torch.arange(12) % 4, "noise")
    scores = score(net, criterion, Dataset("noise", CLASSIFICATION, split, split))
    assert {layer: tuple(value.shape) for layer, value in scores.values.items()} == {
        layer.name: layer.shape for layer in net.layers
    }


def test_only_movement_is_signed():
    assert [name for name, criterion in CRITERIA.items() if criterion.signed] == ["movement"]
