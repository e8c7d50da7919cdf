"""A plan: a criterion and its cuts, immutable, hashable, saved as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from analysis.errors import PlanError
from analysis.network import Group, Network

Granularity = Literal["weight", "channel"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
SCHEMA = 1
MAX_CUTS = 5000
MAX_BYTES = 1_000_000
_SHOWN = 5


@dataclass(frozen=True, order=True)
class Cut:
    """Remove the share `ratio` (0 to 1) of a target: the least important weights or channels.

    The target is a layer's name for weights, a group's name for channels.
    """

    target: str
    granularity: Granularity
    ratio: float

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise PlanError(
                f"{self.target}: granularity {self.granularity!r} is unknown; use weight or channel."
            )
        if not (math.isfinite(self.ratio) and 0 <= self.ratio <= 1):
            raise PlanError(f"{self.target}: the ratio removed is {self.ratio}; it must lie between 0 and 1.")
        object.__setattr__(self, "ratio", float(self.ratio))


@dataclass(frozen=True)
class Plan:
    """A criterion and its cuts for one network.

    Cuts are kept sorted and without zeros, so that equal plans are equal objects. Channels go first; cuts
    of weights then remove a share of what the channels have left.

    Raises
    ------
    PlanError
        If a target is cut twice at one granularity.
    """

    network: str
    criterion: str
    cuts: tuple[Cut, ...] = ()

    def __post_init__(self) -> None:
        counts = Counter((cut.target, cut.granularity) for cut in self.cuts)
        twice = sorted({target for (target, _), count in counts.items() if count > 1})
        if twice:
            raise PlanError(f"The plan cuts {_some(twice)} twice; give each target one cut.")
        object.__setattr__(self, "cuts", tuple(sorted(cut for cut in self.cuts if cut.ratio > 0)))

    @property
    def is_dense(self) -> bool:
        """True if nothing is removed."""
        return not self.cuts

    @property
    def granularity(self) -> Granularity | None:
        """What its cuts remove; None if nothing, or both weights and channels."""
        found = {cut.granularity for cut in self.cuts}
        return found.pop() if len(found) == 1 else None

    @property
    def ratios(self) -> dict[str, float]:
        """Ratio removed of each target of a plan of one granularity."""
        return {cut.target: cut.ratio for cut in self.cuts}

    def ratios_of(self, granularity: Granularity) -> dict[str, float]:
        """Ratio removed of each target that is cut at a granularity."""
        return {cut.target: cut.ratio for cut in self.cuts if cut.granularity == granularity}

    def only(self, granularity: Granularity) -> Plan:
        """The plan with its cuts of one granularity alone."""
        return replace(self, cuts=tuple(cut for cut in self.cuts if cut.granularity == granularity))


def make_plan(
    network: Network, criterion: str, granularity: Granularity, ratios: Mapping[str, float]
) -> Plan:
    """The plan of `ratios` ({target: ratio}), checked against `network`."""
    plan = Plan(
        network.name,
        criterion,
        tuple(Cut(target, granularity, ratio) for target, ratio in ratios.items()),
    )
    check_plan(plan, network)
    return plan


def recut(
    plan: Plan, network: Network, criterion: str, granularity: Granularity, ratios: Mapping[str, float]
) -> Plan:
    """`plan` with its cuts of one granularity replaced by `ratios`, under a criterion; the others stay."""
    kept = tuple(cut for cut in plan.cuts if cut.granularity != granularity)
    fresh = make_plan(network, criterion, granularity, ratios)
    return replace(fresh, cuts=(*kept, *fresh.cuts))


def rounded(network: Network, ratios: Mapping[str, float], multiple: int) -> dict[str, float]:
    """Ratios of groups changed to the nearest at which a multiple of `multiple` channels is kept.

    Processors work in such steps: 33 channels may cost as much as 40. Heads and filter groups are counted
    as they are, and a group without so many channels is left whole.
    """
    return {target: _rounded(network.group(target), ratio, multiple) for target, ratio in ratios.items()}


def _rounded(group: Group, ratio: float, multiple: int) -> float:
    if multiple <= 1 or group.unit != "channel" or ratio == 0:
        return ratio
    steps = max(1, round((1 - ratio) * group.size / multiple))
    return 1 - min(group.size, steps * multiple) / group.size


def uniform_plan(network: Network, criterion: str, granularity: Granularity, ratio: float) -> Plan:
    """The plan that cuts every target of `network` alike."""
    return make_plan(network, criterion, granularity, dict.fromkeys(targets(network, granularity), ratio))


def targets(network: Network, granularity: Granularity) -> tuple[str, ...]:
    """What a slider can be offered for: layers for weights, prunable groups for channels."""
    if granularity == "weight":
        return tuple(layer.name for layer in network.layers)
    return tuple(group.name for group in network.groups if group.is_prunable)


def check_plan(plan: Plan, network: Network) -> None:
    """Refuse a plan that was made for another network.

    Raises
    ------
    PlanError
        Naming the targets that `network` does not have, or why they cannot be pruned.
    """
    if plan.network != network.name:
        raise PlanError(
            f"This plan is for the network {plan.network!r}, not for {network.name!r}"
            + _differences(plan, network)
            + ". Choose that network first."
        )
    if plan.is_dense:
        return
    refused = {group.name: group for group in network.groups if not group.is_prunable}
    for cut in plan.cuts:
        group = refused.get(cut.target)
        if cut.granularity == "channel" and group is not None:
            raise PlanError(f"{cut.target} keeps its channels: {group.reason}.")
    unknown = _unknown(plan, network)
    if unknown:
        granularity = next(cut.granularity for cut in plan.cuts if cut.target in unknown)
        kind = "layer" if granularity == "weight" else "group of coupled layers"
        raise PlanError(
            f"{network.name} has no {kind} called {_some(unknown)}. It has: "
            f"{', '.join(targets(network, granularity)) or 'none'}."
        )


def to_json(plan: Plan) -> str:
    """The plan as JSON text, with its schema version."""
    cuts = [{"target": cut.target, "granularity": cut.granularity, "ratio": cut.ratio} for cut in plan.cuts]
    content = {"schema": SCHEMA, "network": plan.network, "criterion": plan.criterion, "cuts": cuts}
    return json.dumps(content, indent=2) + "\n"


def from_json(text: str | bytes) -> Plan:
    """The plan of a JSON text.

    Raises
    ------
    PlanError
        If the text is not a plan of this schema; the message names what is wrong.
    """
    if len(text) > MAX_BYTES:
        raise PlanError(f"The plan is {len(text):,} bytes long; at most {MAX_BYTES:,} are read.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise PlanError(f"The plan is not JSON{where}. Load a file that Prunescope saved.") from error
    if not isinstance(content, dict):
        raise PlanError("The plan is not a JSON object. Load a file that Prunescope saved.")
    if type(content.get("schema")) is not int or content["schema"] != SCHEMA:
        raise PlanError(
            f"The plan has schema {content.get('schema')!r}; this version reads the number {SCHEMA}."
        )
    cuts = _field(content, "cuts", list)
    if len(cuts) > MAX_CUTS:
        raise PlanError(f"The plan has {len(cuts):,} cuts; at most {MAX_CUTS:,} are read.")
    return Plan(
        _field(content, "network", str),
        _field(content, "criterion", str),
        tuple(_cut_from(entry) for entry in cuts),
    )


def _cut_from(entry: Any) -> Cut:
    if not isinstance(entry, dict):
        raise PlanError("A cut of the plan is not a JSON object with target, granularity and ratio.")
    ratio = entry.get("ratio")
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
        raise PlanError(f"A cut of the plan has no number as ratio: {ratio!r}.")
    try:
        ratio = float(ratio)
    except OverflowError:
        raise PlanError("A cut of the plan has a ratio far beyond 1; it must lie between 0 and 1.") from None
    return Cut(_field(entry, "target", str), _field(entry, "granularity", str), ratio)


def _field(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if not isinstance(value, kind):
        raise PlanError(f"The plan has no valid {name!r} (found {value!r}).")
    return value


def _unknown(plan: Plan, network: Network) -> list[str]:
    known = {granularity: set(targets(network, granularity)) for granularity in GRANULARITIES}
    return [cut.target for cut in plan.cuts if cut.target not in known[cut.granularity]]


def _some(names: list[str]) -> str:
    """The first names, quoted where they could be mistaken, and how many more there are."""
    shown = [name if name.isprintable() and len(name) <= 80 else repr(name[:80]) for name in names[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _differences(plan: Plan, network: Network) -> str:
    unknown = _unknown(plan, network)
    return f"; here is no {_some(unknown)}" if unknown else ""
