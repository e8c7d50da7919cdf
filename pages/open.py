"""Open: a network and data of one's own, as two files."""

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.sources import Files
from ui import brought, frame, opening, theme, workspace

frame.heading(
    "Open",
    "Bring a network of your own and the examples it is judged on. Files are read, never executed. This "
    "session alone sees them, and whoever has its address.",
)

left, right = st.columns(2, gap="medium")
network_file = left.file_uploader("Network", type=opening.NETWORK_TYPES, max_upload_size=opening.MAX_MIB)
data_file = right.file_uploader("Data", type=opening.DATA_TYPES, max_upload_size=opening.MAX_MIB)
settings = opening.options(network_file, data_file)
if st.button("Open", type="primary", disabled=settings is None) and settings and network_file and data_file:
    try:
        opening.bring(Files(network_file.getvalue(), data_file.getvalue(), settings))
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
    else:
        st.rerun()

gone = workspace.just_brought()
if gone is not None:
    brought.summary(workspace.opened(), gone)
with st.expander("How to make the two files", expanded=gone is None):
    opening.instructions()
