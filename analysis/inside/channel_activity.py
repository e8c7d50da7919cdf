"""What the channels of a group say over many examples, heard behind one of the group's layers.

All channels are followed in one pass (two, if their values are too many to keep), so that going from one
channel to the next costs nothing. Values are those after the activation that follows the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from analysis.datasets import Split
from analysis.errors import NetworkError
from analysis.importance.signals import calls, output_channels, signal_node
from analysis.measure.quality import Interval, mean_interval
from analysis.modules import Recurrent
from analysis.network import Group, Network, node_values

BINS = 40
_BATCH = 64
_BATCH_VALUES = 4_000_000  # of one layer in one batch: what bounds the memory of a pass
_KEPT_VALUES = 16_000_000  # of all examples, kept from the first pass for the second

Entries = tuple[tuple[int, ...], ...]
Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Activity:
    """What each of a group's channels says over N examples, heard behind `layer`.

    Parameters
    ----------
    positions : tuple of int
        Where an example is looked at: (height, width) of a map, (tokens,), or () for one value an example.
    outputs : int
        How many of the layer's outputs make one channel (several for a head); all count alike.
    written : Tensor
        Bool, shape (size,): False for channels that this layer does not write.
    peaks, places : Tensor
        The largest value of each example and the flat index of its position, shape (N, size).
    means : Tensor
        The mean over positions and outputs, shape (N, size).
    zeros : Tensor
        The share of values that are exactly zero, shape (size,).
    edges, counts : Tensor
        A histogram of the values that are not zero: bins from the smallest to the largest value of the
        channel, zero included, shapes (size, bins + 1) and (size, bins).
    correlations : Tensor
        Pearson correlations over examples and positions, shape (size, size); NaN where a channel never
        varies.
    """

    layer: str
    positions: tuple[int, ...]
    outputs: int
    written: Tensor
    peaks: Tensor
    places: Tensor
    means: Tensor
    zeros: Tensor
    edges: Tensor
    counts: Tensor
    correlations: Tensor

    def varies(self, channel: int) -> bool:
        """False if the channel says the same everywhere: nothing excites it."""
        return bool(self.edges[channel, 0] < self.edges[channel, -1])


@dataclass(frozen=True)
class Peak:
    """An example with the largest value a channel has on it, and the flat index of the position there."""

    example: int
    value: float
    place: int


@dataclass(frozen=True)
class Twin:
    """The channel of the same layer that says most nearly the same, or the opposite."""

    channel: int
    correlation: float


def entries_of(network: Network, group: Group, layer: str) -> Entries:
    """The outputs of a member `layer` that belong to each of the group's channels; empty if it writes none.

    The outputs of a refused group stand for themselves.
    """
    if not group.is_prunable:
        return tuple((i,) for i in range(output_channels(network.module.get_submodule(layer))))
    parts = [part for part in group.slices if part.module == layer and part.side == "out"]
    return tuple(
        tuple(sorted({position for part in parts for position in part.entries[channel]}))
        for channel in range(group.size)
    )


@torch.no_grad()
def activity(
    network: Network,
    group: Group,
    layer: str,
    split: Split,
    *,
    bins: int = BINS,
    progress: Progress = lambda share: None,
) -> Activity:
    """Follow the channels of `group` behind its member `layer` over all examples of `split`.

    Raises
    ------
    NetworkError
        If the layer's values do not keep examples apart.
    """
    ear = _Ear.at(network, layer, entries_of(network, group, layer))
    totals, kept = _Totals(), _Kept()
    for i, values in enumerate(ear.listen(split.inputs)):
        totals.add(values)
        kept.add(values)
        progress(min(1.0, (i + 1) * ear.batch / len(split)) / 2)
    low, high = totals.low, totals.high
    counts = torch.zeros(len(ear.written), bins, dtype=torch.int64)
    for i, values in enumerate(kept.values or ear.listen(split.inputs)):
        counts += _histogram(values, low, high, bins)
        progress(0.5 + min(1.0, (i + 1) * ear.batch / len(split)) / 2)
    steps = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    return Activity(
        layer=layer,
        positions=ear.positions,
        outputs=ear.outputs,
        written=ear.written,
        peaks=torch.cat(totals.peaks),
        places=torch.cat(totals.places) // ear.outputs,
        means=torch.cat(totals.means),
        zeros=totals.zeros.double() / totals.count,
        edges=low[:, None] + (high - low)[:, None] * steps,
        counts=counts,
        correlations=totals.correlations(ear.written),
    )


def top_examples(found: Activity, channel: int, count: int) -> tuple[Peak, ...]:
    """The examples that excite a channel most, the most exciting first; none if it never varies.

    Of equals the earlier comes first.
    """
    if not found.varies(channel):
        return ()
    peaks = found.peaks[:, channel]
    order = torch.argsort(peaks, descending=True, stable=True)[:count].tolist()
    return tuple(Peak(i, float(peaks[i]), int(found.places[i, channel])) for i in order)


def class_means(found: Activity, channel: int, targets: Tensor, classes: int) -> list[Interval | None]:
    """The channel's mean value on the examples of each class, with its normal 95% interval.

    None for a class without examples; the interval of a single example is without bounds.
    """
    means = found.means[:, channel]
    members = [means[targets == label] for label in range(classes)]
    return [mean_interval(values) if len(values) else None for values in members]


def twin(found: Activity, channel: int) -> Twin | None:
    """The other channel whose values correlate most with this one's, by size; None if there is none."""
    row = found.correlations[channel].clone()
    row[channel] = torch.nan
    if bool(row.isnan().all()):
        return None
    other = int(row.abs().nan_to_num(-1.0).argmax())
    return Twin(other, float(row[other]))


@torch.no_grad()
def activation_maps(network: Network, group: Group, layer: str, channel: int, inputs: Tensor) -> Tensor:
    """Where a channel speaks in each of `inputs` (N, ...): shape (N, *positions), the mean of its outputs.

    Errors as :func:`activity`.
    """
    ear = _Ear.at(network, layer, entries_of(network, group, layer))
    values = torch.cat([v[:, :, channel] for v in ear.listen(inputs)])
    return values.reshape(len(inputs), *ear.positions, ear.outputs).mean(dim=-1)


def upsampled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, height, width) stretched over pictures of `size`, bilinearly."""
    return F.interpolate(maps[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]


@dataclass(frozen=True, eq=False)
class _Ear:
    """Where a layer's channels are heard, and how its values are laid out."""

    network: Network
    node: fx.Node
    examples_dim: int
    channels_dim: int
    positions: tuple[int, ...]
    index: Tensor  # (size, outputs): which of the layer's outputs make a channel
    written: Tensor
    batch: int

    @property
    def outputs(self) -> int:
        return self.index.shape[1]

    @staticmethod
    def at(network: Network, layer: str, entries: Entries) -> _Ear:
        module = network.module.get_submodule(layer)
        channels_dim = -1 if isinstance(module, (nn.Linear, nn.Embedding, Recurrent)) else 1
        channels = output_channels(module)
        node, own = signal_node(network, layer), calls(network, layer)[0]
        probes = [_probe(network, {node, own}, count) for count in (2, 3)]
        if probes[0][node].dim() <= 1 or probes[0][node].shape[channels_dim] != channels:
            node = own  # the activation joins channels (a gate): listen before it
        shapes = [tuple(probe[node].shape) for probe in probes]
        fitting = [d for d, sizes in enumerate(zip(*shapes, strict=True)) if sizes == (2, 3)]
        if not fitting:
            raise NetworkError(
                f"{layer} joins examples and positions into one dimension, so that what it says cannot be told "
                "apart by example. Look at another layer of the group."
            )
        dim = fitting[0]
        rest = [s for d, s in enumerate(shapes[0]) if d not in (dim, channels_dim % len(shapes[0]))]
        lengths = [len(entry) for entry in entries if entry]
        outputs = min(lengths, default=1)
        index = torch.tensor([(entry or (0,) * outputs)[:outputs] for entry in entries])
        written = torch.tensor([bool(entry) for entry in entries])
        largest = max(math.prod(one.output_shape) for one in network.layers)
        batch = max(1, min(_BATCH, _BATCH_VALUES // max(1, largest)))
        return _Ear(network, node, dim, channels_dim, tuple(rest), index, written, batch)

    def listen(self, inputs: Tensor) -> Iterator[Tensor]:
        """The channels' values, batch by batch: float64, (examples, positions * outputs, size)."""
        for some in inputs.split(self.batch):
            values = node_values(self.network.module, some, {self.node})[self.node]
            values = values.double().movedim((self.examples_dim, self.channels_dim), (0, -1))
            values = values.flatten(1, -2) if values.dim() > 2 else values[:, None]
            chosen = values[:, :, self.index] * self.written[:, None]
            yield chosen.movedim(-1, 2).flatten(1, 2)


def _probe(network: Network, nodes: set[fx.Node], count: int) -> dict[fx.Node, Tensor]:
    example = network.example_input
    return node_values(network.module, example.expand(count, *example.shape[1:]), nodes)


class _Totals:
    """Sums over a pass."""

    def __init__(self) -> None:
        self.peaks: list[Tensor] = []
        self.places: list[Tensor] = []
        self.means: list[Tensor] = []
        self.count = 0

    def add(self, values: Tensor) -> None:
        peaks, places = values.max(dim=1)
        self.peaks.append(peaks)
        self.places.append(places)
        self.means.append(values.mean(dim=1))
        flat = values.flatten(0, 1)
        low, high = flat.amin(dim=0), flat.amax(dim=0)
        if self.count == 0:
            # Sums are taken around the first batch's mean: those of large values lose no digits.
            self.centre = flat.mean(dim=0)
            self.low, self.high = low, high
            self.zeros = torch.zeros(flat.shape[1], dtype=torch.int64)
            self.sums = torch.zeros_like(self.centre)
            self.products = torch.zeros(flat.shape[1], flat.shape[1], dtype=torch.float64)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.zeros += (flat == 0).sum(dim=0)
        away = flat - self.centre
        self.sums += away.sum(dim=0)
        self.products += away.T @ away
        self.count += len(flat)

    def correlations(self, written: Tensor) -> Tensor:
        covariance = self.products - torch.outer(self.sums, self.sums) / self.count
        size = covariance.diagonal().clamp_min(0).sqrt()
        found = (covariance / torch.outer(size, size)).clamp(-1, 1)
        silent = (self.low == self.high) | ~written
        found[silent] = torch.nan
        found[:, silent] = torch.nan
        return found


class _Kept:
    """The values of a pass, unless they are too many."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self._room = _KEPT_VALUES

    def add(self, values: Tensor) -> None:
        self._room -= values.numel()
        if self._room >= 0:
            self.values.append(values.float())  # as the network computed them
        else:
            self.values.clear()


def _histogram(values: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Counts (size, bins) of the values that are not zero."""
    flat = values.flatten(0, 1).double()
    span = torch.where(high > low, high - low, 1.0)
    place = ((flat - low) / span * bins).long().clamp(0, bins - 1)
    place += torch.arange(flat.shape[1]) * bins
    return torch.bincount(place[flat != 0], minlength=flat.shape[1] * bins).reshape(-1, bins)
