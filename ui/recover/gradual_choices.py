"""What is chosen of gradual pruning: schedule, steps, how each recovers, what becomes of the removed, when to stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import RLock

import streamlit as st
from cachetools import LRUCache, cached

from analysis.measure.quality import evaluate, headline
from analysis.recovery.augmentation import NOTHING
from analysis.recovery.defaults import course_for
from analysis.recovery.distil import Distillation
from analysis.recovery.gradual import Course
from analysis.recovery.levels import MAX_STEPS, SCHEDULES
from analysis.recovery.recipe import Recipe
from ui import computed, theme, workspace
from ui.bench import dense_plan

_MOST_EPOCHS = 200
_DENSE, _BOTH, _TRUE = "The dense network", "Both", "The true answers"
_SOFT_SHARE = {_DENSE: 1.0, _BOTH: 0.5}
_STAYS, _GROWS, _REWINDS = "Stays gone", "May grow back", "Rest rewinds"


@dataclass(frozen=True)
class Ground:
    """What the chosen network begins with: a recipe, examples to learn from, and how dense does on the others."""

    recipe: Recipe
    learned: int
    judging: int
    validation: float


def look() -> Ground:
    """The ground of the chosen network; errors as :func:`analysis.recovery.pruned.begin`."""
    plan = dense_plan(workspace.network_name())
    start = computed.beginning(plan)
    validation = _dense_validation(workspace.network_name())
    return Ground(computed.default_recipe(plan), len(start.fit), len(start.validation), validation)


@cached(LRUCache(16), lock=RLock())
def _dense_validation(name: str) -> float:
    start = computed.beginning(dense_plan(name))
    return headline(evaluate(start.dense, start.validation, start.task)).value


def choose(ground: Ground) -> Course:
    """The controls, and what they say."""
    metric = workspace.opened().dataset.task.headline
    usual = course_for(ground.recipe)
    assert usual.last_epochs is not None
    columns = st.columns([1.7, 0.8, 0.9, 1.1, 1.1], vertical_alignment="bottom")
    schedule = columns[0].selectbox(
        "Schedule", list(SCHEDULES), format_func=lambda name: SCHEDULES[name].label, key=widget_key("schedule"),
        persist_state="session",
    )  # fmt: skip
    steps = columns[1].number_input(
        "Steps", 1, MAX_STEPS, usual.steps, key=widget_key("steps"), persist_state="session",
        disabled=schedule == "one-shot", help="Layer by layer takes one step a target at most.",
    )  # fmt: skip
    epochs = columns[2].number_input(
        "Epochs a step",
        1,
        _MOST_EPOCHS,
        usual.recipe.epochs,
        key=widget_key("epochs"),
        persist_state="session",
    )
    last = columns[3].number_input(
        "Epochs of the last",
        1,
        _MOST_EPOCHS,
        usual.last_epochs,
        key=widget_key("last"),
        persist_state="session",
    )
    with st.expander("Options"):
        left = st.columns([1.5, 1, 1.2], vertical_alignment="bottom")
        teacher = left[0].segmented_control(
            "Learn from", (_DENSE, _BOTH, _TRUE), default=_DENSE, required=True, key=widget_key("teacher"),
            persist_state="session",
            help="Distillation: what the dense network answers to each example says more than its label.",
        )  # fmt: skip
        rate = left[1].number_input(
            "Learning rate", 1e-6, 10.0, ground.recipe.learning_rate, step=ground.recipe.learning_rate / 4,
            format="%.5f", key=widget_key("rate"), persist_state="session",
        )  # fmt: skip
        rescore = left[2].segmented_control(
            "Score", ("At each step", "Once"), default="At each step", required=True, key=widget_key("score"),
            persist_state="session",
            help="At each step, the criterion judges the network as recovered so far; once, the dense network's "
            "scores are kept.",
        )  # fmt: skip
        right = st.columns([2, 0.9, 0.7, 0.9], vertical_alignment="bottom")
        gone = right[0].segmented_control(
            "What is removed", (_STAYS, _GROWS, _REWINDS), default=_STAYS, required=True, key=widget_key("gone"),
            persist_state="session",
            help="Soft pruning (He et al. 2018) only sets weights to zero until the last step, and those that are "
            "needed grow back. Rewinding (Frankle & Carbin 2019) takes what is left back to an earlier state "
            "after each cut: how a loaded network began to learn is not known, so the earliest are its loaded weights.",
        )  # fmt: skip
        rewind = right[1].number_input(
            "Rewind to epoch", 0, _MOST_EPOCHS, 0, key=widget_key("rewind"), persist_state="session",
            disabled=gone != _REWINDS,
            help="Of training the dense network on, from its loaded weights (0) on.",
        )  # fmt: skip
        seed = right[2].number_input("Seed", 0, 10_000, 0, key=widget_key("seed"), persist_state="session")
        varied = ground.recipe.augmentation != NOTHING and right[3].checkbox(
            "Vary examples", key=widget_key("vary"), persist_state="session",
            help="Mirror and shift images where the dense network bears it. It takes longer trainings to pay "
            "off: on the samples, steps of one epoch did better without.",
        )  # fmt: skip
    scale = 100 if metric.percent else 1
    floor = columns[4].number_input(
        f"Stop below ({'%' if metric.percent else metric.label})", value=None, placeholder="no limit",
        key=widget_key("floor"), persist_state="session", disabled=gone == _GROWS,
        help=f"{metric.label} on the {ground.judging:,} validation examples, where the dense network has "
        f"{theme.number(ground.validation, metric)}. The last step that holds it is kept.",
    )  # fmt: skip
    recipe = replace(ground.recipe, epochs=int(epochs), learning_rate=float(rate), seed=int(seed))
    return Course(
        schedule,
        int(steps),
        recipe if varied else replace(recipe, augmentation=NOTHING),
        distillation=None if teacher == _TRUE else Distillation(soft=_SOFT_SHARE[teacher]),
        last_epochs=int(last),
        rescore=rescore != "Once",
        soft=gone == _GROWS,
        rewind=int(rewind) if gone == _REWINDS else None,
        floor=None if floor is None or gone == _GROWS else float(floor) / scale,
    )


def widget_key(name: str) -> str:
    """The key of a widget whose choice belongs to the chosen network, and outlives a page switch."""
    return f"gradual:{name}:{workspace.network_name()}"
