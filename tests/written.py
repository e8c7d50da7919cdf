"""Modules whose forward pass is one function, and a check that their networks answer as they do."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from analysis.network import Network
from analysis.tracing import trace

IMAGE, SERIES, VECTOR = (3, 8, 8), (5, 6), (6,)


class Written(nn.Module):
    """A module whose forward pass is a function of itself and x."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.way = forward
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def brought(module: nn.Module, shape: tuple[int, ...], example: Tensor | None = None) -> Network:
    """The network of a module, after checks that it answers alike and the module is untouched."""
    module.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    reference = copy.deepcopy(module)
    example = (
        torch.randn(1, *shape, generator=torch.Generator().manual_seed(1)) if example is None else example
    )
    given = example.clone()
    network = trace(module, example, "net")
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(example, given)
    assert torch.equal(network.example_input, given[:1])
    assert [type(m) for m in module.modules()] == [type(m) for m in reference.modules()]
    answers_alike(network, reference, shape)
    return network


@torch.no_grad()
def answers_alike(network: Network, reference: nn.Module, shape: tuple[int, ...]) -> None:
    for count in (1, 2, 5):
        for draw in range(3):  # a network that writes into its input must not remember it
            inputs = torch.randn(count, *shape, generator=torch.Generator().manual_seed(10 * count + draw))
            expected = copy.deepcopy(reference)(inputs.clone())
            torch.testing.assert_close(network.module(inputs), expected, rtol=1e-6, atol=1e-6)


def holds(network: Network, *types: type[nn.Module]) -> set[type[nn.Module]]:
    """Which of `types` are called."""
    called = {
        type(network.module.get_submodule(n.target))
        for n in network.module.graph.nodes
        if n.op == "call_module"
    }
    return called & set(types)


def conv(outputs: int = 4, inputs: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
