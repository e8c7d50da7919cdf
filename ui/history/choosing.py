"""Which trials there are, which are chosen, and the way from one view of them to another."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.history import Summary
from ui import comparison, keeping, workspace

TABLE, TREE, COMPARE = VIEWS = ("Table", "Tree", "Compare")


def trials_here() -> list[Summary]:
    """The trials that were measured on the examples chosen now, oldest first; stops the page if there are none."""
    known = keeping.all_summaries()
    images, noun = workspace.image_count(), workspace.opened().dataset.noun
    here = [trial for trial in known if trial.images == images]
    others = len(known) - len(here)
    if not known:
        st.info(
            "There is no trial of this network yet. Whenever a plan is measured (a slider that comes to rest on the Prune "
            "page, a proposal that is opened, a recovery that is used), it becomes a trial and is kept here."
        )
        st.page_link("pages/prune.py", label="Go to Prune")
        st.stop()
    if others:
        st.caption(
            f"{others:,} more trial{'s were' if others > 1 else ' was'} measured on other numbers of {noun}; choose them in "
            f"the sidebar. Shown are those on {images:,}."
        )
    if not here:
        st.info(f"No trial was measured on {images:,} {noun} yet.")
        st.page_link("pages/prune.py", label="Go to Prune")
        st.stop()
    return here


def chosen_of(trials: Sequence[Summary]) -> list[Summary]:
    """Those of the trials that are chosen, in the order they were kept."""
    chosen = set(workspace.chosen_trials())
    return [trial for trial in trials if trial.id in chosen]


def toggled(chosen: Sequence[int], clicked: Sequence[int]) -> list[int]:
    """The chosen ids with those clicked that were not among them, and without those that were."""
    return [number for number in chosen if number not in clicked] + [
        number for number in clicked if number not in chosen
    ]


def compare_button(count: int) -> None:
    """The way to the comparison of the chosen trials."""
    st.button(f"Compare these {count:,} trials", type="primary", on_click=show, args=(COMPARE,))


def show(view: str) -> None:
    """Go to another view, from a callback."""
    comparison.show_view(VIEWS, view)
