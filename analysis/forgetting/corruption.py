"""Examples made harder step by step: noise, blur, contrast, occlusion, shift; missing features and words.

Strengths are shares of the data's own scale, so that they mean the same whatever the data are. The kinds of
corruption for images follow Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations". What is drawn depends on the seed and not on the strength: more strength is
more of the same noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.datasets import Dataset
from analysis.errors import DataError
from analysis.explain.tokens import token_embedding
from analysis.network import Network

Kind = Literal["image", "table", "tokens"]
_TRUNCATE = 4.0  # standard deviations at which the blur's kernel ends
_AT_ONCE = 64  # images that are blurred together


@dataclass(frozen=True, eq=False)
class Ground:
    """The data's own scale.

    `std` is one number for images and one for each feature of a table; `mean` is each feature's; `empty` is
    what stands where nothing is: the baseline of images, the empty token.
    """

    kind: Kind
    std: Tensor
    mean: Tensor
    empty: float | Tensor


@dataclass(frozen=True)
class Corruption:
    """A way to make examples harder, at `strengths` that begin with 0: nothing is changed.

    `axis` says what the strength is; `apply` takes inputs (N, ...), a strength, the ground and a generator,
    and returns new inputs. `snap` gives the strength that is really carried out on inputs of a shape (N, ...),
    where pixels allow only some.
    """

    name: str
    label: str
    sentence: str
    axis: str
    kinds: tuple[Kind, ...]
    strengths: tuple[float, ...]
    apply: Callable[[Tensor, float, Ground, torch.Generator], Tensor]
    snap: Callable[[float, torch.Size], float] = lambda strength, shape: strength


def kind_of(inputs: Tensor) -> Kind:
    """Images are floats (N, C, H, W), tokens are integers, all else counts as rows of features."""
    if not inputs.is_floating_point():
        return "tokens"
    return "image" if inputs.dim() == 4 else "table"


def ground_of(dataset: Dataset, network: Network) -> Ground:
    """The scale of a dataset's calibration examples, or of the evaluation examples if there are none.

    The empty token is the padding token of the network's embedding, or 0.
    """
    inputs = (dataset.calibration if len(dataset.calibration) else dataset.evaluation).inputs
    kind, nothing = kind_of(inputs), torch.tensor(0.0)
    if kind == "tokens":
        return Ground(kind, nothing, nothing, _empty_token(network))
    if kind == "image":
        return Ground(kind, inputs.std(correction=0), inputs.mean(), dataset.baseline)
    return Ground(kind, inputs.std(dim=0, correction=0), inputs.mean(dim=0), dataset.baseline)


def corruptions_for(kind: Kind) -> tuple[Corruption, ...]:
    """The corruptions that suit a kind of data."""
    return tuple(entry for entry in CORRUPTIONS.values() if kind in entry.kinds)


def strengths_of(corruption: Corruption, shape: torch.Size) -> tuple[float, ...]:
    """The different strengths that can be carried out on inputs of `shape` (N, ...), from 0 upwards."""
    return tuple(sorted({corruption.snap(strength, shape) for strength in corruption.strengths}))


def corrupt(inputs: Tensor, corruption: str, strength: float, ground: Ground, *, seed: int = 0) -> Tensor:
    """`inputs` (N, ...) with a corruption; the very same inputs at strength 0, never modified.

    Raises
    ------
    DataError
        If there is no such corruption, or it does not suit the data.
    """
    entry = CORRUPTIONS.get(corruption)
    fitting = corruptions_for(ground.kind)
    if entry is None or entry not in fitting:
        raise DataError(
            f"{corruption!r} is no way to corrupt these examples. Choose one of: "
            f"{', '.join(one.name for one in fitting)}."
        )
    if strength == 0:
        return inputs
    return entry.apply(inputs, strength, ground, torch.Generator().manual_seed(seed))


def add_noise(inputs: Tensor, strength: float, ground: Ground, generator: torch.Generator) -> Tensor:
    """Gaussian noise whose standard deviation is `strength` times the data's (for tables, each feature's)."""
    return inputs + strength * ground.std * torch.randn(inputs.shape, generator=generator)


def blur(inputs: Tensor, strength: float, _ground: Ground, _generator: torch.Generator) -> Tensor:
    """Gaussian blur of images; its standard deviation is `strength` times the shorter side.

    Outside of the image the nearest pixel goes on, and the kernel ends at `_TRUNCATE` standard deviations.
    """
    sigma = strength * min(inputs.shape[-2:])
    radius = int(_TRUNCATE * sigma + 0.5)
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(inputs.dtype)
    parts = []
    for images in inputs.split(_AT_ONCE):  # the borders take room
        single = images.reshape(-1, 1, *images.shape[-2:])
        padded = F.pad(single, (radius, radius, radius, radius), mode="replicate")
        turned = F.conv2d(F.conv2d(padded, kernel[None, None, None, :]), kernel[None, None, :, None])
        parts.append(turned.reshape(images.shape))
    return torch.cat(parts)


def lower_contrast(inputs: Tensor, strength: float, _ground: Ground, _generator: torch.Generator) -> Tensor:
    """Every pixel moved towards the mean of its image's channel, by the share `strength`: 1 leaves a plain area."""
    mean = inputs.mean(dim=(2, 3), keepdim=True)
    return mean + (1 - strength) * (inputs - mean)


def occlude(inputs: Tensor, strength: float, ground: Ground, generator: torch.Generator) -> Tensor:
    """An empty square covers the share `strength` of the image's area, at a random place."""
    count, _, height, width = inputs.shape
    side = _square(strength, inputs.shape)
    draws = torch.rand((2, count), generator=generator)
    top = (draws[0] * (height - side + 1)).long()[:, None]
    left = (draws[1] * (width - side + 1)).long()[:, None]
    rows, columns = torch.arange(height), torch.arange(width)
    hidden = ((rows >= top) & (rows < top + side))[:, :, None] & (
        (columns >= left) & (columns < left + side)
    )[:, None, :]
    return torch.where(hidden[:, None], _empty(ground, inputs), inputs)


def shift(inputs: Tensor, strength: float, ground: Ground, generator: torch.Generator) -> Tensor:
    """The image moved by `strength` times its shorter side, right, left, down or up at random.

    What comes in from outside is empty.
    """
    distance = round(strength * min(inputs.shape[-2:]))
    moved = _empty(ground, inputs).expand_as(inputs).clone()
    way = torch.randint(4, (len(inputs),), generator=generator)
    for direction, (axis, forward) in enumerate(((3, True), (3, False), (2, True), (2, False))):
        mine = way == direction
        side = inputs.shape[axis]
        step = min(distance, side)
        source, target = (0, step) if forward else (step, 0)
        part = moved[mine]
        part.narrow(axis, target, side - step).copy_(inputs[mine].narrow(axis, source, side - step))
        moved[mine] = part
    return moved


def drop_features(inputs: Tensor, strength: float, ground: Ground, generator: torch.Generator) -> Tensor:
    """Each feature of each row is missing with the chance `strength`, and its mean stands in."""
    missing = torch.rand(inputs.shape, generator=generator) < strength
    return torch.where(missing, ground.mean.to(inputs.dtype), inputs)


def drop_words(inputs: Tensor, strength: float, ground: Ground, generator: torch.Generator) -> Tensor:
    """Each token is replaced by the empty one with the chance `strength`."""
    missing = torch.rand(inputs.shape, generator=generator) < strength
    return torch.where(missing, torch.tensor(int(ground.empty), dtype=inputs.dtype), inputs)


def _empty_token(network: Network) -> int:
    name = token_embedding(network.module)
    if name is None:
        return 0
    embedding = network.module.get_submodule(name)
    assert isinstance(embedding, nn.Embedding)
    return embedding.padding_idx or 0


def _empty(ground: Ground, inputs: Tensor) -> Tensor:
    """What stands where nothing is, ready to broadcast over (N, C, H, W)."""
    return torch.as_tensor(ground.empty, dtype=inputs.dtype)


def _square(strength: float, shape: torch.Size) -> int:
    """The side of a square that covers the share `strength` of an image's area: at least a pixel."""
    height, width = shape[-2:]
    return min(height, width, max(1, round(math.sqrt(strength * height * width))))


def _covered(strength: float, shape: torch.Size) -> float:
    """The share of the area that a square of whole pixels covers."""
    return _square(strength, shape) ** 2 / (shape[-2] * shape[-1]) if strength > 0 else 0.0


def _whole_pixels(strength: float, shape: torch.Size) -> float:
    """The nearest share of the shorter side that is a whole number of pixels."""
    side = min(shape[-2:])
    return round(strength * side) / side


_ALL = (
    Corruption(
        "noise", "Noise", "Random noise is added to every value.", "noise, share of the data's spread",
        ("image", "table"), (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0), add_noise,
    ),
    Corruption(
        "blur", "Blur", "The image is out of focus.", "blur, share of the image's side",
        ("image",), (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1), blur,
    ),
    Corruption(
        "contrast", "Contrast", "The image fades to its mean.", "contrast lost",
        ("image",), (0.0, 0.2, 0.4, 0.6, 0.8, 0.9), lower_contrast,
    ),
    Corruption(
        "occlusion", "Occlusion", "An empty patch hides a part.", "area hidden",
        ("image",), (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4), occlude, _covered,
    ),
    Corruption(
        "shift", "Shift", "The image is moved to one side.", "moved, share of the image's side",
        ("image",), (0.0, 0.04, 0.08, 0.125, 0.18, 0.25, 0.375), shift, _whole_pixels,
    ),
    Corruption(
        "missing", "Missing features", "Features are missing, and their mean stands in.", "features missing",
        ("table",), (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9), drop_features,
    ),
    Corruption(
        "missing-words", "Missing words", "Words are replaced by the empty token.", "words missing",
        ("tokens",), (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9), drop_words,
    ),
)  # fmt: skip

CORRUPTIONS = {corruption.name: corruption for corruption in _ALL}
