"""What was done to a network, in words for the model card: what was removed, and how it recovered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from analysis.export.markdown import plain, table
from analysis.export.shipment import Shipment
from analysis.importance.registry import find_criterion
from analysis.look import channel_list
from analysis.pruning.plan import Pick, Plan
from analysis.recovery.recovered import Step
from analysis.recovery.step_words import outcome_words, settings_words


def title(shipment: Shipment) -> str:
    """The network's name, and in a word what it went through."""
    how = "" if shipment.plan.is_dense else ", pruned"
    return plain(shipment.dense.name) + how + (" and recovered" if shipment.recovered is not None else "")


def what_it_is(shipment: Shipment) -> str:
    """The network in a few sentences: its task, what was removed, and what is left."""
    task, dense = shipment.task, shipment.dense
    kind = f"A network for {task.name} with {len(dense.layers):,} layers"
    whole, left = dense.parameters(), shipment.pruned.parameters()
    if shipment.plan.is_dense:
        return f"{kind}, as it was loaded; nothing was removed. It holds {whole:,} parameters."
    gone = {
        shipment.dense.group(target).unit for target, found in shipment.selection.channels.items() if found
    }
    has_zeros = any(bool(mask.any()) for mask in shipment.selection.weights.values())
    parts = []
    if gone:
        parts.append(
            f"Whole {' and '.join(f'{unit}s' for unit in sorted(gone))} were removed, so that its layers are smaller"
        )
    if has_zeros:
        of_what = "of what is left " if gone else ""
        stay = "" if gone else "; its layers keep their sizes"
        parts.append(f"{'s' if gone else 'S'}ingle weights {of_what}were set to zero{stay}")
    said = ", and ".join(parts) or "The shares asked for were too small to remove anything"
    held = (
        f"It holds {left:,} of {whole:,} parameters"
        if left != whole
        else f"It holds all {whole:,} parameters"
    )
    cost = shipment.numbers.cost
    zeros = (
        f"; {cost.nonzero_connections:,} of its {cost.connections:,} connections are not zero"
        if has_zeros
        else ""
    )
    return f"{kind}, pruned. {said}. {held}{zeros}."


def removed(shipment: Shipment) -> list[str]:
    """The section on what was removed, target by target; none for the dense network."""
    plan, selection, network = shipment.plan, shipment.selection, shipment.dense
    if plan.is_dense:
        return []
    rows = []
    for target, channels in sorted(selection.channels.items()):
        group, ratio = network.group(target), plan.ratios_of("channel").get(target)
        unit = f"{group.unit}s"
        rows.append((plain(target), unit, _share(ratio), f"{len(channels):,} of {group.size:,}"))
    for target, mask in sorted(selection.weights.items()):
        ratio = plan.ratios_of("weight").get(target)
        gone = f"{int(mask.sum()):,} of {mask.numel():,}"
        rows.append((plain(target), "single weights", _share(ratio), gone))
    found = [
        "## What was removed",
        _reason(plan),
        table(("target", "what", "share asked for", "gone"), rows),
    ]
    if plan.picks:
        head = ("target", "removed by hand", "kept by hand")
        found += ["Decided by hand, channels counted from 0:", table(head, _by_hand(plan.picks))]
    return found


def recovery(shipment: Shipment) -> list[str]:
    """The section on recovery; none without it."""
    if shipment.recovered is None:
        return []
    steps = [f"{number}. {_step(step)}" for number, step in enumerate(shipment.recovered.steps, 1)]
    said = "Its weights came about by these steps, in this order; what was removed stayed removed."
    return ["## Recovery", said, *(["\n".join(steps)] if steps else [])]


def _reason(plan: Plan) -> str:
    """Why these went and not others, and what their removal means."""
    channels = "Channels are removed with all coupled layers that share them"
    if not plan.cuts:
        return f"What is gone was picked by hand, and nothing was ranked. {channels}."
    criterion = find_criterion(plan.criterion)
    return (
        f"By the criterion **{plain(criterion.label)}**: {criterion.sentence} {channels}; single weights are set to "
        "zero, of those that the channels left."
    )


def _by_hand(picks: Sequence[Pick]) -> Iterator[tuple[str, str, str]]:
    """A row for each target; `picks` are sorted."""
    for target, found in groupby(picks, key=lambda pick: pick.target):
        here = list(found)
        gone, kept = ([pick.channel for pick in here if pick.removed is way] for way in (True, False))
        yield plain(target), channel_list(gone) or "none", channel_list(kept) or "none"


def _share(ratio: float | None) -> str:
    return "by hand" if ratio is None else f"{ratio:.1%}"


def _step(step: Step) -> str:
    settings, outcome = plain(settings_words(step.settings)), plain(outcome_words(step))
    said = f"{plain(step.method)}, {step.seconds:.1f} s{f': {settings}' if settings else ''}"
    return f"{said}. {outcome}" if outcome else said
