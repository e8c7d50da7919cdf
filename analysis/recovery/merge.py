"""Merging: what a removed channel said is said by the channel left that is most like it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.errors import PrunescopeError
from analysis.network import Slice, by_output, out_dim, weight_of
from analysis.recovery.lockstep import Mended, Progress, mend_layers
from analysis.recovery.meeting import Meeting, by_row, mean_by_channel
from analysis.recovery.patches import some_rows
from analysis.recovery.pruned import Pruned

_ROWS = 2**14  # positions that correlations are measured on, at most
_TINY = 1e-12

_Part = tuple[Slice, tuple[int, ...]]  # what a layer reads of a group, and the group's channels that are gone


@dataclass(frozen=True)
class Merging:
    """How many examples correlations are measured on; `seed` draws positions where there are many."""

    examples: int = 1024
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Likeness:
    """For each removed channel: which of the channels left says it best, and how.

    A removed channel r is taken for ``slopes[r] * (channel best[r] of those left)`` plus a constant.
    """

    best: Tensor
    slopes: Tensor


def merge(pruned: Pruned, settings: Merging = Merging(), progress: Progress = lambda share: None) -> Mended:
    """Fold each removed channel into its most correlated survivor, in every layer that read it.

    After Kim et al. 2020 ("Neuron merging"), who scale what a neuron reads; here the activations are compared as
    the reading layer meets them, behind activation and BatchNorm, so that no activation function need be linear.
    With the regression slope s of the removed activation on the survivor's, the layer's weights of the removed
    channel, times s, are added to those of the survivor, and what is left of the mean goes into its bias or the
    BatchNorm after it. Activations of the removed channel are the dense network's, those of the survivor are the
    ones here. Where a layer has room for no constant, the slope is that of a line through 0.

    Raises
    ------
    PrunescopeError
        If no channel was removed.
    """
    if not any(pruned.selection.channels.values()):
        raise PrunescopeError("This plan removes no channel, so that there is none to merge into another.")
    readers: dict[str, list[_Part]] = {}
    for name, gone in pruned.selection.channels.items():
        for part in pruned.dense.group(name).slices:
            if part.side == "in" and part.positions(gone):
                readers.setdefault(part.module, []).append((part, gone))
    return mend_layers(
        pruned,
        settings.examples,
        lambda meeting: _folded(meeting, readers[meeting.name], settings.seed),
        progress,
        among=readers,
    )


def likeness(removed: Tensor, left: Tensor, *, centred: bool = True) -> Likeness:
    """The most correlated of the channels `left` (rows, channels) for each one `removed` (rows, channels).

    Correlation is Pearson's, by size: a survivor that always says the opposite is as good. Not `centred`, both
    are taken about 0. A channel that does not vary is like none: its slope is 0.
    """
    removed, left = removed.double(), left.double()
    if centred:
        removed, left = removed - removed.mean(0), left - left.mean(0)
    products = removed.T @ left
    sizes, mine = (left**2).sum(0), (removed**2).sum(0)
    scale = _TINY * max(float(sizes.max()), float(mine.max()), _TINY)
    alive = sizes > scale
    strength = torch.where(alive, products**2 / sizes.clamp_min(scale), 0.0)  # correlation^2, times removed^2
    best = strength.argmax(1)
    slopes = torch.where(alive, products / sizes.clamp_min(scale), 0.0).gather(1, best[:, None])[:, 0]
    return Likeness(best, torch.where(mine > scale, slopes, 0.0))


def _folded(meeting: Meeting, parts: list[_Part], seed: int) -> dict[str, nn.Module]:
    """The reading layer with the removed channels of each part folded into those that are left."""
    before, after = (by_row(meeting.original, read) for read in (meeting.original_inputs, meeting.inputs))
    place = {position: i for i, position in enumerate(meeting.kept_inputs.tolist())}
    old = by_output(meeting.original, weight_of(meeting.original).detach())[meeting.kept_outputs]
    new = by_output(meeting.module, weight_of(meeting.module).detach()).clone()
    for part, gone in parts:
        taken = set(gone)
        for length in sorted({len(part.entries[channel]) for channel in gone} - {0}):
            # channels that are flattened hold as many positions each; only channels alike are compared
            alike = [c for c, entries in enumerate(part.entries) if len(entries) == length]
            removed = torch.tensor([part.entries[c] for c in alike if c in taken])
            left = [[place[p] for p in part.entries[c]] for c in alike if c not in taken]
            if not left:
                continue
            stays = torch.tensor(left)
            rows = some_rows(len(before), max(1, _ROWS // length), seed)
            found = likeness(
                before[rows][:, removed].movedim(1, 2).flatten(0, 1),
                after[rows][:, stays].movedim(1, 2).flatten(0, 1),
                centred=meeting.takes_constant,
            )
            for source, target, slope in zip(removed, stays[found.best], found.slopes, strict=True):
                new[:, target] += slope.to(new.dtype) * old[:, source]
    weight = new.movedim(0, out_dim(meeting.module))
    if meeting.lock is not None:
        weight = weight.masked_fill(meeting.lock, 0)
    changed = meeting.with_values(weight)
    if not meeting.takes_constant:
        return changed
    answers = changed[meeting.name](meeting.inputs)
    lost = mean_by_channel(meeting.module, meeting.wanted) - mean_by_channel(meeting.module, answers)
    return meeting.with_values(weight, lost)
