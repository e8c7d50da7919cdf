"""The usual normalisations, and the one that fits the data themselves."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from analysis.datasets import Levels, Normalisation
from analysis.errors import DataError

AS_THEY_ARE = Normalisation(
    "as-they-are", "As they are", "The values are used as they stand in the file.", divides=False
)
UNIT = Normalisation("unit", "0 to 1", "Pixels are divided by 255, so that white is 1.")
SYMMETRIC = Normalisation("symmetric", "−1 to 1", "Pixels run from −1 (black) to 1.", (0.5,), (0.5,))
MNIST = Normalisation("mnist", "MNIST", "Mean and spread of the MNIST training images.", (0.1307,), (0.3081,))
FASHION_MNIST = Normalisation(
    "fashion-mnist", "Fashion-MNIST", "Mean and spread of the Fashion-MNIST training images.",
    (0.2860,), (0.3530,),
)  # fmt: skip
CIFAR10 = Normalisation(
    "cifar-10", "CIFAR-10", "Mean and spread of the CIFAR-10 training images, by colour.",
    (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616),
)  # fmt: skip
IMAGENET = Normalisation(
    "imagenet", "ImageNet", "Mean and spread of the ImageNet training images, by colour.",
    (0.485, 0.456, 0.406), (0.229, 0.224, 0.225),
)  # fmt: skip
STANDARDISED = Normalisation(
    "standardised", "Standardised",
    "Mean 0 and spread 1 in each channel or feature, both taken from the calibration examples.", (), (),
)  # fmt: skip

_ALL = (AS_THEY_ARE, UNIT, SYMMETRIC, MNIST, FASHION_MNIST, CIFAR10, IMAGENET, STANDARDISED)
NORMALISATIONS = {normalisation.key: normalisation for normalisation in _ALL}


def usual(inputs: Tensor, unit: int) -> tuple[Normalisation, ...]:
    """The normalisations that could suit inputs (N, channels, ...), whose full pixel is `unit`.

    Pictures are offered those of their number of channels, tables only their own standardisation.
    """
    if inputs.dim() < 4 and unit == 1:
        return AS_THEY_ARE, STANDARDISED
    channels = inputs.shape[1] if inputs.dim() == 4 else 1
    any_number = (AS_THEY_ARE, UNIT, SYMMETRIC, STANDARDISED)
    fitting = tuple(n for n in _ALL if n in any_number or len(n.mean) == channels)
    # Pixels that run from 0 to 1 already are the same as they are.
    return fitting if unit != 1 else tuple(n for n in fitting if n is not UNIT)


def fitted(normalisation: Normalisation, calibration: Tensor, unit: int) -> Normalisation:
    """`normalisation` with its numbers; if it takes them from the data, of `calibration` (N, channels, ...).

    A channel that never changes keeps the spread 1.
    """
    if normalisation.mean:
        return normalisation
    values = calibration.double().movedim(1, 0).flatten(1) / (unit if normalisation.divides else 1)
    mean, std = values.mean(dim=1), values.std(dim=1, correction=0)
    std = torch.where(std > 1e-12 * (1 + mean.abs()), std, torch.ones_like(std))
    return replace(normalisation, mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def normalise(inputs: Tensor, normalisation: Normalisation, unit: int) -> Tensor:
    """``(inputs / unit - mean) / std`` in float32, for inputs (N, channels, ...).

    Raises
    ------
    DataError
        If the normalisation is made for another number of channels.
    """
    channels = inputs.shape[1] if inputs.dim() > 1 else 1
    if len(normalisation.mean) not in (1, channels):
        raise DataError(
            f"The normalisation {normalisation.label} is for {len(normalisation.mean)} channels, "
            f"the data have {channels}. Choose another one."
        )
    scale = unit if normalisation.divides else 1
    shape = (-1, *[1] * (inputs.dim() - 2))
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in (normalisation.mean, normalisation.std))
    values = inputs.to(torch.float32, copy=True)  # worked on in place: it may be large
    return values.sub_((mean * scale).float().reshape(shape)).div_((std * scale).float().reshape(shape))


def levels(normalisation: Normalisation, unit: int) -> tuple[Levels, Levels]:
    """(offset, scale) such that ``input * scale + offset`` is 0 for black and 1 for a full pixel."""
    share = 1.0 if normalisation.divides else 1 / unit
    return tuple(m * share for m in normalisation.mean), tuple(s * share for s in normalisation.std)


def in_words(normalisation: Normalisation, unit: int) -> str:
    """What is done to the values, with its numbers, as one sentence."""
    if normalisation.key == AS_THEY_ARE.key:
        return AS_THEY_ARE.sentence
    divided = f"divided by {unit}, " if normalisation.divides and unit != 1 else ""
    if normalisation.key == UNIT.key:
        return f"The values are {divided or 'used as they are, '}so that they run from 0 to 1."
    source = "the calibration examples" if normalisation.key == STANDARDISED.key else normalisation.label
    mean, std = _numbers(normalisation.mean, "the mean"), _numbers(normalisation.std, "the spread")
    return f"The values are {divided}reduced by {mean} and divided by {std} ({source})."


def _numbers(values: Levels, what: str) -> str:
    return (
        f"{what} {', '.join(f'{v:.4g}' for v in values)}" if len(values) <= 3 else f"{what} of each feature"
    )
