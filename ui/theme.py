"""Colours and number formats: the same meaning has the same look on every page."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from analysis.look import (
    DARK,
    LIGHT,
    Palette,
    bytes_text,
    change_interval,
    count,
    counted,
    delta,
    duration,
    interval,
    is_nothing,
    number,
    saving,
    verdict,
)
from analysis.measure.quality import Interval
from analysis.tasks import Metric

__all__ = [
    "DARK",
    "LIGHT",
    "Palette",
    "bytes_text",
    "change_interval",
    "count",
    "counted",
    "delta",
    "delta_look",
    "duration",
    "interval",
    "number",
    "palette",
    "plain",
    "saving_look",
    "verdict",
]


def palette() -> Palette:
    """The palette of the theme the browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def delta_look(change: Interval, metric: Metric) -> dict[str, Any]:
    """How ``st.metric`` shows a change: coloured for better or worse if its interval leaves out zero."""
    text = delta(change.value, metric)
    if is_nothing(text):
        return {"delta": text.replace("-", "+"), "delta_color": "off", "delta_arrow": "off"}
    if not verdict(change, metric):
        return {"delta": text, "delta_color": "off"}
    return {"delta": text, "delta_color": "normal" if metric.higher_is_better else "inverse"}


def saving_look(value: float, whole: float) -> dict[str, Any]:
    """How ``st.metric`` shows a cost against the dense network's: less is better."""
    text = saving(value, whole)
    if text == "+0%":
        return {"delta": "+0%", "delta_color": "off", "delta_arrow": "off"}
    return {"delta": text, "delta_color": "inverse"}


def plain(text: str) -> str:
    """Text for ``st.error`` and its kin with Markdown made harmless: it may hold names from a file."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|:$<>~])", r"\\\1", text)
