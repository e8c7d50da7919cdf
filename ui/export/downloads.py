"""What can be taken away: a format's file or archive, and everything with the plan and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePath

import streamlit as st

from analysis.export.bundle import bundle
from analysis.export.folder import exports_here
from analysis.export.parcel import parcel
from analysis.pruning.plan import Plan
from analysis.units.export import Export


def one(plan: Plan, export: Export) -> None:
    """A button for a format: its file as it is, or its files as an archive. It is read when it is asked for.

    The browser is not told why a download fails, so files that are not here any more get no button.
    """
    if not exports_here().offer(export.exported):
        st.caption("Not kept any more. Reload the page to make it again.")
        return
    if len(export.files) == 1:
        suffix = PurePath(next(iter(export.files))).suffix
        name, data = f"{_stem(plan)}{suffix}", partial(_only_file, export.exported)
    else:
        name, data = f"{_stem(plan)}-{export.name}.zip", partial(exports_here().archive, export.exported)
    key = f"download:{export.name}"
    st.download_button("Download", data, name, key=key, on_click="ignore", help=name, width="stretch")


def everything(plan: Plan, made: Sequence[Export], papers: Mapping[str, bytes]) -> None:
    """A button for all formats in one archive, a folder each, with the plan and the model card."""
    st.download_button(
        "Everything (.zip)", partial(_all, tuple(made), papers), f"{_stem(plan)}.zip",
        key="download:everything", type="primary", on_click="ignore",
    )  # fmt: skip


def _only_file(digest: str) -> bytes:
    (content,) = exports_here().get(digest).values()
    return content


def _all(made: Sequence[Export], papers: Mapping[str, bytes]) -> bytes:
    files = {export.name: exports_here().get(export.exported) for export in made}
    return bundle(parcel(files, papers))


def kind(plan: Plan) -> str:
    """What a network went through, in a word."""
    return "dense" if plan.is_dense else "recovered" if plan.recovered else "pruned"


def _stem(plan: Plan) -> str:
    return f"{plan.network}-{kind(plan)}"
