"""The choices of the Fine-tune view: what training begins from, by what it learns, and every option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.pruning.plan import Plan
from analysis.recovery.augmentation import Augmentation, kinds_for
from analysis.recovery.distil import Distillation
from analysis.recovery.keep import keep_here
from analysis.recovery.learner import has_dropout, learning_layers
from analysis.recovery.recipe import Optimiser, Recipe, Schedule
from analysis.units.fine_tune import METHODS, PARENT
from ui import computed, theme, workspace

_DISTIL, _TUNE = "From the dense network", "From the data"
_SCHEDULES: Mapping[Schedule, str] = {
    "cosine": "Cosine",
    "step": "Step",
    "plateau": "Plateau",
    "constant": "Constant",
}
_OPTIMISERS: Mapping[Optimiser, str] = {"sgd": "SGD with momentum", "adam": "Adam", "adamw": "AdamW"}
_RATES: Mapping[Optimiser, float] = {"sgd": 0.05, "adam": 3e-3, "adamw": 3e-3}
_NAMED = 6  # layers named in a sentence


@dataclass(frozen=True)
class Choices:
    """What shall be trained, and how."""

    base: Plan
    recipe: Recipe
    distillation: Distillation | None


def choose() -> Choices:
    """All choices; may raise what :func:`ui.computed.beginning` does."""
    base = _base()
    default = computed.default_recipe(base)
    left, middle = st.columns([3, 1], vertical_alignment="bottom")
    way = left.segmented_control(
        "Learn", (_DISTIL, _TUNE), default=_DISTIL, required=True, key=_key("way"), persist_state="session",
        help="From the dense network (distillation): the pruned network learns to give every example the dense "
        "network's whole answer, which says more than its class alone. From the data: it learns the true answers.",
    )  # fmt: skip
    epochs = middle.number_input(
        "Epochs", 1, 1000, default.epochs, key=_key(f"epochs:{default.epochs}"), persist_state="session",
        help="How often training passes over all its examples.",
    )  # fmt: skip
    with st.expander("All options"):
        recipe = _recipe(replace(default, epochs=int(epochs)), base)
        distillation = _distillation(base) if way == _DISTIL else None
    return Choices(base, recipe, distillation)


def _base() -> Plan:
    """The plan that training begins from: after training, still the one before it, so that its curves stay."""
    plan = workspace.bench().plan
    options = {"as it is now": plan}
    if plan.recovered:
        try:
            step = keep_here().get(plan.recovered).steps[-1]
        except (PrunescopeError, IndexError):
            step = None
        if step is not None and step.method in METHODS:
            parent = replace(plan, recovered=str(step.settings.get(PARENT, "")))
            options = {"as it was before its last training": parent, **options}
        if plan.as_pruned not in options.values():
            options["as it was pruned"] = plan.as_pruned
    if len(options) == 1:
        return plan
    chosen = st.segmented_control(
        "Begin with the network", list(options), default=next(iter(options)), required=True,
        key=_key(f"base:{plan.recovered}"), persist_state="session",
    )  # fmt: skip
    assert chosen is not None
    return options[chosen]


def _recipe(default: Recipe, base: Plan) -> Recipe:
    first, second, third = st.columns(3)
    with first:
        optimiser = st.selectbox(
            "Optimiser", list(_OPTIMISERS), list(_OPTIMISERS).index(default.optimiser),
            format_func=_OPTIMISERS.__getitem__, key=_key(f"optimiser:{default.optimiser}"), persist_state="session",
        )  # fmt: skip
        suits = default.learning_rate if optimiser == default.optimiser else _RATES[optimiser]
        rate = st.number_input(
            "Learning rate", 1e-7, 10.0, suits, suits / 10, format="%g", key=_key(f"rate:{optimiser}:{suits}"),
            persist_state="session", help="The highest that the schedule comes to.",
        )  # fmt: skip
        momentum, decay = default.momentum, default.decay
        if optimiser == "sgd":
            momentum = st.slider(
                "Momentum", 0.0, 0.99, default.momentum, key=_key("momentum"), persist_state="session"
            )
        if optimiser == "adamw":
            decay = st.number_input(
                "Weight decay", 0.0, 1.0, default.decay, format="%g", key=_key("decay"), persist_state="session",
                help="Taken from every weight in each step, times the learning rate.",
            )  # fmt: skip
        schedule = st.selectbox(
            "Schedule", list(_SCHEDULES), format_func=_SCHEDULES.__getitem__, key=_key("schedule"),
            persist_state="session",
            help="How the learning rate falls after the warm-up. Cosine: slowly, fast, slowly, down to 0. Step: to a tenth "
            "after each third. Plateau: whenever the validation loss no longer falls. Constant: not at all.",
        )  # fmt: skip
        warm_up = st.slider(
            "Warm-up", 0, 50, round(100 * default.warm_up), format="%d%%", key=_key("warm"), persist_state="session",
            help="The share of training in which the learning rate rises in a line.",
        )  # fmt: skip
    with second:
        batch = st.select_slider(
            "Batch", (8, 16, 32, 64, 128, 256), default.batch, key=_key("batch"), persist_state="session",
            help="Examples in a step.",
        )  # fmt: skip
        patience = st.number_input(
            "Stop early after", 0, 100, default.patience, key=_key("patience"), persist_state="session",
            help="Epochs in a row without a better one on the validation examples; 0 for never. The best weights "
            "are kept in any case.",
        )  # fmt: skip
        l1 = st.number_input(
            "L1", 0.0, 1.0, 0.0, format="%g", key=_key("l1"), persist_state="session",
            help="Times the sum of all weights' sizes, in the loss: drives weights to zero.",
        )  # fmt: skip
        l2 = st.number_input(
            "L2", 0.0, 1.0, 0.0, format="%g", key=_key("l2"), persist_state="session",
            help="Times the sum of all weights' squares, in the loss: keeps weights small. L1 and L2 together: "
            "elastic net.",
        )  # fmt: skip
        dropout = _dropout()
    with third:
        augmentation = _augmentation(default.augmentation)
        last = _last(base)
        seed = st.number_input("Seed", 0, 10_000, default.seed, key=_key("seed"), persist_state="session")
    return replace(
        default, learning_rate=float(rate), batch=int(batch), optimiser=optimiser, momentum=float(momentum),
        seed=int(seed), schedule=schedule, warm_up=warm_up / 100, patience=int(patience), l1=float(l1),
        l2=float(l2), decay=float(decay), dropout=dropout, last=last, augmentation=augmentation,
    )  # fmt: skip


def _dropout() -> float | None:
    own = has_dropout(workspace.network())
    percent = st.slider(
        "Dropout", 0, 90, 0, 5, format="%d%%", key=_key("dropout"), persist_state="session",
        help="The rate of the network's own dropout; 0 leaves it as it is."
        if own
        else "The share of the values before the last layer that are left out in each step.",
    )  # fmt: skip
    return percent / 100 or None


def _augmentation(default: Augmentation) -> Augmentation:
    """Only what applies to examples like these is offered."""
    inputs = workspace.opened().dataset.calibration.inputs
    kinds = kinds_for(inputs)
    shift, flip, noise, cutout = default.shift, default.flip, default.noise, default.cutout
    if "shift" in kinds:
        side = min(inputs.shape[2:])
        shift = st.slider(
            "Shift", 0, max(1, side // 4), default.shift, format="%d px", key=_key(f"shift:{default.shift}"),
            persist_state="session", help="Each image is moved by up to so many pixels, and filled with black. At first "
            "what the dense network bears without losing more than 2 points.",
        )  # fmt: skip
        flip = st.toggle(
            "Mirror half of the images", default.flip, key=_key(f"flip:{default.flip}"), persist_state="session",
            help="Left to right. On at first if the dense network reads mirrored images as well.",
        )  # fmt: skip
        cutout = st.slider(
            "Cut-out", 0, max(1, side // 2), default.cutout, format="%d px", key=_key("cutout"),
            persist_state="session", help="The side of a black square at a random place of each image.",
        )  # fmt: skip
    if "noise" in kinds:
        percent = st.slider(
            "Noise", 0, 50, round(100 * default.noise), format="%d%%", key=_key("noise"), persist_state="session",
            help="Its standard deviation, of that of the examples.",
        )  # fmt: skip
        noise = percent / 100
    return Augmentation(shift, flip, noise, cutout)


def _last(base: Plan) -> int:
    layers = computed.pruned(base).layers
    if len(layers) < 2:
        return 0
    everything = len(layers)
    count = st.slider(
        "Last layers that learn", 1, everything, everything, key=_key(f"last:{everything}"), persist_state="session",
        help="All before them stay as they are, the statistics of BatchNorm, too.",
    )  # fmt: skip
    if count == everything:
        return 0
    names = learning_layers(computed.pruned(base), count)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    st.caption(f"Learning: {theme.plain(', '.join(names[:_NAMED]))}{more}.")
    return count


def _distillation(base: Plan) -> Distillation:
    task = workspace.opened().dataset.task
    default = Distillation()
    places = iter(st.columns(3))
    soft = next(places).slider(
        "Share of the dense network's answers", 0, 100, round(100 * default.soft), format="%d%%", key=_key("soft"),
        persist_state="session", help="The rest of the loss is about the true answers.",
    )  # fmt: skip
    temperature = default.temperature
    if task.is_classification:
        temperature = next(places).slider(
            "Temperature", 1.0, 20.0, default.temperature, 0.5, key=_key("temperature"), persist_state="session",
            help="The higher, the more the unlikely classes count.",
        )  # fmt: skip
    place = next(places)
    hints = place.multiselect(
        "Hints behind layers", computed.hint_layers(base), key=_key("hints"),
        persist_state="session", help="Behind these layers the channels that are left shall also say what they say in "
        "the dense network (FitNets). It takes longer.",
    )  # fmt: skip
    weight = default.hint_weight
    if hints:
        weight = place.number_input(
            "Weight of the hints", 0.0, 100.0, default.hint_weight, format="%g", key=_key("hint-weight"),
            persist_state="session",
        )  # fmt: skip
    return Distillation(float(temperature), soft / 100, tuple(hints), float(weight))


def _key(name: str) -> str:
    return f"tune:{name}:{workspace.network_name()}"
