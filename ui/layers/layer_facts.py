"""What the Layers page finds out at once, kept for all sessions by names and plans."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

import numpy as np
from cachetools import LRUCache, cached

from analysis.inside.blocks import Block, find_blocks
from analysis.inside.topology import Topology, link_states, topology
from analysis.pruning.plan import Plan
from ui import computed, library

_NAMED = 5  # names in a sentence


@cached(LRUCache(16), lock=RLock())
def blocks(name: str) -> tuple[Block, ...]:
    """The blocks of a network that could be skipped."""
    return find_blocks(library.load(name).network)


@cached(LRUCache(16), lock=RLock())
def topology_of(plan: Plan) -> Topology:
    """The graph of units of a plan's network, in the dense network's shape."""
    return topology(library.load(plan.network).network, computed.selection(plan))


@cached(LRUCache(16), lock=RLock())
def states(plan: Plan, layer: str) -> np.ndarray:
    """The state of every link of a layer, (units, inputs)."""
    network = library.load(plan.network).network
    return link_states(network, computed.selection(plan), topology_of(plan).layer(layer)).numpy()


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
