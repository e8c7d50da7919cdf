"""What recovery made of a pruned network: what is gone from it, its weights, and how they came about.

A plan names it by the digest of its file (:attr:`analysis.pruning.plan.Plan.recovered`). The file is
safetensors: the weights of the smaller network, a packed mask for each layer that lost single weights, and the
channels that went with each group. Gradual methods score again on the way, so that a plan's criterion alone
would not say what is gone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from analysis.errors import PlanError
from analysis.network import Network, from_graph
from analysis.pruning.prune import remove
from analysis.pruning.selection import Selection

_FORMAT = "prunescope-recovered-1"
_CONTENT = "content"
_WEIGHT, _GONE = "weight:", "gone:"


@dataclass(frozen=True)
class Step:
    """One step of recovery: the method, its settings as plain data, and the seconds it took."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Recovered:
    """A recovered network without its graph.

    Parameters
    ----------
    selection : Selection
        What is gone from the dense network: channels, and weight masks in the dense shapes.
    state : mapping
        The weights and buffers of the smaller network, by name.
    steps : tuple of Step
        How they came about, first step first.
    """

    selection: Selection
    state: Mapping[str, Tensor]
    steps: tuple[Step, ...] = ()


def recovered_from(network: Network, selection: Selection, steps: tuple[Step, ...] = ()) -> Recovered:
    """What is to be kept of a recovered network, which is `selection` removed from its dense one."""
    state = {name: value.detach().clone() for name, value in network.module.state_dict().items()}
    return Recovered(selection, state, steps)


def restore(dense: Network, recovered: Recovered) -> Network:
    """The recovered network; `dense` is the loaded one that it was pruned from, and is not modified.

    Raises
    ------
    PlanError
        If it was made from another network.
    """
    try:
        pruned = remove(dense, recovered.selection)
        module = copy.deepcopy(pruned.module)
        module.load_state_dict(dict(recovered.state))
    except (AttributeError, IndexError, KeyError, RuntimeError) as error:
        raise PlanError(
            f"These recovered weights do not fit {dense.name}: they were made from another network. Recover again."
        ) from error
    return from_graph(dense.name, module, dense.example_input)


def to_bytes(recovered: Recovered) -> bytes:
    """The file; equal for equal contents."""
    tensors = {_WEIGHT + name: value.contiguous().clone() for name, value in recovered.state.items()}
    masks = recovered.selection.weights
    for layer, mask in masks.items():
        tensors[_GONE + layer] = torch.from_numpy(np.packbits(mask.numpy()))
    description = {
        "format": _FORMAT,
        "channels": {group: list(gone) for group, gone in recovered.selection.channels.items()},
        "shapes": {layer: list(mask.shape) for layer, mask in masks.items()},
        "steps": [asdict(step) for step in recovered.steps],
    }
    return save(
        tensors, {_CONTENT: json.dumps(description, sort_keys=True)}
    )  # one key: their order is random


def from_bytes(data: bytes) -> Recovered:
    """The content of a file that :func:`to_bytes` made.

    Raises
    ------
    PlanError
        If it is damaged, or something else.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        content = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_CONTENT])
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        tensors = load(data)
        selection = Selection(
            {group: tuple(gone) for group, gone in content["channels"].items()},
            {layer: _mask(tensors[_GONE + layer], shape) for layer, shape in content["shapes"].items()},
        )
        steps = tuple(Step(**step) for step in content["steps"])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise PlanError("The recovered weights are damaged and cannot be read. Recover again.") from error
    state = {name.removeprefix(_WEIGHT): value for name, value in tensors.items() if name.startswith(_WEIGHT)}
    return Recovered(selection, state, steps)


def _mask(packed: Tensor, shape: list[int]) -> Tensor:
    bits = np.unpackbits(packed.numpy(), count=int(np.prod(shape)))
    return torch.from_numpy(bits.astype(bool)).reshape(shape)
