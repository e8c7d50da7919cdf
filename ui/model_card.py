"""What is known of a network and its data in words: its card, or where both come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from analysis.measure import Measurement
from analysis.sources import Opened
from ui import theme


def summary(opened: Opened) -> str:
    """One line on what the network is."""
    if opened.card is not None:
        return opened.card["summary"]
    return f"{len(opened.network.layers)} layers, measured on {theme.plain(opened.dataset.name)}."


def draw(opened: Opened, dense: Measurement) -> None:
    """The card of a sample; of any other network what can be said of it."""
    card, metric = opened.card, dense.evaluation.task.headline
    st.subheader("Model card" if card else "Network and data", anchor=False)
    lines = _known_from_training(opened, card, metric) if card else _known_from_files(opened)
    lines.insert(
        -1 if card else len(lines),
        f"**Measured now** {metric.label} {theme.number(dense.headline.value, metric)} "
        f"(95% interval {theme.interval(dense.headline, metric)}) on "
        f"{theme.plain(dense.evaluation.split.origin)}",
    )
    st.markdown("  \n".join(lines))


def _known_from_training(opened: Opened, card: Mapping[str, Any], metric: Any) -> list[str]:
    dataset, recipe, test = opened.dataset, card["recipe"], card["test"]
    return [
        f"**Task** {card['task']}, {_answers(opened)}",
        f"**Data** {dataset.name}, licence {card['licence']}",
        f"**Trained on** {card['trained_on']}, seed {recipe['seed']}, {recipe['epochs']} epochs"
        + (f", L1 penalty {recipe['l1']:g}" if recipe["l1"] else "")
        + (f", L2 penalty {recipe['l2']:g}" if recipe["l2"] else ""),
        f"**Test figure at training** {metric.label} {theme.number(test['value'], metric)} on {test['origin']}",
        f"**Train it yourself** `{card['command']}`",
    ]


def _known_from_files(opened: Opened) -> list[str]:
    dataset, task = opened.dataset, opened.dataset.task
    lines = [
        f"**Task** {task.name}, {_answers(opened)}" + (f". {task.remark}" if task.remark else ""),
        f"**Data** {theme.plain(dataset.name)}",
        f"**One example** {' × '.join(map(str, dataset.evaluation.inputs.shape[1:]))}",
        f"**Accuracy and the like** on {theme.plain(dataset.evaluation.origin)}",
        f"**Scores that need data** from {theme.plain(dataset.calibration.origin)}",
    ]
    if dataset.normalisation:
        lines.insert(3, f"**Normalisation** {theme.plain(dataset.normalisation)}")
    return lines


def _answers(opened: Opened) -> str:
    """How many classes it tells apart, or what it predicts."""
    names, unit = opened.dataset.class_names, opened.dataset.target_unit
    if names:
        return f"{len(names)} classes"
    return f"one value in {theme.plain(unit)}" if unit else "one value"
