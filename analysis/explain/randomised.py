"""A network that has learned nothing: the same architecture with random weights.

Adebayo et al. 2018, "Sanity checks for saliency maps": the model parameter randomisation test, all layers
at once.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from analysis.explain.methods.noise import seeded
from analysis.network import BATCH_NORM_TYPES, Network

_STATISTICS_EXAMPLES = 256


def randomised(network: Network, inputs: Tensor, *, seed: int = 0) -> Network:
    """`network` with every weight drawn anew; it is not modified itself, and nor is torch's generator.

    Modules are initialised as they are before training (``reset_parameters``). Values of a module that
    cannot do that are drawn from a normal distribution with the mean and standard deviation they have.
    BatchNorm takes its statistics from `inputs`: with the trained ones, or those of a fresh module, the
    signal of a deep network would vanish, and its maps would be empty instead of random.

    Parameters
    ----------
    inputs : Tensor
        (N, ...); the first 256 are used.
    """
    module = copy.deepcopy(network.module)
    with seeded(inputs[:0], seed), torch.no_grad():  # initialisation draws from the global generator
        for child in module.modules():
            _draw(child)
        _take_statistics(module, inputs[:_STATISTICS_EXAMPLES])
    return replace(network, module=module)


def _draw(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for values in module.parameters(recurse=False):
        spread = values.std(correction=0)
        values.copy_(values.mean() + spread * torch.randn(values.shape))


def _take_statistics(module: nn.Module, inputs: Tensor) -> None:
    """Let every BatchNorm's statistics be those of `inputs`, in one pass."""
    norms = [
        child
        for child in module.modules()
        if isinstance(child, BATCH_NORM_TYPES) and child.running_mean is not None
    ]
    if not norms or len(inputs) < 2:
        return
    for norm in norms:
        norm.momentum = None  # the mean of all batches
        norm.train()
    module(inputs)
    for norm in norms:
        norm.eval()
