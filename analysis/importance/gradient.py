"""Criteria from gradients of the loss: first-order Taylor and the empirical Fisher information."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from analysis.datasets import Split
from analysis.network import Network, weight_parameters
from analysis.tasks import Task

Progress = Callable[[float], None]
CHUNK = 32


def taylor(network: Network, task: Task, split: Split, progress: Progress) -> dict[str, Tensor]:
    """|w g|, g the gradient of the mean loss: its first-order change at w = 0 (Molchanov et al. 2017)."""
    weights, frozen = _weights(network), _frozen(network)
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for start in range(0, len(split), CHUNK):
        inputs, targets = split.inputs[start : start + CHUNK], split.targets[start : start + CHUNK]
        with torch.enable_grad():
            leaves = {name: w.clone().requires_grad_(True) for name, w in weights.items()}
            outputs = functional_call(network.module, {**frozen, **keyed(network, leaves)}, (inputs,))
            loss = task.losses(outputs, targets).sum()
            gradients = torch.autograd.grad(loss, list(leaves.values()))
        for name, gradient in zip(leaves, gradients, strict=True):
            totals[name] += gradient
        progress(min(1.0, (start + CHUNK) / len(split)))
    return {name: (weights[name] * total / len(split)).abs() for name, total in totals.items()}


def fisher(network: Network, task: Task, split: Split, progress: Progress) -> dict[str, Tensor]:
    """w² E[g²], g the gradient of one example's loss (Theis et al. 2018, empirical Fisher)."""
    weights, frozen = _weights(network), _frozen(network)
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    def loss_of_one(values: dict[str, Tensor], one: Tensor, target: Tensor) -> Tensor:
        outputs = functional_call(network.module, {**frozen, **keyed(network, values)}, (one[None],))
        return task.losses(outputs, target[None]).sum()

    per_example = vmap(grad(loss_of_one), in_dims=(None, 0, 0))
    for start in range(0, len(split), CHUNK):
        inputs, targets = split.inputs[start : start + CHUNK], split.targets[start : start + CHUNK]
        for name, gradients in per_example(weights, inputs, targets).items():
            totals[name] += gradients.square().sum(dim=0)
        progress(min(1.0, (start + CHUNK) / len(split)))
    return {name: weights[name].square() * total / len(split) for name, total in totals.items()}


def _weights(network: Network) -> dict[str, Tensor]:
    return {layer.name: network.weight(layer.name) for layer in network.layers}


def _frozen(network: Network) -> dict[str, Tensor]:
    """All parameters without gradients: only the layers' weights are differentiated."""
    return {name: value.detach() for name, value in network.module.named_parameters()}


def keyed(network: Network, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that hold the weights, by their full names."""
    return {
        f"{layer}.{name}": value
        for layer, weight in weights.items()
        for name, value in weight_parameters(network.module.get_submodule(layer), weight).items()
    }
