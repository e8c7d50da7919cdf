"""Steps of recovery in words: what was set, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.recovery.recovered import Step

_KEPT = "epoch"  # the epoch whose weights are kept; 0 for those that training began from
_UNSAID = ("from", _KEPT)  # a digest, and what stands apart
_OFF_AT_ZERO = (
    "warm_up",
    "patience",
    "l1",
    "l2",
    "decay",
    "dropout",
    "last",
    "shift",
    "noise",
    "cutout",
    "floor",
)
_NAMES = {
    "batch": "examples in a step",
    "warm_up": "share of warm-up",
    "l1": "L1 penalty",
    "l2": "L2 penalty",
    "last": "last layers that learn",
    "flip": "images mirrored",
    "soft": "share of soft answers",
    "schedule": "levels",
    "rewind": "rewound to epoch",
    "floor": "stops below",
    "rescore": "scored again at each step",
    "recipe.schedule": "learning rate falls by",
}
_VALUES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


def settings_words(settings: Mapping[str, Any]) -> str:
    """A step's settings in a line: epochs 3, learning rate 0.005; those that are off are left out."""
    return ", ".join(_said(settings))


def _said(settings: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    optimiser = settings.get("optimiser", "sgd")
    for key, value in settings.items():
        unused = (
            (key == "momentum" and optimiser != "sgd")
            or (key == "decay" and optimiser != "adamw")
            or (key == "hint_weight" and not settings.get("hints"))
        )
        if isinstance(value, Mapping):
            yield from _said(value, f"{key}.")
        elif key == "rescore" and value is False:
            yield "scored once"
        elif not (unused or key in _UNSAID or _is_off(key, value)):
            yield _words(inside, key, value)


def _is_off(key: str, value: object) -> bool:
    return value is None or value is False or value in ("", (), []) or (key in _OFF_AT_ZERO and value == 0)


def _words(inside: str, key: str, value: Any) -> str:
    if key == "soft" and value is True:
        return "soft pruning"
    name = _NAMES.get(inside + key) or _NAMES.get(key) or key.replace("_", " ")
    if value is True:
        return name
    if isinstance(value, float):
        return f"{name} {value:g}"  # 0.005, not 0.005000000000000001
    if isinstance(value, (list, tuple)):
        return f"{name} {' and '.join(map(str, value))}"
    return f"{name} {_VALUES.get(value, value)}"


def changed_nothing(step: Step) -> bool:
    """True if training kept the weights that it began from. A step without this setting did no such choosing."""
    return step.settings.get(_KEPT) == 0


def outcome_words(step: Step) -> str:
    """Which weights training kept, in a sentence; empty for other steps."""
    if changed_nothing(step):
        return "No epoch was better than the start, so training changed nothing."
    kept = step.settings.get(_KEPT)
    return f"The weights of epoch {kept} are kept." if kept is not None else ""
