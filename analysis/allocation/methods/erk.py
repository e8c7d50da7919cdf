"""ERK: densities by the shapes of layers alone (Mocanu et al. 2018; Evci et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from analysis.allocation.path import Path
from analysis.allocation.problem import Counts, Problem
from analysis.network import Layer

STEPS = 1000


def erk(problem: Problem) -> Path:
    """At step k the free targets keep a density of ``1 - k / STEPS`` together, spread by their shapes.

    For channels a group counts as one layer with the sizes of its members added up, and its density is the
    share of channels that stay. The densities decide how targets compare; how far the path must be followed is
    counted on the network itself.
    """
    shapes = {target: _shape(problem, target) for target in problem.free}

    def at(step: int) -> Counts:
        densities = erk_densities(shapes, 1 - step / STEPS)
        return problem.counts({target: 1 - density for target, density in densities.items()})

    return Path(STEPS, at)


def erk_densities(shapes: Mapping[str, tuple[int, int]], density: float) -> dict[str, float]:
    """The density of each layer, so that all together keep `density` of their weights.

    Parameters
    ----------
    shapes : mapping
        For each layer the sum of its weight's dimensions (inputs, outputs and kernel) and their product.

    Notes
    -----
    Evci et al. 2020, "Rigging the lottery": a layer's density is proportional to
    ``(n_in + n_out + w + h) / (n_in * n_out * w * h)``. Where that exceeds 1, the layer stays dense and the
    others share the rest.
    """
    dense: set[str] = set()
    budget = density * sum(size for _, size in shapes.values())
    while True:
        open_ = {name: sides for name, (sides, _) in shapes.items() if name not in dense}
        left = budget - sum(shapes[name][1] for name in dense)
        scale = left / total if (total := sum(open_.values())) else 0.0  # a layer keeps scale * sides weights
        full = {name for name in open_ if scale * open_[name] > shapes[name][1]}
        if not full:
            return {
                name: 1.0 if name in dense else max(0.0, scale * sides / size)
                for name, (sides, size) in shapes.items()
            }
        dense |= full


def _shape(problem: Problem, target: str) -> tuple[int, int]:
    network = problem.network
    names = (target,) if problem.granularity == "weight" else network.group(target).members
    layers: list[Layer] = [network.layer(name) for name in names]
    return sum(sum(layer.shape) for layer in layers), sum(prod(layer.shape) for layer in layers)
