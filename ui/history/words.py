"""Trials in a few words."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import streamlit as st

from analysis.history import Summary
from analysis.importance import CRITERIA
from ui import workspace

_REMOVES = {"channel": "channels", "weight": "weights", "mixed": "channels and weights"}


def title(trial: Summary) -> str:
    """The name that somebody gave a trial, or else what it removes: channels by L1 magnitude, 45% (of connections) left."""
    if trial.label.name:
        return trial.label.name
    if trial.is_dense:
        return "dense network"
    connections = sum(layer.connections for layer in workspace.network().layers)
    words = f"{removes(trial)} by {criterion(trial)}, {trial.nonzero_connections / connections:.0%} left"
    return words + (", recovered" if trial.is_recovered else "")


def removes(trial: Summary) -> str:
    """What a trial removes: channels, weights, both or nothing."""
    return _REMOVES.get(trial.granularity, "nothing")


def criterion(trial: Summary) -> str:
    """The label of a trial's criterion, or its name if this version does not know it; empty for the dense network."""
    if trial.is_dense:
        return ""
    known = CRITERIA.get(trial.criterion)
    return known.label if known else trial.criterion


def when(seconds: float) -> str:
    """A moment, in the reader's time zone: 2026-03-01 14:05."""
    zone = st.context.timezone
    return datetime.fromtimestamp(seconds, ZoneInfo(zone) if zone else UTC).strftime("%Y-%m-%d %H:%M")
