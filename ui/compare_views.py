"""The views of the Compare page: single examples, similarity over many, classes, predictions."""

from __future__ import annotations

import streamlit as st
import torch
from torch import Tensor

from analysis.datasets import Dataset
from analysis.explain.attribution import METHODS, refusal, spatial_layers
from analysis.explain.examples import choices, choose
from analysis.explain.similarity import SIMILARITIES, similarities
from analysis.measure.quality import Evaluation, confusion, per_class
from analysis.tasks import confidences
from ui import comparison_figures, figures, metric_table, theme, workspace
from ui.gallery import Row, gallery

SHOWN = 6
SIMILARITY_EXAMPLES = 200


def examples(before: Evaluation, after: Evaluation) -> None:
    """Chosen examples with their attributions before, after, and the difference."""
    dataset = workspace.opened().dataset
    columns = st.columns([1.2, 1, 1.4, 1.2], vertical_alignment="bottom")
    kinds = {choice.name: choice.label for choice in choices(before)}
    kind = columns[0].selectbox("Examples", list(kinds), format_func=kinds.__getitem__)
    label = None
    if dataset.class_names:
        picked = columns[1].selectbox("Class", ["any", *dataset.class_names])
        label = None if picked == "any" else dataset.class_names.index(picked)
    method, layer = _method_choice(columns[2], columns[3])
    indices = choose(kind, before, after, label=label)
    if len(indices) == 0:
        st.info(
            f"No example fits “{kinds[kind]}”" + (f" in class {dataset.class_names[label]}" if label is not None else "")
            + ". Choose another class or kind of example."
        )  # fmt: skip
        return
    start = 0
    if len(indices) > SHOWN:
        pages = -(-len(indices) // SHOWN)
        start = (st.slider(f"Page ({len(indices):,} examples fit)", 1, min(pages, 100), 1) - 1) * SHOWN
    shown = indices[start : start + SHOWN]
    maps = workspace.attributions(method, layer, tuple(shown.tolist()))
    with st.container(border=True):
        if dataset.is_image:
            rows = [
                _row(dataset, before, after, int(index), maps[0][i], maps[1][i])
                for i, index in enumerate(shown)
            ]
            st.html(gallery(rows, theme.palette()))
        else:
            _tabular(dataset, before, after, shown, maps)
        target = "the true class" if dataset.class_names else "the predicted value"
        st.caption(
            f"{METHODS[method].label} towards {target}"
            + (f", at {layer}" if layer else "")
            + f". {METHODS[method].sentence} All maps share one scale."
        )


def similarity(before: Evaluation, after: Evaluation) -> None:
    """How alike the attributions are over a few hundred examples."""
    columns = st.columns([1.4, 1.2, 2], vertical_alignment="bottom")
    method, layer = _method_choice(columns[0], columns[1])
    count = min(SIMILARITY_EXAMPLES, len(before.split))
    indices = tuple(range(count))
    label = f"{METHODS[method].label} of {count} examples, before and after…"
    workspace.run_with_progress(label, lambda report: workspace.attributions(method, layer, indices, report))
    maps = workspace.attributions(method, layer, indices)
    values = similarities(*maps)
    entries = {entry.name: entry for entry in SIMILARITIES}
    with st.container(border=True):
        st.plotly_chart(
            comparison_figures.similarity_distributions(
                values, {name: entries[name].label for name in values}, theme.palette()
            ),
            config=figures.CONFIG,
        )
        st.caption(
            f"Each dot is one of {count} examples of {before.split.origin}; 1 means the same map before and after. "
            + " ".join(f"{entries[name].label}: {entries[name].sentence.lower()}" for name in values)
        )


def classes(before: Evaluation, after: Evaluation) -> None:
    """Every metric, accuracy per class, and the difference of the confusion matrices."""
    names = workspace.opened().dataset.class_names
    palette = theme.palette()
    _all_metrics()
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.subheader("Accuracy per class", anchor=False)
        st.plotly_chart(
            comparison_figures.class_accuracy(
                names, per_class(before, len(names)), per_class(after, len(names)), palette
            ),
            config=figures.CONFIG,
        )
        st.caption("With 95% intervals. Classes whose filled point moved left paid for the cut.")
    with right, st.container(border=True):
        st.subheader("Confusions, after minus before", anchor=False)
        difference = (confusion(after, len(names)) - confusion(before, len(names))).numpy()
        st.plotly_chart(
            comparison_figures.confusion_difference(difference, names, palette), config=figures.CONFIG
        )
        st.caption(
            "Orange: fewer right answers (on the diagonal) or more of a confusion (elsewhere). "
            "Green: more right, or a confusion that went away."
        )


def predictions(before: Evaluation, after: Evaluation) -> None:
    """Every metric, and predicted against true values of both networks."""
    unit = workspace.opened().dataset.target_unit
    _all_metrics()
    with st.container(border=True):
        figure = comparison_figures.predicted_against_true(
            before.split.targets.numpy(), before.answers.numpy(), after.answers.numpy(), unit, theme.palette()
        )
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "Each example once before and once after. The further from the dotted line, the larger the error."
        )


def _all_metrics() -> None:
    with st.container(border=True):
        st.subheader("All metrics", anchor=False)
        metric_table.draw(workspace.measured(workspace.bench().plan), workspace.dense())


def _method_choice(method_column, layer_column) -> tuple[str, str | None]:  # type: ignore[no-untyped-def]
    network = workspace.network()
    fitting = [name for name in METHODS if not refusal(name, network)]
    refused = [refusal(name, network) for name in METHODS if refusal(name, network)]
    if not fitting:
        st.info(theme.plain("No attribution method suits this network. " + refused[0]))
        st.stop()
    method = method_column.selectbox(
        "Method", fitting, format_func=lambda n: METHODS[n].label, help=" ".join(refused) or None
    )
    if not METHODS[method].needs_layer:
        return method, None
    layers = spatial_layers(network)
    return method, layer_column.selectbox("At layer", layers, index=len(layers) - 1)


def _row(
    dataset: Dataset, before: Evaluation, after: Evaluation, index: int, map_before: Tensor, map_after: Tensor
) -> Row:
    target = int(before.split.targets[index])
    picture = dataset.pixels(before.split.inputs[index]).mean(dim=0)
    return Row(
        title=f"#{index}, true class {dataset.class_names[target]}",
        picture=picture.numpy(),
        before=map_before.sum(dim=0).numpy(),
        after=map_after.sum(dim=0).numpy(),
        answer_before=_answer(dataset, before, index),
        answer_after=_answer(dataset, after, index),
        right_before=bool(before.correct[index]),
        right_after=bool(after.correct[index]),
    )


def _answer(dataset: Dataset, evaluation: Evaluation, index: int) -> str:
    answer = int(evaluation.answers[index])
    confidence = float(confidences(evaluation.task, evaluation.outputs[index : index + 1])[0, answer])
    return f"{dataset.class_names[answer]} {confidence:.0%}"


def _tabular(
    dataset: Dataset, before: Evaluation, after: Evaluation, shown: Tensor, maps: tuple[Tensor, Tensor]
) -> None:
    palette = theme.palette()
    both = torch.stack(maps)
    limit, signed = max(float(both.abs().max()), 1e-9) * 1.05, bool((both < 0).any())
    columns = st.columns(2)
    for i, index in enumerate(shown.tolist()):
        with columns[i % 2]:
            st.markdown(
                f"**#{index}**, true {float(before.split.targets[index]):.1f} {dataset.target_unit}: "
                f"before {float(before.answers[index]):.1f}, after {float(after.answers[index]):.1f}"
            )
            figure = comparison_figures.paired_bars(
                dataset.feature_names, maps[0][i].flatten().numpy(), maps[1][i].flatten().numpy(), palette,
                limit=limit, signed=signed,
            )  # fmt: skip
            st.plotly_chart(figure, config=figures.CONFIG, key=f"tabular:{i}")
