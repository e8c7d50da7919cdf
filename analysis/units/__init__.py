"""Units of work: what a worker process can be asked for, a file each.

A request is plain data, so that another process, or another machine, can serve it: the kind of work, the
network by the name it is opened with, how many evaluation examples, a plan, and what the unit itself wants to
know. A unit is a module here with a function ``run(case, parameters, known, say)``. It yields its findings part
by part, each a dict of plain data that can be drawn on its own, and calls `say` with the share done, as often
as it can. What was found before comes as `known`, and is not measured again.

A new unit is a file and a line in :data:`UNITS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from typing import Any, NamedTuple

from analysis.datasets import Dataset, Split
from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, select
from analysis.recovery.keep import keep_here
from analysis.recovery.pruned import Pruned, begin, begin_whole
from analysis.recovery.recovered import Recovered, Step, recovered_from, restore
from analysis.sources import Opened

Message = dict[str, Any]
Open = Callable[[str], Opened]
Say = Callable[[float], None]
Run = Callable[["Case", Mapping[str, Any], Sequence[Message], Say], Iterator[Message]]

VERSION = 2  # to be raised when a part's layout or meaning changes: findings of another version are not read


class Unit(NamedTuple):
    """A kind of work: the module that does it, and what tells its parts apart."""

    module: str
    part_keys: tuple[str, ...]


UNITS: Mapping[str, Unit] = {
    "sweep": Unit("analysis.units.sweep", ("target", "ratio")),
    "attribution": Unit("analysis.units.attribution", ("first",)),
    "drift": Unit("analysis.units.drift", ("ratio",)),
    "faithfulness": Unit("analysis.units.faithfulness", ("measure",)),
    "exemplars": Unit("analysis.units.exemplars", ("seed",)),
    "corruption": Unit("analysis.units.corruption", ("corruption", "strength")),
    "representation": Unit("analysis.units.representation", ("number",)),
    "redundancy": Unit("analysis.units.redundancy", ("block",)),
    "search": Unit("analysis.units.search", ("number", "target", "ratio")),
    "sparse-training": Unit("analysis.units.sparse_training", ("number", "trained")),
    "quick": Unit("analysis.units.quick", ("methods",)),
    "fine-tune": Unit("analysis.units.fine_tune", ("epoch",)),
    "gradual": Unit("analysis.units.gradual", ("step",)),
    "proposals": Unit("analysis.units.proposals", ("name",)),
    "recovered-proposals": Unit("analysis.units.recovered_proposals", ("name",)),
    "export": Unit("analysis.units.export", ("name",)),
}  # modules by name, so that a worker imports only what it needs


@dataclass(frozen=True, eq=False)
class Case:
    """What a request is about: the dense network, its data, the examples measured on, and a plan.

    `plan` is dense if the request names none. `hints` are what may help, and does not change what is asked.
    """

    network: Network
    dataset: Dataset
    split: Split
    plan: Plan
    hints: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def scores(self) -> Scores | None:
        """Scores of the dense network under the plan's criterion; None for the dense plan."""
        return None if self.plan.is_dense else score(self.network, self.plan.criterion, self.dataset)

    @cached_property
    def recovered(self) -> Recovered | None:
        """What recovery made of the plan's network, if the plan names it."""
        return keep_here().get(self.plan.recovered) if self.plan.recovered else None

    @cached_property
    def selection(self) -> Selection:
        """What is gone by the plan."""
        return self.recovered.selection if self.recovered else select(self.network, self.plan, self.scores)

    @cached_property
    def pruned(self) -> Network:
        """The network of the plan, recovered if the plan says so."""
        if self.recovered is not None:
            return restore(self.network, self.recovered)
        return prune(self.network, self.plan, self.scores)

    @cached_property
    def whole(self) -> Pruned:
        """The dense network, where recovery begins if nothing is gone yet."""
        return begin_whole(self.network, self.dataset)

    def begin(self) -> Pruned:
        """The plan's network on its way to recovery."""
        return begin(self.network, self.pruned, self.selection, self.dataset)

    def keep(self, network: Network, selection: Selection, *steps: Step) -> str:
        """Keep a network that recovery made of the plan's; returns the digest for a plan to name.

        `steps` go behind those that the plan's network has been through already.
        """
        before = self.recovered.steps if self.recovered else ()
        return keep_here().put(recovered_from(network, selection, (*before, *steps)))


def make_request(
    kind: str,
    network: str,
    images: int,
    *,
    plan: Plan | None = None,
    parameters: Mapping[str, Any] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> Message:
    """A request for a unit of work.

    Parameters
    ----------
    network : str
        As the worker's `Open` takes it.
    images : int
        How many evaluation examples are used.
    parameters : mapping
        What the unit itself wants to know: plain data.
    hints : mapping
        What is known beside that and helps the unit along: plain data. Requests that differ in hints alone
        ask the same, and find each other's parts.
    """
    return {
        "kind": kind,
        "network": network,
        "images": images,
        "plan": to_json(plan) if plan is not None else None,
        "parameters": dict(parameters or {}),
        "hints": dict(hints or {}),
        "known": [],
    }


def with_known(request: Mapping[str, Any], known: Sequence[Message]) -> Message:
    """The same request, to leave out parts that are known."""
    return {**request, "known": list(known)}


def digest(request: Mapping[str, Any]) -> str:
    """Equal for requests for the same findings, whatever helps or is known; of the network, its name counts."""
    content = {key: value for key, value in request.items() if key not in ("hints", "known")}
    content["version"] = VERSION
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def once(kind: str, parts: Sequence[Message]) -> list[Message]:
    """Each part once: workers that were asked the same at the same time have found it twice."""
    found: dict[str, Message] = {}
    for part in parts:
        found.setdefault(json.dumps([part.get(key) for key in UNITS[kind].part_keys], sort_keys=True), part)
    return list(found.values())


def find_unit(kind: Any) -> Run:
    """The unit of a kind; PrunescopeError if there is none."""
    if kind not in UNITS:
        raise PrunescopeError(f"There is no work called {kind!r}. Known: {', '.join(UNITS)}.")
    run: Run = import_module(UNITS[kind].module).run
    return run


def open_case(open_source: Open, request: Mapping[str, Any]) -> Case:
    """Open what a request is about."""
    opened = open_source(request["network"])
    network, dataset = opened.network, opened.dataset
    plan = from_json(request["plan"]) if request["plan"] is not None else Plan(network.name, "l1")
    return Case(
        network, dataset, dataset.evaluation.sample(request["images"]), plan, request.get("hints", {})
    )
