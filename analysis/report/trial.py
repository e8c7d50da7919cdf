"""The report of one trial: what it costs, what it lost, and how it came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.errors import PlanError
from analysis.forgetting.classes import class_changes
from analysis.history.trial import Summary
from analysis.look import count
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Evaluation, check_same_examples
from analysis.pruning.plan_json import to_json
from analysis.report import figures, steps, tables
from analysis.report.cells import share
from analysis.report.page import page
from analysis.report.subject import Reported, Subject, plan_words


def trial_report(subject: Subject, trial: Reported, lineage: Sequence[Summary] = ()) -> str:
    """A self-contained HTML page about one trial.

    Parameters
    ----------
    lineage : sequence of Summary
        The trials it grew from, the first one first and itself last; the part is left out if there are none.

    Returns
    -------
    str
        Fit to be saved as .html: figures inside, no script, nothing fetched.

    Raises
    ------
    PlanError
        If the plan is for another network.
    DataError
        If it was measured on other examples than the dense network.
    """
    check_trials(subject, [trial])
    task, is_dense = subject.dense.evaluation.task, trial.plan.is_dense
    named = [] if is_dense else [("pruned", trial.numbers)]
    return page(
        "trial.html",
        title=subject.title,
        subtitle=trial.title,
        words=plan_words(trial.plan),
        label=trial.label,
        cards=tables.cards(subject, trial.numbers),
        metrics=tables.metrics(subject, named, changes=True),
        costs=tables.costs(subject, named),
        is_dense=is_dense,
        collapse=collapse_words(subject, trial.evaluation),
        layers=None if is_dense else _layers(subject.dense, trial.numbers),
        fates=None if is_dense else _fates(subject, trial.evaluation),
        steps=None if trial.steps is None else steps.recovery(trial.steps),
        is_recovered=bool(trial.plan.recovered),
        lineage=tables.lineage(lineage, task.headline) if lineage else None,
        targets=tables.targets(trial.plan, subject.dense.network),
        plan_json=to_json(trial.plan),
        conditions=tables.conditions(subject, [trial]),
    )


def check_trials(subject: Subject, trials: Sequence[Reported]) -> None:
    """Refuse trials of another network than the report's, or on other examples; errors as :func:`trial_report`."""
    name = subject.dense.network.name
    for trial in trials:
        if trial.plan.network != name:
            raise PlanError(
                f"This report is about {name}, and a plan is for the network {trial.plan.network!r}. Report on plans "
                "of one network."
            )
        if trial.evaluation is not None:
            check_same_examples(trial.evaluation, subject.dense.evaluation)


def collapse_words(subject: Subject, evaluation: Evaluation | None) -> str:
    """What a network says that says the same to every example; empty if it does not."""
    if evaluation is None or len(evaluation.answers) < 2 or len(evaluation.answers.unique()) > 1:
        return ""
    said = float(evaluation.answers[0])
    names = subject.dataset.names_of(evaluation.classes)
    return names[int(said)] if evaluation.classes else f"{said:.3g}"


def _layers(dense: Numbers, numbers: Numbers) -> dict[str, Any]:
    """Figures and table of what is left of each layer."""
    kept, used = [], []
    for layer, before in dense.cost.layer_nonzero.items():
        after, now = numbers.cost.layer_nonzero.get(layer), numbers.cost.layer_macs.get(layer)
        if after is None or now is None:
            continue
        left = share(after, before)
        part = 100 * after / before if before else 0.0
        tip = f"{layer}: {after:,} of {before:,} connections kept ({left})"
        kept.append(figures.Bar(layer, 100.0 if before else 0.0, part, tip))
        macs = dense.cost.layer_macs[layer]
        used.append(figures.Bar(layer, macs, now, f"{layer}: {count(now)} of {count(macs)} MACs left"))
    elsewhere = [
        numbers.cost.macs - sum(numbers.cost.layer_macs.values()) for numbers in (dense, numbers)
    ]  # products of attention, which belong to no layer
    return {
        "kept": figures.bars("kept", "connections kept (%)", kept, is_share=True),
        "macs": figures.bars("macs", "MACs for one example", used),
        "table": tables.layers(dense, numbers),
        "unknown": len(dense.cost.layer_nonzero) - len(kept),
        "elsewhere": tuple(f"{macs:,}" for macs in elsewhere) if elsewhere[0] else None,
        "same_macs": numbers.cost.macs == dense.cost.macs,
    }


def _fates(subject: Subject, after: Evaluation | None) -> dict[str, Any]:
    """What became of the examples, and of the classes if there are any."""
    before = subject.dense.evaluation
    if after is None:
        return {"kind": "unknown"}
    if not before.task.is_classification:
        return {
            "kind": "values",
            "worse": f"{int((after.losses > before.losses).sum()):,}",
            "better": f"{int((after.losses < before.losses).sum()):,}",
            "examples": f"{len(before.split):,}",
            "moved": f"{float((after.answers - before.answers).abs().mean()):.3g}",
            "unit": subject.dataset.target_unit,
        }
    names = subject.dataset.names_of(before.classes)
    changes = [change for change in class_changes(before, after) if change is not None]
    changes.sort(key=lambda change: change.change.value)
    drawn = changes[: figures.CLASSES]
    return {
        "kind": "classes",
        "lost": sum(change.lost for change in changes),
        "gained": sum(change.gained for change in changes),
        "changed": int((after.answers != before.answers).sum()),
        "examples": f"{len(before.split):,}",
        "figure": figures.class_changes(drawn, names),
        "drawn": len(drawn),
        "classes": len(changes),
        "absent": before.classes - len(changes),
        "table": tables.classes(changes, names, before.task.headline),
    }
