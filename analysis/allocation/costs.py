"""What an allocation costs, as a share of the dense network: counted, encoded or timed, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from analysis.allocation.problem import Counts, Problem
from analysis.measure.cost import cost
from analysis.measure.latency import latencies
from analysis.measure.size import ENCODINGS, size, state_arrays
from analysis.network import Network
from analysis.pruning.prune import prune

_TIMING_SECONDS = 0.3


def share(problem: Problem, kind: str, counts: Counts) -> float:
    """What is left of a cost when `counts` go, as a share of the dense network's.

    Parameters
    ----------
    kind : str
        A cost in :data:`analysis.allocation.goals.GOALS`. ``latency`` is timed at each call, the network and
        the dense one in turn; all others give the same answer each time.
    """
    if kind == "latency":
        own, dense = latencies([pruned(problem, counts), problem.network], budget=_TIMING_SECONDS)
        return own.median / dense.median
    if kind == "connections" and problem.granularity == "weight":
        return _part(problem.connections(counts), dense_value(problem.network, kind))
    if kind in ("parameters", "macs") and problem.granularity == "channel":
        return _part(
            problem.burden(counts, "macs" if kind == "macs" else "parameters"),
            dense_value(problem.network, kind),
        )
    return share_of(pruned(problem, counts), problem.network, kind)


def share_of(network: Network, dense: Network, kind: str) -> float:
    """What a network has left of a cost of the dense one; of all kinds but ``latency``."""
    return _part(VALUES[kind](network), dense_value(dense, kind))


@lru_cache(maxsize=16)
def dense_value(network: Network, kind: str) -> float:
    """A cost of the dense network: a count, or bytes; found once."""
    return VALUES[kind](network)


def pruned(problem: Problem, counts: Counts) -> Network:
    """The network of which `counts` have gone."""
    return prune(problem.network, problem.plan(counts), problem.scores)


def _part(value: float, whole: float) -> float:
    return value / whole if whole else 1.0


VALUES: Mapping[str, Callable[[Network], float]] = {
    "macs": lambda network: cost(network).macs,
    "parameters": Network.parameters,
    "connections": lambda network: cost(network).nonzero_connections,
    "bytes": lambda network: len(ENCODINGS[0].encode(state_arrays(network))),
    "best-bytes": lambda network: size(network).best,
}
