"""What is found out of channels, kept for all sessions under names and numbers."""

from __future__ import annotations

from threading import RLock

from cachetools import LRUCache, cached
from torch import Tensor

from analysis.inside import channel as one
from analysis.inside.channel import ChannelCost, Effect
from analysis.inside.channel_activity import Activity, activation_maps, activity
from analysis.measure.quality import Evaluation
from analysis.pruning.plan import Plan
from ui import computed, library
from ui.bench import dense_plan
from ui.computed import Progress

_ACTIVITY_BYTES = 2**27
_ACTIVITIES: LRUCache[tuple[str, str, str, int], Activity] = LRUCache(
    _ACTIVITY_BYTES, getsizeof=lambda found: found.peaks.nbytes * 3 + found.correlations.nbytes
)
_ALONE: LRUCache[tuple[str, str, int, int], Effect] = LRUCache(512)
_LOCK = RLock()


def heard(name: str, group: str, layer: str, images: int, progress: Progress) -> Activity:
    """What a group's channels say behind one of its layers on `images` evaluation examples."""
    key = (name, group, layer, images)
    with _LOCK:
        known = _ACTIVITIES.get(key)
    if known is None:
        network = library.load(name).network
        split = computed.evaluation_split(name, images)
        known = activity(network, network.group(group), layer, split, progress=progress)
        with _LOCK:
            if _ACTIVITIES.getsizeof(known) <= _ACTIVITIES.maxsize:
                _ACTIVITIES[key] = known
    return known


def alone(name: str, group: str, channel: int, images: int, progress: Progress) -> Effect:
    """The effect of removing one channel and nothing else; errors as :func:`analysis.inside.channel.without`."""
    key = (name, group, channel, images)
    with _LOCK:
        known = _ALONE.get(key)
    if known is None:
        known = one.effect_alone(computed.gauge(name, images), group, channel, progress)
        with _LOCK:
            _ALONE[key] = known
    return known


def between(before: Plan, after: Plan, group: str, images: int, progress: Progress) -> Effect:
    """The effect of going from one plan to another that differs in a channel of `group`."""
    first = _answers(before, group, images, lambda share: progress(share / 2))
    return one.effect(first, _answers(after, group, images, lambda share: progress((1 + share) / 2)))


def _answers(plan: Plan, group: str, images: int, progress: Progress) -> Evaluation:
    if plan.is_dense:
        return computed.measurement(dense_plan(plan.network), images).evaluation
    run = computed.run(plan, images, group)
    while not (reading := run.advance()).is_exact:
        progress(reading.examples / reading.total)
    return run.evaluation()


@cached(LRUCache(512), lock=RLock())
def cost(name: str, group: str, channel: int) -> ChannelCost:
    """What goes with a channel of the dense network."""
    network = library.load(name).network
    return one.channel_cost(network, network.group(group), channel)


@cached(LRUCache(128), lock=RLock())
def maps(name: str, group: str, layer: str, channel: int, images: int, examples: tuple[int, ...]) -> Tensor:
    """Where a channel speaks in some of `images` evaluation examples."""
    network = library.load(name).network
    inputs = computed.evaluation_split(name, images).inputs[list(examples)]
    return activation_maps(network, network.group(group), layer, channel, inputs)
