"""The zoo as Prunescope opens it, from modules and from .pt2 files; each opened once a process, for reading."""

from __future__ import annotations

import copy
import io
from functools import cache

import torch
from torch import nn

from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.tracing import open_pt2, trace
from tests.zoo.networks import BY_NAME


@cache
def module(name: str) -> nn.Module:
    """The network itself, in eval mode."""
    return BY_NAME[name].build().eval()


@cache
def from_module(name: str) -> Network:
    """The network traced, with its groups."""
    return with_groups(trace(BY_NAME[name].build(), BY_NAME[name].example, name))


@cache
def from_pt2(name: str) -> Network:
    """The network exported by torch with a free batch dimension, opened, with its groups."""
    return with_groups(open_pt2(exported(name), name))


def exported(name: str) -> bytes:
    """What ``torch.export.save`` writes for the network."""
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(
        copy.deepcopy(module(name)), (BY_NAME[name].example,), dynamic_shapes=shapes
    )
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()
