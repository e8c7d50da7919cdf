"""Training with sparsity in mind: a penalty makes channels or weights small before anything is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.recovery.penalties import NEAR_ZERO, PENALTIES, Penalty, suits
from analysis.recovery.recipe import Recipe
from analysis.units import Message
from analysis.units.sparse_training import Curve, Stage, from_data, parameters, trained
from ui import comparison, computed, figures, library, studies, theme, workspace
from ui.bench import dense_plan
from ui.recover import sparse_figures

_PULLS = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_USUAL_PULL = 1.5
_MOST_EPOCHS = 1000


def sparse() -> None:
    """Choose a penalty, train the dense network with it, see what it made small, and keep the result."""
    calibration = workspace.opened().dataset.calibration
    st.markdown(
        "Before anything is cut, the dense network is trained on, and pays for each weight or channel that is not zero. "
        "What comes out is a network of its own, which every page can look at and prune."
    )
    if (gone := workspace.just_brought(grown=True)) is not None:
        _added(gone)
    comparison.needs_calibration("Training")
    penalty, pull, recipe = _choices()
    study = studies.Study(
        "sparse-training",
        f"{workspace.title()}: {recipe.epochs} epochs with {penalty.label}",
        parameters=parameters(penalty.name, pull, recipe),
    )
    studies.panel(
        study,
        lambda parts: _draw(parts, penalty, recipe),
        button="Train",
        sentence=f"Trains a copy on {calibration.origin}, a tenth of them held out for validation, and then cuts both "
        "networks further and further. The network in the sidebar stays as it is.",
        name="sparse",
    )


def _added(gone: Sequence[str]) -> None:
    """Where to look at a network that was just added, and which had to go for it."""
    room = f" To make room, {', '.join(map(library.title, gone))} had to go." if gone else ""
    st.success(theme.plain(f"{workspace.title()} is among your networks now.{room}"))
    links = st.columns([1, 1, 4])
    links[0].page_link("pages/weights.py", label="Look at its weights")
    links[1].page_link("pages/prune.py", label="Prune it")


def _choices() -> tuple[Penalty, float, Recipe]:
    network = workspace.network()
    fitting = [penalty.name for penalty in PENALTIES.values() if suits(penalty, network)]
    usual = next(name for name in ("bn-scale", "group-lasso", "l1") if name in fitting)
    columns = st.columns([2, 2, 1, 2], vertical_alignment="bottom")
    name = columns[0].selectbox(
        "Penalty", fitting, index=fitting.index(usual), format_func=lambda n: PENALTIES[n].label,
        key=_key("penalty"), persist_state="session",
    )  # fmt: skip
    penalty = PENALTIES[name]
    pull = columns[1].select_slider(
        "Strength", _PULLS, value=_USUAL_PULL, format_func=lambda value: f"{value:g}",
        key=_key("pull"), persist_state="session",
        help=f"At 1 the penalty would take a {penalty.unit} of median size just to zero in the whole training, if the "
        "examples did not hold it. Too little makes nothing small, too much costs quality.",
    )  # fmt: skip
    usual_recipe = _usual_recipe()
    epochs = columns[2].number_input(
        "Epochs", 1, _MOST_EPOCHS, usual_recipe.epochs, key=_key("epochs"), persist_state="session"
    )
    rate = columns[3].number_input(
        "Learning rate", 1e-6, 10.0, usual_recipe.learning_rate, step=usual_recipe.learning_rate / 5, format="%g",
        key=_key("rate"), persist_state="session", help="The highest: it rises at first, then falls to zero.",
    )  # fmt: skip
    st.caption(penalty.sentence)
    if name == "group-lasso" and "bn-scale" in fitting:
        st.caption(
            "This network has BatchNorm, which rescales what comes: smaller weights before it silence nothing by "
            "themselves. The penalty on BatchNorm's own scale acts on what is passed on."
        )
    return penalty, float(pull), replace(usual_recipe, epochs=int(epochs), learning_rate=float(rate))


def _usual_recipe() -> Recipe:
    """As for fine-tuning, but always by SGD: by Adam, a penalty's strength would not say how far it pulls."""
    name = workspace.network_name()
    targets = workspace.opened().dataset.calibration.targets
    found = replace(
        computed.default_recipe(dense_plan(name)), optimiser="sgd", learning_rate=Recipe().learning_rate
    )
    if not targets.is_floating_point():
        return found
    # The slope of a squared error grows with the targets' unit: divided by it, steps are alike in any.
    return replace(
        found, learning_rate=float(f"{found.learning_rate / float(targets.var().clamp_min(1.0)):.1g}")
    )


def _draw(parts: Sequence[Message], penalty: Penalty, recipe: Recipe) -> None:
    found = [from_data(part) for part in parts]
    stages = sorted((p for p in found if isinstance(p, Stage)), key=lambda stage: stage.number)
    curves = {part.trained: part for part in found if isinstance(part, Curve)}
    if not stages:
        return
    _cards(stages, penalty, recipe)
    _epochs(stages, penalty)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        _sizes(stages, penalty)
    with right, st.container(border=True):
        _against_ratio(curves, penalty)
    if stages[-1].number == recipe.epochs:
        _keep(stages[-1], penalty)


def _cards(stages: Sequence[Stage], penalty: Penalty, recipe: Recipe) -> None:
    metric = workspace.opened().dataset.task.headline
    first, last = stages[0], stages[-1]
    columns = st.columns(4)
    columns[0].metric("Epochs", f"{last.number} of {recipe.epochs}", border=True, height="stretch")
    columns[1].metric(
        f"{metric.label}, validation", theme.number(last.validation, metric), border=True, height="stretch",
        delta=theme.delta(last.validation - first.validation, metric), delta_color="off",
    )  # fmt: skip
    columns[2].metric(
        f"{penalty.unit.capitalize()}s near zero", f"{last.near_zero:.1%}", border=True, height="stretch",
        delta=f"{100 * (last.near_zero - first.near_zero):+.1f} points", delta_color="off",
        help=f"At most {NEAR_ZERO:.0%} of the largest in the same {_beside(penalty)}.",
    )  # fmt: skip
    columns[3].metric("Time", theme.duration(last.seconds), border=True, height="stretch")


def _epochs(stages: Sequence[Stage], penalty: Penalty) -> None:
    task, palette = workspace.opened().dataset.task, theme.palette()
    with st.container(border=True):
        st.subheader("Epoch by epoch", anchor=False)
        columns = st.columns(3)
        columns[0].plotly_chart(
            sparse_figures.quality_over_epochs(stages, task.headline, palette), config=figures.CONFIG
        )
        columns[1].plotly_chart(
            sparse_figures.losses_over_epochs(stages, task.loss_name, palette), config=figures.CONFIG
        )
        columns[2].plotly_chart(
            sparse_figures.near_zero_over_epochs(stages, penalty.unit, palette), config=figures.CONFIG
        )
        st.caption(
            "Epoch 0 is the network as it was, the dotted line its value. Look for the right curve to rise while the "
            "left one stays near the line. Losses are shown without the penalty, which counts "
            f"{stages[-1].strength:.2g} times in what is minimised."
        )


def _sizes(stages: Sequence[Stage], penalty: Penalty) -> None:
    st.subheader("Sizes before and after", anchor=False)
    after = stages[-1].counts if stages[-1].number else None
    st.plotly_chart(
        sparse_figures.sizes(stages[0].counts, after, penalty.unit, theme.palette()), config=figures.CONFIG
    )
    st.caption(
        f"Look for a gap between {penalty.unit}s near zero (left of the dashed line at {NEAR_ZERO:.0%}) and the rest: what "
        f"is left of it can go. Sizes are shares of the largest in the same {_beside(penalty)}; the leftmost bar also "
        "holds all that is smaller."
    )


def _against_ratio(curves: dict[bool, Curve], penalty: Penalty) -> None:
    metric = workspace.opened().dataset.task.headline
    st.subheader("Cut alike, without recovery", anchor=False)
    if not curves:
        st.caption("Comes after training: both networks are cut further and further, and measured.")
        return
    before, after = curves[False].quality, curves[True].quality if True in curves else None
    st.plotly_chart(
        sparse_figures.quality_against_ratio(before, after, metric, penalty.unit, theme.palette()),
        config=figures.CONFIG,
    )
    words = (
        "; ".join(
            f"at {ratio:.0%} {theme.number(before[ratio].value, metric)} before, {theme.number(after[ratio].value, metric)} after"
            for ratio in sorted(before)
            if ratio > 0
        )
        if after
        else "the trained network follows"
    )
    st.caption(
        f"{metric.label} on the evaluation examples when every target loses the same share, by the criterion that ranks by "
        f"these sizes: {words}. Bars are 95% intervals; where they overlap, neither is shown to be better."
    )


def _keep(stage: Stage, penalty: Penalty) -> None:
    """The way to a network of its own."""
    left, right = st.columns([1, 3], vertical_alignment="center")
    right.caption(
        "The trained network gets a name of its own and the same data. It is chosen then, and found in the sidebar like "
        "any network you bring."
    )
    if not left.button("Add it to my networks", type="primary", key=_key("add")):
        return
    name = workspace.network_name()
    try:
        with st.spinner("Opening it…"):
            network = trained(workspace.network(), stage.digest)
            opened, gone = library.grow(workspace.history(), name, network, penalty.name)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    workspace.note_brought(opened.network.name, gone, grown=True)
    st.rerun()


def _beside(penalty: Penalty) -> str:
    """What a size is compared within."""
    if penalty.unit == "weight":
        return "layer"
    return "BatchNorm" if penalty.name == "bn-scale" else "group"


def _key(name: str) -> str:
    return f"sparse:{name}:{workspace.network_name()}"
