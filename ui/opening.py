"""Bringing a network: the choices that two files need, and the steps of opening them."""

from __future__ import annotations

from pathlib import PurePath

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

import sample_models
from analysis import sources
from analysis.loading.data import SUFFIXES as DATA_SUFFIXES
from analysis.loading.data import TABLES
from analysis.loading.normalisation import NORMALISATIONS
from analysis.loading.table import column_names
from analysis.sources import Files, Settings
from analysis.tasks import TASKS
from ui import library, workspace

NETWORK_TYPES = ["pt2", *(suffix.removeprefix(".") for suffix in sources.WEIGHTS)]
DATA_TYPES = [suffix.removeprefix(".") for suffix in DATA_SUFFIXES]
MAX_MIB = 200  # as maxUploadSize of .streamlit/config.toml
_EXPORT = """\
program = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
torch.export.save(program, "network.pt2")
np.savez("data.npz", x=inputs, y=targets)
"""


def instructions() -> None:
    """How to make the two files."""
    st.markdown(
        "**Network**: a `.pt2` file holds the whole network, whatever its code; with weights alone "
        "(`.safetensors`, `.pt`, `.pth`) the architecture must be one of those that are known here. "
        "**Data**: arrays `x` and `y` in an `.npz`, a `.zip` of images in a folder for each class, or a `.csv` "
        f"with a column to predict. Up to {MAX_MIB} MB each. `model` is your network, `x` two of its inputs:"
    )
    st.code(_EXPORT, language="python")
    st.caption("Run this where your model lives, then drop network.pt2 and data.npz above.")


def options(network: UploadedFile | None, data: UploadedFile | None) -> Settings | None:
    """The choices that fit the two files; None until both are there."""
    if network is None or data is None:
        return None
    needs_architecture = sources.needs_architecture(network.name)
    is_table = PurePath(data.name).suffix.lower() in TABLES
    places = iter(st.columns(2 + needs_architecture + is_table, vertical_alignment="bottom"))
    architecture = _architecture(next(places)) if needs_architecture else ""
    target = ""
    if is_table:
        names = column_names(data.getvalue(), data.name)
        target = next(places).selectbox("Column to predict", names, index=len(names) - 1)
    task = next(places).selectbox(
        "Task", ["", *TASKS], format_func=lambda key: key or "infer it from the data"
    )
    normalisation = next(places).selectbox(
        "Normalisation", ["", *NORMALISATIONS],
        format_func=lambda key: NORMALISATIONS[key].label if key else "as they are, bytes from 0 to 1",
        help="What was done to the inputs before the network was trained on them.",
    )  # fmt: skip
    if architecture is None:
        return None
    return Settings(network.name, data.name, architecture, task, normalisation, target)


def _architecture(place: DeltaGenerator) -> str | None:
    """The key of the architecture that weights belong to; None until it is chosen."""
    with st.spinner("Looking for architectures…"):
        known = {one.key: one.label for one in (*sample_models.ARCHITECTURES, *sources.installed())}
    return place.selectbox(
        "Architecture", list(known), format_func=known.__getitem__, index=None,
        placeholder="Choose the one of these weights",
        help="Of torchvision, timm and transformers, if this server has them, and of the samples.",
    )  # fmt: skip


def bring(files: Files) -> None:
    """Open two files step by step and choose them; errors as :func:`ui.library.bring`."""
    with st.status("Reading…", expanded=True) as status:
        opened, gone = library.bring(workspace.history(), files, lambda step: status.update(label=f"{step}…"))
        status.update(label="Done", state="complete")
    workspace.note_brought(opened.network.name, gone)
