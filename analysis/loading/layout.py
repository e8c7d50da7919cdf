"""Inputs as they lie in a file to inputs as a network reads them, where only one way is possible."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.loading.raw import RawData

_COLOURS = (1, 3, 4)  # how many channels a picture may have


def arranged(raw: RawData, wanted: tuple[int, ...]) -> tuple[Tensor, str]:
    """The inputs with their channels first, and what was done to them in words (empty if nothing).

    `wanted` is the shape of one input of the network. What comes back has that shape, or, where the network
    reads the values of a picture in a row, is (N, channels, height, width) still: reshape it last.

    Raises
    ------
    DataError
        If no arrangement fits, or more than one would; with what to do about it.
    """
    inputs, given = raw.inputs, tuple(raw.inputs.shape[1:])
    if given == wanted:
        return inputs, ""
    if len(given) == 3 and len(wanted) == 3 and (given[2], *given[:2]) == wanted:
        return inputs.permute(0, 3, 1, 2), "channels moved to the front"
    if (1, *given) == wanted:
        return inputs.unsqueeze(1), "one channel added"
    if len(given) == 1 and math.prod(given) == math.prod(wanted) and _is_single(wanted):
        return inputs.reshape(-1, *wanted), "rows of pixels read as pictures"
    if len(wanted) == 1 and math.prod(given) == wanted[0]:
        if len(given) == 2:
            return inputs.unsqueeze(1), "pictures read as rows of pixels"
        if len(given) == 3 and (given[0] in _COLOURS or given[2] == 1):
            front = inputs if given[0] in _COLOURS else inputs.permute(0, 3, 1, 2)
            return front, "pictures read as rows of pixels"
    raise DataError(_mismatch(raw, given, wanted))


def as_tokens(inputs: Tensor, name: str, vocabulary: int | None) -> Tensor:
    """Whole numbers as int64, for a network that reads token ids from 0.

    Raises
    ------
    DataError
        If a value is no whole number, or outside the vocabulary.
    """
    if inputs.is_floating_point() and not bool((inputs == inputs.floor()).all()):
        raise DataError(
            f"The network reads token ids, {name} holds numbers between them. Give whole numbers."
        )
    tokens = inputs.to(torch.int64)
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0:
        raise DataError(f"Token ids in {name} start at {low}; they are whole numbers from 0.")
    if vocabulary is not None and high >= vocabulary:
        raise DataError(
            f"Token ids in {name} run up to {high:,}, the network knows {vocabulary:,} (0 to {vocabulary - 1:,}). "
            "Use the tokeniser that it was trained with."
        )
    return tokens


def _is_single(wanted: tuple[int, ...]) -> bool:
    """True for a picture with one channel, whose pixels have one order only."""
    return len(wanted) == 3 and wanted[0] == 1


def _mismatch(raw: RawData, given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    said = f"The network reads inputs of shape {wanted}, {raw.name} holds {given}."
    if raw.kind == "table" and len(wanted) == 1:
        more = given[0] - wanted[0]
        which = f"Drop {more:,} of them" if more > 0 else f"{-more:,} are missing"
        return f"{said} It has {given[0]:,} features and the network reads {wanted[0]:,}: {which}."
    if raw.kind == "images" and len(wanted) == 3:
        return f"{said} {_picture_remedy(given, wanted)}"
    if len(given) == 3 and len(wanted) == 3:
        last_first = (given[2], *given[:2])
        if given[0] not in _COLOURS and given[2] in _COLOURS:
            if given[2] != wanted[0]:
                return f"{said} {_channels(given[2], wanted[0])}"
            return f"{said} Its channels are last and its pictures {_sized(last_first)}: {_resize(wanted)}"
        if given[1:] == wanted[1:]:
            return f"{said} {_channels(given[0], wanted[0])}"
        if given[0] == wanted[0]:
            return f"{said} Its pictures are {_sized(given)}: {_resize(wanted)}"
    if len(given) == 2 and len(wanted) == 3 and given == wanted[1:]:
        return (
            f"{said} Its pictures have no channels: stack the {wanted[0]} of each to (N, {_listed(wanted)})."
        )
    if len(wanted) == 1 and math.prod(given) == wanted[0]:
        return f"{said} Flatten them in the order of training: x.reshape(len(x), -1)."
    return f"{said} Reshape the data to (N, {_listed(wanted)}), or choose the network they belong to."


def _picture_remedy(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    colours = {1: "in gray", 3: "in colours"}.get(wanted[0])
    if colours is None:
        return f"A picture has 1 or 3 channels, so {wanted[0]} cannot be made of it: give arrays as .npz."
    changes = [colours] if given[0] != wanted[0] else []
    if given[1:] != wanted[1:]:
        changes.append(f"resized to {wanted[1]}×{wanted[2]}")
    return f"Read the pictures {' and '.join(changes)}."


def _channels(given: int, wanted: int) -> str:
    said = f"The pictures have {given} channel{'s' if given != 1 else ''}, the network reads {wanted}."
    if (given, wanted) == (1, 3):
        return said + " Repeat the gray channel: np.repeat(x, 3, axis=1) of x (N, 1, H, W)."
    if (given, wanted) == (3, 1):
        return said + " Average the colours: x.mean(axis=1, keepdims=True) of x (N, 3, H, W)."
    if (given, wanted) == (4, 3):
        return said + " Drop the fourth, transparency."
    return said + " Choose the network they belong to."


def _sized(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[2]} pixels"


def _resize(wanted: tuple[int, ...]) -> str:
    return f"resize them to {wanted[1]}×{wanted[2]}."


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
