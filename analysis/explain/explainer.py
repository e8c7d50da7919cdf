"""A network's maps on demand: a method with everything it needs, ready for any network of one architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from analysis.explain.attribution import attribute, refusal
from analysis.explain.estimates import passes
from analysis.explain.methods import METHODS
from analysis.explain.tokens import empty_token
from analysis.network import Network

Progress = Callable[[float], None]

_USUAL = ("saliency", "grad-cam")


class Explain(Protocol):
    """Gives the maps of a network, of the shape of `inputs`; `targets` are None if it answers with a value."""

    def __call__(
        self, network: Network, inputs: Tensor, targets: Tensor | None, progress: Progress = ..., /
    ) -> Tensor:
        """The maps."""


def explainer(method: str, baseline: float | Tensor, *, layer: str | None = None, seed: int = 0) -> Explain:
    """Maps by `method`, with its usual parameters; see :func:`analysis.explain.attribution.attribute`."""

    def explain(
        network: Network, inputs: Tensor, targets: Tensor | None, progress: Progress = lambda share: None, /
    ) -> Tensor:
        return attribute(
            network, method, inputs, targets, baseline=baseline, layer=layer, seed=seed, progress=progress
        ).values

    return explain


def usual_methods(network: Network) -> tuple[str, ...]:
    """Saliency and GradCAM, where they suit; else the quickest method that does; none if none does."""
    usual = tuple(name for name in _USUAL if not refusal(name, network))
    if usual:
        return usual
    shape = tuple(network.example_input.shape[1:])
    fitting = [name for name in METHODS if not refusal(name, network)]
    return tuple(sorted(fitting, key=lambda name: passes(name, None, shape))[:1])


def empty_input(network: Network, baseline: float | Tensor) -> Tensor:
    """The input that means "nothing"; broadcasts over one example. Of tokens, the embedding's padding first."""
    if network.example_input.is_floating_point():
        return torch.as_tensor(baseline, dtype=network.example_input.dtype)
    first = float(torch.as_tensor(baseline).flatten()[0])
    return torch.tensor(empty_token(network.module, first), dtype=network.example_input.dtype)
