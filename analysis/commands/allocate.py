"""allocate: a target into a plan, by one method or by all of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.allocation.appraisal import Appraisal
from analysis.allocation.goals import GOALS, Goal, in_words, read_goal
from analysis.allocation.methods.greedy import ORDERS
from analysis.allocation.problem import CAP
from analysis.allocation.proposal import TimingError
from analysis.allocation.registry import METHODS, find_method
from analysis.allocation.repaired_curves import usual_repair
from analysis.commands.measured import interval_data, no_better, number
from analysis.commands.options import (
    add_cut,
    add_source,
    epochs,
    file_to_write,
    opened,
    progress,
    share,
    written,
)
from analysis.errors import PlanError
from analysis.importance.registry import find_criterion
from analysis.look import counted
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import to_json
from analysis.units import Case, Message, Open, proposals, recovered_proposals
from analysis.units.proposals import Measured
from analysis.units.recovered_proposals import Recovery

COMMANDS = {"allocate": "turn a target into a plan, and measure it"}


def add_arguments(command: argparse.ArgumentParser, name: str) -> None:
    """The arguments of the command."""
    add_source(command)
    command.add_argument(
        "--goal", required=True, metavar="KIND=VALUE",
        help="the share of a cost that may be left (macs=0.5), or the least quality (floor=0.97); kinds: "
        + ", ".join(GOALS),
    )  # fmt: skip
    add_cut(command)
    how = command.add_mutually_exclusive_group()
    how.add_argument("--method", metavar="NAME", help=f"(default greedy): {', '.join(METHODS)}")
    how.add_argument("--all-methods", action="store_true", help="every method, to compare")
    command.add_argument(
        "--order", choices=ORDERS, default=ORDERS[0], help=f"of the greedy method (default {ORDERS[0]})"
    )
    command.add_argument(
        "--cap", type=share, default=CAP, metavar="RATIO", help=f"no target loses more (default {CAP:g})"
    )
    command.add_argument(
        "--as-cut", action="store_true",
        help="measure right after the cut; without it sensitivities and proposals are measured after a quick repair (a quality "
        "to keep is always one as cut), and the plan names the repaired weights",
    )  # fmt: skip
    command.add_argument(
        "--recover",
        type=epochs,
        metavar="EPOCHS",
        help="fine-tune each proposal so long, and measure it again",
    )
    command.add_argument(
        "-o", "--output", type=file_to_write(".json"), metavar="PLAN.json",
        help="save the plan; of several, the best: most quality, or for a floor least cost",
    )  # fmt: skip


def run(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry the command out; its report as data and as text."""
    goal = read_goal(options.goal)
    criterion = find_criterion(options.criterion or "l1").name
    granularity = options.granularity or "channel"
    methods = tuple(METHODS) if options.all_methods else (find_method(options.method or "greedy").name,)
    source = opened(open_source, options)
    network, dataset = source.network, source.dataset
    case = Case(network, dataset, dataset.evaluation, Plan(network.name, criterion))
    wanted = proposals.parameters(
        goal,
        granularity,
        criterion,
        methods,
        order=options.order,
        cap=options.cap,
        repaired=goal.about.is_cost and not options.as_cut,
    )
    progress(f"proposing plans with {goal.words()}")
    parts: list[Message] = []
    missed = ""
    try:
        for part in proposals.run(case, wanted, [], lambda share: None):
            parts.append(part)  # noqa: PERF402 (those before a refusal count)
    except TimingError as error:  # a latency that was met once, and not again: the others stand
        missed = str(error)
    found, dense = proposals.proposals_of(parts), proposals.dense_of(parts)
    made = [one for one in found if one.proposal is not None]
    if not made:
        raise PlanError(missed or found[0].refused)
    assert dense is not None
    after = _recovered(case, made, options.recover) if options.recover else {}
    report: dict[str, Any] = {
        "network": network.name,
        "goal": asdict(goal),
        "granularity": granularity,
        "criterion": criterion,
        "images": len(case.split),
        "dense": _figures(dense),
        "proposals": [_entry(network, one, after.get(one.name)) for one in found],
    }
    if options.output:
        best = _best(made, goal, granularity)
        assert best.proposal is not None
        text = to_json(best.proposal.plan)
        report["saved"] = best.name
        report["file"] = str(options.output)
        report["file_bytes"] = written(options.output, lambda: options.output.write_text(text))
    return report, _text(report, network, goal)


def _recovered(case: Case, made: Sequence[Measured], count: int) -> dict[str, Recovery]:
    """Each proposal after the same fine-tuning."""
    progress(f"fine-tuning {counted(len(made), 'proposal')} for {counted(count, 'epoch')}")
    plans = {one.name: one.proposal.plan for one in made if one.proposal is not None}
    wanted = recovered_proposals.parameters(plans, recovered_proposals.recipe_for(count))
    parts = recovered_proposals.run(case, wanted, [], lambda share: None)
    return {found.name: found for found in map(recovered_proposals.from_data, parts)}


def _best(made: Sequence[Measured], goal: Goal, granularity: str) -> Measured:
    """Of the proposals for a cost the one that keeps most, of those for a quality the one that costs least."""
    if goal.about.is_cost:
        return max(made, key=lambda one: one.appraisal.quality.value if one.appraisal else 0.0)
    cost = "macs" if granularity == "channel" else "connections"
    return min(made, key=lambda one: one.appraisal.shares[cost] if one.appraisal else 1.0)


def _figures(found: Appraisal) -> dict[str, Any]:
    return {"quality": interval_data(found.quality), **found.costs}


def _entry(network: Network, found: Measured, after: Recovery | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": found.name, "method": found.method}
    if found.proposal is None or found.appraisal is None:
        return entry | {"refused": found.refused}
    made = found.proposal
    entry |= {
        "ratios": made.plan.ratios,
        "repair": usual_repair(network) if made.plan.recovered else None,
        **_figures(found.appraisal),
        "change": interval_data(found.appraisal.change),
        "predicted": made.predicted,
        "shares": dict(found.appraisal.shares),
        "step": made.step,
        "steps": made.steps,
        "looks": made.looks,
        "seconds": made.seconds,
    }
    if after is not None:
        entry["recovered"] = _recovered_entry(after)
    return entry


def _recovered_entry(found: Recovery) -> dict[str, Any]:
    if found.quality is None or found.change is None:
        return {"refused": found.refused}
    return {
        "quality": interval_data(found.quality),
        "change": interval_data(found.change),
        "epoch": found.epoch,
        "epochs": found.epochs,
        "seconds": found.seconds,
    }


def _text(report: Mapping[str, Any], network: Network, goal: Goal) -> str:
    """The report for a person."""
    shown = (
        goal.kind if goal.about.is_cost else ("macs" if report["granularity"] == "channel" else "connections")
    )
    lines = [
        f"{network.name}: {goal.words()}, {report['granularity']}s by {report['criterion']}, "
        f"{report['images']:,} examples",
        f"  {'dense':24} {number(report['dense']['quality'])}",
    ]
    for entry in report["proposals"]:
        if "refused" in entry:
            lines.append(f"  {entry['name']:24} {entry['refused']}")
            continue
        lines.append(
            f"  {entry['name']:24} {number(entry['quality'])}   change {number(entry['change'], signed=True)}   "
            f"{entry['shares'][shown]:.1%} of the {in_words(shown)}"
        )
        if entry["predicted"] is not None:
            lines.append(f"  {'  estimated':24} {entry['predicted']:.4f}")
        if "recovered" in entry:
            after = entry["recovered"]
            if "refused" in after:
                lines.append(f"  {'  recovered':24} {after['refused']}")
                continue
            lines.append(
                f"  {'  recovered':24} {number(after['quality'])}   change {number(after['change'], signed=True)}   "
                f"{after['seconds']:.1f} s" + ("" if after["epoch"] else f"; {no_better(after['epochs'])}")
            )
    single = [entry for entry in report["proposals"] if "ratios" in entry]
    repairs = {entry["repair"] for entry in single} - {None}
    lines += [
        f"measured after {name}: the plan names these weights, which are kept on this machine alone "
        "(--as-cut leaves that away)"
        for name in sorted(repairs)
    ]
    if len(single) == 1:
        lines.append("removed")
        lines += [f"  {target:24} {ratio:.1%}" for target, ratio in single[0]["ratios"].items()]
    if "file" in report:
        lines.append(f"saved {report['file']} ({report['file_bytes']:,} bytes): {report['saved']}")
    return "\n".join(lines)
