"""What goes with exported files, the plan and the model card: the figures in it are those on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from analysis.export.bundle import notes
from analysis.export.shipment import Shipment
from analysis.pruning.plan import Plan
from analysis.recovery.keep import keep_here
from analysis.units.export import Export
from ui import computed, keeping, workspace
from ui.bench import dense_plan

_PAPERS = "export_papers"


def papers(plan: Plan, made: Sequence[Export]) -> Mapping[str, bytes]:
    """The papers of a plan's network and of what was made of it, by file name; written once."""
    key = (plan, workspace.image_count(), tuple(export.exported for export in made))
    found = workspace.kept_result(_PAPERS, key)
    if found is None:
        found = notes(_shipment(plan), made, date.today())
        workspace.keep_result(_PAPERS, key, found)
    return found


def _shipment(plan: Plan) -> Shipment:
    dense = dense_plan(plan.network)
    return Shipment(
        dense=workspace.network(),
        pruned=computed.pruned(plan),
        plan=plan,
        selection=computed.selection(plan),
        recovered=keep_here().get(plan.recovered) if plan.recovered else None,
        dataset=workspace.opened().dataset,
        split=computed.evaluation_split(plan.network, workspace.image_count()),
        dense_numbers=keeping.measured(dense).numbers(),
        numbers=keeping.measured(plan).numbers(),
    )
