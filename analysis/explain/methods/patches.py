"""Super-pixels: inputs that are perturbed together, so that an image takes dozens of passes, not thousands."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.explain.methods.base import Parameter, Shape

PATCH = Parameter(
    "patch", "Patch size", 0.15, 0.05, 0.5, 0.05,
    "The side of the patches an image is taken apart into, as a share of its shorter side. Each patch goes "
    "through all channels.",
    images_only=True,
)  # fmt: skip


def patch_side(shape: Shape, share: float) -> int:
    """The side of a patch in pixels: `share` of the shorter side of an image (channels, height, width)."""
    return max(1, int(share * min(shape[1:])))


def patches(shape: Shape, share: float) -> Tensor:
    """Which patch each value of an example belongs to, (1, ...), counted from 0.

    An image is cut by a regular grid, through all channels; of all other inputs each value stands alone.
    """
    if len(shape) != 3:
        return torch.arange(torch.Size(shape).numel()).reshape(1, *shape)
    side = patch_side(shape, share)
    rows, columns = (torch.arange(length) // side for length in shape[1:])
    grid = rows[:, None] * (int(columns[-1]) + 1) + columns
    return grid.expand(1, *shape).contiguous()


def patch_count(shape: Shape, share: float) -> int:
    """How many patches there are."""
    return int(patches(shape, share).max()) + 1


def evenly(shares: Tensor, mask: Tensor) -> Tensor:
    """Each patch's share, which stands at all its values, divided among them: so all values add up."""
    return shares / mask.flatten().bincount()[mask]
