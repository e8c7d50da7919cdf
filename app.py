"""Prunescope: navigation and the page frame."""

from pathlib import Path

import streamlit as st
import torch

from ui import frame

ROOT = Path(__file__).parent

torch.set_num_threads(1)  # sessions run side by side; more threads than cores are far slower
st.set_page_config(
    page_title="Prunescope",
    page_icon=str(ROOT / "ui" / "icon.png"),
    layout="wide",
    initial_sidebar_state="expanded",
)
page = st.navigation(
    {
        "See": [
            st.Page("pages/model.py", title="Model", default=True),
            st.Page("pages/weights.py", title="Weights"),
            st.Page("pages/importance.py", title="Importance"),
        ],
        "Change": [st.Page("pages/prune.py", title="Prune")],
        "Understand": [st.Page("pages/compare.py", title="Compare")],
    }
)
frame.sidebar()
frame.run(page)
