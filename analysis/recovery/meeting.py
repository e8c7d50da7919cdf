"""A layer as the dense and the pruned network come to it: what it reads, what it should answer, what can change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.modules import Recurrent
from analysis.pruning.channels import private, put

NO_PLACE = "it has neither a bias nor a BatchNorm of its own, so that no constant can be added"


@dataclass(frozen=True, eq=False)
class Meeting:
    """A layer whose answers differ between the two networks.

    Parameters
    ----------
    name : str
        The layer.
    original, module : Module
        The layer in the dense and in the pruned network.
    original_inputs, inputs : Tensor
        What it reads there and here.
    wanted, answered : Tensor
        The dense network's answer, of the channels that are left, and what the layer here answers now.
    kept_inputs, kept_outputs : Tensor
        Which of the dense layer's channels are left here, in order.
    lock : Tensor or None
        True where a weight stays zero, in the shape of the pruned layer's weight.
    norm : tuple of (str, Module) or None
        The BatchNorm that alone reads the layer, if there is one.
    """

    name: str
    original: nn.Module
    module: nn.Module
    original_inputs: Tensor
    inputs: Tensor
    wanted: Tensor
    answered: Tensor
    kept_inputs: Tensor
    kept_outputs: Tensor
    lock: Tensor | None
    norm: tuple[str, nn.Module] | None

    @property
    def takes_constant(self) -> bool:
        """True if something can be added to what the layer answers: to its bias, or in the BatchNorm after it."""
        return getattr(self.module, "bias", None) is not None or self.norm is not None

    def with_values(
        self, weight: Tensor | None = None, constant: Tensor | None = None
    ) -> dict[str, nn.Module]:
        """Modules, by name, with another weight and with `constant` (channels,) added to the answer.

        The constant goes into the bias or, where there is none, into the mean that the BatchNorm subtracts. The
        modules given are not written to.
        """
        changed: dict[str, nn.Module] = {}
        if weight is not None:
            changed[self.name] = given(self.module, "weight", weight)
        if constant is None:
            return changed
        bias = getattr(self.module, "bias", None)
        if bias is not None:
            layer = changed.get(self.name, self.module)
            return changed | {self.name: given(layer, "bias", bias.detach() + constant)}
        assert self.norm is not None
        name, norm = self.norm
        mean = norm.running_mean
        assert isinstance(mean, Tensor)
        return changed | {name: given(norm, "running_mean", mean - constant)}


def channel_dim(layer: nn.Module, values: Tensor) -> int:
    """The dimension of what a layer reads or answers that counts channels."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    last = isinstance(layer, (nn.Linear, nn.Embedding, Recurrent))
    return values.dim() - 1 if last else values.dim() + 1 - weight.dim()


def by_row(layer: nn.Module, values: Tensor) -> Tensor:
    """What a layer reads or answers, (examples and positions, channels): a view where it can be."""
    return values.movedim(channel_dim(layer, values), -1).flatten(0, -2)


def mean_by_channel(layer: nn.Module, values: Tensor) -> Tensor:
    """The mean answer of each channel of a layer, over examples and positions: (channels,), double precision."""
    return by_row(layer, values).mean(0, dtype=torch.float64)


def given(module: nn.Module, attribute: str, values: Tensor) -> nn.Module:
    """A copy of a module with other values in one place; all else is shared with it."""
    twin = private(module)
    put(twin, attribute, values.detach().to(getattr(module, attribute).dtype))
    return twin
