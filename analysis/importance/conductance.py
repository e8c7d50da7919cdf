"""The criterion from Captum: how much of the answer flows through each channel."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from analysis.datasets import Split
from analysis.errors import CriterionError
from analysis.importance.signals import channels_last, output_channels, signal_node
from analysis.network import Network
from analysis.tasks import Task, true_outputs

Progress = Callable[[float], None]
STEPS = 8


def conductance(network: Network, task: Task, split: Split, progress: Progress) -> dict[str, Tensor]:
    """Mean |conductance| of each channel towards the true answer (Dhamdhere et al. 2019).

    Integrated gradients through the channel, from a zero input, with `STEPS` steps.
    """
    from captum.attr import LayerConductance  # slow to import, and most workers never need it

    if not split.inputs.is_floating_point():
        raise CriterionError("Conductance follows gradients to the inputs, and tokens have none.")
    module = copy.deepcopy(network.module)  # Captum hooks modules, and the network is shared
    target = true_outputs(task, split.targets)
    scores = {}
    for i, layer in enumerate(network.layers):
        node = signal_node(network, layer.name)
        heard = str(node.target) if node.op == "call_module" else layer.name
        explainer = LayerConductance(module, module.get_submodule(heard))
        with torch.enable_grad():
            values = explainer.attribute(
                split.inputs.clone(), target=target, n_steps=STEPS, internal_batch_size=256
            )
        own = network.module.get_submodule(layer.name)
        channels = output_channels(own)
        # A channel's share of one answer is the sum over its positions; its weight is the mean size.
        values = values.detach().double()
        summed = torch.stack([channels_last(one[None], channels, own).sum(dim=0) for one in values])
        scores[layer.name] = summed.abs().mean(dim=0)
        progress((i + 1) / len(network.layers))
    return scores
