"""What the prune console draws, as plain data: from analysis results to JSON, pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from analysis.errors import CriterionError
from analysis.importance.scores import Scores
from analysis.measure.cost import layer_macs
from analysis.network import Group, Network
from analysis.pruning.ledger import Ledger, make_ledger
from analysis.pruning.plan import Granularity, Pick, targets
from analysis.pruning.selection import left_order, ranking, removal_count
from analysis.sensitivity import Sensitivity

Data = dict[str, Any]
_EVERY_PERCENT = 101


@dataclass(frozen=True, eq=False)
class ConsoleBase:
    """What stays as it is while sliders move: a row for each target, and how counts follow from ratios."""

    rows: Sequence[Data]
    refused: Sequence[Data]
    ledger: Data


def base(
    network: Network,
    scores: Scores,
    granularity: Granularity,
    pruned: Network | None = None,
    gone: Mapping[str, torch.Tensor] | None = None,
    picks: Sequence[Pick] = (),
) -> ConsoleBase:
    """The rows of a network's targets under one criterion.

    Where channels are cut already and weights in hand, `pruned` is the network without them and `gone`
    the masks of the weights that went along. Where channels are in hand, `picks` are those removed or kept by
    hand: a row then says how many channels go at each removal count.
    """
    pruned, gone = pruned or network, gone or {}
    rows, refused = [], []
    orders: dict[str, tuple[int, ...]] = {}
    whole = network.parameters()
    for target in targets(network, granularity):
        members = network.group(target).members if granularity == "channel" else (target,)
        row = _row(network, target, members, whole)
        try:
            order = left_order(ranking(scores, network, target, granularity), gone.get(target))
        except CriterionError as error:
            refused.append(row | {"reason": str(error)})
            continue
        if granularity == "channel":
            orders[target] = tuple(order.tolist())
        row["size"] = len(order)
        if granularity == "channel":
            group = network.group(target)
            row["floor"], row["unit"] = group.floor, group.unit
            kind = "Approximate: " if group.verdict == "approximate" else ""
            row["note"] = f"{kind}{group.reason}." if group.reason else ""
        else:
            zero = network.weight(target).flatten()[order.long()] == 0
            row["nonzero"] = _nonzero_left(zero)
        rows.append(row)
    if granularity == "channel":
        refused += [_refused_row(network, group, whole) for group in network.groups if not group.is_prunable]
    if granularity == "weight":
        return ConsoleBase(rows, refused, _weight_counts(pruned, [row["target"] for row in rows]))
    ledger = make_ledger(pruned, orders, layer_macs(pruned), picks)
    for row in rows:
        target = row["target"]
        row["gone"] = (
            list(ledger.gone[target][: row["size"] - row["floor"] + 1]) if target in ledger.gone else None
        )
        row["by_hand"] = _by_hand([pick for pick in picks if pick.target == target])
    return ConsoleBase(rows, refused, _ledger_data(ledger))


def curves(points: Sequence[Sensitivity]) -> dict[str, list[list[float]]]:
    """{target: [[ratio, value, low, high], ...]}, sorted by ratio."""
    found: dict[str, list[list[float]]] = {}
    for point in sorted(points, key=lambda p: p.ratio):
        q = point.quality
        found.setdefault(point.target, []).append([point.ratio, q.value, q.low, q.high])
    return found


def _row(network: Network, target: str, members: Sequence[str], whole: int) -> Data:
    layers = [network.layer(name) for name in members]
    kinds = list(dict.fromkeys(layer.type for layer in layers))
    return {
        "target": target,
        "members": list(members),
        "type": " + ".join(kinds) + (f" x{len(layers)}" if len(layers) > 1 else ""),
        "share": sum(layer.parameters for layer in layers) / whole,
        "note": "",
    }


def _refused_row(network: Network, group: Group, whole: int) -> Data:
    return _row(network, group.name, group.members, whole) | {
        "reason": f"keeps its channels: {group.reason}."
    }


def _nonzero_left(zero: torch.Tensor) -> list[int]:
    """Nonzero connections left at every percent removed, from the zeros in the order of removal."""
    alive = torch.cat([torch.zeros(1, dtype=torch.long), (~zero).long().cumsum(0)])
    gone = [removal_count(len(zero), percent / 100, "weight") for percent in range(_EVERY_PERCENT)]
    return (alive[-1] - alive[torch.tensor(gone)]).tolist()


def _by_hand(picks: Sequence[Pick]) -> str:
    """What was picked in a row, in words; empty if nothing was."""
    removed = sum(pick.removed for pick in picks)
    counts = [
        f"{count:,} {way}" for count, way in ((removed, "removed"), (len(picks) - removed, "kept")) if count
    ]
    return f"{', '.join(counts)} by hand" if counts else ""


def _weight_counts(network: Network, rows: Sequence[str]) -> Data:
    others = [layer.name for layer in network.layers if layer.name not in rows]
    return {
        "entries": [],
        "parameters": network.parameters(),
        "macs": layer_macs(network)[""],
        "products": {},
        "nonzero": sum(int(network.weight(name).count_nonzero()) for name in others),
    }


def _ledger_data(ledger: Ledger) -> Data:
    return {
        "entries": [_entry_data(ledger, i) for i in range(len(ledger.entries))],
        "parameters": ledger.other_parameters,
        "macs": ledger.other_macs,
        "products": {group: list(taken) for group, taken in ledger.products.items()},
    }


def _entry_data(ledger: Ledger, index: int) -> Data:
    """An entry in short: a table of positions only where a channel does not always take the same number."""
    entry = ledger.entries[index]
    data = {k: v for k, v in asdict(entry).items() if k not in ("module", "takings")}
    data["takings"] = [
        {
            "group": taking.group,
            "side": taking.side,
            "each": taking.positions[1],
            "table": None
            if all(p == k * taking.positions[1] for k, p in enumerate(taking.positions))
            else list(taking.positions),
        }
        for taking in entry.takings
    ]
    return data
