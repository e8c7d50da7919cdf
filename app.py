"""Prunescope: navigation and the page frame."""

from pathlib import Path

import streamlit as st
import torch

from ui import frame
from ui.navigation import navigation

torch.set_num_threads(1)  # sessions run side by side; more threads than cores are far slower
st.set_page_config(
    page_title="Prunescope",
    page_icon=str(Path(__file__).parent / "ui" / "icon.png"),
    layout="wide",
    initial_sidebar_state="expanded",
)
frame.run(navigation())
