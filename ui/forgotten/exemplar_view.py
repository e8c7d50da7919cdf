"""Exemplars: the examples whose answer pruning changed, how hard they are, and what other cuts alike say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st
import torch
from torch import Tensor

from analysis.datasets import Dataset
from analysis.explain.examples import choose, confidence_lost
from analysis.forgetting.calibration import true_class_confidence
from analysis.forgetting.exemplars import MEMBERS, Consensus, consensus, difficulty, drawn_criteria
from analysis.forgetting.margins import errors
from analysis.importance import CRITERIA
from analysis.measure import Measurement
from analysis.measure.quality import Evaluation
from analysis.tasks import confidences
from analysis.units import Message
from analysis.units.exemplars import from_data
from ui import figures, studies, theme, workspace
from ui.forgotten import exemplar_figures
from ui.forgotten.exemplar_gallery import Card, gallery, picture_of
from ui.recover import taking

SHOWN = 24  # examples at a time
_FEATURES = 12  # columns of a table
_WORDS = 40
_OWN, _POPULATION = "This network", "A population"

Remark = Callable[[int], str]


def exemplars(before: Measurement, after: Measurement) -> None:
    """Examples whose answer changed: of the network in hand, or of a population pruned alike."""
    was, now = before.evaluation, after.evaluation
    if not was.task.is_classification:
        _values(was, now)
        return
    kind = st.segmented_control(
        "Exemplars of", [_OWN, _POPULATION], default=_OWN, required=True,
        help="Exemplars are examples whose answer pruning changes (Hooker et al. 2019).",
    )  # fmt: skip
    if kind == _OWN:
        _of_this_network(was, now)
    else:
        _of_a_population(was, now)


def _of_this_network(was: Evaluation, now: Evaluation) -> None:
    found = choose("changed", was, now)
    if len(found) == 0:
        st.info(
            "Both networks answer every example alike, so nothing was forgotten. Prune further to see what goes first."
        )
        return
    _difficulty(was.answers != now.answers, was, now, "answer changed")
    lost = confidence_lost(was, now)
    _examples(found, was, now, lambda index: f"true class {-100 * lost[index]:+.0f} points", "own")


def _of_a_population(was: Evaluation, now: Evaluation) -> None:
    network, plan = workspace.network(), workspace.bench().plan
    fitting = [criterion.name for criterion in drawn_criteria(network, plan)]
    chosen = st.columns([1, 2])[0].selectbox(
        "Rank by", fitting, format_func=lambda name: CRITERIA[name].label,
        help="Each network of the population carries out the plan's cuts, ranked by other calibration examples or "
        "other random numbers.",
    )  # fmt: skip
    own = CRITERIA[plan.criterion]
    if not own.varies:
        st.caption(
            f"{own.label} gives the same scores each time, so by it there is only one pruned network. The same cuts are "
            f"ranked by {CRITERIA[chosen].label} here."
        )
    study = studies.Study(
        "exemplars",
        f"{MEMBERS} networks pruned like {workspace.title()}, by {CRITERIA[chosen].label}",
        plan=replace(plan.as_pruned, criterion=chosen),
        parameters={"members": MEMBERS},
    )

    def draw(parts: Sequence[Message]) -> None:
        members = [from_data(part, was.answers).answers for part in parts]
        _consensus(consensus(was.answers, members), was, now)

    if note := taking.as_pruned_words("A population is"):
        st.caption(note)
    studies.panel(
        study, draw, button=f"Prune {MEMBERS} networks alike",
        sentence="Prunes the network again and again, each time ranked by another random draw, and finds the examples "
        "on which most of these networks give another answer than the dense one.",
    )  # fmt: skip


def _consensus(found: Consensus, was: Evaluation, now: Evaluation) -> None:
    count = int(found.exemplars.sum())
    with st.container(border=True):
        st.plotly_chart(exemplar_figures.dissent(found, theme.palette()), config=figures.CONFIG)
        st.caption(
            f"{found.members} of {MEMBERS} networks pruned alike: on {count:,} of {len(was.split):,} examples their most "
            "frequent answer is another than the dense network's (modal disagreement). If answers are equally "
            "frequent, the dense network's counts first."
        )
    if count == 0:
        st.info("The population agrees with the dense network on every example.")
        return
    _difficulty(found.exemplars, was, now, "modal answer changed")
    lost = confidence_lost(was, now)
    order = torch.argsort(lost, descending=True, stable=True)
    order = order[torch.argsort(found.dissent[order], descending=True, stable=True)]
    order = order[found.exemplars[order]]
    names = workspace.opened().dataset.names_of(was.classes)
    _examples(
        order, was, now,
        lambda i: f"{int(found.dissent[i])} of {found.members} of the population disagree, mostly "
        f"{names[int(found.modal[i])]}",
        "population",
    )  # fmt: skip


def _difficulty(chosen: Tensor, was: Evaluation, now: Evaluation, label: str) -> None:
    with st.container(border=True):
        st.subheader("Are they harder?", anchor=False)
        figure = exemplar_figures.difficulty(
            difficulty(chosen, was), difficulty(chosen, now), theme.palette(), chosen=label
        )
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            f"Accuracy on these {int(chosen.sum()):,} examples and on the {int((~chosen).sum()):,} others, with 95% "
            "intervals. Where two networks differ, at most one is right; look whether the dense network, too, does worse "
            "here than on the others."
        )


def _examples(indices: Tensor, was: Evaluation, now: Evaluation, remark: Remark, key: str) -> None:
    """The examples page by page, those of one class if one is chosen."""
    dataset = workspace.opened().dataset
    names = dataset.names_of(was.classes)
    with st.container(border=True):
        left, right = st.columns([1, 2], vertical_alignment="bottom")
        present = was.split.targets[indices].unique().tolist()
        picked = left.selectbox(
            "True class",
            [None, *present],
            format_func=lambda c: "any" if c is None else names[c],
            key=f"{key}:class",
        )
        if picked is not None:
            indices = indices[was.split.targets[indices] == picked]
        start = 0
        if len(indices) > SHOWN:
            pages = -(-len(indices) // SHOWN)
            start = SHOWN * (
                right.slider(f"Page ({len(indices):,} examples)", 1, pages, 1, key=f"{key}:page") - 1
            )
        shown = indices[start : start + SHOWN].tolist()
        if dataset.is_image:
            st.html(gallery([_card(dataset, was, now, i, names, remark) for i in shown], theme.palette()))
        else:
            st.dataframe(_rows(dataset, was, now, shown, names, remark), hide_index=True)
        order = (
            "that lose most confidence in the true class"
            if key == "own"
            else "on which most networks disagree"
        )
        st.caption(
            f"From {was.split.origin}, those first {order}. Wrong answers are marked ✗; after: the plan in force."
            f"{said_of(dataset)}"
        )


def _card(
    dataset: Dataset, was: Evaluation, now: Evaluation, index: int, names: Sequence[str], remark: Remark
) -> Card:
    one, two = ((_answer(e, index, names), bool(e.correct[index])) for e in (was, now))
    return Card(
        f"#{index} {names[int(was.split.targets[index])]}",
        picture_of(dataset.pixels(was.split.inputs[index])),
        (one, two),
        remark(index),
    )


def _answer(evaluation: Evaluation, index: int, names: Sequence[str]) -> str:
    answer = int(evaluation.answers[index])
    share = float(confidences(evaluation.task, evaluation.outputs[index : index + 1])[0, answer])
    return f"{names[answer]} {share:.0%}"


def _rows(
    dataset: Dataset,
    was: Evaluation,
    now: Evaluation,
    shown: Sequence[int],
    names: Sequence[str],
    remark: Remark,
) -> list[dict[str, object]]:
    """One row an example: its classes, how sure both networks are of the true one, and what it is made of."""
    truth = true_class_confidence(was), true_class_confidence(now)
    return [
        {
            "#": str(index),
            "true": names[int(was.split.targets[index])],
            "before": _answer(was, index, names) + ("" if was.correct[index] else " ✗"),
            "after": _answer(now, index, names) + ("" if now.correct[index] else " ✗"),
            "true class before": f"{float(truth[0][index]):.1%}",
            "true class after": f"{float(truth[1][index]):.1%}",
            "remark": remark(index),
            **contents(dataset, was.split.inputs[index]),
        }
        for index in shown
    ]


def contents(dataset: Dataset, example: Tensor) -> dict[str, object]:
    """What one example that is no image is made of, as columns: features in their units, or tokens."""
    if not example.is_floating_point():
        words = example.flatten().tolist()
        return {"tokens": " ".join(map(str, words[:_WORDS])) + (" …" if len(words) > _WORDS else "")}
    values = dataset.pixels(example[None])[0].flatten()[:_FEATURES].tolist()
    known = dataset.feature_names
    named = [known[i] if i < len(known) else f"value {i}" for i in range(len(values))]
    return {name: float(f"{value:.4g}") for name, value in zip(named, values, strict=True)}


def said_of(dataset: Dataset) -> str:
    """Which values :func:`contents` shows; empty for images and tokens."""
    if dataset.is_image or not dataset.evaluation.inputs.is_floating_point():
        return ""
    as_read = dataset.scale == 1.0 and dataset.offset == 0.0
    return f" Features {'as the network reads them' if as_read else 'in their own units'}."


def _values(was: Evaluation, now: Evaluation) -> None:
    """Of a regression: the examples whose error grew most."""
    dataset = workspace.opened().dataset
    found = errors(was, now)
    grown = found.after - found.before
    order = torch.argsort(grown, descending=True, stable=True)
    order = order[grown[order] > 0]
    if len(order) == 0:
        st.info("No error grew, so nothing was forgotten. Prune further to see what goes first.")
        return
    rows = [
        {
            "#": str(index),
            "true": float(f"{float(was.split.targets[index]):.4g}"),
            "before": float(f"{float(was.answers[index]):.4g}"),
            "after": float(f"{float(now.answers[index]):.4g}"),
            "error grew by": float(f"{float(grown[index]):.4g}"),
            **(contents(dataset, was.split.inputs[index]) if not dataset.is_image else {}),
        }
        for index in order[:SHOWN].tolist()
    ]
    unit = f", in {dataset.target_unit}" if dataset.target_unit else ""
    with st.container(border=True):
        st.dataframe(rows, hide_index=True)
        st.caption(
            f"The {len(rows)} of {len(was.split):,} examples whose error grew most{unit}. A network that predicts values has "
            f"no class to disagree on, so there is no population of exemplars.{said_of(dataset)}"
        )
