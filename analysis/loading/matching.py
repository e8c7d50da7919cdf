"""Weights against the module they should fit: the size of its head, and in words what does not match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

SHOWN = 5  # names of each kind in a message
SIMILAR = 0.9  # share of equal shapes from which other names are the likely reason

_COUNTER = "num_batches_tracked"  # of a BatchNorm; older files lack it
_REMEDY = "Choose the architecture whose weights these are, or load the network as .pt2."


def fit_heads(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give the module's heads as many outputs as the weights have, in place.

    Heads are the linear layers and 1x1 convolutions that differ in their number of outputs alone, if
    nothing else differs in shape and all change from one number to one other: were a layer to follow,
    its inputs would differ too. A module without such heads stays as it is.
    """
    changes: set[tuple[int, int]] = set()
    heads: dict[str, nn.Module] = {}
    for key, (found, expected) in _other_shapes(module, weights).items():
        owner, _, _ = key.rpartition(".")
        head = module.get_submodule(owner)
        if not _is_head(head) or not found or found[1:] != expected[1:]:
            return
        heads[owner] = head
        changes.add((expected[0], found[0]))
    if len(changes) != 1:
        return
    ((_, classes),) = changes
    for head in heads.values():
        for key, parameter in list(head.named_parameters(recurse=False)):
            setattr(head, key, nn.Parameter(torch.empty(classes, *parameter.shape[1:])))
        setattr(head, "out_features" if isinstance(head, nn.Linear) else "out_channels", classes)


def misfit(module: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """What does not match and what to do, in sentences; nothing if all does."""
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    missing = [key for key in expected if key not in found and not key.endswith(_COUNTER)]
    unexpected = [key for key in found if key not in expected]
    others = [
        f"{key} {shape} in the file, {wanted} in the network"
        for key, (shape, wanted) in _other_shapes(module, weights).items()
    ]
    parts = [
        f"{len(names):,} {what} ({_some(names)})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"), (others, "of another shape"))
        if names
    ]
    if not parts:
        return ""
    return f"{', '.join(parts)}. {_renaming(expected, found) if missing and unexpected else _REMEDY}"


def _other_shapes(
    module: nn.Module, weights: Mapping[str, Tensor]
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each name that both have with different shapes: that in the file, that in the module."""
    return {
        key: (tuple(weights[key].shape), tuple(value.shape))
        for key, value in module.state_dict().items()
        if key in weights and weights[key].shape != value.shape
    }


def _is_head(module: nn.Module) -> bool:
    """True if the module may be a head."""
    if isinstance(module, nn.Conv2d):
        return set(module.kernel_size) == {1} and module.groups == 1
    return isinstance(module, nn.Linear)


def _renaming(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """How to rename, if shapes say that these are the right weights under other names."""
    equal = sum((Counter(_values(expected)) & Counter(_values(found))).values())
    if equal <= SIMILAR * max(len(_values(expected)), len(_values(found))):
        return _REMEDY
    said = f"{equal:,} shapes are equal, so the weights seem to be the right ones under other names."
    prefix = _prefix(expected, found)
    if prefix:
        return f'{said} Remove "{prefix}" from them: {{k.removeprefix("{prefix}"): v for k, v in weights.items()}}.'
    prefix = _prefix(found, expected)
    if prefix:
        return f'{said} Put "{prefix}" before them: {{"{prefix}" + k: v for k, v in weights.items()}}.'
    return f"{said} Rename them as the network does, or load the network as .pt2."


def _values(shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All shapes but those of BatchNorm counters."""
    return [shape for key, shape in shapes.items() if not key.endswith(_COUNTER)]


def _prefix(short: Iterable[str], long: Iterable[str]) -> str:
    """The text before every name of `long` that makes it one of `short`, if it is the same for nearly all."""
    names, longer = set(short), list(long)
    first = min(names, key=len)
    for candidate in {key.removesuffix(first): 0 for key in longer if key.endswith(f".{first}")}:
        matched = sum(key.removeprefix(candidate) in names for key in longer if key.startswith(candidate))
        if matched > SIMILAR * len(longer):
            return candidate
    return ""


def _some(names: list[str]) -> str:
    """The first few of `names`."""
    shown = "; ".join(name[:120] for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}; …"
