"""What an allocation decides on: which targets may be cut, how far, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from analysis.allocation.goals import Guide
from analysis.errors import CriterionError, PlanError
from analysis.importance.scores import Scores
from analysis.live import Gauge
from analysis.measure.cost import layer_macs
from analysis.network import Network
from analysis.pruning.ledger import Ledger, make_ledger
from analysis.pruning.plan import Granularity, Plan, make_plan, targets
from analysis.pruning.selection import ranking, removal_count, target_scores

CAP = 0.95  # of a target at most, unless it is said otherwise: a layer without connections says nothing

Counts = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Problem:
    """A network's targets, to be cut under one criterion at one granularity.

    An allocation is told in `counts`: how many weights or channels of each free target go ({target: number}),
    so that it never asks for half a channel.

    Parameters
    ----------
    gauge : Gauge
        The network, the examples it is measured on and what the dense network gets.
    limits : mapping
        For each free target, how many of its weights or channels may go at most.
    held : mapping
        Ratios of targets that stay as they are, whatever is proposed.
    curves : mapping
        {target: {ratio: headline metric}}, measured one target at a time; what is known so far.
    shut : mapping
        Targets and groups that take no part, with the reason in words.
    """

    gauge: Gauge
    scores: Scores
    granularity: Granularity
    limits: Mapping[str, int]
    held: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    shut: Mapping[str, str] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        """The dense network."""
        return self.gauge.network

    @property
    def free(self) -> tuple[str, ...]:
        """The targets that may be cut, from the input on."""
        return tuple(self.limits)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """How many weights or channels each free or held target has."""
        return {t: size_of(self.network, t, self.granularity) for t in (*self.limits, *self.held)}

    @cached_property
    def is_signed(self) -> bool:
        """True if some free target has scores below 0."""
        return any(bool((self.values(target) < 0).any()) for target in self.free)

    def values(self, target: str) -> Tensor:
        """The target's scores in the order in which its weights or channels go, float64."""
        order = ranking(self.scores, self.network, target, self.granularity)
        return target_scores(self.scores, self.network, target, self.granularity)[order.long()].double()

    def counts(self, ratios: Mapping[str, float]) -> dict[str, int]:
        """How many of each free target go at `ratios`: rounded, and never more than its limit."""
        return {
            target: min(removal_count(self.sizes[target], ratios.get(target, 0.0), "weight"), limit)
            for target, limit in self.limits.items()
        }

    def ratios(self, counts: Counts) -> dict[str, float]:
        """Ratios at which exactly `counts` go, and those of the held targets; only those above 0."""
        found = {target: counts.get(target, 0) / self.sizes[target] for target in self.limits}
        return {target: ratio for target, ratio in (found | dict(self.held)).items() if ratio > 0}

    def plan(self, counts: Counts) -> Plan:
        """The plan by which `counts` go."""
        return make_plan(self.network, self.scores.criterion, self.granularity, self.ratios(counts))

    def burden(self, counts: Counts, guide: Guide) -> int:
        """What is left by arithmetic: parameters or MACs for channels; for weights, how many are not removed."""
        if self.granularity == "weight":
            return sum(self.sizes[target] - counts.get(target, 0) for target in self.limits)
        return self.ledger.count(self.ratios(counts))[0 if guide == "parameters" else 1]

    def connections(self, counts: Counts) -> int:
        """Nonzero connections that are left when `counts` weights go; of weight problems only."""
        gone = {t: removal_count(self.sizes[t], ratio, "weight") for t, ratio in self.ratios(counts).items()}
        return self._nonzero - sum(int(self._nonzero_gone[t][number]) for t, number in gone.items())

    @cached_property
    def _nonzero(self) -> int:
        return sum(int(self.network.weight(layer.name).count_nonzero()) for layer in self.network.layers)

    @cached_property
    def _nonzero_gone(self) -> Mapping[str, Tensor]:
        """For each target, how many nonzero weights are among the first 0, 1, 2, ... that go."""
        found = {}
        for target in (*self.limits, *self.held):
            order = ranking(self.scores, self.network, target, "weight").long()
            alive = (self.network.weight(target).flatten()[order] != 0).long()
            found[target] = alive.new_zeros(len(alive) + 1)
            found[target][1:] = alive.cumsum(0)
        return found

    @cached_property
    def ledger(self) -> Ledger:
        """The exact arithmetic of channel cuts."""
        orders = {
            target: tuple(ranking(self.scores, self.network, target, "channel").tolist())
            for target in (*self.limits, *self.held)
        }
        return make_ledger(self.network, orders, layer_macs(self.network))


def make_problem(
    gauge: Gauge,
    scores: Scores,
    granularity: Granularity,
    *,
    cap: float = CAP,
    held: Mapping[str, float] | None = None,
    curves: Mapping[str, Mapping[float, float]] | None = None,
) -> Problem:
    """The problem of a network.

    Parameters
    ----------
    cap : float
        The largest share of a target that may go, from 0 to 1. Whatever it is, a group keeps one channel and
        one of each of its parts.
    held : mapping, optional
        Ratios ({target: ratio}) of targets that are to stay as they are; 0 for one that stays whole.
    curves : mapping, optional
        As :func:`analysis.sensitivity.curves_of` gives them.

    Raises
    ------
    PlanError
        If `cap` is no share, or a held target is none of the network's.
    """
    if not 0 < cap <= 1:
        raise PlanError(f"The cap is {cap:g}; give the share of a target that may go, above 0 and up to 1.")
    network, held = gauge.network, dict(held or {})
    known = targets(network, granularity)
    strange = [target for target in held if target not in known]
    if strange:
        raise PlanError(
            f"{network.name} has no target called {strange[0]!r} to hold. It has: {', '.join(known)}."
        )
    shut = {g.name: g.reason for g in network.groups if not g.is_prunable} if granularity == "channel" else {}
    limits = {}
    for target in known:
        try:
            target_scores(scores, network, target, granularity)
        except CriterionError as error:
            shut[target] = str(error)
            held.pop(target, None)
            continue
        if target not in held:
            limits[target] = _limit(network, target, granularity, cap)
    return Problem(gauge, scores, granularity, limits, held, curves or {}, shut)


def size_of(network: Network, target: str, granularity: Granularity) -> int:
    """How many weights or channels a target has."""
    return network.group(target).size if granularity == "channel" else network.weight(target).numel()


def _limit(network: Network, target: str, granularity: Granularity, cap: float) -> int:
    size = size_of(network, target, granularity)
    most = int(cap * size + 1e-9)
    return min(most, size - network.group(target).floor) if granularity == "channel" else most
