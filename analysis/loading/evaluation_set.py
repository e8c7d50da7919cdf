"""What a file holds to what a network is judged on: arranged, split once, normalised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.datasets import Dataset, Levels, Normalisation, Split
from analysis.errors import DataError
from analysis.loading.labels import labels
from analysis.loading.layout import arranged, as_tokens
from analysis.loading.normalisation import AS_THEY_ARE, fitted, in_words, levels, normalise
from analysis.loading.raw import MIN_EXAMPLES, RawData
from analysis.tasks import Task

CALIBRATION_SHARE = 0.2
# Names of files and columns stand in captions, where these would draw pictures and formulas.
_HARMLESS = str.maketrans(dict.fromkeys("[]<>`*$~|!", " "))


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples that fit the network, split but not normalised; `unit` is what a full pixel is.

    `held` are the calibration examples, `kept` those that are evaluated on: positions in `inputs`.
    """

    raw: RawData
    task: Task
    inputs: Tensor
    targets: Tensor
    class_names: tuple[str, ...]
    held: Tensor
    kept: Tensor
    unit: int
    input_shape: tuple[int, ...]
    tokens: bool
    note: str

    def sample(self, size: int) -> Prepared:
        """The same, evaluated on the first `size` examples at most; they are in a random order."""
        return replace(self, kept=self.kept[:size])


def to_dataset(
    raw: RawData,
    task: Task,
    normalisation: Normalisation = AS_THEY_ARE,
    *,
    input_shape: tuple[int, ...],
    classes: int | None,
    input_dtype: torch.dtype = torch.float32,
    vocabulary: int | None = None,
    seed: int = 0,
) -> Dataset:
    """A dataset for a network that reads inputs of `input_shape` (without the batch).

    A seeded fifth of the examples becomes the calibration split, the rest is evaluated on; the classes keep
    their proportions in both. What was done to the data stands in the splits' origin.

    Parameters
    ----------
    classes : int, optional
        How many classes the network tells apart; None for regression, or to take the data's word.
    input_dtype : torch.dtype
        What the network reads: an integer type for token ids, which are never normalised.
    vocabulary : int, optional
        How many token ids it knows.

    Raises
    ------
    DataError
        If the data do not fit the network or the task; with what to do about it.
    """
    ready = prepare(
        raw, task, input_shape=input_shape, classes=classes, input_dtype=input_dtype,
        vocabulary=vocabulary, seed=seed,
    )  # fmt: skip
    return finish(ready, normalisation)


def prepare(
    raw: RawData,
    task: Task,
    *,
    input_shape: tuple[int, ...],
    classes: int | None,
    input_dtype: torch.dtype = torch.float32,
    vocabulary: int | None = None,
    seed: int = 0,
) -> Prepared:
    """All of :func:`to_dataset` but the normalisation."""
    if len(raw) != len(raw.targets):
        raise DataError(
            f"{raw.name} holds {len(raw):,} inputs but {len(raw.targets):,} targets: each input needs one target."
        )
    if len(raw) < MIN_EXAMPLES:
        raise DataError(
            f"{raw.name} holds {len(raw):,} examples; at least {MIN_EXAMPLES} are needed, and a few hundred to "
            "tell small changes apart."
        )
    inputs, moved = arranged(raw, tuple(input_shape))
    if inputs.is_floating_point() and not torch.isfinite(inputs).all():
        bad = int((~torch.isfinite(inputs)).sum())
        raise DataError(
            f"{bad:,} of the inputs in {raw.name} are NaN or infinite. Clean or drop those examples."
        )
    targets, class_names, renamed = labels(raw, task, classes)
    tokens = not input_dtype.is_floating_point
    if tokens:
        inputs = as_tokens(inputs, raw.name, vocabulary)
    held, kept = split_indices(targets, by_class=task.is_classification, seed=seed)
    drawn = f"drawn with seed {seed}" + (", classes in proportion" if task.is_classification else "")
    note = "; ".join(part for part in (drawn, moved, renamed) if part)
    return Prepared(
        raw=raw,
        task=task,
        inputs=inputs,
        targets=targets,
        class_names=class_names,
        held=held,
        kept=kept,
        unit=raw.unit,
        input_shape=tuple(input_shape),
        tokens=tokens,
        note=note,
    )


def finish(ready: Prepared, normalisation: Normalisation) -> Dataset:
    """The dataset of prepared examples under a normalisation; token ids stay as they are.

    Raises
    ------
    DataError
        If the normalisation is made for another number of channels.
    """
    unit, shape = ready.unit, ready.input_shape
    chosen = fitted(normalisation, ready.inputs[ready.held], unit) if not ready.tokens else AS_THEY_ARE

    def split(positions: Tensor, word: str) -> Split:
        inputs = ready.inputs[positions]
        if not ready.tokens:
            inputs = normalise(inputs, chosen, unit)
        origin = f"{len(positions):,} {word} {ready.raw.origin.translate(_HARMLESS)} ({ready.note})"
        return Split(inputs.reshape(-1, *shape), ready.targets[positions], origin)

    offset, scale = (_spread(values, ready) for values in levels(chosen, unit))
    return Dataset(
        name=ready.raw.name,
        task=ready.task,
        evaluation=split(ready.kept, "of"),
        calibration=split(ready.held, "other of"),
        class_names=ready.class_names,
        feature_names=_feature_names(ready),
        offset=offset,
        scale=scale,
        normalisation="Token ids as they are." if ready.tokens else in_words(chosen, unit),
    )


def _feature_names(ready: Prepared) -> tuple[str, ...]:
    """As the file names them, else numbered; only inputs that are rows of numbers have features."""
    if len(ready.input_shape) != 1 or ready.tokens:
        return ()
    return ready.raw.feature_names or tuple(f"feature {i + 1}" for i in range(ready.input_shape[0]))


def split_indices(targets: Tensor, *, by_class: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of the calibration fifth and of the rest, each in a random order.

    With `by_class` every class gives about a fifth of its examples: systematic sampling (Madow 1949), with
    the classes' starts spread evenly so that many rare classes together give a fifth, too.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(targets), generator=generator)
    held = max(1, round(CALIBRATION_SHARE * len(targets)))
    if not by_class:
        return order[:held], order[held:]
    _, label, sizes = targets[order].unique(return_inverse=True, return_counts=True)
    by_label = torch.argsort(label, stable=True)
    rank = torch.empty_like(order)  # of each example among those of its class
    rank[by_label] = torch.arange(len(order)) - (sizes.cumsum(0) - sizes)[label[by_label]]
    start = (torch.randperm(len(sizes), generator=generator).double() + 0.5) / len(sizes)
    place = (rank + start[label]) / sizes[label]
    chosen = torch.zeros(len(order), dtype=torch.bool)
    chosen[torch.argsort(place, stable=True)[:held]] = True
    return order[chosen], order[~chosen]


def _spread(values: Levels, ready: Prepared) -> Levels:
    """One level for each value of a picture that is read as a row, where its channels have their own."""
    if len(values) == 1 or ready.inputs.shape[1:] == ready.input_shape:
        return values
    pixels = ready.inputs[0, 0].numel()
    return tuple(value for value in values for _ in range(pixels))
