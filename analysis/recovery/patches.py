"""What a layer's weights are multiplied with: the inputs of each answer, as rows."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.network import CONVOLUTION_TYPES


def fan_in(layer: nn.Module) -> int:
    """How many inputs one answer of a linear layer or a convolution is made of."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight[0].numel()


def some_rows(count: int, most: int, seed: int) -> Tensor:
    """Rows of `count`, drawn at random where there are more than `most`."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]


def inputs_at(layer: nn.Module, inputs: Tensor, rows: Tensor) -> Tensor:
    """What a linear layer or a convolution reads for its answers at some examples and positions.

    Convolutions are unfolded as they are: strides, dilation, filter groups, padding of every mode.

    Parameters
    ----------
    inputs : Tensor
        As the layer is given them.
    rows : Tensor
        Positions of its answers, counted example by example.

    Returns
    -------
    Tensor
        (rows, filter groups, inputs of one answer), in the order of ``weight[channel].flatten()``.
    """
    if isinstance(layer, nn.Linear):
        return inputs.flatten(0, -2)[rows][:, None]
    assert isinstance(layer, CONVOLUTION_TYPES)
    windows = _windows(layer, inputs)
    dims = len(layer.kernel_size)
    places = windows.movedim(1, 1 + dims)  # (examples, positions..., channels, kernel...)
    at = torch.unravel_index(rows, places.shape[: 1 + dims])
    return places[at].reshape(len(rows), layer.groups, -1)


def _windows(layer: Any, inputs: Tensor) -> Tensor:
    """(examples, channels, positions..., kernel...): a view, so that only what is asked for is copied."""
    if inputs.dim() < layer.weight.dim():
        inputs = inputs[None]  # a single example without its dimension
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    for dim, (size, stride, dilation) in enumerate(
        zip(layer.kernel_size, layer.stride, layer.dilation, strict=True), start=2
    ):
        windows = windows.unfold(dim, dilation * (size - 1) + 1, stride)[..., ::dilation]
    return windows
