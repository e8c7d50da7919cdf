"""The choices of the Compare page's examples: which of them, by which method, towards which answer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from torch import Tensor

from analysis.explain.attribution import METHODS, refusal, spatial_layers
from analysis.explain.examples import choices, choose
from analysis.explain.methods.base import Parameter
from analysis.explain.targets import TARGET_KINDS
from analysis.measure.quality import Evaluation
from ui import theme, workspace

_PAGE_SIZES = (6, 16)
_MOST_PAGES = 100
_ANY = -1  # of the classes
_TRUE = TARGET_KINDS[0].name


def method_choice(method_column, layer_column) -> tuple[str, str | None]:  # type: ignore[no-untyped-def]
    """The chosen method, and the layer it looks at if it needs one; stops the page if no method suits."""
    network = workspace.network()
    reasons = {name: refusal(name, network) for name in METHODS}
    fitting = [name for name, reason in reasons.items() if not reason]
    refused = [reason for reason in reasons.values() if reason]
    if not fitting:
        st.info(theme.plain("No attribution method suits this network. " + refused[0]))
        st.stop()
    method = method_column.selectbox(
        "Method", fitting, key=_key("method"), persist_state="session", help=" ".join(refused) or None,
        format_func=lambda name: f"{METHODS[name].label} · {METHODS[name].kind}",
    )  # fmt: skip
    if not METHODS[method].needs_layer:
        return method, None
    layers = spatial_layers(network)
    return method, layer_column.selectbox(
        "At layer", layers, index=len(layers) - 1, key=_key("layer"), persist_state="session"
    )


def which_examples(before: Evaluation, after: Evaluation) -> tuple[Tensor, str, str | None]:
    """The examples that fit, the method and its layer; stops the page if there are none."""
    names = workspace.opened().dataset.names_of(before.classes)
    kinds = {choice.name: choice.label for choice in choices(before)}
    places = iter(
        st.columns([1.3, 1, 1.9, 1.2] if names else [1.3, 1.9, 1.2, 1], vertical_alignment="bottom")
    )
    kind = next(places).selectbox(
        "Which examples",
        list(kinds),
        format_func=kinds.__getitem__,
        key=_key("kind"),
        persist_state="session",
    )
    label = _ANY
    if names:
        label = next(places).selectbox(
            "Class", [_ANY, *range(len(names))], key=_key("class"), persist_state="session",
            format_func=lambda i: "any" if i == _ANY else names[i],
        )  # fmt: skip
    method, layer = method_choice(next(places), next(places))
    indices = choose(kind, before, after, label=None if label == _ANY else label)
    if len(indices) == 0:
        of_class = "" if label == _ANY else f" in class {names[label]}"
        st.info(
            theme.plain(
                f"No example fits “{kinds[kind]}”{of_class}. Choose another class or kind of example."
            )
        )
        st.stop()
    return indices, method, layer


def how_explained(
    method: str, before: Evaluation
) -> tuple[int, float, tuple[tuple[str, float], ...], str, int | None]:
    """Examples a page, strength of the input beneath its maps, the method's parameters, target and class."""
    is_image = workspace.opened().dataset.is_image
    fitting = [p for p in METHODS[method].parameters if is_image or not p.images_only]
    has_target = before.task.is_classification and METHODS[method].has_target
    widths = [
        0.9,
        *([1.6] if is_image else []),
        *([1.1] if fitting else []),
        *([1.2, 1.2] if has_target else []),
    ]
    room = [max(0.1, 6 - sum(widths))]
    places = iter(st.columns([*widths, *room], vertical_alignment="bottom"))
    size = next(places).segmented_control(
        "Per page",
        _PAGE_SIZES,
        default=_PAGE_SIZES[0],
        required=True,
        key=_key("size"),
        persist_state="session",
    )
    overlay = _overlay(next(places)) if is_image else 0.0
    parameters = _parameters(next(places), method, fitting) if fitting else ()
    target, chosen = _target_choice(next(places), next(places), before) if has_target else (_TRUE, None)
    return size, overlay, parameters, target, chosen


def one_page(fitting: Tensor, size: int) -> Tensor:
    """The examples of one page."""
    pages = min(-(-len(fitting) // size), _MOST_PAGES)
    start = 0
    if pages > 1:
        start = (st.slider(f"Page ({len(fitting):,} examples fit)", 1, pages, 1) - 1) * size
    return fitting[start : start + size]


def _key(name: str) -> str:
    """The key of a widget whose choice belongs to the chosen network, and outlives a page switch."""
    return f"explain:{name}:{workspace.network_name()}"


def _overlay(column) -> float:  # type: ignore[no-untyped-def]
    """How strongly an image shows beneath its maps, from 0 to 1."""
    percent = column.slider(
        "Show the input beneath", 0, 100, 0, 10, format="%d%%", key=_key("overlay"), persist_state="session",
        help="At 0% each map stands alone; at 100% it is laid over the whole input.",
    )  # fmt: skip
    return percent / 100


def _target_choice(kind_column, class_column, before: Evaluation) -> tuple[str, int | None]:  # type: ignore[no-untyped-def]
    """Which answer is explained: a kind of target, and a class if one is chosen."""
    names = workspace.opened().dataset.names_of(before.classes)
    labels = {kind.name: kind.label for kind in TARGET_KINDS}
    kind = kind_column.selectbox(
        "Towards", list(labels), format_func=labels.__getitem__, key=_key("target"), persist_state="session",
        help="Which answer is explained: the same for both networks, or their difference would mean nothing.",
    )  # fmt: skip
    if kind != "chosen":
        return kind, None
    return kind, class_column.selectbox(
        "Class explained", range(before.classes), format_func=lambda i: names[i], key=_key("chosen"),
        persist_state="session",
    )  # fmt: skip


def _parameters(column, method: str, fitting: Sequence[Parameter]) -> tuple[tuple[str, float], ...]:  # type: ignore[no-untyped-def]
    """The method's own numbers that are not the defaults."""
    with column.popover("Parameters", width="stretch"):
        values = {parameter.key: _number(method, parameter) for parameter in fitting}
    return tuple((p.key, values[p.key]) for p in fitting if values[p.key] != p.default)


def _number(method: str, parameter: Parameter) -> float:
    kind = int if parameter.is_whole else float
    return st.slider(
        parameter.label, kind(parameter.low), kind(parameter.high), kind(parameter.default), kind(parameter.step),
        key=_key(f"{method}:{parameter.key}"), persist_state="session", help=parameter.sentence,
    )  # fmt: skip
