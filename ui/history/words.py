"""Trials in a few words."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from analysis.history import Summary
from analysis.importance.registry import criterion_label
from ui import workspace

BY_HAND = "picked by hand"
_REMOVES = {"channel": "channels", "weight": "weights", "mixed": "channels and weights"}


def title(trial: Summary) -> str:
    """What a trial of the chosen network is called, see :func:`called`."""
    return called(trial, workspace.network().connections())


def called(trial: Summary, connections: int) -> str:
    """The name that somebody gave a trial, or else what it removes: channels by L1 magnitude, 45% (of connections) left."""
    if trial.label.name:
        return trial.label.name
    if trial.is_dense:
        return "dense network"
    how = f"by {criterion(trial)}" if trial.criterion else BY_HAND
    words = f"{removes(trial)} {how}, {trial.nonzero_connections / connections:.0%} left"
    return words + (", recovered" if trial.is_recovered else "")


def removes(trial: Summary) -> str:
    """What a trial removes: channels, weights, both or nothing."""
    return _REMOVES.get(trial.granularity, "nothing")


def criterion(trial: Summary) -> str:
    """The label of a trial's criterion, or its name if this version does not know it; empty for the dense network.

    A plan without cuts ranks nothing: its channels were picked by hand.
    """
    if trial.is_dense:
        return ""
    if not trial.criterion:
        return BY_HAND
    return criterion_label(trial.criterion)


def when(seconds: float) -> str:
    """A moment in the reader's time zone, which it names: 2026-03-01 14:05 CET."""
    try:
        zone: tzinfo = ZoneInfo(st.context.timezone or "UTC")
    except (OSError, ValueError, ZoneInfoNotFoundError):  # whatever the browser says
        zone = UTC
    moment = datetime.fromtimestamp(seconds, zone)
    name = moment.strftime("%Z")
    return (
        f"{moment:%Y-%m-%d %H:%M} {name if name.isalpha() else f'UTC{name}'}"  # zones without a name say +03
    )
