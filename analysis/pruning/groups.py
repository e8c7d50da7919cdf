"""Coupled layers: found once per network by following channels, verified, and kept as plain data.

A group's channels run through several modules (a residual stream is written by many convolutions and
read by many more). Each verdict is measured: random channels are removed and the result is compared
with the masked network.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.modules import Recurrent, Split, Take
from analysis.network import Group, Network, Slice, first_line, output_layers, run_with
from analysis.pruning.channels import cut_modules, silent_modules
from analysis.pruning.flow import Flow, Slot, follow

Progress = Callable[[float], None]

TOLERANCE = 1e-5  # of the largest output
_SINGLES = 6
_EXAMPLES, _FEW_EXAMPLES = 8, 2
_PATIENCE = 2.0  # seconds that judging every group alone may take
_JOINT_DRAWS = 6
_FAILURES = (NetworkError, RuntimeError, IndexError, ValueError, TypeError)
_NORMALISATIONS = (nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def with_groups(network: Network, progress: Progress = lambda share: None) -> Network:
    """The same network with its groups found and verified; `progress` is told the share done."""
    return dataclasses.replace(network, groups=find_groups(network, progress))


def find_groups(network: Network, progress: Progress = lambda share: None) -> tuple[Group, ...]:
    """Every set of coupled layers, in the order of the graph, each with its verdict."""
    try:
        flow = follow(network)
    except Exception as error:  # an operator met in a way that its rule does not know: nothing is prunable
        reason = f"its channels could not be followed ({first_line(error)})"
        return tuple(
            Group(layer.name, (layer.name,), layer.shape[0], verdict="refused", reason=reason)
            for layer in network.layers
        )
    groups = [_group(network, flow, members) for members in _coupled(network, flow)]
    return _verified(network, groups, progress)


def _coupled(network: Network, flow: Flow) -> list[list[str]]:
    """The layers that share a label, in the order of the graph."""
    sets: list[tuple[list[str], set[int]]] = []
    for layer in network.layers:
        labels = {label for label in flow.slots[layer.name, "out", 0] if label >= 0}
        together, apart = [layer.name], []
        for members, known in sets:
            if known & labels:
                together, labels = [*members, *together], labels | known
            else:
                apart.append((members, known))
        sets = [*apart, (together, labels)]
    order = {layer.name: i for i, layer in enumerate(network.layers)}
    found = [sorted(members, key=order.__getitem__) for members, _ in sets]
    return sorted(found, key=lambda members: order[members[0]])


def _group(network: Network, flow: Flow, members: list[str]) -> Group:
    """One group, unverified except for what can be refused at sight."""
    listed = [label for name in members for label in flow.slots[name, "out", 0]]
    labels = list(dict.fromkeys(label for label in listed if label >= 0))
    name, size = members[0], len(labels)
    free = [label for label in labels if label not in flow.reasons]
    if not free:
        reasons = [flow.reasons[label] for label in labels]
        answers = output_layers(network.module)
        heads = [member for member in members if member in answers]
        reason = _answer_reason(heads[0], size) if heads else reasons[0]
        return _refused(name, members, size, reason)
    channel_of = {label: channel for channel, label in enumerate(free)}
    slices = tuple(
        part for slot, held in flow.slots.items() if (part := _slice(slot, held, channel_of)) is not None
    )
    parts = _parts(network, flow, slices)
    unit = _unit(network, flow, members, free)
    if len(free) < 2:
        channels = len(flow.slots[name, "out", 0])
        reason = "it has a single channel" if channels == 1 else _single_reason(name)
        return _refused(name, members, channels, reason)
    if len(parts) >= len(free):
        return _refused(name, members, size, "each of them is all that some other layer reads")
    kept = size - len(free)
    fixed = next((flow.reasons[label] for label in labels if label in flow.reasons), "")
    note = f"{kept} of its {size} {unit}s always stay: {fixed}" if kept else ""
    macs = tuple(flow.products.get(label, 0) for label in free)
    return Group(
        name,
        tuple(members),
        len(free),
        slices,
        reason=note,
        unit=unit,
        product_macs=macs if any(macs) else (),
        parts=parts,
    )


def _slice(slot: Slot, held: list[int], channel_of: dict[int, int]) -> Slice | None:
    entries: list[list[int]] = [[] for _ in channel_of]
    for position, label in enumerate(held):
        if label in channel_of:
            entries[channel_of[label]].append(position)
    module, side, dim = slot
    return Slice(module, side, tuple(tuple(e) for e in entries), dim) if any(entries) else None


def _parts(network: Network, flow: Flow, slices: Sequence[Slice]) -> tuple[tuple[int, ...], ...]:
    """Sets of channels, smaller than the group, that some module holds or hands on alone."""
    found: set[tuple[int, ...]] = set()
    for part in slices:
        module = network.module.get_submodule(part.module)
        ends = [len(flow.slots[part.module, part.side, part.dim])]
        if isinstance(module, Split):
            ends = torch.tensor(module.sizes).cumsum(0).tolist()
        wanted = set(module.positions) if isinstance(module, Take) else None
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            inside = set(range(start, end)) if wanted is None else wanted
            here = [{p for p in positions if p in inside} for positions in part.entries]
            if sum(map(len, here)) == len(inside):  # nothing else keeps it alive
                found.add(tuple(channel for channel, positions in enumerate(here) if positions))
    whole = len(slices[0].entries)
    return tuple(sorted(channels for channels in found if len(channels) < whole))


def _unit(network: Network, flow: Flow, members: list[str], labels: list[int]) -> str:
    if flow.heads & set(labels):
        return "head"
    modules = [network.module.get_submodule(member) for member in members]
    if all(isinstance(module, Recurrent) for module in modules):
        return "hidden unit"
    blocks = [m for m in modules if getattr(m, "groups", 1) > 1]
    if any(int(m.out_channels) != m.groups or m.in_channels != m.groups for m in blocks):  # type: ignore[arg-type]
        return "filter group"
    return "channel"


def _single_reason(name: str) -> str:
    return f"all channels of {name} belong together, so that removing one would remove all"


def _verified(network: Network, groups: Sequence[Group], progress: Progress) -> tuple[Group, ...]:
    """The groups with their verdicts, one by one; those of a slow network first all at once.

    One pair of runs with channels gone from every group clears them all if removed and masked agree, as
    a difference in one of them would reach the answer. If they do not agree, each is judged alone.
    """
    known: dict[str, Group] = {}
    inputs = random_inputs(network, _EXAMPLES)
    if _seconds(network, inputs) * sum(2 * len(_draws(g)) for g in groups if g.is_prunable) > _PATIENCE:
        inputs = inputs[:_FEW_EXAMPLES]
        plain = [group for group in groups if group.is_prunable and not _normalised(network, group)]
        deviation = _joint_deviation(network, plain, inputs) if plain else None
        if deviation is not None:
            known = {group.name: dataclasses.replace(group, deviation=deviation) for group in plain}
    found = []
    for i, group in enumerate(groups):
        found.append(known.get(group.name) or _judged(network, group, inputs))
        progress((i + 1) / len(groups))
    return tuple(found)


def _joint_deviation(network: Network, groups: Sequence[Group], inputs: Tensor) -> float | None:
    """How far removed and masked differ with channels gone from all groups; None if beyond rounding."""
    deviation = 0.0
    sets = [_draws(group, seed=k)[:-1] for k, group in enumerate(groups)]  # all but one would mute all
    for draw in range(_JOINT_DRAWS):
        channels = [(group, own[-1 - draw % len(own)]) for group, own in zip(groups, sets, strict=True)]
        try:
            difference, scale = _difference(network, channels, inputs)
        except _FAILURES:
            return None
        if difference > TOLERANCE * scale:
            return None
        deviation = max(deviation, difference)
    return deviation


def _judged(network: Network, group: Group, inputs: Tensor) -> Group:
    """`group` with its verdict: channels drawn at random, removed against masked, one and many at a time."""
    if not group.is_prunable:
        return group
    deviation, scale = 0.0, 0.0
    try:
        for channels in _draws(group):
            difference, size = _difference(network, [(group, channels)], inputs)
            deviation, scale = max(deviation, difference), max(scale, size)
    except _FAILURES as error:
        reason = f"the smaller network does not run ({first_line(error)})"
        return _refused(group.name, group.members, group.size, reason)
    if deviation <= TOLERANCE * scale:
        return dataclasses.replace(group, deviation=deviation)
    normalised = _normalised(network, group)
    if normalised:
        return dataclasses.replace(
            group,
            verdict="approximate",
            deviation=deviation,
            reason=f"{normalised} normalises over the channels that are left, so its statistics change",
        )
    return _refused(
        group.name,
        group.members,
        group.size,
        f"removing its channels is not the same as silencing them (outputs differ by {deviation:.2g})",
    )


@torch.no_grad()
def _difference(
    network: Network, channels: Sequence[tuple[Group, tuple[int, ...]]], inputs: Tensor
) -> tuple[float, float]:
    """Largest difference between the answers with channels removed and masked; the largest answer."""
    removed = run_with(network, cut_modules(network, channels), inputs)
    masked = run_with(network, silent_modules(network, channels), inputs)
    if not torch.isfinite(removed).all():
        raise NetworkError("it answers NaN with some channels removed")
    return float((removed - masked).abs().max()), float(masked.abs().max())


def _normalised(network: Network, group: Group) -> str:
    """The first module that normalises over the group's channels; empty if none does."""
    for part in group.slices:
        if isinstance(network.module.get_submodule(part.module), _NORMALISATIONS):
            return part.module
    return ""


def _seconds(network: Network, inputs: Tensor) -> float:
    """How long the network takes to answer."""
    start = time.perf_counter()
    with torch.no_grad():
        network.module(inputs)
    return time.perf_counter() - start


def _draws(group: Group, seed: int = 0) -> list[tuple[int, ...]]:
    """Sets of channels to try: the first, the last, some single ones, a third, half, all but one.

    Single channels catch wrong indices that a balanced half hides (chunks in natural order).
    """
    size = group.size
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    singles = {0, size - 1, *order[:_SINGLES]}
    counts = sorted({max(1, size // 3), size // 2, size - 1})
    drawn = [(channel,) for channel in sorted(singles)] + [tuple(sorted(order[:count])) for count in counts]
    spared = {max(part) for part in group.parts}
    return [left for channels in drawn if (left := tuple(c for c in channels if c not in spared))]


def random_inputs(network: Network, count: int = 8) -> Tensor:
    """`count` inputs like the example: normal values, or tokens up to its largest."""
    generator = torch.Generator().manual_seed(0)
    example = network.example_input
    shape = (count, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator)
    return torch.randint(int(example.min()), int(example.max()) + 1, shape, generator=generator)


def _answer_reason(head: str, size: int) -> str:
    outputs = f"the {size} outputs of {head} are" if size > 1 else f"the output of {head} is"
    return f"{outputs} the network's answer"


def _refused(name: str, members: Sequence[str], size: int, reason: str) -> Group:
    return Group(name, tuple(members), size, verdict="refused", reason=reason)
