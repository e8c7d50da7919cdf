"""Which pages there are, and the way in for a page that is opened first by its URL."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st
from streamlit.navigation.page import StreamlitPage


def navigation() -> StreamlitPage:
    """Declare the pages and return the one the user is on."""
    return st.navigation(
        {
            "See": [
                st.Page("pages/model.py", title="Model", default=True),
                st.Page("pages/open.py", title="Open"),
                st.Page("pages/weights.py", title="Weights"),
                st.Page("pages/importance.py", title="Importance"),
            ],
            "Change": [
                st.Page("pages/prune.py", title="Prune"),
                st.Page("pages/allocate.py", title="Allocate"),
                st.Page("pages/recover.py", title="Recover"),
                st.Page("pages/history.py", title="History"),
            ],
            "Understand": [
                st.Page("pages/compare.py", title="Compare"),
                st.Page("pages/forgotten.py", title="Forgotten"),
                st.Page("pages/layers.py", title="Layers"),
                st.Page("pages/channel.py", title="Channel"),
            ],
            "Ship": [
                st.Page("pages/export.py", title="Export"),
            ],
        },
        expanded=True,  # beyond a dozen pages the last would hide
    )


def enter() -> NoReturn:
    """Run again through the entry point.

    Until a server process has met ``st.navigation``, Streamlit's own discovery of pages/ runs a page
    that is opened by its URL without the entry point. Declaring the pages switches that off.
    """
    navigation()
    st.rerun()
