"""Studies: long work whose findings are drawn as they come, kept, and found again by whoever asks the same.

A study runs in a worker process (``analysis/units``). Its parts are kept under what they are about: the
weights, the examples, the plan and the parameters. So a page that is left and opened again, a refreshed one,
and another session all find them at once, and a study that was cancelled goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import Any, Literal

import streamlit as st
from cachetools import LRUCache

from analysis.export.folder import exports_here
from analysis.jobs import JobStatus
from analysis.pruning.plan import Plan
from analysis.recovery.keep import keep_here
from analysis.units import Message, digest, make_request, once, with_known
from ui import computed, job_list, library, services, theme, workspace

Draw = Callable[[Sequence[Message]], None]

_TICK_SECONDS = 0.5
_END = "end"  # the last part of a study that was carried out whole: {_END: how many parts it has}
_MEMORY: LRUCache[str, list[Message]] = LRUCache(48)
_MEMORY_CHARACTERS = 2**28
_LOCK = RLock()


@dataclass(frozen=True)
class Study:
    """What is to be found out about the chosen network.

    Parameters
    ----------
    kind : str
        A unit of :mod:`analysis.units`.
    label : str
        What the list of jobs calls it.
    plan : Plan, optional
        The plan it is about.
    parameters : mapping
        What the unit wants to know: plain data.
    hints : mapping
        What is known and helps the unit along, but does not tell studies apart: plain data.
    keep : {"store", "memory"}
        Where parts are kept: in the database, or, if they are large, in memory as long as there is room.
    """

    kind: str
    label: str
    plan: Plan | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    keep: Literal["store", "memory"] = "store"
    hints: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def request(self) -> Message:
        """What a worker is asked."""
        source = library.source(workspace.network_name())
        return make_request(
            self.kind, source, workspace.image_count(), plan=self.plan, parameters=self.parameters, hints=self.hints,
        )  # fmt: skip

    @cached_property
    def about(self) -> str:
        """A digest of what it asks, and of the weights and examples it asks it of."""
        contents = computed.contents(workspace.network_name(), workspace.image_count())
        return digest({**self.request, "network": contents})


def parts(study: Study) -> list[Message]:
    """What is known already, in the order it was found."""
    return _standing(study.kind, _kept(study))


def _standing(kind: str, found: Sequence[Message]) -> list[Message]:
    """Parts, each once, without those whose files are not kept any more: these can be found again."""
    here = [part for part in found if _END not in part and _is_kept(part)]
    return once(kind, here)


def _is_kept(part: Message) -> bool:
    """True unless a part names recovered weights, or exported files, that had to make room."""
    weights, files = part.get("recovered"), part.get("exported")
    return (not weights or keep_here().holds(weights)) and (not files or exports_here().holds(files))


def is_complete(study: Study) -> bool:
    """True if all its parts are known."""
    ends = [part[_END] for part in _kept(study) if _END in part]
    return bool(ends) and len(parts(study)) >= int(ends[-1])  # old parts may have been forgotten since


def last(study: Study) -> JobStatus | None:
    """This session's last job for it; None if there was none."""
    mine = services.jobs().of(workspace.history())
    return next((job for job in reversed(mine) if job.about == study.about), None)


def start(study: Study) -> None:
    """Find out what is not known yet, in a job; each part is kept the moment it arrives."""
    about, add = study.about, _keeper(study)
    known = services.store().findings if study.keep == "store" else _remembered

    def found() -> list[Message]:
        return _standing(study.kind, known(about))

    services.jobs().submit(
        workspace.history(),
        study.label,
        study.request,
        lambda part: add(about, [part]),
        lambda request: with_known(request, found()),
        about=about,
        on_done=lambda: add(about, [{_END: len(found())}]),
    )


def panel(
    study: Study, draw: Draw, *, button: str, sentence: str, automatic: bool = False, name: str = ""
) -> None:
    """Draw a study: how to begin it, its progress with a way to cancel it, and what is known so far.

    Parameters
    ----------
    draw : callable
        Given the parts known so far (at least one); called again as more arrive.
    button : str
        What begins it.
    sentence : str
        What it finds out and how long that takes; shown until it is complete.
    automatic : bool
        True if it begins by itself, unless it was cancelled or failed before.
    name : str
        Tells panels of one page apart, if there are several of one kind.
    """
    job = last(study)
    if automatic and not is_complete(study) and (job is None or job.state == "done"):
        start(study)
    job = last(study)
    live = job is not None and job.is_live
    st.fragment(_draw, run_every=_TICK_SECONDS if live else None)(study, draw, button, sentence, live, name)


def _draw(study: Study, draw: Draw, button: str, sentence: str, was_live: bool, name: str) -> None:
    known, begun = parts(study), False
    if not is_complete(study):
        begun = _controls(study, button, sentence, bool(known), name)
    job = last(study)
    live = job is not None and job.is_live
    if known:
        draw(known)
    if begun or (was_live and not live):
        st.rerun()  # the whole page: to tick, or to stop ticking


def _controls(study: Study, button: str, sentence: str, is_partial: bool, name: str) -> bool:
    """Progress and *Cancel* of a live study; else what begins it. True if it was begun just now."""
    job = last(study)
    place = st.empty()
    begun = False
    if job is None or not job.is_live:
        with place.container():
            if job is not None and job.state == "failed":
                st.error(theme.plain(job.message))
            if job is not None and job.state == "cancelled":
                st.caption("Cancelled." + (" What was found until then is kept." if is_partial else ""))
            st.caption(sentence)
            key = f"start:{study.kind}:{name}"
            if not st.button("Go on" if is_partial else button, type="primary", key=key):
                return False
        start(study)
        begun, job = True, last(study)
    if job is not None and job.is_live:
        with place.container():
            bar, cancel = st.columns([5, 1], vertical_alignment="center")
            bar.progress(job.share, text=f"{study.label}: {job_list.progress_words(job)}")
            cancel.button(
                "Cancel", key=f"cancel:{study.kind}:{name}", on_click=services.jobs().cancel, args=(job.id,)
            )
    return begun


def _kept(study: Study) -> list[Message]:
    return services.store().findings(study.about) if study.keep == "store" else _remembered(study.about)


def _keeper(study: Study) -> Callable[[str, Sequence[Message]], None]:
    return services.store().add_findings if study.keep == "store" else _remember


def _remembered(about: str) -> list[Message]:
    with _LOCK:
        return list(_MEMORY.get(about, ()))


def _remember(about: str, found: Sequence[Message]) -> None:
    with _LOCK:
        _MEMORY[about] = [*_MEMORY.get(about, ()), *found]
        while len(_MEMORY) > 1 and sum(map(_characters, _MEMORY.values())) > _MEMORY_CHARACTERS:
            _MEMORY.popitem()  # the one that was not asked for longest


def _characters(value: Any) -> int:
    """About how much room plain data take."""
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 32
