"""One channel of a group: how important each criterion finds it, what writes it, what it costs and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from analysis.errors import CriterionError
from analysis.importance.scores import Scores
from analysis.inside.channel_activity import entries_of
from analysis.live import Gauge
from analysis.measure.cost import layer_macs
from analysis.measure.quality import Evaluation, Interval, headline_change
from analysis.network import Group, Network, Side, by_output
from analysis.pruning.ledger import make_ledger
from analysis.pruning.plan import Pick, Plan, check_plan
from analysis.pruning.selection import ranking


@dataclass(frozen=True)
class Rank:
    """A channel's rank under a criterion: 1 is the most important, `size` the first to go.

    None if the criterion does not tell the group's channels apart.
    """

    criterion: str
    rank: int | None
    size: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """The weights that write one output of a layer, shape (inputs, kernel...), with its bias if it has one."""

    layer: str
    output: int
    weights: Tensor
    bias: float | None


@dataclass(frozen=True)
class Place:
    """What one module loses with a channel: positions along its output or input side."""

    module: str
    type: str
    side: Side
    positions: tuple[int, ...]


@dataclass(frozen=True)
class ChannelCost:
    """What goes with a channel when it alone is removed from the dense network."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Effect:
    """The headline metric before and after a step, and its paired change with a 95% interval.

    `changed` is how many of `examples` answers are different classes; None for regression.
    """

    before: float
    after: float
    change: Interval
    changed: int | None
    examples: int


def find(network: Network, layer: str, output: int) -> tuple[str, int]:
    """The group and channel that an output of a layer belongs to.

    Raises
    ------
    KeyError
        If no group has it.
    """
    for group in network.groups:
        if layer in group.members:
            for channel, entry in enumerate(entries_of(network, group, layer)):
                if output in entry:
                    return group.name, channel
    raise KeyError(f"{layer}, output {output}")


def rank(scores: Scores, network: Network, group: str, channel: int) -> Rank:
    """A channel's rank in the order in which a cut removes the group's channels."""
    size = network.group(group).size
    try:
        order = ranking(scores, network, group, "channel")
    except CriterionError:
        return Rank(scores.criterion, None, size)
    return Rank(scores.criterion, size - order.tolist().index(channel), size)


def kernels(network: Network, group: Group, layer: str, channel: int) -> tuple[Kernel, ...]:
    """What writes a channel in a member `layer`: a kernel for each of its outputs there.

    Recurrent layers have a "kernel" of one weight for each gate.
    """
    module = network.module.get_submodule(layer)
    rows = by_output(module, network.weight(layer))
    bias = getattr(module, "bias", None)  # recurrent layers have several, under other names
    biases = bias.detach().tolist() if isinstance(bias, Tensor) else None
    return tuple(
        Kernel(layer, output, rows[output], biases[output] if biases else None)
        for output in entries_of(network, group, layer)[channel]
    )


def places(network: Network, group: Group, channel: int) -> tuple[Place, ...]:
    """All that goes with a channel, in the order of the network; empty for a refused group."""
    return tuple(
        Place(
            part.module,
            type(network.module.get_submodule(part.module)).__name__,
            part.side,
            tuple(sorted(part.entries[channel])),
        )
        for part in group.slices
        if part.entries[channel]
    )


def channel_cost(network: Network, group: Group, channel: int) -> ChannelCost:
    """Parameters and MACs that go with a channel of a prunable group, exactly."""
    macs = layer_macs(network)
    order = {group.name: tuple(range(group.size))}
    ledger = make_ledger(network, order, macs, (Pick(group.name, channel, True),))
    parameters_left, macs_left = ledger.count({})
    return ChannelCost(network.parameters() - parameters_left, macs[""] - macs_left)


def without(network: Network, group: str, channel: int) -> Plan:
    """The plan that removes one channel and nothing else.

    Raises
    ------
    PlanError
        If it must stay: its group is refused, or it is the last of it, or of a part that is read alone.
    """
    plan = Plan(network.name, "l1", (), (Pick(group, channel, True),))
    check_plan(plan, network)
    return plan


def effect_alone(
    gauge: Gauge, group: str, channel: int, progress: Callable[[float], None] = lambda share: None
) -> Effect:
    """What removing one channel from the dense network does, measured on every example of the gauge.

    Errors as :func:`without`.
    """
    run = gauge.run(without(gauge.network, group, channel), None, hand=group)
    while not (reading := run.advance()).is_exact:
        progress(reading.examples / reading.total)
    progress(1.0)
    return effect(gauge.dense, run.evaluation())


def effect(before: Evaluation, after: Evaluation) -> Effect:
    """The change of the headline metric between two evaluations on the same examples."""
    task = before.task
    targets = before.split.targets
    first, second = (
        task.headline_of(float(task.merits(e.outputs, targets).mean()), targets) for e in (before, after)
    )
    changed = int((before.answers != after.answers).sum()) if task.is_classification else None
    paired = headline_change(after, before)
    return Effect(first, second, paired, changed, len(before.split))
