"""The views of the Layers page on whole layers: the same as before, and what could go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from analysis.inside.representation import LEAST, MOST, cka
from analysis.pruning.plan import Plan
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units import redundancy as redundancy_unit
from analysis.units import representation as representation_unit
from ui import comparison, computed, figures, keeping, studies, theme, workspace
from ui.bench import dense_plan
from ui.layers import layer_facts, layer_figures

_STORED = 60  # layers whose similarities are small enough for the database
_AT_ONCE = 10  # seconds that a study may take without being asked for
_ALIKE = 0.9  # layers whose CKA is at least this are counted as still the same


def same() -> None:
    """CKA of every layer before with every layer after, and of each layer with itself."""
    comparison.needs_plan("every layer is the same as before")
    with st.spinner("Measuring both networks…"):
        before, after = workspace.dense(), keeping.measured(workspace.bench().plan)
    comparison.cards(before, after)
    if not _enough_examples():
        return
    study = _similarity(workspace.bench().plan, f"Layers of {workspace.title()}, before and after")
    studies.panel(
        study, _before_and_after, button="Compare the layers", sentence=_what_is_compared(), automatic=True
    )


def redundancy() -> None:
    """CKA of all pairs of layers of the dense network, and what each block is worth."""
    if _enough_examples():
        study = _similarity(dense_plan(workspace.network_name()), f"Layers of {workspace.title()}, all pairs")
        studies.panel(
            study, _all_pairs, button="Compare the layers", sentence=_what_is_compared(), automatic=True, name="pairs",
        )  # fmt: skip
    _blocks()


def _similarity(plan: Plan, label: str) -> studies.Study:
    small = len(workspace.network().layers) <= _STORED
    return studies.Study("representation", label, plan=plan, keep="store" if small else "memory")


def _enough_examples() -> bool:
    count = workspace.image_count()
    if count >= LEAST:
        return True
    st.info(
        f"Comparing what layers say needs at least {LEAST} examples, and there are {count}. Bring a larger evaluation set."
    )
    return False


def _what_is_compared() -> str:
    dataset = workspace.opened().dataset
    count = min(MOST, workspace.image_count())
    return (
        f"Compares what the layers say about {count:,} {dataset.noun} of the evaluation set, minibatch by minibatch: "
        "a few seconds for a small network."
    )


def _matrix(parts: Sequence[Message]) -> tuple[np.ndarray, int]:
    """The similarities known so far, and from how many examples."""
    minibatches = [representation_unit.from_data(part) for part in parts]
    return cka(minibatches).numpy(), sum(part.examples for part in minibatches)


def _before_and_after(parts: Sequence[Message]) -> None:
    matrix, examples = _matrix(parts)
    names = [layer.name for layer in workspace.network().layers]
    palette = theme.palette()
    own = matrix.diagonal()
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True):
        st.subheader("Every layer with every layer", anchor=False)
        figure = layer_figures.similarity_matrix(matrix, names, names, palette, y="before", x="after")
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "Rows: the dense network's layers; columns: the pruned network's. Look along the framed diagonal: where it "
            "fades, the layer says something else; a stronger cell beside it shows which layer's place it took. "
            "Layers whose outputs are added share one signal, and so one similarity."
        )
    with right, st.container(border=True):
        st.subheader("Each layer with itself", anchor=False)
        st.plotly_chart(layer_figures.own_similarity(own, names, palette), config=figures.CONFIG)
        st.caption(f"{_diagonal_words(own, names)} {_cka_words(matrix, examples)}")


def _diagonal_words(own: np.ndarray, names: Sequence[str]) -> str:
    known = ~np.isnan(own)
    if not known.any():
        return "No layer can be compared."
    worst = int(np.nanargmin(own))
    return (
        f"{int((own[known].round(2) >= _ALIKE).sum())} of {len(names)} layers have a CKA of {_ALIKE} or more. "
        f"Least alike: {theme.plain(names[worst])}, {own[worst]:.2f}. A high CKA does not mean that the network still "
        "answers alike: small changes in many layers add up, and later layers may read directions that CKA hardly counts."
    )


def _cka_words(matrix: np.ndarray, examples: int) -> str:
    noun = workspace.opened().dataset.noun
    missing = (
        " A dash: the layer says the same for every example, so that nothing can be compared."
        if np.isnan(matrix).any()
        else ""
    )
    return (
        "Linear CKA: 1 if the same examples are alike, whatever the units are called and however the space is turned; "
        f"about 0 if they are unrelated. From {examples:,} {noun} of the evaluation set.{missing}"
    )


def _all_pairs(parts: Sequence[Message]) -> None:
    matrix, examples = _matrix(parts)
    names = [layer.name for layer in workspace.network().layers]
    with st.container(border=True):
        st.subheader("Do layers repeat each other?", anchor=False)
        figure = layer_figures.similarity_matrix(matrix, names, names, theme.palette(), y="layer", x="layer")
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "The dense network with itself. Strong squares around the diagonal are layers in a row that say much the "
            f"same: candidates to go whole. {_cka_words(matrix, examples)}"
        )


def _blocks() -> None:
    """What each block changes, and what the network is worth without it."""
    found = layer_facts.blocks(workspace.network_name())
    dataset = workspace.opened().dataset
    if not found:
        st.info(
            "No block of this network can be skipped: nowhere do values have, after a layer or a few, the shape they "
            "had before, and no shortcut leads around them."
        )
        return
    seconds = (len(found) + 1) * computed.pass_seconds(workspace.network_name(), workspace.image_count())
    origin = computed.evaluation_split(workspace.network_name(), workspace.image_count()).origin
    study = studies.Study("redundancy", f"Blocks of {workspace.title()}")
    plural = "s" if len(found) > 1 else ""
    studies.panel(
        study,
        lambda parts: _draw_blocks(parts, dataset.task.headline, origin),
        button="Skip each block",
        sentence=f"Skips each of the {len(found)} block{plural} in turn and measures the network on {origin}: "
        f"about {max(1, round(seconds)):,} s.",
        automatic=seconds < _AT_ONCE,
        name="blocks",
    )


def _draw_blocks(parts: Sequence[Message], metric: Metric, origin: str) -> None:
    order = {block.name: i for i, block in enumerate(layer_facts.blocks(workspace.network_name()))}
    found = sorted(map(redundancy_unit.from_data, parts), key=lambda skip: order[skip.block.name])
    dense = workspace.dense()
    guessing = dense.evaluation.guess if dense.evaluation.task.is_classification else None
    figure = layer_figures.blocks(found, dense.headline, metric, theme.palette(), guessing=guessing)
    with st.container(border=True):
        st.subheader("What could go whole?", anchor=False)
        st.plotly_chart(figure, config=figures.CONFIG)
        free = [
            layer_figures.block_name(s.block)
            for s in found
            if s.change is not None and s.change.low <= 0 <= s.change.high
        ]
        st.caption(
            "From input to answer. Influence: how far a block turns what it reads (1 − cosine; 0 changes nothing). Dots: "
            f"the {metric.label.lower()} of the network that skips the block, with 95% intervals, on {origin}. Short bars "
            "whose dot stays at the line of the whole network can go. "
            + (
                "Left of the dotted line the network is worse than always naming the commonest class. "
                if guessing is not None
                else ""
            )
            + (
                f"Without a change beyond noise: {theme.plain(layer_facts.some(free))}."
                if free
                else "Skipping any of those measured changes the network beyond noise."
            )
        )
        refused = [s for s in found if s.reason]
        for skip in refused:
            st.caption(
                theme.plain(f"{layer_figures.block_name(skip.block)} cannot be skipped: {skip.reason}")
            )
