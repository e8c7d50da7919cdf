"""From a smaller network back to the dense shapes: its values, and its scores, where the dense network has them.

Training is done on the physically smaller network, which is faster and needs no lock for silent channels; what
is removed next is chosen and cut in the dense network's terms, so that every step's selection is one of it.
Where each value came from is found by cutting copies whose values are their own positions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from analysis.importance.scores import Scores
from analysis.network import Network, by_output, from_graph
from analysis.pruning.channels import cut_modules, private, write_weight
from analysis.pruning.selection import Selection


def lifted(dense: Network, network: Network, selection: Selection) -> Network:
    """A network of the dense shapes with the values of `network`, which is `selection` removed from it.

    What is gone has the dense network's values, so that removing at least `selection` from it gives `network`,
    or a part of it, bit for bit.
    """
    places = _places(dense, selection)
    module = copy.deepcopy(dense.module)
    state = module.state_dict()  # shares memory with the module
    for name, value in network.module.state_dict().items():
        place = places.get(name)
        if place is None:
            state[name].copy_(value)
        else:
            whole = state[name].flatten()
            whole[place] = value.flatten()
            state[name].copy_(whole.reshape(state[name].shape))
    return replace(from_graph(dense.name, module, dense.example_input), groups=dense.groups)


def lifted_scores(dense: Network, selection: Selection, scores: Scores) -> Scores:
    """Scores of the smaller network (`selection` removed) in the shapes of the dense one; what is gone has 0."""
    channels = [(dense.group(name), gone) for name, gone in selection.channels.items()]
    numbered = {}
    for layer in dense.layers:
        module = private(dense.module.get_submodule(layer.name))
        write_weight(module, torch.arange(layer.connections, dtype=torch.float64).reshape(layer.shape))
        numbered[layer.name] = module
    smaller = numbered | cut_modules(dense, channels, numbered)
    values = {}
    for name, found in scores.values.items():
        left = smaller[name].weight
        assert isinstance(left, Tensor)
        if found.shape == left.shape:  # a score for each weight
            whole = found.new_zeros(dense.layer(name).connections)
            whole[left.detach().flatten().long()] = found.flatten()
            values[name] = whole.reshape(dense.layer(name).shape)
        else:
            count = len(output_positions(dense, name))
            kept = torch.ones(count, dtype=torch.bool)
            kept[sorted(outputs_gone(dense, selection, name))] = False
            whole = found.new_zeros(count)
            whole[kept] = found
            values[name] = whole
    return replace(scores, values=values)


def gone_first(dense: Network, selection: Selection, scores: Scores) -> Scores:
    """Scores in the dense shapes, with minus infinity for all that makes a channel that is gone."""
    values = dict(scores.values)
    for name, found in values.items():
        gone = sorted(outputs_gone(dense, selection, name))
        if not gone:
            continue
        whole = found.flatten().clone()
        per_channel = found.shape != dense.layer(name).shape
        whole[gone if per_channel else output_positions(dense, name)[gone].flatten()] = -torch.inf
        values[name] = whole.reshape(found.shape)
    return replace(scores, values=values)


def output_positions(dense: Network, layer: str) -> Tensor:
    """The positions of a layer's flat weights that make each output channel, (channels, weights of each)."""
    positions = torch.arange(dense.layer(layer).connections).reshape(dense.layer(layer).shape)
    return by_output(dense.module.get_submodule(layer), positions).flatten(1)


def outputs_gone(dense: Network, selection: Selection, layer: str) -> set[int]:
    """The output channels of a layer that go with the channels of a selection."""
    gone: set[int] = set()
    for name, channels in selection.channels.items():
        for part in dense.group(name).slices:
            if part.module == layer and part.side == "out":
                gone |= part.positions(channels)
    return gone


def _places(dense: Network, selection: Selection) -> Mapping[str, Tensor]:
    """For each value of a module that lost channels, by its name in the state: where the dense network has it."""
    channels = [(dense.group(name), gone) for name, gone in selection.channels.items()]
    names = {part.module for group, _ in channels for part in group.slices}
    numbered = {name: _numbered(dense.module.get_submodule(name)) for name in names}
    places = {}
    for name, module in cut_modules(dense, channels, numbered).items():
        for key, value in module.state_dict().items():
            places[f"{name}.{key}"] = value.detach().flatten().long()
    return places


def _numbered(module: nn.Module) -> nn.Module:
    """A copy whose values are their own positions; in double precision these are exact."""
    twin = private(module)
    for name, value in module.named_parameters(recurse=False):
        twin._parameters[name] = nn.Parameter(_positions(value), requires_grad=False)
    for name, buffer in module.named_buffers(recurse=False):
        twin._buffers[name] = _positions(buffer)
    return twin


def _positions(value: Tensor) -> Tensor:
    return torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape)
