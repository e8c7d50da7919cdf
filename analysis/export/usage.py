"""How a stranger uses an exported network, in words for the model card: what it reads, what it answers, how it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from analysis.datasets import Dataset
from analysis.export.markdown import bullets, plain, table
from analysis.export.registry import FORMATS
from analysis.export.shipment import Shipment
from analysis.loading.normalisation import AS_THEY_ARE

MOST_NAMES = 20  # classes and features that are listed one by one
_MOST_ROWS = 200  # features whose numbers are listed
_IN_WORDS = 3  # numbers of a normalisation that its sentence names


def input_and_output(shipment: Shipment) -> list[str]:
    """The section on what the network reads and answers, with what is not known of it."""
    dataset = shipment.dataset
    lines = [_reads(shipment), f"**Scaling**: {_scaling(dataset)}", _features(dataset), *_answers(shipment)]
    return ["## Input and output", bullets(lines), *_levels(dataset)]


def how_to_load(shipment: Shipment, formats: Sequence[str]) -> list[str]:
    """The section with a few lines of code for each of these formats; none without formats."""
    if not formats:
        return []
    shape, kind = _shape_and_kind(shipment)
    found = [
        "## How to load",
        f"Each format has a folder; run these lines in it. `inputs` is a tensor of shape {shape}, {kind}, scaled as "
        "above.",
    ]
    for name in formats:
        entry = FORMATS[name]
        remark = f" {entry.remark(shipment)}" if entry.remark else ""
        found += [f"**{entry.label}** (folder `{name}`).{remark}", f"```python\n{entry.code.strip()}\n```"]
    return found


def _reads(shipment: Shipment) -> str:
    shape, kind = _shape_and_kind(shipment)
    tokens = not shipment.dense.example_input.is_floating_point()
    axes = "examples, channels, rows, columns" if shipment.dataset.is_image and not tokens else ""
    meaning = "token ids" if tokens else axes
    return f"**Input**: shape {shape}{f' ({meaning})' if meaning else ''}, {kind}; N examples at once, any number of them."


def _shape_and_kind(shipment: Shipment) -> tuple[str, str]:
    example = shipment.dense.example_input
    return _shape(example), f"`{str(example.dtype).removeprefix('torch.')}`"


def _shape(values: torch.Tensor) -> str:
    """The shape of a batch."""
    sizes = values.shape[1:]
    return f"`({', '.join(['N', *map(str, sizes)])}{'' if sizes else ','})`"


def _scaling(dataset: Dataset) -> str:
    """What was done to the inputs, as far as it is known."""
    said = plain(dataset.normalisation)
    if not dataset.evaluation.inputs.is_floating_point():
        return (
            f"{said or 'Token ids as they are.'} Which token has which id is not known here: as in training."
        )
    if not said:
        return "How inputs were scaled is not known here: as in training."
    if dataset.normalisation == AS_THEY_ARE.sentence:
        return f"{said} How they were scaled before is not known here: as in training."
    return said


def _features(dataset: Dataset) -> str:
    names = dataset.feature_names
    return f"**Features**, in this order: {_listed(names)}." if names else ""


def _levels(dataset: Dataset) -> list[str]:
    """A table of the numbers that inputs were scaled by, where there are more than the sentence names."""
    offset, scale = dataset.offset, dataset.scale
    if (
        not isinstance(offset, tuple)
        or not isinstance(scale, tuple)
        or len(set(zip(offset, scale, strict=True))) <= _IN_WORDS
    ):
        return []
    what = "feature" if len(dataset.feature_names) == len(offset) else "channel"
    names = dataset.feature_names if what == "feature" else [f"channel {i}" for i in range(len(offset))]
    rows = [
        (plain(name), f"{mean:.9g}", f"{spread:.9g}")
        for name, mean, spread in list(zip(names, offset, scale, strict=True))[:_MOST_ROWS]
    ]
    said = "What was subtracted from each value, and what it was then divided by"
    more = f" (the first {_MOST_ROWS:,} of {len(offset):,} {what}s)" if len(offset) > _MOST_ROWS else ""
    return [f"{said}{more}:", table((what, "mean", "spread"), rows)]


def _answers(shipment: Shipment) -> list[str]:
    """What the outputs are, and which output stands for what."""
    task, dataset = shipment.task, shipment.dataset
    with torch.no_grad():
        outputs = shipment.pruned.module(shipment.pruned.example_input)
    head = f"**Output**: shape {_shape(outputs)}, `{str(outputs.dtype).removeprefix('torch.')}`"
    are_probabilities = task.meaning == "probabilities"
    if not task.is_classification:
        unit = plain(dataset.target_unit)
        scale = (
            f"in {unit}, as it is: nothing has to be undone"
            if unit
            else "on the scale of the training targets; its unit is not known here"
        )
        return [f"{head}: the predicted value, {scale}."]
    if task.name == "binary":
        known = dataset.names_of(2) if dataset.class_names else ("0", "1")
        what = (
            "the probability of class 1, which is the answer if it is above 0.5"
            if are_probabilities
            else "the logit of class 1, which is the answer if it is above 0; a sigmoid makes it a probability"
        )
        return [f"{head}: {what}.", f"**Classes**: 0 is {plain(known[0])}, 1 is {plain(known[1])}."]
    count = outputs.shape[1]
    what = (
        "a probability for each class, which sum to 1"
        if are_probabilities
        else "a logit for each class; softmax makes them probabilities"
    )
    names = (
        f"**Classes**, in the order of the outputs: {_listed(dataset.names_of(count))}."
        if dataset.class_names
        else f"**Classes**: {count:,}; their names are not known here, their order is that of training."
    )
    return [f"{head}: {what}. The largest is the answer.", names]


def _listed(names: Iterable[str]) -> str:
    """Names in a row; of many the first, and how many there are."""
    every = list(names)
    shown = ", ".join(plain(name) for name in every[:MOST_NAMES])
    return f"{shown} and so on, {len(every):,} in all" if len(every) > MOST_NAMES else shown
