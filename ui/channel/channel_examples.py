"""The view of the examples that excite a channel most: pictures, rows of a table, or tokens."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analysis.inside.channel_activity import (
    Peak,
    top_examples,
    upsampled,
)
from analysis.measure.quality import Evaluation
from ui import theme, workspace
from ui.channel import channel_facts
from ui.channel.channel_gallery import Picture, channel_gallery
from ui.channel.channel_views import View

SHOWN = 8  # examples that excite a channel most
_TOKENS_BESIDE = 4  # shown on each side of the strongest
_FEATURES = 8  # columns of a table that are shown


def examples(view: View, dense: Evaluation) -> None:
    """The examples that excite it most."""
    st.subheader("What excites it most", anchor=False)
    if view.heard is None:
        st.info(theme.plain(view.not_heard))
        return
    top = top_examples(view.heard, view.channel, SHOWN)
    if not top:
        st.info("Nothing does: it says the same on every example.")
        return
    dataset = workspace.opened().dataset
    if dataset.is_image:
        _pictures(view, dense, top)
    elif dense.split.inputs.is_floating_point():
        _rows(dense, top)
    else:
        _tokens(view, dense, top)


def _pictures(view: View, dense: Evaluation, top: tuple[Peak, ...]) -> None:
    assert view.heard is not None
    dataset, inputs = workspace.opened().dataset, dense.split.inputs
    chosen = tuple(peak.example for peak in top)
    where = None
    if len(view.heard.positions) == 2:
        maps = channel_facts.maps(
            workspace.network_name(),
            view.group.name,
            view.layer,
            view.channel,
            workspace.image_count(),
            chosen,
        )
        where = upsampled(maps, (inputs.shape[2], inputs.shape[3])).numpy()
    pixels = dataset.pixels(inputs[list(chosen)]).clamp(0, 1)
    if pixels.shape[1] != 3:
        pixels = pixels.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    pictures = [
        Picture(
            f"#{peak.example}, {peak.value:.3g}",
            _answer_words(dense, peak.example),
            pixels[i].permute(1, 2, 0).numpy(),
            None if where is None else where[i],
        )
        for i, peak in enumerate(top)
    ]
    st.html(channel_gallery(pictures, theme.palette()))
    tinted = (
        " Below each: the same picture, tinted where the channel speaks, all on one scale."
        if where is not None
        else ""
    )
    st.caption(
        f"The {len(top)} examples on which its largest value is highest, with that value. What do they share?{tinted}"
    )


def _rows(dense: Evaluation, top: tuple[Peak, ...]) -> None:
    dataset = workspace.opened().dataset
    inputs = dataset.pixels(dense.split.inputs[[peak.example for peak in top]]).flatten(1)
    names = list(dataset.feature_names) or [f"feature {i}" for i in range(inputs.shape[1])]
    table = {
        "Example": [f"#{peak.example}" for peak in top],
        "Largest value": [peak.value for peak in top],
        "Answer": [_answer_words(dense, peak.example) for peak in top],
        **{name: inputs[:, i].tolist() for i, name in enumerate(names[:_FEATURES])},
    }
    column = st.column_config.NumberColumn(format="%.3g")
    config = dict.fromkeys(("Largest value", *names[:_FEATURES]), column)
    st.dataframe(pd.DataFrame(table), hide_index=True, column_config=config)
    more = f" The first {_FEATURES} features are shown." if len(names) > _FEATURES else ""
    st.caption(f"The examples on which its largest value is highest. What do these rows share?{more}")


def _tokens(view: View, dense: Evaluation, top: tuple[Peak, ...]) -> None:
    assert view.heard is not None
    has_places = view.heard.positions == tuple(dense.split.inputs.shape[1:])
    table = {
        "Example": [f"#{peak.example}" for peak in top],
        "Largest value": [peak.value for peak in top],
        "Answer": [_answer_words(dense, peak.example) for peak in top],
        "Tokens": [
            _token_words(dense.split.inputs[peak.example].tolist(), peak.place if has_places else None)
            for peak in top
        ],
    }
    config = {"Largest value": st.column_config.NumberColumn(format="%.3g")}
    st.dataframe(pd.DataFrame(table), hide_index=True, column_config=config)
    st.caption(
        "The examples on which its largest value is highest, as token numbers"
        + (", around the token in [brackets], where it speaks loudest." if has_places else ".")
    )


def _token_words(tokens: list[int], place: int | None) -> str:
    if place is None:
        shown = tokens[: 2 * _TOKENS_BESIDE + 1]
        return " ".join(map(str, shown)) + (" …" if len(shown) < len(tokens) else "")
    start, stop = max(0, place - _TOKENS_BESIDE), place + _TOKENS_BESIDE + 1
    words = [f"[{t}]" if i == place else str(t) for i, t in enumerate(tokens)][start:stop]
    return ("… " if start else "") + " ".join(words) + (" …" if stop < len(tokens) else "")


def _answer_words(dense: Evaluation, example: int) -> str:
    """The true answer, and what the dense network says if that differs."""
    true, said = dense.split.targets[example], dense.answers[example]
    if not dense.task.is_classification:
        unit = workspace.opened().dataset.target_unit
        return f"{float(true):.3g} {unit}".strip() + f", said {float(said):.3g}"
    names = workspace.opened().dataset.names_of(dense.classes)
    return names[int(true)] + ("" if int(true) == int(said) else f", taken for {names[int(said)]}")
