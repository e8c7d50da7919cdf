"""Channel: why one channel stays or goes, with the choice to decide by hand."""

import streamlit as st

from analysis.errors import PrunescopeError
from ui import frame, theme, workspace
from ui.channel import channel_examples, channel_parts, channel_views

frame.heading(
    "Channel",
    "Why one channel of the dense network stays or goes: what writes it, what excites it, what it costs, and what is "
    "lost without it.",
)

group, channel, layer = channel_views.choices()
try:
    with st.container(border=True):
        view = channel_views.look(group, channel, layer)
        channel_views.decision(view)
except PrunescopeError as error:
    st.error(theme.plain(f"{error} Undo brings the last plan back."))
    st.button("Undo", on_click=workspace.bench().undo)
    st.stop()
channel_views.numbers(view)
channel_views.group_strip(view)

dense = channel_views.dense_evaluation()
left, right = st.columns(2, gap="medium")
with left:
    with st.container(border=True):
        channel_views.ranks(view)
    with st.container(border=True):
        channel_parts.activation(view)
with right:
    with st.container(border=True):
        channel_parts.weights(view)
    with st.container(border=True):
        channel_parts.meaning(view, dense)
with st.container(border=True):
    channel_examples.examples(view, dense)
with st.container(border=True):
    channel_parts.map_of(view)
