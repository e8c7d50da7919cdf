"""The table view of the History page: every trial in a row, filtered, sorted, and chosen from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import streamlit as st

from analysis.history import Summary
from ui import keeping, workspace
from ui.history import choosing, table_data, trial_card, words

_ROW, _HEAD, _MOST_ROWS = 35, 38, 12  # pixels, pixels, rows in sight


def table(trials: Sequence[Summary]) -> None:
    """Draw the view; below the table the trial that is chosen, or the way to a comparison of several."""
    shown = _filtered(trials)
    if not shown:
        st.info("No trial fits. Take a filter away.")
        return
    numbers = [trials[i].id for i in shown]
    chosen = workspace.chosen_trials()
    key = f"history:table:{hashlib.sha256(repr(numbers).encode()).hexdigest()}"  # rows are chosen by position
    st.dataframe(
        table_data.columns(
            trials, shown, [layer.connections for layer in workspace.network().layers],
            workspace.opened().dataset.task.headline, keeping.current_key(),
        ),
        column_config=table_data.column_config(trials, workspace.opened().dataset.task.headline),
        height=_HEAD + _ROW * min(len(shown), _MOST_ROWS),
        hide_index=True,
        key=key,
        on_select=lambda: _take(key, numbers),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [i for i, number in enumerate(numbers) if number in chosen]}},
        placeholder="",
        alt="Trials",
    )  # fmt: skip
    st.caption(
        "One row a trial, the newest first; a click on a column's head sorts them. Tick one on the left to see it in full, "
        "bring it back or name it; tick several to compare them."
    )
    own = [trials[i] for i in shown if trials[i].id in chosen]
    if len(own) == 1:
        trial_card.card(own[0], trials)
    elif own:
        choosing.compare_button(len(own))


def _take(key: str, numbers: Sequence[int]) -> None:
    """Choose the trials of the ticked rows."""
    rows = st.session_state[key].selection.rows
    workspace.choose_trials([numbers[row] for row in rows if row < len(numbers)])


def _filtered(trials: Sequence[Summary]) -> list[int]:
    """Positions of the trials that fit what is asked for, the newest first."""
    tags = sorted({tag for trial in trials for tag in trial.label.tags})
    connections = workspace.network().connections()
    left, middle, right = st.columns([1, 2, 3], vertical_alignment="bottom")
    starred = left.toggle("Starred only", key=_key("starred"), persist_state="session")
    wanted = (
        middle.multiselect("Tags", tags, key=_key("tags"), persist_state="session", placeholder="any tag")
        if tags
        else []
    )
    text = right.text_input(
        "Find", key=_key("text"), persist_state="session", placeholder="in names, tags and notes"
    ).casefold()
    return [
        i
        for i in reversed(range(len(trials)))
        if (label := trials[i].label)
        and (label.star or not starred)
        and all(tag in label.tags for tag in wanted)
        and (
            not text  # naming ten thousand trials takes a while
            or any(
                text in part.casefold()
                for part in (words.called(trials[i], connections), *label.tags, label.note)
            )
        )
    ]


def _key(name: str) -> str:
    """The key of a filter, which belongs to the chosen network."""
    return f"history:{name}:{workspace.network_name()}"
