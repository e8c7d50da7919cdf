"""Formats made by a worker, checked, and handed out: a row for each, all of them together, and the model card."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.export.bundle import CARD
from analysis.export.registry import FORMATS
from analysis.measure import Measurement
from analysis.pruning.plan import Plan
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units import export as unit
from analysis.units.export import Export
from ui import keeping, studies, theme, workspace
from ui.bench import dense_plan
from ui.export import choices, downloads, papers

_WIDTHS = [2.2, 3.3, 1.4, 1.8, 2.0, 1.6]  # of the table's columns


def export() -> None:
    """Choose what leaves and how; make it, check it, take it."""
    plan = choices.network()
    with st.spinner("Measuring…"):
        now, dense = keeping.measured(plan), keeping.measured(dense_plan(workspace.network_name()))
    choices.cards(now, dense)
    formats = choices.formats()
    if not formats:
        st.info("Tick at least one format.")
        return
    study = studies.Study(
        "export",
        f"Export of {workspace.title()}, {downloads.kind(plan)}",
        plan=plan,
        parameters=unit.parameters(formats),
    )
    studies.panel(
        study, lambda parts: _draw(study, plan, now, parts), button="Make and check",
        sentence="Writes the files, loads each back without Prunescope, lets it answer the evaluation examples, and "
        "compares its answers with the network's own. A download appears once its check has passed.",
    )  # fmt: skip


def _draw(study: studies.Study, plan: Plan, now: Measurement, parts: Sequence[Message]) -> None:
    found = [unit.from_data(part) for part in parts]
    made = [export for export in found if not export.reason]
    with st.container(border=True):
        if made:
            _table(plan, made, now)
        for export in found:
            if export.reason:
                st.warning(theme.plain(f"{FORMATS[export.name].label}: {export.reason}"))
    if made and studies.is_complete(study):
        _everything(plan, made)


def _table(plan: Plan, made: Sequence[Export], now: Measurement) -> None:
    """A row for each format, with its download."""
    metric = now.evaluation.task.headline
    head = ("Format", "Files", "Size", "Largest difference", f"{metric.label} reloaded", "")
    for column, text in zip(st.columns(_WIDTHS), head, strict=True):
        column.caption(text)
    for export in made:
        columns = st.columns(_WIDTHS, vertical_alignment="center")
        columns[0].markdown(FORMATS[export.name].label)
        columns[1].caption("  \n".join(theme.plain(_file(*entry)) for entry in export.files.items()))
        columns[2].markdown(theme.bytes_text(export.bytes))
        columns[3].markdown(_difference(export))
        columns[4].markdown(_quality(export, now, metric))
        with columns[5]:
            downloads.one(plan, export)
    screen = theme.number(now.headline.value, metric)
    st.caption(
        "Sizes are those of the files. The difference is the largest of any output from the network's own; what is allowed "
        f"grows with the largest output. {metric.label} on the screen: {screen}. "
        "Files stay for an hour at least; if a download fails later, reload the page and make them again."
    )


def _file(name: str, size: int) -> str:
    return f"{name} ({theme.bytes_text(size)})"


def _quality(export: Export, now: Measurement, metric: Metric) -> str:
    """The reloaded files' headline metric, against the screen's if both are of the same examples."""
    value, screen = export.quality[metric.key].value, now.headline.value
    shown = theme.number(value, metric)
    if export.examples < len(now.evaluation.split):
        beside = f"of {export.examples:,} examples"
    elif shown == theme.number(screen, metric):
        beside = "as on the screen"
    else:
        beside = theme.delta(value - screen, metric)
    return f"{shown}  \n:small[:gray[{beside}]]"


def _difference(export: Export) -> str:
    found = f"{export.difference:.1e}" if export.difference else "0"
    return f"{found}  \n:small[:gray[allowed: {export.allowed:.1e}]]"


def _everything(plan: Plan, made: Sequence[Export]) -> None:
    """All that was made in one archive, and the card that goes with it."""
    about = papers.papers(plan, made)
    left, right = st.columns([1, 5], vertical_alignment="center")
    with left:
        downloads.everything(plan, made, about)
    right.caption("The formats above in a folder each, with the plan and the model card below.")
    with st.expander("Model card"):
        st.markdown(about[CARD].decode())
