"""What was found in a network that a user brought, and what to do if it answers no better than guessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

import sample_models
from analysis import sources
from analysis.errors import PrunescopeError
from analysis.loading.normalisation import NORMALISATIONS
from analysis.measure import Measurement
from analysis.measure.quality import Interval
from analysis.sources import Opened
from analysis.tasks import Metric
from ui import library, theme, workspace


def summary(opened: Opened, gone: Sequence[str]) -> None:
    """Layers, groups, splits, and the dense network's quality with its interval."""
    network, dataset = opened.network, opened.dataset
    with st.spinner("Measuring…"):
        dense = workspace.dense()
    metric = dense.evaluation.task.headline
    verdicts = Counter(group.verdict for group in network.groups)
    with st.container(border=True):
        st.subheader(workspace.title(), anchor=False)
        columns = st.columns(4)
        columns[0].metric(
            metric.label, theme.number(dense.headline.value, metric), border=True,
            help=f"95% interval {theme.interval(dense.headline, metric)}.",
        )  # fmt: skip
        columns[1].metric("Parameters", theme.count(network.parameters()), border=True)
        columns[2].metric("Layers", len(network.layers), border=True)
        columns[3].metric(
            "Coupled groups", len(network.groups), border=True,
            help="Layers that lose channels together, each checked: exact, approximate, or refused.",
        )  # fmt: skip
        task = (
            f"{dataset.task.name}, {len(dataset.class_names)} classes"
            if dataset.class_names
            else dataset.task.name
        )
        st.markdown(
            f"**Groups** {verdicts['exact']} exact, {verdicts['approximate']} approximate, "
            f"{verdicts['refused']} refused (the Model page says why)  \n"
            f"**Task** {task}{'. ' + dataset.task.remark if dataset.task.remark else ''}  \n"
            f"**Measured on** {theme.plain(dense.evaluation.split.origin)}: {metric.label} "
            f"{theme.number(dense.headline.value, metric)}, 95% interval "
            f"{theme.interval(dense.headline, metric)}  \n"
            f"**Scores that need data** from {theme.plain(dataset.calibration.origin)}"
            + (f"  \n**Normalisation** {theme.plain(dataset.normalisation)}" if dataset.normalisation else "")
        )
        st.page_link("pages/prune.py", label="Go to Prune")
        for note in opened.notes:
            st.caption(theme.plain(note))
    if gone:
        st.info(
            f"To make room, {', '.join(map(library.title, gone))} had to go: the longest unused of yours."
        )
    guess = dense.evaluation.guess
    if dense.headline.low <= guess and library.files(workspace.network_name()).data:
        _hint(dense, guess)


def _hint(dense: Measurement, guess: float) -> None:
    """Inputs that were normalised otherwise in training are the usual cause: try the usual ways."""
    metric = dense.evaluation.task.headline
    best = (
        "always naming the commonest class"
        if dense.evaluation.task.is_classification
        else "always saying the mean"
    )
    st.warning(
        f"{metric.label} {theme.number(dense.headline.value, metric)} is no better than {best} "
        f"({theme.number(guess, metric)}). Most often the inputs are normalised otherwise than in training, "
        "or classes are numbered otherwise."
    )
    name = workspace.network_name()
    tried = workspace.kept_result("normalisations", name)
    if tried is None and st.button("Try the usual normalisations"):
        with st.spinner("Trying…"):
            tried = sources.try_normalisations(library.files(name), sample_models.ARCHITECTURES)
        workspace.keep_result("normalisations", name, tried)
        st.rerun()
    if tried:
        _tried(name, tried, metric)


def _tried(name: str, tried: Mapping[str, Interval], metric: Metric) -> None:
    """Each normalisation with what the network got under it, and a button to read the data so."""
    st.caption("On the same examples, the best first:")
    for key, quality in sorted(tried.items(), key=lambda item: -item[1].value):
        columns = st.columns([3, 2, 2], vertical_alignment="center")
        columns[0].markdown(f"**{NORMALISATIONS[key].label}**", help=NORMALISATIONS[key].sentence)
        columns[1].markdown(
            f"{metric.label} {theme.number(quality.value, metric)} ({theme.interval(quality, metric)})"
        )
        columns[2].button("Read the data so", key=f"normalise:{key}", on_click=_read_so, args=(name, key))


def _read_so(name: str, key: str) -> None:
    """Open the same files again, normalised otherwise, in place of the first."""
    files = library.files(name)
    try:
        opened, gone = library.bring(
            workspace.history(), replace(files, settings=replace(files.settings, normalisation=key))
        )
    except PrunescopeError as error:
        workspace.notice(str(error))
        return
    library.remove(workspace.history(), name)
    workspace.note_brought(opened.network.name, gone)
