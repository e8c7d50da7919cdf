"""inspect, measure and prune: what a network is and costs, whole or pruned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from analysis.commands.measured import Measured, report_of, text_of
from analysis.commands.options import add_cut, add_source, file_to_write, opened, progress, share, written
from analysis.errors import PlanError
from analysis.export import save_pt2
from analysis.importance.registry import find_criterion
from analysis.measure.measurement import measure
from analysis.network import Network
from analysis.pruning.plan import Plan, check_plan, uniform_plan
from analysis.pruning.plan_json import from_json
from analysis.units import Case, Open

COMMANDS = {
    "inspect": "describe a network: layers, coupled groups, quality and cost",
    "measure": "measure a network, pruned by a plan or by one ratio everywhere",
    "prune": "as measure, and save the pruned network as .pt2",
}


def add_arguments(command: argparse.ArgumentParser, name: str) -> None:
    """The arguments of one of :data:`COMMANDS`."""
    add_source(command)
    if name == "inspect":
        return
    add_plan(command, required=name == "prune")
    if name == "prune":
        command.add_argument("-o", "--output", type=file_to_write(".pt2"), required=True, metavar="OUT.pt2")


def add_plan(command: argparse.ArgumentParser, *, required: bool) -> None:
    """What is removed: a plan of a file, or one ratio everywhere; nothing, unless that is `required`."""
    what = command.add_mutually_exclusive_group(required=required)
    otherwise = "" if required else " (without --plan and --all: nothing is removed)"
    what.add_argument("--plan", type=Path, metavar="FILE", help=f"a plan saved as JSON{otherwise}")
    what.add_argument("--all", type=share, metavar="RATIO", help="remove this share of every target")
    add_cut(command, "with --all ")


def run(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry the command out; its report as data and as text."""
    found = _measured(open_source, options)
    report = report_of(found)
    if options.command == "prune":
        report["file"] = str(options.output)
        report["file_bytes"] = written(options.output, lambda: save_pt2(found.pruned, options.output))
    return report, text_of(report, found, parts=options.command != "prune")


def _measured(open_source: Open, options: argparse.Namespace) -> Measured:
    source = opened(open_source, options)
    network, dataset = source.network, source.dataset
    plan = plan_of(network, options)
    if not plan.is_dense:
        progress(f"scoring by {plan.criterion}")
    case = Case(network, dataset, dataset.evaluation, plan)
    pruned, gone = case.pruned, case.selection.channels
    progress(f"measuring the dense network on {dataset.evaluation.origin}")
    dense = measure(network, dataset.evaluation, dataset.task)
    if plan.is_dense:
        return Measured(network, plan, network, dense, dense, gone)
    progress("measuring the pruned network")
    measurement = measure(pruned, dataset.evaluation, dataset.task, dense=dense)
    return Measured(network, plan, pruned, dense, measurement, gone)


def read_plan(path: Path, network: Network) -> Plan:
    """The plan of a file, checked against the network.

    Raises
    ------
    PlanError
        If there is no such file, it cannot be read, is no plan, or the plan is for another network.
    """
    try:
        plan = from_json(path.read_bytes())
    except FileNotFoundError as error:
        raise PlanError(f"There is no file {path}. Name a plan saved as JSON.") from error
    except OSError as error:
        raise PlanError(f"The plan {path} cannot be read ({error.strerror}).") from error
    check_plan(plan, network)
    return plan


def plan_of(network: Network, options: argparse.Namespace) -> Plan:
    """What :func:`add_plan` asked for; the dense plan if that is nothing."""
    ratio, path = getattr(options, "all", None), getattr(options, "plan", None)
    if path is not None and (options.criterion or options.granularity):
        raise PlanError("A plan file names its own criterion and granularity; leave those options out.")
    if path is not None:
        return read_plan(path, network)
    if ratio is None and (getattr(options, "criterion", None) or getattr(options, "granularity", None)):
        raise PlanError("--criterion and --granularity go with --all RATIO; give it, or leave them out.")
    if ratio is None:
        return Plan(network.name, "l1")
    criterion = find_criterion(options.criterion or "l1").name
    return uniform_plan(network, criterion, options.granularity or "channel", ratio)
