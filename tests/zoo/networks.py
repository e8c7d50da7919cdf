"""The zoo: every network, in the order of the table in docs/zoo.md."""

from __future__ import annotations

from tests.zoo import attention, branching, convolutional, dense, sequences
from tests.zoo.entry import ZooNetwork

ZOO: tuple[ZooNetwork, ...] = (
    *dense.NETWORKS,
    *convolutional.NETWORKS,
    *branching.NETWORKS,
    *attention.NETWORKS,
    *sequences.NETWORKS,
)
BY_NAME = {network.name: network for network in ZOO}
