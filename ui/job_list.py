"""The sidebar's list of jobs: progress, time left, cancel."""

from __future__ import annotations

import streamlit as st

from analysis.jobs import JobStatus
from ui import services, theme, workspace


def draw() -> None:
    """This session's jobs, followed while one is live."""
    known = services.jobs().of(workspace.history())
    if known:
        live = any(job.is_live for job in known)
        st.fragment(_draw, run_every=1.0 if live else None)(live)


def _draw(was_live: bool) -> None:
    known = services.jobs().of(workspace.history())
    if was_live and not any(job.is_live for job in known):
        st.rerun()
    st.markdown("**Jobs**")
    for job in known[-4:]:
        _draw_job(job)


def _draw_job(job: JobStatus) -> None:
    if job.is_live:
        st.progress(job.share, text=f"{job.label}: {progress_words(job)}")
        st.button("Cancel", key=f"cancel:{job.id}", on_click=services.jobs().cancel, args=(job.id,))
        return
    message = f": {theme.plain(job.message)}" if job.message else ""
    st.caption(f"{job.label}: {job.state}{message}")


def progress_words(job: JobStatus) -> str:
    """How far a live job is."""
    if job.state == "waiting":
        return f"waiting for {job.ahead} before it"
    if job.seconds_left is None:
        return "starting"
    if job.seconds_left < 1:
        return "nearly done"
    return f"about {job.seconds_left:.0f} s left"
