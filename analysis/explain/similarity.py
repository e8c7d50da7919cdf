"""How alike two attributions of the same example are: four measures, one value an example.

Maps that are the same to the last bit are alike exactly (1), by every measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

TOP_SHARE = 0.1
_LEAST_SIDE = 3  # the borders of an image are reflected by two pixels


@dataclass(frozen=True)
class Similarity:
    """A measure of two attribution batches (N, ...), giving (N,) values; 1 means equal."""

    name: str
    label: str
    sentence: str
    compute: Callable[[Tensor, Tensor], Tensor]
    images_only: bool = False


def spearman(before: Tensor, after: Tensor) -> Tensor:
    """Correlation of ranks (Spearman 1904; ties share their mean rank), in [-1, 1].

    Constant maps have no ranks: two of them are alike (1), one alone is unlike (0).
    """
    a = torch.from_numpy(rankdata(_flat(before).numpy(), axis=1))
    b = torch.from_numpy(rankdata(_flat(after).numpy(), axis=1))
    correlation = _cosine(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True))
    return _exact(before, after, correlation)


def cosine(before: Tensor, after: Tensor) -> Tensor:
    """Cosine of the angle between the maps as vectors, in [-1, 1]."""
    return _exact(before, after, _cosine(_flat(before), _flat(after)))


def top_overlap(before: Tensor, after: Tensor, *, share: float = TOP_SHARE) -> Tensor:
    """Of the `share` most important inputs, by size, those that both maps name, in [0, 1].

    Inputs of no importance at all are not named; two empty maps are alike.
    """
    a, b = _top(before, share), _top(after, share)
    named = torch.maximum(a.sum(dim=1), b.sum(dim=1))
    return torch.where(named > 0, (a & b).sum(dim=1) / named.clamp(min=1), 1.0).double()


def ssim(before: Tensor, after: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of (N, C, H, W) maps, in [-1, 1].

    Each map is divided by its own peak first, as Adebayo et al. 2018 do: like the other measures it
    compares patterns, not strengths. Of a map that is lower or narrower than the smallest window, every
    pixel is drawn several times.
    """
    repeats = [-(-_LEAST_SIDE // side) for side in before.shape[2:]]
    a, b = (
        m.float().repeat_interleave(repeats[0], dim=2).repeat_interleave(repeats[1], dim=3)
        for m in (_unit_peak(before), _unit_peak(after))
    )  # in single precision, where windows are ten times as fast; the values differ by less than 1e-5
    sigma = 1.5 if min(a.shape[2:]) >= 16 else 0.5  # an 11-pixel window would cover all of a small image
    result = structural_similarity_index_measure(a, b, sigma=sigma, data_range=2.0, reduction="none")
    assert isinstance(result, Tensor)
    return _exact(before, after, result.double().reshape(-1))


def similarities(before: Tensor, after: Tensor) -> dict[str, np.ndarray]:
    """Every measure that suits the attributions' shape, each (N,) values."""
    is_image = before.dim() == 4
    return {
        entry.name: entry.compute(before, after).numpy()
        for entry in SIMILARITIES
        if is_image or not entry.images_only
    }


SIMILARITIES: tuple[Similarity, ...] = (
    Similarity("spearman", "Spearman", "Do they order the inputs alike?", spearman),
    Similarity("cosine", "Cosine", "Do they point the same way?", cosine),
    Similarity("top-overlap", "Top 10% overlap", "Do they name the same most important inputs?", top_overlap),
    Similarity("ssim", "SSIM", "Do they look alike to the eye?", ssim, images_only=True),
)


def _flat(maps: Tensor) -> Tensor:
    return maps.detach().double().flatten(1)


def _exact(before: Tensor, after: Tensor, values: Tensor) -> Tensor:
    """`values` (N,) without rounding where both maps are the same."""
    return torch.where((before == after).flatten(1).all(dim=1), 1.0, values.double())


def _top(maps: Tensor, share: float) -> Tensor:
    """True for the `share` largest values by size that are not zero, (N, inputs)."""
    size = _flat(maps).abs()
    count = max(1, round(share * size.shape[1]))
    order = size.argsort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(size, dtype=torch.bool).scatter_(1, order[:, :count], True)
    return chosen & (size > 0)


def _unit_peak(maps: Tensor) -> Tensor:
    """Each map divided by its largest absolute value; an empty map stays empty."""
    values = maps.detach().double()
    peak = _flat(values).abs().amax(dim=1).reshape(-1, *[1] * (values.dim() - 1))
    return values / torch.where(peak > 0, peak, torch.ones_like(peak))


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    norm_a, norm_b = a.norm(dim=1), b.norm(dim=1)
    product = norm_a * norm_b
    value = (a * b).sum(dim=1) / torch.where(product > 0, product, torch.ones_like(product))
    both_empty = (norm_a == 0) & (norm_b == 0)
    return torch.where(both_empty, torch.ones_like(value), value).clamp(-1, 1)
