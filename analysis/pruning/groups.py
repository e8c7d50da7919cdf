"""Coupled layers: found once per network with torch-pruning, verified, and kept as plain data.

A group's channels run through several modules (a residual stream is written by many convolutions and
read by many more). Each verdict is measured: random channels are removed and the result is compared
with the masked network (Fang et al. 2023, "DepGraph", describes the dependency graph).
"""

from __future__ import annotations

import copy
import dataclasses

import torch
import torch_pruning as tp
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.network import (
    LAYER_TYPES,
    Group,
    Network,
    Side,
    Slice,
    called_modules,
    output_layers,
    run_with,
)
from analysis.pruning.channels import SLICEABLE_TYPES, cut_modules, silent_modules

TOLERANCE = 1e-5  # of the largest output
_SINGLES = 6
_NORMALISATIONS = (nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)


def with_groups(network: Network) -> Network:
    """The same network with its groups found and verified."""
    return dataclasses.replace(network, groups=find_groups(network))


def find_groups(network: Network) -> tuple[Group, ...]:
    """Every set of coupled layers, in the order of the graph, each with its verdict."""
    try:
        found = _dependencies(network)
    except Exception as error:
        reason = f"torch-pruning could not follow its channels ({type(error).__name__}: {error})"
        return tuple(
            Group(layer.name, (layer.name,), 0, verdict="refused", reason=reason) for layer in network.layers
        )
    return tuple(_verified(network, group) for group in found)


def _dependencies(network: Network) -> list[Group]:
    """Groups as torch-pruning sees them, unverified except for what can be refused at sight."""
    twin = copy.deepcopy(network.module)
    twin.requires_grad_(True)  # torch-pruning follows gradients
    names = {module: name for name, module in twin.named_modules()}
    order = {name: i for i, (name, _) in enumerate(called_modules(twin))}
    answers = output_layers(network.module)
    with torch.enable_grad():
        graph = tp.DependencyGraph().build_dependency(twin, network.example_input, verbose=False)
    groups: list[Group] = []
    seen: set[str] = set()
    for layer in network.layers:
        if layer.name in seen:
            continue
        module = twin.get_submodule(layer.name)
        if isinstance(module, nn.Embedding) or module not in graph.module2node:
            seen.add(layer.name)
            groups.append(
                _refused(layer.name, (layer.name,), 0, f"a {layer.type} has no output channels to remove yet")
            )
            continue
        pruner = graph.get_pruner_of_module(module)
        size = pruner.get_out_channels(module)
        raw = graph.get_pruning_group(module, pruner.prune_out_channels, list(range(size)))
        slices, members, foreign = [], [], []
        for i, (dependency, indices) in enumerate(raw):
            target = dependency.target.module
            if target not in names:
                continue  # additions, concatenations: they hold nothing to slice
            name = names[target]
            entries: list[list[int]] = [[] for _ in range(size)]
            for root, index in zip(raw[i].root_idxs, indices, strict=True):
                entries[root].append(index)
            side: Side = "out" if graph.is_out_channel_pruning_fn(dependency.handler) else "in"
            if not isinstance(target, SLICEABLE_TYPES):
                foreign.append(f"{name} ({type(target).__name__})")
            if side == "out" and isinstance(target, LAYER_TYPES):
                members.append(name)
            slices.append(Slice(name, side, tuple(tuple(e) for e in entries)))
        members = sorted(set(members), key=order.__getitem__)
        seen.update(members)
        heads = [name for name in members if name in answers]
        if heads:
            groups.append(_refused(members[0], members, size, _answer_reason(heads[0], size)))
        elif foreign:
            groups.append(
                _refused(
                    members[0],
                    members,
                    size,
                    f"its channels pass through {foreign[0]}, which cannot be cut yet",
                )
            )
        elif size < 2:
            groups.append(_refused(members[0], members, size, "it has a single channel"))
        else:
            groups.append(Group(members[0], tuple(members), size, _merged(slices)))
    return groups


def _merged(slices: list[Slice]) -> tuple[Slice, ...]:
    """One slice per module and side: a module met along two paths loses the union."""
    merged: dict[tuple[str, str], Slice] = {}
    for part in slices:
        key = (part.module, part.side)
        if key in merged:
            pairs = zip(merged[key].entries, part.entries, strict=True)
            entries = tuple(tuple(sorted(set(a) | set(b))) for a, b in pairs)
            part = Slice(part.module, part.side, entries)
        merged[key] = part
    return tuple(merged.values())


def _verified(network: Network, group: Group) -> Group:
    """`group` with its verdict: channels drawn at random, removed against masked, one and many at a time."""
    if not group.is_prunable:
        return group
    inputs = random_inputs(network)
    deviation, scale = 0.0, 0.0
    try:
        with torch.no_grad():
            for channels in _draws(group.size):
                removed = run_with(network, cut_modules(network, [(group, channels)]), inputs)
                masked = run_with(network, silent_modules(network, [(group, channels)]), inputs)
                if not torch.isfinite(removed).all():
                    raise NetworkError(f"it answers NaN without {len(channels)} channels")
                deviation = max(deviation, float((removed - masked).abs().max()))
                scale = max(scale, float(masked.abs().max()))
    except (NetworkError, RuntimeError, IndexError, ValueError) as error:
        reason = f"the smaller network does not run ({str(error).splitlines()[0]})"
        return _refused(group.name, group.members, group.size, reason)
    if deviation <= TOLERANCE * scale:
        return dataclasses.replace(group, deviation=deviation)
    normalised = [
        part.module
        for part in group.slices
        if isinstance(network.module.get_submodule(part.module), _NORMALISATIONS)
    ]
    if normalised:
        return dataclasses.replace(
            group,
            verdict="approximate",
            deviation=deviation,
            reason=f"{normalised[0]} normalises over the channels that are left, so its statistics change",
        )
    return _refused(
        group.name,
        group.members,
        group.size,
        f"removing its channels is not the same as silencing them (outputs differ by {deviation:.2g})",
    )


def _draws(size: int) -> list[tuple[int, ...]]:
    """Sets of channels to try: the first, the last, some single ones, a third, half, all but one.

    Single channels catch wrong indices that a balanced half hides (chunks in natural order).
    """
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0)).tolist()
    singles = {0, size - 1, *order[:_SINGLES]}
    counts = sorted({max(1, size // 3), size // 2, size - 1})
    return [(channel,) for channel in sorted(singles)] + [tuple(sorted(order[:count])) for count in counts]


def random_inputs(network: Network) -> Tensor:
    """Eight inputs like the example: normal values, or tokens up to its largest."""
    generator = torch.Generator().manual_seed(0)
    example = network.example_input
    shape = (8, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator)
    return torch.randint(int(example.min()), int(example.max()) + 1, shape, generator=generator)


def _answer_reason(head: str, size: int) -> str:
    outputs = f"the {size} outputs of {head} are" if size > 1 else f"the output of {head} is"
    return f"{outputs} the network's answer"


def _refused(name: str, members: list[str] | tuple[str, ...], size: int, reason: str) -> Group:
    return Group(name, tuple(members), size, verdict="refused", reason=reason)
