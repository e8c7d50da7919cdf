"""Insertion and deletion: what an answer is worth as its most important inputs come and go.

Petsiuk et al. 2018, "RISE". Where they blur an image to begin an insertion, the empty input that the
attributions are measured from stands in, for both curves: one meaning of "nothing" throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.errors import AttributionError, NetworkError
from analysis.explain.stages import Progress
from analysis.inference import Layout, answers, compile_network
from analysis.network import Network
from analysis.tasks import Task, confidences, predictions

Way = Literal["deletion", "insertion"]
STEPS = 20  # how many times a few more inputs come or go
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Curves:
    """One curve an example: ``values`` (N, K + 1) after the share ``shares`` (K + 1,) of its inputs moved.

    `weights` (N,) are those of :class:`Worth`.
    """

    shares: Tensor
    values: Tensor
    weights: Tensor

    @property
    def areas(self) -> Tensor:
        """Area under each example's curve by the trapezoid rule, shape (N,)."""
        return torch.trapezoid(self.values, self.shares, dim=1)


@dataclass(frozen=True, eq=False)
class Worth:
    """What an answer is worth, an example at a time: inputs (N, ...) of the same N examples to (N,) values.

    `direction` (N,) is -1 where the answer falls as the inputs fill: signed attributions then speak for it
    by being negative. `weights` (N,), 1 on average, say how much each example counts, for
    :func:`of_ratios`. Of a classifier both are 1 throughout.
    """

    compute: Callable[[Tensor], Tensor]
    direction: Tensor
    weights: Tensor


def worth(network: Network, task: Task, inputs: Tensor, targets: Tensor, empty: Tensor) -> Worth:
    """How to judge the answers to what is left of `inputs`.

    A classifier's answer is worth the probability of the class in `targets` (N,). A value f is worth the
    share that is left of its change from the empty input, f(x) - f(empty); so that examples on which
    nothing changes do not count as much as others, each change is divided by the mean size of all.

    Raises
    ------
    AttributionError
        If a value is the same for every example, filled or empty.
    """
    program = compile_network(network, Layout(_BATCH, channels_last=inputs.dim() == 4))

    def outputs(given: Tensor) -> Tensor:
        found = answers(program, given)
        if not torch.isfinite(found).all():
            raise NetworkError(
                f"{network.name} answers NaN or infinity once inputs are taken away. Choose another empty "
                "input, or prune less."
            )
        return found

    if task.is_classification:
        rows = torch.arange(len(inputs))
        ones = torch.ones(len(inputs), dtype=torch.float64)
        return Worth(lambda given: confidences(task, outputs(given).double())[rows, targets], ones, ones)

    def values(given: Tensor) -> Tensor:
        return predictions(task, outputs(given)).double()

    nothing = values(empty.expand_as(inputs))
    change = values(inputs) - nothing
    size = float(change.abs().mean())
    if size == 0:
        raise AttributionError(
            f"{network.name} answers the same whether its inputs are there or not, so that no map of them can "
            "be right or wrong. Prune less."
        )
    direction = torch.where(change < 0, -1.0, 1.0).double()
    return Worth(lambda given: direction * (values(given) - nothing) / size, direction, change.abs() / size)


def of_ratios(values: Tensor, weights: Tensor) -> Tensor:
    """Values (N, ...) with the same mean, and the spread that this mean has as a ratio of two means.

    Shares of a change are divided by the mean change of the same examples, which varies with them: what
    counts for the interval is how far each example is from its own part of the whole (Cochran 1977, Sampling
    Techniques, section 6.3). With weights of 1 nothing changes.
    """
    beside = (weights - 1).reshape(-1, *[1] * (values.dim() - 1))
    return values - values.mean(dim=0) * beside


def order(maps: Tensor, *, seed: int = 0) -> Tensor:
    """Positions from the most important on, (N, positions); what is equally important stands in random order.

    Of images (N, C, H, W) a position is a pixel: its channels go together, and their values are added up.
    """
    values = maps.detach().double()
    values = values.sum(dim=1).flatten(1) if values.dim() == 4 else values.flatten(1)
    mixed = random_order(len(values), values.shape[1], seed=seed)
    place = torch.argsort(values.gather(1, mixed), dim=1, descending=True, stable=True)
    return mixed.gather(1, place)


def random_order(examples: int, positions: int, *, seed: int = 0) -> Tensor:
    """A seeded order of its own for each example, (N, positions): what any map should do better than."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((examples, positions), generator=generator).argsort(dim=1)


def curves(
    way: Way,
    judged: Worth,
    inputs: Tensor,
    empty: Tensor,
    positions: Tensor,
    *,
    steps: int = STEPS,
    progress: Progress = lambda share: None,
) -> Curves:
    """Delete from full `inputs`, or insert into empty ones, in the order of `positions` (N, P).

    Parameters
    ----------
    judged : Worth
        What the curve follows.
    empty : Tensor
        The empty input; broadcasts over `inputs`.
    steps : int
        In how many steps of equal size (up to rounding); never more than there are positions.
    """
    count = positions.shape[1]
    steps = min(steps, count)
    ranks = positions.argsort(dim=1)
    start, end = (inputs, empty) if way == "deletion" else (empty, inputs)
    moved = [round(step * count / steps) for step in range(steps + 1)]
    values = []
    for step, number in enumerate(moved):
        gone = (ranks < number).reshape(mask_shape(inputs))
        values.append(judged.compute(torch.where(gone, end, start)))
        progress((step + 1) / (steps + 1))
    shares = torch.tensor(moved, dtype=torch.float64) / count
    return Curves(shares, torch.stack(values, dim=1).double(), judged.weights)


def mask_shape(inputs: Tensor) -> tuple[int, ...]:
    """The shape of a mask of the positions of `inputs`: the channels of a pixel share one."""
    if inputs.dim() == 4:
        return (len(inputs), 1, *inputs.shape[2:])
    return tuple(inputs.shape)
