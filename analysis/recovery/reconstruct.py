"""Reconstruction: each layer's weights solved again, so that it answers what it answered in the dense network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.network import CONVOLUTION_TYPES, TRANSPOSED_TYPES
from analysis.recovery.lockstep import Mended, Progress, mend_layers
from analysis.recovery.meeting import Meeting, by_row
from analysis.recovery.patches import fan_in, inputs_at, some_rows
from analysis.recovery.pruned import Pruned

MOST_INPUTS = 5000  # of one answer: the matrix that is solved has as many rows and columns, 200 MB
_ROWS_AN_INPUT = 8
_CHUNK = 2**22  # values of unfolded inputs at a time


@dataclass(frozen=True)
class Reconstruction:
    """How each layer is solved.

    Parameters
    ----------
    examples : int
        How many examples are looked at, at most.
    positions : int
        How many answers of a layer are looked at, at most, drawn at random; more for layers with many inputs.
    ridge : float
        How much weights are held where they are, as a share of the mean square of what the layer reads; above 0.
    seed : int
        Draws the positions.
    """

    examples: int = 1024
    positions: int = 8192
    ridge: float = 1e-3
    seed: int = 0


def reconstruct(
    pruned: Pruned,
    settings: Reconstruction = Reconstruction(),
    progress: Progress = lambda share: None,
) -> Mended:
    """Solve the weights left of each layer, one layer after the other from the input on.

    For each output o of a layer the weights w and the constant b minimise

        mean over rows (y_o - x . w - b)^2 + ridge * mean(x^2) * |w - w0|^2

    where y is the dense network's answer before the activation, x what the layer reads *here*, with all layers
    before it solved already, so that errors do not add up (He et al. 2017, "Channel pruning", section 3.2; the
    asymmetric reconstruction of Zhang et al. 2015), and w0 the weights as they are. Where there is a constant,
    mean(x^2) is taken about the mean. Removed weights
    stay zero: each output is solved on what is left of it (Frantar & Alistarh 2022, "Optimal brain compression").
    The constant goes into the bias or the BatchNorm after the layer; with neither there is none.

    Convolutions of every kind and linear layers are solved; transposed convolutions, recurrences and embeddings
    stay as they are.
    """
    return mend_layers(pruned, settings.examples, lambda meeting: _solved(meeting, settings), progress)


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows of what is read, x (filter groups, inputs), and what is missing, r (filter groups, outputs).

    About their means, if these are taken out; `means` are then those of x and r, else zeros.
    """

    products: Tensor
    with_missing: Tensor
    means: tuple[Tensor, Tensor]


def solve(moments: Moments, locked: Tensor, ridge: float) -> Tensor:
    """What is to be added to each weight, (filter groups, outputs, inputs); 0 where `locked` (the same shape).

    Outputs with the same weights locked are solved together.
    """
    change = torch.zeros(locked.shape, dtype=torch.float64)
    for group, (products, missing) in enumerate(zip(moments.products, moments.with_missing, strict=True)):
        damping = ridge * float(products.diagonal().mean())
        if damping == 0:
            continue  # it reads nothing but zeros
        patterns, which = torch.unique(locked[group], dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            free, outputs = (~pattern).nonzero()[:, 0], (which == number).nonzero()[:, 0]
            if not len(free):
                continue
            matrix = products[free][:, free] + damping * torch.eye(len(free), dtype=torch.float64)
            found = torch.cholesky_solve(missing[free][:, outputs], torch.linalg.cholesky(matrix))
            change[group, outputs[:, None], free] = found.T
    return change


def moments(meeting: Meeting, rows: Tensor) -> Moments:
    """The moments of a layer at some of its answers, in double precision."""
    layer = meeting.module
    groups, inputs = int(getattr(layer, "groups", 1)), fan_in(layer)
    missing = by_row(layer, meeting.wanted) - by_row(layer, meeting.answered)
    outputs = missing.shape[1] // groups
    products = torch.zeros(groups, inputs, inputs, dtype=torch.float64)
    with_missing = torch.zeros(groups, inputs, outputs, dtype=torch.float64)
    sums = torch.zeros(groups, inputs, dtype=torch.float64), torch.zeros(groups, outputs, dtype=torch.float64)
    for some in rows.split(max(1, _CHUNK // (groups * inputs))):
        read = inputs_at(layer, meeting.inputs, some).double().movedim(1, 0)
        short = missing[some].double().reshape(len(some), groups, outputs).movedim(1, 0)
        products += read.mT @ read
        with_missing += read.mT @ short
        sums[0].add_(read.sum(1))
        sums[1].add_(short.sum(1))
    means = sums[0] / len(rows), sums[1] / len(rows)
    if not meeting.takes_constant:
        return Moments(products, with_missing, (means[0] * 0, means[1] * 0))
    products -= len(rows) * means[0][:, :, None] * means[0][:, None]
    with_missing -= len(rows) * means[0][:, :, None] * means[1][:, None]
    return Moments(products, with_missing, means)


def _solved(meeting: Meeting, settings: Reconstruction) -> Mapping[str, nn.Module] | str:
    layer = meeting.module
    if isinstance(layer, TRANSPOSED_TYPES):
        return "it is a transposed convolution, which is not solved"
    assert isinstance(layer, (nn.Linear, *CONVOLUTION_TYPES))
    inputs, groups = fan_in(layer), int(getattr(layer, "groups", 1))
    if inputs > MOST_INPUTS:
        return f"each of its answers is made of {inputs:,} inputs, and at most {MOST_INPUTS:,} are solved"
    rows = some_rows(
        len(by_row(layer, meeting.answered)),
        max(settings.positions, _ROWS_AN_INPUT * inputs),
        settings.seed,
    )
    found = moments(meeting, rows)
    weight = layer.weight.detach()
    lock = torch.zeros(weight.shape, dtype=torch.bool) if meeting.lock is None else meeting.lock
    change = solve(found, lock.reshape(groups, -1, inputs), settings.ridge)
    new = weight + change.reshape(weight.shape).to(weight.dtype)
    if not meeting.takes_constant:
        return meeting.with_values(new)
    read, missing = found.means
    constant = missing - (change @ read[:, :, None])[:, :, 0]
    return meeting.with_values(new, constant.flatten())
