"""The frame around every page: the sidebar, the heading, and a safety net for errors."""

from __future__ import annotations

import logging

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analysis.errors import PrunescopeError
from analysis.importance import CRITERIA
from analysis.pruning.plan import Plan
from ui import job_list, library, services, theme, workspace
from ui.bench import by_hand_words, cut_words, dense_plan
from ui.recover import taking


def _sidebar() -> None:
    """Network choice, the examples measured on, and the plan in force; keeps the URL in step."""
    names = library.names(workspace.history())
    workspace.choose_among(names)
    workspace.remember_plan()
    with st.sidebar:
        st.selectbox("Network", names, key=workspace.NETWORK, format_func=library.title)
        if library.is_brought(workspace.network_name()):
            _own_network(workspace.network_name())
        _image_choice()
        _plan_summary(workspace.bench().plan)
        for problem in filter(None, (workspace.store_problem(), library.own_problem())):
            st.warning(theme.plain(problem))
    st.query_params.update(
        {"network": workspace.network_name(), workspace.HISTORY_PARAMETER: workspace.history()}
    )
    workspace.note_presence()


def _jobs() -> None:
    with st.sidebar:
        job_list.draw()


def run(page: StreamlitPage) -> None:
    """Draw the sidebar and a page; what goes wrong becomes a sentence, never a traceback."""
    try:
        _sidebar()
        workspace.show_notice()
        page.run()
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
    except Exception:
        logging.getLogger("prunescope").exception("page %s failed", page.title)
        st.error(
            "Something went wrong while drawing this page; the server's log has the details. Your plan "
            "and trials are kept: choose another page or network, or undo the last step."
        )
    finally:
        _jobs()  # last, so that a job the page has just begun is listed; a page may stop early


def heading(title: str, sentence: str) -> None:
    """A page's title with one line on what it is for."""
    st.title(title, anchor=False)
    st.caption(sentence)


def _own_network(name: str) -> None:
    """Keeps a network that this session brought from being forgotten, and lets it be removed."""
    services.shelf().note_use(workspace.history(), name)
    with st.popover("Remove this network"):
        st.caption(
            "Deletes its files from the server. Plans and trials are kept: bring the same network again, "
            "and they are back."
        )
        st.button("Remove", on_click=library.remove, args=(workspace.history(), name))


def _image_choice() -> None:
    dataset = workspace.opened().dataset
    total = len(dataset.evaluation)
    if total > workspace.IMAGE_CHOICES[-1]:
        options = [*workspace.IMAGE_CHOICES, total]
        st.session_state.setdefault(workspace.IMAGES, options[0])
        workspace.keep(workspace.IMAGES)
        st.selectbox(
            "Measured on",
            options,
            key=workspace.IMAGES,
            format_func=lambda n: (
                f"{n:,} test {dataset.noun}" if n < total else f"all {n:,} test {dataset.noun}"
            ),
            help="Fewer answer faster; all of them narrow the interval.",
        )
    else:
        st.caption(theme.plain(f"Measured on {dataset.evaluation.origin}"))


def _plan_summary(plan: Plan) -> None:
    st.markdown("**Plan in force**")
    picked = by_hand_words(plan)
    if plan.is_dense:
        st.caption("Nothing removed: the dense network." + (f" {picked}." if picked else ""))
        if not picked:
            return
    elif plan.cuts:
        cut = [cut_words(plan, granularity) for granularity in ("channel", "weight")]
        st.caption(
            f"{', then '.join(filter(None, cut))}, by {CRITERIA[plan.criterion].label}"
            + (f"; {picked}." if picked else ".")
        )
    else:
        st.caption(f"{picked}.")
    if plan.recovered:
        st.caption(f"Recovered: {taking.history_words(plan)}.")
        st.button("As it was pruned", on_click=taking.let_go, help="Back to the weights as loaded.")
    st.button("Back to dense", on_click=lambda: workspace.bench().move(dense_plan(plan.network)))
