"""Evaluation and calibration data: plain tensors with their origin in words."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.tasks import Task

Levels = tuple[float, ...]
CENTRED = 1e-3  # features whose means are nearer to 0 than this were standardised: their average is 0


@dataclass(frozen=True, eq=False)
class Split:
    """Examples with their answers.

    Parameters
    ----------
    inputs : Tensor
        Shape (N, ...): float32, normalised as the network expects, or int64 token ids.
    targets : Tensor
        int64 class indices or float32 values, shape (N,).
    origin : str
        Which examples these are, in words; shown beside every number measured on them.
    """

    inputs: Tensor
    targets: Tensor
    origin: str

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: Tensor) -> Split:
        """The examples at `indices`, in that order."""
        return Split(self.inputs[indices], self.targets[indices], self.origin)

    def sample(self, size: int, *, seed: int = 0) -> Split:
        """A seeded subset of `size` examples; whole if there are no more than that.

        Class targets are drawn evenly: each class in turn, so that a small sample sees them all.
        """
        if size >= len(self):
            return self
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        if not self.targets.is_floating_point():
            order = _interleave_classes(order, self.targets)
        chosen = order[:size].sort().values
        return Split(self.inputs[chosen], self.targets[chosen], f"{size:,} of {self.origin} (seed {seed})")


@dataclass(frozen=True)
class Normalisation:
    """How recorded values become what a network reads: ``input = (value / unit - mean) / std``.

    Parameters
    ----------
    mean, std : tuple of float
        One value for all channels, or one for each: the axis after the examples, which are the colours of
        an image and the features of a table. Empty if they are yet to be taken from the data.
    divides : bool
        True if bytes (0 to 255) are divided by 255 first: their unit. All other values have unit 1.
    """

    key: str
    label: str
    sentence: str
    mean: Levels = (0.0,)
    std: Levels = (1.0,)
    divides: bool = True


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a network is judged on (`evaluation`) and what scores are computed from (`calibration`).

    The two never share an example. ``value * scale + offset`` undoes the normalisation (see :meth:`pixels`):
    one number for all channels, or one for each. `normalisation` says in words what was done.
    `class_names` is empty for regression, whose targets are in `target_unit`.
    """

    name: str
    task: Task
    evaluation: Split
    calibration: Split
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_unit: str = ""
    offset: float | Levels = 0.0
    scale: float | Levels = 1.0
    normalisation: str = ""

    @property
    def is_image(self) -> bool:
        """True if inputs are (channels, height, width)."""
        return self.evaluation.inputs.dim() == 4

    def pixels(self, inputs: Tensor) -> Tensor:
        """Inputs (..., channels, height, width) as they are drawn, from 0 (black) to 1.

        Rows of a table come back in the units of their features.
        """
        return (inputs * self._level(self.scale) + self._level(self.offset)).float()

    def names_of(self, classes: int) -> tuple[str, ...]:
        """A name for each of the classes that a network tells apart, also for those that the data do not name."""
        known = self.class_names[:classes]
        return (*known, *(f"class {label}" for label in range(len(known), classes)))

    @property
    def baseline(self) -> float | Tensor:
        """The input that means "nothing": a black pixel, or the average of each feature.

        A number for all values, or a tensor that broadcasts over one example: (channels, 1, 1) for images,
        the shape of an example for tables.
        """
        if self.is_image:
            black = -self._level(self.offset) / self._level(self.scale)
            return float(black) if black.dim() == 0 else black.float()
        inputs = self.calibration.inputs
        if not inputs.is_floating_point():
            return 0.0
        mean = inputs.mean(dim=0)
        return mean if bool(mean.abs().max() > CENTRED) else 0.0

    def _level(self, values: float | Levels) -> Tensor:
        """`values` as a tensor that broadcasts over the channels of an example."""
        if isinstance(values, tuple):
            return torch.tensor(values, dtype=torch.float64).reshape(
                -1, *[1] * (self.evaluation.inputs.dim() - 2)
            )
        return torch.tensor(values, dtype=torch.float64)

    @property
    def noun(self) -> str:
        """What one example is called."""
        return "images" if self.is_image else "examples"


def check_split(split: Split, task: Task, *, classes: int | None = None) -> None:
    """Refuse data on which no number would mean anything.

    Raises
    ------
    DataError
        If the split is empty, its lengths differ, it holds NaN or infinity, or a label lies outside
        the `classes` that the network tells apart.
    """
    if len(split.inputs) != len(split.targets):
        raise DataError(
            f"{len(split.inputs):,} inputs but {len(split.targets):,} targets: each input needs one target."
        )
    if len(split) == 0:
        raise DataError("The data hold no example. Give at least one input with its target.")
    for name, values in (("inputs", split.inputs), ("targets", split.targets)):
        if values.is_floating_point() and not torch.isfinite(values).all():
            bad = int((~torch.isfinite(values)).sum())
            raise DataError(f"{bad:,} of the {name} are NaN or infinite. Clean or drop those examples.")
    if task.is_classification and classes is not None:
        low, high = int(split.targets.min()), int(split.targets.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"Labels run from {low} to {high}, but the network has {classes} outputs "
                f"(labels 0 to {classes - 1}). Renumber the labels from 0."
            )


def _interleave_classes(order: Tensor, targets: Tensor) -> Tensor:
    """Reorder `order` so that its first k entries hold every class as evenly as possible."""
    labels = targets[order]
    rank = torch.zeros(len(order), dtype=torch.long)
    for label in labels.unique():
        members = labels == label
        rank[members] = torch.arange(int(members.sum()))
    return order[torch.argsort(rank, stable=True)]
