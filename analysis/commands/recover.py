"""recover: bring back what pruning took, by one method or several in turn."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from analysis.commands.measured import (
    Measured,
    identical,
    interval_data,
    no_better,
    number,
    report_of,
    text_of,
)
from analysis.commands.measuring import add_plan, plan_of
from analysis.commands.options import add_source, epochs, file_to_write, opened, progress, written
from analysis.errors import PlanError
from analysis.export import save_pt2
from analysis.measure.measurement import measure
from analysis.measure.quality import Interval, evaluate, headline_change
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import to_json
from analysis.recovery.augmentation import Augmentation
from analysis.recovery.defaults import course_for, recipe_for
from analysis.recovery.distil import Distillation, learn
from analysis.recovery.gradual import Course, gradually
from analysis.recovery.levels import SCHEDULES
from analysis.recovery.pruned import Pruned, begin_whole
from analysis.recovery.recipe import OPTIMISERS, Recipe
from analysis.recovery.recipe import SCHEDULES as RATES
from analysis.recovery.recovered import Step
from analysis.recovery.registry import METHODS
from analysis.recovery.training import best_of, judge
from analysis.units import Case, Open
from analysis.units.fine_tune import METHODS as TRAININGS

COMMANDS = {"recover": "prune, bring back what that took, and measure it"}

FINE_TUNING, DISTILLATION = TRAININGS
GRADUAL = "gradual"
ALL = (*METHODS, FINE_TUNING, DISTILLATION, GRADUAL)

_RECIPE = {
    "epochs": (epochs, "passes over the examples"),
    "learning_rate": (float, "the highest of the schedule"),
    "batch": (int, "examples in a step"),
    "optimiser": (OPTIMISERS, "how steps are made"),
    "momentum": (float, "of SGD"),
    "seed": (int, "draws all that is left to chance"),
    "schedule": (RATES, "how the learning rate falls"),
    "warm_up": (float, "the share of steps in which it first rises"),
    "patience": (int, "epochs without a better one after which training stops; 0 for never"),
    "l1": (float, "times the sum of the weights' sizes in the loss"),
    "l2": (float, "times the sum of their squares"),
    "decay": (float, "of AdamW"),
    "dropout": (float, "the rate of dropout"),
    "last": (int, "how many of the last layers learn; 0 for all"),
}
_AUGMENTATION = {
    "shift": (int, "pixels by which images are moved at most"),
    "noise": (float, "of this many standard deviations is added"),
    "cutout": (int, "the side of a square of nothing in each image"),
}


@dataclass(frozen=True)
class _Gain:
    """What one method brought: the change of the headline metric by it, paired, and the seconds it took.

    `identical` if it changed no output; `settings` are the step's.
    """

    method: str
    change: Interval
    seconds: float
    identical: bool
    settings: Mapping[str, Any]


def add_arguments(command: argparse.ArgumentParser, name: str) -> None:
    """The arguments of the command."""
    add_source(command)
    add_plan(command, required=True)
    command.add_argument(
        "--method", action="append", metavar="NAME", choices=ALL,
        help=f"(default {DISTILLATION}) give it several times for several in turn: {', '.join(ALL)}",
    )  # fmt: skip
    training = command.add_argument_group(
        "training", "what is not given suits the network and its data, as on the Recover page"
    )
    for field, (kind, sentence) in {**_RECIPE, **_AUGMENTATION}.items():
        how = {"choices": kind} if isinstance(kind, tuple) else {"type": kind, "metavar": field.upper()}
        training.add_argument(f"--{field.replace('_', '-')}", help=sentence, **how)
    training.add_argument("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the images")
    teacher = command.add_argument_group(
        "distillation", "of the method of that name, and of gradual pruning (--soft 0: from the labels alone)"
    )
    teacher.add_argument("--temperature", type=float, help=f"(default {Distillation.temperature:g})")
    teacher.add_argument(
        "--soft", type=float,
        help=f"the share of the dense network's answers (default {Distillation.soft:g}; gradually 1)",
    )  # fmt: skip
    teacher.add_argument(
        "--hint", action="append", default=[], metavar="LAYER", help="compare values behind it, too"
    )
    course = command.add_argument_group("gradual pruning")
    course.add_argument("--levels", choices=tuple(SCHEDULES), default=Course.schedule)
    course.add_argument("--steps", type=epochs)
    course.add_argument("--last-epochs", type=epochs, help="of the last step")
    course.add_argument("--score-once", action="store_true", help="keep the dense network's scores")
    course.add_argument(
        "--soft-pruning", action="store_true", help="what is to go may grow back until the last step"
    )
    course.add_argument("--rewind", type=int, metavar="EPOCH", help="take weights back after each cut")
    course.add_argument(
        "--stop-below", type=float, metavar="METRIC", help="on held-out examples, from 0 to 1 for accuracy"
    )
    command.add_argument(
        "-o", "--output", type=file_to_write(".pt2"), metavar="OUT.pt2", help="save the recovered network"
    )
    command.add_argument(
        "--save-plan", type=file_to_write(".json"), metavar="PLAN.json",
        help="the plan, which names the recovered weights; they are kept on this machine",
    )  # fmt: skip


def run(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry the command out; its report as data and as text."""
    source = opened(open_source, options)
    network, dataset = source.network, source.dataset
    plan = plan_of(network, options)
    if plan.is_dense:
        raise PlanError("The plan removes nothing, so there is nothing to recover. Cut something first.")
    case = Case(network, dataset, dataset.evaluation, plan)
    methods = tuple(options.method or (DISTILLATION,))
    if GRADUAL in methods[1:] or (GRADUAL in methods and plan.recovered):
        raise PlanError(
            "Gradual pruning begins at the dense network: let it come first, with a plan as pruned."
        )
    progress(f"measuring the dense network on {dataset.evaluation.origin}")
    dense = measure(network, dataset.evaluation, dataset.task)
    at, gains = case.begin(), []
    cut = measure(at.network, case.split, dense.evaluation.task, dense=dense)
    steps: list[Step] = []
    before = cut.evaluation
    for method in methods:
        progress(f"recovering by {method}")
        start = time.perf_counter()
        at, plan, settings = _carried_out(method, at, plan, options)
        spent = time.perf_counter() - start
        after = evaluate(at.network, case.split, before.task)
        gains.append(_Gain(method, headline_change(after, before), spent, identical(after, before), settings))
        steps.append(Step(method, settings, spent))
        before = after
    size = written(options.output, lambda: save_pt2(at.network, options.output)) if options.output else 0
    plan = replace(plan, recovered=case.keep(at.network, at.selection, *steps))
    found = Measured(
        network,
        plan,
        at.network,
        dense,
        measure(at.network, case.split, before.task, dense=dense, evaluation=before),
        at.selection.channels,
    )
    report = report_of(found)
    report["pruned"] = interval_data(cut.headline)
    report["before"] = [step.method for step in case.recovered.steps] if case.recovered else []
    report["recovered"] = [_entry(gain) for gain in gains]
    if options.output:
        report["file"] = str(options.output)
        report["file_bytes"] = size
    if options.save_plan:
        text = to_json(plan)
        report["plan_file"] = str(options.save_plan)
        written(options.save_plan, lambda: options.save_plan.write_text(text), "file with --save-plan")
    return report, "\n".join(_text(report, found))


def _carried_out(
    method: str, at: Pruned, plan: Plan, options: argparse.Namespace
) -> tuple[Pruned, Plan, Mapping[str, Any]]:
    """The network after a method, the plan it now carries out, and the method's settings."""
    if method in METHODS:
        return replace(at, network=METHODS[method].run(at, lambda share: None).network), plan, {}
    if method == GRADUAL:
        return _gradually(at, plan, options)
    recipe = _with_given(recipe_for(at), options)
    teacher = None if method == FINE_TUNING else _teacher(Distillation(), options)
    start = judge(at.network, at.validation, at.task)
    network, number, _ = best_of(at.network, start, learn(at, recipe, teacher))
    return replace(at, network=network), plan, {**_settings(recipe), "epoch": number}


def _gradually(at: Pruned, plan: Plan, options: argparse.Namespace) -> tuple[Pruned, Plan, Mapping[str, Any]]:
    """Gradual pruning from the dense network: its last step that holds the floor."""
    ready = begin_whole(at.dense, at.dataset)
    usual = course_for(recipe_for(ready))
    teacher = _teacher(usual.distillation or Distillation(), options)
    course = replace(
        usual, schedule=options.levels, recipe=_with_given(usual.recipe, options),
        distillation=teacher if teacher.soft > 0 else None, rescore=not options.score_once,
        soft=options.soft_pruning, rewind=options.rewind, floor=options.stop_below,
        **_given(options, ("steps", "last_epochs")),
    )  # fmt: skip
    held = [stage for stage in gradually(ready, plan, course) if stage.holds and not stage.is_soft]
    if not held:
        raise PlanError(
            "Even the first step falls below --stop-below. Stop lower, or take more and smaller steps."
        )
    last = held[-1]
    done = {**_settings(course.recipe), "levels": course.schedule, "steps": last.number}
    return replace(at, network=last.network, selection=last.selection), last.plan, done


def _with_given(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe with what was given in the place of what suits the network."""
    changed = _given(options, (field.name for field in fields(Augmentation)))
    augmentation = replace(recipe.augmentation, **changed)
    return replace(recipe, augmentation=augmentation, **_given(options, _RECIPE))


def _teacher(usual: Distillation, options: argparse.Namespace) -> Distillation:
    return replace(usual, hints=tuple(options.hint), **_given(options, ("temperature", "soft")))


def _settings(recipe: Recipe) -> dict[str, Any]:
    """What is worth remembering of a recipe beside the method."""
    return {"epochs": recipe.epochs, "learning_rate": recipe.learning_rate, "seed": recipe.seed}


def _given(options: argparse.Namespace, names: Any) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _entry(gain: _Gain) -> dict[str, Any]:
    each = gain.change.value / gain.seconds if gain.seconds > 0 else None
    return {
        "method": gain.method,
        "change": interval_data(gain.change),
        "seconds": gain.seconds,
        "per_second": each,
        "identical": gain.identical,
        **{key: gain.settings[key] for key in ("epoch", "epochs") if key in gain.settings},
    }


def _text(report: Mapping[str, Any], found: Measured) -> Sequence[str]:
    before = f"   after {', '.join(report['before'])}" if report["before"] else ""
    start = "before" if before else "as pruned"
    lines = [text_of(dict(report), found), "recovered", f"  {start:20} {number(report['pruned'])}{before}"]
    lines += [_line(entry) for entry in report["recovered"]]
    if "plan_file" in report:
        lines.append(
            f"saved {report['plan_file']}: its weights are {found.plan.recovered[:12]}…, kept on this machine"
        )
    return lines


def _line(entry: Mapping[str, Any]) -> str:
    """What a method brought, for a person; a training that kept its start says so."""
    brought = "identical answers" if entry["identical"] else number(entry["change"], signed=True)
    line = f"  {entry['method']:20} {brought} in {entry['seconds']:.1f} s"
    return f"{line}: {no_better(entry['epochs'])}" if entry.get("epoch") == 0 else line
