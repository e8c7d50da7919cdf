"""Examples changed a little each time they are shown, so that a network learns what stays the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.datasets import Split
from analysis.errors import PrunescopeError

Kind = Literal["shift", "flip", "noise", "cutout"]
Augment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """How much each example is changed; 0 and False for not at all.

    Parameters
    ----------
    shift : int
        Pixels by which an image is moved, at most, along each side; drawn evenly.
    flip : bool
        Mirror half of the images, left to right.
    noise : float
        Standard deviation of the Gaussian noise added, in standard deviations of the examples (of each feature of
        a table).
    cutout : int
        The side, in pixels, of a square of nothing at a random place of each image (DeVries & Taylor 2017): its
        centre is drawn evenly, so that part of it may lie outside.

    Raises
    ------
    PrunescopeError
        If a number is out of its range.
    """

    shift: int = 0
    flip: bool = False
    noise: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        if not all(isinstance(pixels, int) and pixels >= 0 for pixels in (self.shift, self.cutout)):
            raise PrunescopeError("Images are moved and cut out by whole pixels: give 0 or more of them.")
        if not 0 <= self.noise < math.inf:
            raise PrunescopeError("Noise is a number of standard deviations: give 0 or more.")


NOTHING = Augmentation()


def kinds_for(inputs: Tensor) -> tuple[Kind, ...]:
    """What can be done to examples like these: everything to images, noise to tables, nothing to tokens."""
    if not inputs.is_floating_point():
        return ()
    return ("shift", "flip", "noise", "cutout") if inputs.dim() == 4 else ("noise",)


def augmenter(
    augmentation: Augmentation,
    examples: Split,
    nothing: float | Tensor = 0.0,
    *,
    kinds: Sequence[Kind] | None = None,
) -> Augment | None:
    """What changes batches of examples like `examples`; None if nothing is to be changed.

    Chance comes from torch's generator of the process.

    Parameters
    ----------
    nothing : float or Tensor
        The input that means "nothing" (:attr:`analysis.datasets.Dataset.baseline`): what moves in from outside,
        and what is cut out. It broadcasts over one example.
    kinds : sequence, optional
        What can be done (:func:`kinds_for` by default); all else is left out.

    Raises
    ------
    PrunescopeError
        If images are to be moved by more than their size, or a square is to be larger than they are.
    """
    can = kinds_for(examples.inputs) if kinds is None else kinds
    for kind, pixels in (("shift", augmentation.shift), ("cutout", augmentation.cutout)):
        if kind in can and pixels > max(examples.inputs.shape[2:]):
            height, width = examples.inputs.shape[2:]
            raise PrunescopeError(
                f"The {kind} is {pixels:,} pixels, and the images have {height:,} x {width:,}: give no more than that."
            )
    steps: list[Augment] = []
    if "flip" in can and augmentation.flip:
        steps.append(flipped)
    if "shift" in can and augmentation.shift:
        steps.append(lambda inputs: shifted(inputs, augmentation.shift, nothing))
    if "noise" in can and augmentation.noise:
        spread = augmentation.noise * _spread(examples.inputs)
        steps.append(lambda inputs: inputs + spread * torch.randn_like(inputs))
    if "cutout" in can and augmentation.cutout:
        steps.append(lambda inputs: cut_out(inputs, augmentation.cutout, nothing))
    if not steps:
        return None

    def augment(inputs: Tensor) -> Tensor:
        for step in steps:
            inputs = step(inputs)
        return inputs

    return augment


def flipped(images: Tensor) -> Tensor:
    """Each of the images (N, C, H, W) mirrored left to right with probability 1/2."""
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)


def shifted(images: Tensor, most: int, nothing: float | Tensor = 0.0) -> Tensor:
    """Each of the images (N, C, H, W) moved by up to `most` pixels along each side, evenly drawn."""
    height, width = images.shape[2:]
    padded = F.pad(images - nothing, (most, most, most, most))
    top, left = torch.randint(0, 2 * most + 1, (2, len(images)))
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]
    which = torch.arange(len(images))[:, None, None, None]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return padded[which, channels, rows, columns] + nothing


def cut_out(images: Tensor, side: int, nothing: float | Tensor = 0.0) -> Tensor:
    """Each of the images (N, C, H, W) with a square of `nothing`, its centre evenly drawn."""
    height, width = images.shape[2:]
    inside = _strip(len(images), height, side)[:, :, None] & _strip(len(images), width, side)[:, None, :]
    filling = torch.as_tensor(nothing, dtype=images.dtype)
    return torch.where(inside[:, None], filling, images)


def _strip(count: int, length: int, side: int) -> Tensor:
    """True on `side` places around a random one, for each of `count`, (count, length)."""
    first = torch.randint(0, length, (count, 1)) - side // 2
    places = torch.arange(length)
    return (places >= first) & (places < first + side)


def _spread(inputs: Tensor) -> Tensor:
    """Standard deviations that broadcast over a batch: of all values of images, of each feature else."""
    if inputs.dim() == 4:
        return inputs.std()
    return inputs.std(dim=0, keepdim=True) if len(inputs) > 1 else torch.zeros_like(inputs[:1])
