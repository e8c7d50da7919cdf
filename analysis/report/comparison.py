"""The report of a comparison: two or more trials of one network, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from string import ascii_uppercase
from typing import Any

from markupsafe import Markup

from analysis.errors import PlanError
from analysis.history.differences import Difference, plan_differences
from analysis.importance.registry import criterion_label
from analysis.look import number
from analysis.measure.measurement import Numbers
from analysis.measure.quality import change, headline_change
from analysis.report import figures, tables
from analysis.report.cells import NOTHING, Cell, Table, change_cell, metric_cell
from analysis.report.page import page
from analysis.report.steps import steps_words
from analysis.report.subject import Reported, Subject, plan_words
from analysis.report.trial import check_trials, collapse_words

LETTERS = ascii_uppercase
MOST = len(LETTERS)


def comparison_report(subject: Subject, trials: Sequence[Reported]) -> str:
    """A self-contained HTML page about several trials of one network, which it calls A, B, C.

    Returns
    -------
    str
        As :func:`analysis.report.trial.trial_report`.

    Raises
    ------
    PlanError
        If there are fewer than two or more than 26 trials, or a plan is for another network.
    DataError
        If they were measured on different examples.
    """
    if not 2 <= len(trials) <= MOST:
        raise PlanError(
            f"A comparison is of 2 to {MOST} plans, and there are {len(trials):,}. Choose as many."
        )
    check_trials(subject, trials)
    letters = LETTERS[: len(trials)]
    numbers = [(letter, trial.numbers) for letter, trial in zip(letters, trials, strict=True)]
    return page(
        "comparison.html",
        title=subject.title,
        trials=[_head(letter, subject, trial) for letter, trial in zip(letters, trials, strict=True)],
        metrics=tables.metrics(subject, numbers, changes=False),
        against_dense=_changes(subject, numbers),
        costs=tables.costs(subject, numbers),
        charts=_charts(subject, letters, trials),
        same_cost=not _changed_costs(subject, trials),
        paired=paired(letters, trials),
        pairs=headline_pairs(subject, letters, trials),
        unpaired=[letter for letter, trial in zip(letters, trials, strict=True) if trial.evaluation is None],
        differences=_differences(letters, plan_differences([trial.plan for trial in trials])),
        layers=tables.kept_layers(subject.dense, numbers),
        conditions=tables.conditions(subject, trials),
    )


def paired(letters: str, trials: Sequence[Reported]) -> Table | None:
    """How each trial differs from the first in every metric, example by example; None if that is not known."""
    first = trials[0].evaluation
    others = [
        (letter, trial.evaluation)
        for letter, trial in zip(letters[1:], trials[1:], strict=True)
        if trial.evaluation is not None
    ]
    if first is None or not others:
        return None
    found = [change(evaluation, first) for _, evaluation in others]
    rows = tuple(
        (metric_cell(metric), *(change_cell(changes[metric.key], metric) for changes in found))
        for metric in first.metrics
    )
    return Table(("metric", *(f"{letter} against {letters[0]}" for letter, _ in others)), rows)


def headline_pairs(subject: Subject, letters: str, trials: Sequence[Reported]) -> Table | None:
    """The headline metric's paired difference of every two of the others; None if there are none."""
    metric = subject.dense.evaluation.task.headline
    known = [
        (letter, trial.evaluation)
        for letter, trial in zip(letters[1:], trials[1:], strict=True)
        if trial.evaluation is not None
    ]
    rows = tuple(
        (Cell(f"{later} against {letter}"), change_cell(headline_change(after, before), metric))
        for (letter, before), (later, after) in combinations(known, 2)
    )
    return Table(("trials", metric.label), rows) if rows else None


def _head(letter: str, subject: Subject, trial: Reported) -> dict[str, Any]:
    """Who a letter is."""
    return {
        "letter": letter,
        "title": trial.title,
        "words": _words(trial),
        "label": trial.label,
        "collapse": collapse_words(subject, trial.evaluation),
        "weights_gone": trial.steps is None,
    }


def _words(trial: Reported) -> str:
    """What stands below a title: the plan in words, if the title is another, and how it was recovered."""
    words, how = plan_words(trial.plan), steps_words(trial.steps or ())
    by = f"by {how}" if how else ""  # the plan's words end with "recovered"
    return by if trial.title == words else f"{words} {by}".strip()


def _changes(subject: Subject, numbers: Sequence[tuple[str, Numbers]]) -> Table:
    """The paired change of every metric against the dense network."""
    task = subject.dense.evaluation.task
    rows = tuple(
        (
            metric_cell(task.by_key[key]),
            *(
                change_cell(one.change[key], task.by_key[key]) if key in one.change else Cell(NOTHING)
                for _, one in numbers
            ),
        )
        for key in subject.dense.quality
    )
    return Table(("metric", *(f"{letter} against dense" for letter, _ in numbers)), rows)


_COSTS: tuple[tuple[str, Callable[[Numbers], int]], ...] = (
    ("nonzero connections", lambda m: m.cost.nonzero_connections),
    ("MACs", lambda m: m.cost.macs),
)


def _changed_costs(
    subject: Subject, trials: Sequence[Reported]
) -> list[tuple[str, Callable[[Numbers], int]]]:
    """The costs that some trial changes."""
    return [
        (cost, of)
        for cost, of in _COSTS
        if (whole := of(subject.dense)) and any(of(trial.numbers) != whole for trial in trials)
    ]


def _charts(subject: Subject, letters: str, trials: Sequence[Reported]) -> list[Markup]:
    """Quality against each cost that some trial changes; of the trials whose numbers have the headline metric."""
    metric = subject.dense.evaluation.task.headline
    known = [
        (letter, trial, trial.numbers.quality[metric.key])
        for letter, trial in zip(letters, trials, strict=True)
        if metric.key in trial.numbers.quality
    ]
    found: list[Markup] = []
    for cost, of in _changed_costs(subject, [trial for _, trial, _ in known]):
        whole = of(subject.dense)
        points = [figures.Point("dense", 100.0, subject.dense.headline, True, "the dense network")]
        for letter, trial, value in known:
            left = 100 * of(trial.numbers) / whole
            tip = f"{letter}, {trial.title}: {number(value.value, metric)} with {left:.1f}% of the {cost}"
            points.append(figures.Point(letter, left, value, False, tip))
        name = f"cost-{len(found)}"
        found.append(figures.quality_against_cost(name, points, metric, cost))
    return found


def _differences(letters: str, found: Sequence[Difference]) -> dict[str, Any] | None:
    """What the plans say differently, as a table and as a figure of the ratios; None if nothing."""
    if not found:
        return None
    rows, ratios = [], []
    for one in found:
        if one.ratios:
            words = [f"{ratio:.1%}" for ratio in one.ratios]
            ratios.append((f"{one.target}, {one.aspect}s", one.ratios))
        elif one.picks:
            words = [tables.picks_words(picks) for picks in one.picks]
        elif one.aspect == "recovery":
            words = [f"recovered ({digest[:8]})" if digest else "as pruned" for digest in one.names]
        else:
            words = [criterion_label(name) if name else NOTHING for name in one.names]
        rows.append((Cell(one.target or "the whole plan"), Cell(_ASPECTS[one.aspect]), *map(Cell, words)))
    return {
        "table": Table(("target", "what differs", *letters), tuple(rows)),
        "figures": figures.cuts("cuts", ratios, letters),
    }


_ASPECTS = {
    "criterion": "criterion",
    "recovery": "recovery",
    "weight": "weights removed",
    "channel": "channels removed",
    "by hand": "channels picked by hand",
}
