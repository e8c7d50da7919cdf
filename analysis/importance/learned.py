"""Criteria that are learned: the network, or a mask over it, is trained for a moment, and the scores are what came of it.

Both train on calibration examples alone, in evaluation mode (BatchNorm keeps its statistics, nothing is dropped),
with copies of the parameters: the network stays as it is. The order of the batches is drawn from the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import functional_call

from analysis.datasets import Split
from analysis.errors import CriterionError
from analysis.importance.gradient import keyed
from analysis.network import Network
from analysis.tasks import Task

Progress = Callable[[float], None]
EPOCHS = 8
BATCH = 32
RATE = 1e-4  # Adam's, for the weights of movement: no weight moves further than this in a step
SCORE_RATE = 0.1  # how far the scores of a mask move in a step, by their root mean square
KEPT = 0.5  # the share of each layer's weights that the mask lets through in the end


def movement(network: Network, task: Task, split: Split, progress: Progress, seed: int) -> dict[str, Tensor]:
    """S = -Σ w g over the steps of fine-tuning under a mask ("hard movement", Sanh, Wolf & Rush 2020).

    g is the gradient of the batch's mean loss by the weight that is at work, w times its mask, so that a weight
    behind the mask goes on being scored: that is what a score learns (at rate 1, from 0) whose gradient passes straight
    through the mask. Positive: the weight moves away from zero; negative: towards it. The mask lets through the largest
    S of each layer: all weights at first, and down to `KEPT` of them by the paper's cubic schedule. Every parameter
    is fine-tuned by Adam, but for whole numbers.

    Raises
    ------
    CriterionError
        If the fine-tuning diverges.
    """
    weights, others = _weights(network), _others(network)
    learning = [value for value in (*weights.values(), *others.values()) if value.is_floating_point()]
    for value in learning:
        value.requires_grad_(True)
    optimiser = torch.optim.Adam(learning, lr=RATE)
    scores = {name: torch.zeros_like(weight, requires_grad=False) for name, weight in weights.items()}
    for done, batch in _batches(split, progress, seed):
        share = KEPT + (1 - KEPT) * (1 - done) ** 3
        with torch.enable_grad():
            atwork = {name: weight * best(scores[name], share) for name, weight in weights.items()}
            for value in atwork.values():
                value.retain_grad()
            optimiser.zero_grad()
            _loss(network, task, batch, {**others, **keyed(network, atwork)}).backward()
        with torch.no_grad():
            for name, value in atwork.items():
                if value.grad is not None:
                    scores[name] -= weights[name] * value.grad
            optimiser.step()
    return _finite(scores)


def learned_mask(
    network: Network, task: Task, split: Split, progress: Progress, seed: int
) -> dict[str, Tensor]:
    """|s|, s a score per weight, learned so that the layer's `KEPT` share of largest |s| makes do alone.

    The weights are frozen; the forward pass multiplies them by the hard mask, and the backward pass treats the mask
    as |s| itself (Ramanujan et al. 2020, "edge-popup"; the straight-through estimator of Bengio et al. 2013). Scores
    begin as weights over the layer's largest (Sehwag et al. 2020, "HYDRA"). Each step goes down the gradient and
    is `SCORE_RATE` long, by its root mean square, falling to zero: losses of any unit learn alike.

    Raises
    ------
    CriterionError
        If a loss is not finite.
    """
    weights, others = _weights(network), _others(network)
    scores = {name: weight / weight.abs().max().clamp_min(_least(weight)) for name, weight in weights.items()}
    for done, batch in _batches(split, progress, seed):
        with torch.enable_grad():
            leaves = {name: score.clone().requires_grad_(True) for name, score in scores.items()}
            atwork = {name: weights[name] * straight_through(leaf.abs()) for name, leaf in leaves.items()}
            loss = _loss(network, task, batch, {**others, **keyed(network, atwork)})
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        for name, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                size = gradient.square().mean().sqrt().clamp_min(_least(gradient))
                scores[name] = scores[name] - SCORE_RATE * (1 - done) * gradient / size
    return _finite({name: score.abs() for name, score in scores.items()})


def best(scores: Tensor, share: float) -> Tensor:
    """1 at the `share` of largest scores (rounded up; ties go by position), 0 elsewhere."""
    mask = torch.zeros(scores.numel(), dtype=scores.dtype)
    order = torch.argsort(scores.detach().flatten(), descending=True, stable=True)
    mask[order[: math.ceil(share * len(order))]] = 1
    return mask.reshape(scores.shape)


def straight_through(scores: Tensor) -> Tensor:
    """The mask of the `KEPT` share of :func:`best` scores; its gradient is the scores' own."""
    return best(scores, KEPT) + (scores - scores.detach())


def _batches(split: Split, progress: Progress, seed: int) -> Iterator[tuple[float, Split]]:
    """All examples in a new order, `EPOCHS` times, each batch with the share that is done before it."""
    generator = torch.Generator().manual_seed(seed)
    count = -(-len(split) // BATCH)
    for epoch in range(EPOCHS):
        for i, chosen in enumerate(torch.randperm(len(split), generator=generator).split(BATCH)):
            step = epoch * count + i
            yield step / (EPOCHS * count), split.take(chosen)
            progress((step + 1) / (EPOCHS * count))


def _loss(network: Network, task: Task, batch: Split, parameters: dict[str, Tensor]) -> Tensor:
    """The mean loss of a batch with other parameters in the network's place."""
    return task.losses(functional_call(network.module, parameters, (batch.inputs,)), batch.targets).mean()


def _weights(network: Network) -> dict[str, Tensor]:
    """A copy of each layer's weight, by layer."""
    return {layer.name: network.weight(layer.name).clone() for layer in network.layers}


def _others(network: Network) -> dict[str, Tensor]:
    """A copy of every parameter that holds no layer's weight, by its full name."""
    held = keyed(network, _weights(network)).keys()
    return {
        name: value.detach().clone() for name, value in network.module.named_parameters() if name not in held
    }


def _least(values: Tensor) -> float:
    """The smallest number to divide by."""
    return torch.finfo(values.dtype).tiny


def _finite(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, values in scores.items():
        if not torch.isfinite(values).all():
            raise CriterionError(
                f"Training for a moment made the scores of {name} NaN or infinite, so they rank nothing. Choose a "
                "criterion that does not train, such as l1."
            )
    return scores
