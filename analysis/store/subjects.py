"""What tells weights, examples and questions about them from all others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from analysis.datasets import Split
from analysis.network import Network
from analysis.pruning.plan import Granularity


@dataclass(frozen=True)
class Subject:
    """What a sensitivity point is about: equal for all sessions on the same weights, data and criterion."""

    weights: str
    data: str
    criterion: str
    granularity: Granularity

    @property
    def key(self) -> str:
        """A digest to look it up by."""
        return hashlib.sha256("\0".join(asdict(self).values()).encode()).hexdigest()


def subject(network: Network, split: Split, criterion: str, granularity: Granularity) -> Subject:
    """The subject of a sweep."""
    return Subject(*digests(network, split), criterion, granularity)


def digests(network: Network, split: Split) -> tuple[str, str]:
    """What tells a network's weights, and the examples of a split, from all others."""
    weights = [(name, value) for name, value in sorted(network.module.state_dict().items())]
    data = [("inputs", split.inputs), ("targets", split.targets)]
    return _digest(weights), _digest(data)


def _digest(tensors: Sequence[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
