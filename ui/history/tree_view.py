"""The tree view of the History page: which trial grew from which."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.history import Summary
from analysis.history.tree import lay_out, with_ways
from ui import figures, keeping, theme, workspace
from ui.history import choosing, tree_figure, trial_card, words

_NEWEST = (100, 300)  # trials that are drawn with all that is on the way to them
_TALLEST = 640  # pixels; a taller tree scrolls


def tree(trials: Sequence[Summary]) -> None:
    """Draw the view; below it the trials that were clicked."""
    shown = _shown(trials)
    current, chosen = keeping.current_key(), workspace.chosen_trials()
    drawn = lay_out(shown, current)
    figure = tree_figure.tree(
        drawn, theme.palette(), metric=workspace.opened().dataset.task.headline, title=words.title,
        current=current, chosen=chosen,
    )  # fmt: skip
    key = f"history:tree:{len(drawn.nodes)}:{current}:{':'.join(map(str, chosen))}"
    is_tall = figure.layout.height > _TALLEST
    with st.container(border=True, height=_TALLEST if is_tall else "content"):
        st.plotly_chart(
            figure, key=key, config=figures.CONFIG, selection_mode="points", on_select=lambda: _take(key)
        )
    st.caption(
        "A dot is a trial, and what grew from it follows to the right. Dots without colour lost nothing, red ones lost, green "
        "ones are better than the dense network: look where along a line they turn. Stars are those you starred, the thick "
        "ring is the plan in force. A dotted line stands for trials in a row that are not drawn, as many as it says; the "
        "table has them. Click a dot to see its trial, more of them to compare, and one again to let go of it."
    )
    own = choosing.chosen_of(shown)
    if len(own) == 1:
        trial_card.card(own[0], trials)
    elif own:
        choosing.compare_button(len(own))


def _shown(trials: Sequence[Summary]) -> Sequence[Summary]:
    """The trials that are drawn: all, or of a long history the newest, the starred and the way to them."""
    if len(trials) <= _NEWEST[0]:
        return trials
    choices = [count for count in _NEWEST if count < len(trials)]
    newest = st.segmented_control(
        f"Newest, of {len(trials):,}", choices, default=choices[0], required=True, key="history:newest",
        persist_state="session", help="Drawn with all that is on the way to them, and with those that are starred.",
    )  # fmt: skip
    assert newest is not None
    wanted = {trial.id for trial in trials[-newest:]} | {trial.id for trial in trials if trial.label.star}
    return with_ways(trials, wanted)


def _take(key: str) -> None:
    """Choose the trials whose dots were clicked, or let go of them: the chart is drawn anew with each choice."""
    points = st.session_state[key].selection.points
    clicked = [int(point["customdata"][0]) for point in points if len(point.get("customdata", ())) > 1]
    workspace.choose_trials(choosing.toggled(workspace.chosen_trials(), clicked))
