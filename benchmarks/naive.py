"""What a user would write without Prunescope: copy, prune with a library, evaluate everything."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
import torch_pruning as tp
from torch import nn
from torch.nn.utils import prune as torch_prune

from sample_models.architectures import build
from sample_models.catalog import BY_NAME


def plain_module(name: str, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """A sample network as its author has it: the plain module."""
    module = build(BY_NAME[name].config).eval()
    module.load_state_dict({key: value.clone() for key, value in state.items()})
    return module


def prune_channels(module: nn.Module, example: torch.Tensor, ratios: Mapping[str, float]) -> nn.Module:
    """What torch-pruning's tutorial does, layer by layer."""
    model = copy.deepcopy(module)
    for name, ratio in ratios.items():
        graph = tp.DependencyGraph().build_dependency(model, example, verbose=False)
        target = model.get_submodule(name)
        scores = target.weight.detach().abs().flatten(1).sum(dim=1)
        drop = scores.argsort()[: min(int(ratio * len(scores) + 0.5), len(scores) - 1)].tolist()
        if drop:
            graph.get_pruning_group(
                target, graph.get_pruner_of_module(target).prune_out_channels, drop
            ).prune()
    return model


def prune_weights(module: nn.Module, example: torch.Tensor, ratios: Mapping[str, float]) -> nn.Module:
    """What PyTorch's pruning tutorial does, layer by layer."""
    model = copy.deepcopy(module)
    for name, ratio in ratios.items():
        torch_prune.l1_unstructured(model.get_submodule(name), "weight", ratio)
    return model


@torch.no_grad()
def accuracy(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Batches of 256, as most loops have it."""
    model.eval()
    outputs = torch.cat([model(batch) for batch in inputs.split(256)])
    return float((outputs.argmax(dim=1) == targets).double().mean())
