"""One trial in full: what was measured, what somebody said of it, how it came about, and what to do with it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.history import Label, Summary, Trial
from analysis.history.tree import lineage
from analysis.measure.measurement import Numbers
from ui import figures, keeping, plans, report_button, theme, workspace
from ui.history import difference_table, way_figure, words
from ui.recover import taking

_MOST_CHARACTERS = {"name": 80, "tag": 40, "note": 2000}
_MOST_TAGS = 12
_LABEL = "label shown"  # the result that remembers what the form showed
_SAVED = "label saved"  # the result that remembers a Save until it is confirmed
_MOST_STEPS = 60  # of the way to a trial that one chart shows


def card(chosen: Summary, trials: Sequence[Summary]) -> None:
    """Draw it below the view that it was chosen in."""
    try:
        trial = keeping.trial(chosen.id)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    way = lineage(trials, chosen.key)
    with st.container(border=True):
        _head(chosen, trial, way)
        left, right = st.columns([3, 2], gap="large")
        with left:
            _measures(chosen, trial.measurement)
        with right:
            _label_form(chosen, sorted({tag for known in trials for tag in known.label.tags}))
    with st.container(border=True):
        _how_it_came(chosen, trial, way)


def _head(chosen: Summary, trial: Trial, way: Sequence[Summary]) -> None:
    """The title, and what to do with it."""
    places = st.columns([5, 1.2, 1.2, 1.4], vertical_alignment="center")
    places[0].subheader(theme.plain(words.title(chosen)), anchor=False)
    if chosen.key == keeping.current_key():
        places[1].button("In force", disabled=True, width="stretch")
    elif places[1].button("Bring back", type="primary", width="stretch"):
        with st.spinner("Bringing it back…"):
            plans.bring_back(chosen.id)
        st.rerun()
    if places[2].button("Export", width="stretch", help="Brings it back and goes to the Export page."):
        with st.spinner("Bringing it back…"):
            is_back = plans.bring_back(chosen.id)
        if is_back:
            st.switch_page("pages/export.py")
        st.rerun()
    with places[3]:
        report_button.draw(
            trial.plan,
            key=f"history:report:{chosen.id}",
            label=chosen.label,
            lineage=way,
            kept=trial.measurement,
        )
    recovered = f" Recovered: {taking.history_words(trial.plan)}." if trial.plan.recovered else ""
    st.caption(
        f"Measured {words.when(chosen.measured_at)} on {chosen.images:,} {workspace.opened().dataset.noun}; removes "
        f"{words.removes(chosen)}.{theme.plain(recovered)}"
    )


def _measures(chosen: Summary, numbers: Numbers) -> None:
    """The numbers as they were measured then, the change against the dense network, all metrics on demand."""
    metrics = {metric.key: metric for metric in workspace.opened().dataset.task.metrics}
    headline = workspace.opened().dataset.task.headline
    interval = f"95% interval {theme.interval(chosen.headline, headline)}"
    threads = theme.counted(numbers.latency.threads, "thread")
    cards = [
        (headline.label, theme.number(chosen.headline.value, headline), interval),
        ("Nonzero connections", theme.count(chosen.nonzero_connections), None),
        ("Parameters", theme.count(chosen.parameters), None),
        ("MACs", theme.count(chosen.macs), None),
        ("Bytes as saved", theme.bytes_text(chosen.saved), None),
        ("Bytes, best lossless", theme.bytes_text(chosen.best), f"As {numbers.size.best_encoding}."),
        ("Latency", f"{chosen.latency:.2f} ms", f"Batch {numbers.latency.batch}, {threads}."),
        ("Latency, of dense", f"{chosen.latency / chosen.dense_latency:.0%}", "Both timed in the same moments."),
    ]  # fmt: skip
    places = itertools.chain.from_iterable(st.columns(2) for _ in itertools.count())
    for i, ((label, value, help_text), place) in enumerate(zip(cards, places, strict=False)):
        look = theme.delta_look(chosen.change, headline) if i == 0 and chosen.change else {}
        place.metric(label, value, border=True, help=help_text, height="stretch", **look)
    with st.expander("All metrics"):
        st.dataframe(
            [
                {
                    "metric": metrics[key].label,
                    "value": theme.number(value.value, metrics[key]),
                    "95% interval": theme.interval(value, metrics[key]),
                    "change": theme.delta(numbers.change[key].value, metrics[key])
                    if key in numbers.change
                    else "",
                    "change, 95% interval": theme.change_interval(numbers.change[key], metrics[key])
                    if key in numbers.change
                    else "",
                }
                for key, value in numbers.quality.items()
                if key in metrics
            ],
            hide_index=True,
        )


def _label_form(chosen: Summary, tags: Sequence[str]) -> None:
    """What somebody says of the trial; kept when it is saved."""
    label = chosen.label
    if workspace.kept_result(_LABEL, chosen.id) not in (None, label):
        st.info(
            "Its label was changed in another window since it was last shown here. Below is what it says now; what was typed "
            "here and not saved is gone."
        )
    workspace.keep_result(_LABEL, chosen.id, label)
    # Drawn anew when the label changes elsewhere: else the fields, and with the next Save the trial, said what it was.
    key = f"history:label:{chosen.id}:{hashlib.sha256(repr(label).encode()).hexdigest()}"
    with st.form(key, border=False):
        name = st.text_input("Name", label.name, key=f"{key}:name")
        star = st.toggle("Star", label.star, key=f"{key}:star")
        given = st.multiselect(
            "Tags", tags, list(label.tags), accept_new_options=True, max_selections=_MOST_TAGS,
            key=f"{key}:tags", placeholder="choose, or type a new one",
        )  # fmt: skip
        note = st.text_area(
            "Note", label.note, key=f"{key}:note", height=120, placeholder="Why it was tried, what it showed"
        )
        if st.form_submit_button("Save"):
            tidy = tuple(dict.fromkeys(filter(None, map(str.strip, given))))
            fresh = Label(name.strip(), note.strip(), star, tidy)
            if too_long := _too_long(fresh):
                st.error(too_long)
                return
            keeping.label_trial(chosen.id, fresh)
            workspace.keep_result(_LABEL, chosen.id, None)
            workspace.keep_result(_SAVED, chosen.id, True)
            st.rerun()
    if workspace.kept_result(_SAVED, chosen.id):
        workspace.keep_result(_SAVED, chosen.id, None)
        st.toast("Saved.")


def _too_long(label: Label) -> str:
    """What of a label is longer than is kept, in a sentence; empty if nothing is. What was typed stays in its field."""
    parts = [("name", label.name), ("note", label.note), *(("tag", tag) for tag in label.tags)]
    return " ".join(
        f"A {kind} has at most {_MOST_CHARACTERS[kind]:,} characters, and this one has {len(text):,}. "
        "Shorten it and save again."
        for kind, text in parts
        if len(text) > _MOST_CHARACTERS[kind]
    )


def _how_it_came(chosen: Summary, trial: Trial, way: Sequence[Summary]) -> None:
    """The way from the root, and what this trial changed of the one before."""
    st.subheader("How it came about", anchor=False)
    if len(way) == 1:
        st.caption("It is where its line begins: none of the trials shown here is known to have led to it.")
    else:
        shown = way[-_MOST_STEPS:]
        figure = way_figure.way(
            [(words.title(step), step) for step in shown], theme.palette(),
            metric=workspace.opened().dataset.task.headline, before=len(way) - len(shown),
        )  # fmt: skip
        st.plotly_chart(figure, config=figures.CONFIG, key=f"history:way:{chosen.id}:{len(way)}")
        st.caption(
            f"The {len(way):,} trials of its line, each grown from the one before: look where the line falls, and what was "
            "saved there for it. Bars are 95% intervals."
        )
    if trial.parent is not None:
        st.markdown("**What it changed of the plan before it**")
        difference_table.draw(
            [trial.parent, trial.plan], ["before", "this trial"], key=f"history:change:{chosen.id}"
        )
