"""Recovery as a report tells it."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.recovery.recovered import Step
from analysis.recovery.step_words import changed_nothing, outcome_words, settings_words
from analysis.report.cells import NOTHING, Cell, Table

_TIED = "\N{NO-BREAK SPACE}"


def recovery(steps: Sequence[Step]) -> Table:
    """What was done to bring quality back, first step first."""
    rows = tuple(
        (
            Cell(f"{number}"),
            Cell(step.method),
            Cell(settings_words(step.settings) or NOTHING, outcome_words(step)),
            Cell(f"{step.seconds:.1f}{_TIED}s"),
        )
        for number, step in enumerate(steps, 1)
    )
    return Table(("step", "method", "settings", "took"), rows)


def steps_words(steps: Sequence[Step]) -> str:
    """The steps in a line: recalibration (0.1 s), then distillation (1.1 s, changed nothing)."""
    return ", then ".join(
        f"{step.method} ({step.seconds:.1f} s{', changed nothing' if changed_nothing(step) else ''})"
        for step in steps
    )
