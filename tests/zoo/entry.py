"""One network of the zoo: how it is built, an example input, and what is hard about it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True, eq=False)
class ZooNetwork:
    """A small network that takes one tensor, of any batch size, and gives one.

    `build` makes it with the same weights each time; `example` has shape (2, ...); `note` says what is
    hard about it; `tokens` is the size of the vocabulary, 0 if inputs are not tokens.
    """

    name: str
    build: Callable[[], nn.Module]
    example: Tensor
    note: str
    tokens: int = 0

    def inputs(self, count: int, *, seed: int = 0) -> Tensor:
        """`count` random inputs."""
        return _inputs((count, *self.example.shape[1:]), self.tokens, seed)


def entry(
    name: str,
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    note: str,
    *,
    tokens: int = 0,
    training: bool = False,
) -> ZooNetwork:
    """The entry of a network whose one example has `shape`; `training` leaves it in train mode."""

    def build() -> nn.Module:
        return randomise(make(), name).train(training)

    return ZooNetwork(name, build, _inputs((2, *shape), tokens, 7), note, tokens)


def randomise(module: nn.Module, name: str) -> nn.Module:
    """`module` with weights, biases and running statistics drawn anew, so that none is zero by accident.

    The draw depends on `name` alone; tied weights stay tied.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(value: Tensor, scale: float) -> None:
        value.copy_(torch.randn(value.shape, generator=generator) * scale)

    def uniform(value: Tensor, low: float, high: float) -> None:
        value.copy_(torch.rand(value.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, _NORMS):
                if child.weight is not None:
                    uniform(child.weight, 0.5, 1.5)
                    normal(child.bias, 0.4)
                for key, value in child.named_buffers(recurse=False):
                    if key == "running_mean":
                        normal(value, 0.4)
                    elif key == "running_var":
                        uniform(value, 0.5, 1.5)
            elif isinstance(child, nn.PReLU):
                uniform(child.weight, 0.1, 0.5)
            else:
                for value in child.parameters(recurse=False):
                    normal(value, 1.2 / math.sqrt(value[0].numel()) if value.dim() > 1 else 0.3)
    return module.eval()


def _inputs(shape: tuple[int, ...], tokens: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if tokens:
        return torch.randint(tokens, shape, generator=generator)
    return torch.randn(shape, generator=generator)
