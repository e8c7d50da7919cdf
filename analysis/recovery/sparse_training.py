"""Training before the cut: a penalty makes weights or channels small, so that there is something to cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.datasets import Dataset
from analysis.errors import PrunescopeError
from analysis.network import Network
from analysis.pruning.selection import Selection
from analysis.recovery import schedules
from analysis.recovery.augmentation import augmenter
from analysis.recovery.penalties import Penalty, relative, share_near_zero, strength_for, suits, weighted
from analysis.recovery.pruned import begin_whole, locks
from analysis.recovery.recipe import Recipe
from analysis.recovery.training import Judged, Progress, batch_count, judge, train

DECADES = 5  # of the histogram, down from the largest size
BINS_PER_DECADE = 8


@dataclass(frozen=True, eq=False)
class SparseEpoch:
    """A network after a pass over the examples; number 0 is the network as it was.

    `train_loss` is the mean loss without the penalty (None before training), `validation_loss` and `validation` the
    loss and the headline metric on held-out examples. `near_zero` is the share of sizes at most `NEAR_ZERO` of
    their target's largest, `counts` their histogram (:func:`histogram`). `seconds` since training began; `strength`
    multiplies the penalty in the loss.
    """

    number: int
    train_loss: float | None
    validation_loss: float
    validation: float
    near_zero: float
    counts: tuple[int, ...]
    seconds: float
    strength: float
    network: Network


def train_for_sparsity(
    network: Network,
    dataset: Dataset,
    penalty: Penalty,
    pull: float,
    recipe: Recipe,
    *,
    known: Sequence[Judged] = (),
    reached: Network | None = None,
    progress: Progress = lambda share: None,
) -> Iterator[SparseEpoch]:
    """Train a copy of `network` with the penalty in its loss, epoch by epoch.

    The last network counts, not the one that is best by its metric: sparsity comes gradually.

    Parameters
    ----------
    dataset : Dataset
        Its calibration examples alone are learned from; a tenth of them are held out for validation.
    pull : float
        How strong the penalty is: 1 would take the median size just to zero if the examples did not hold it
        (:func:`~analysis.recovery.penalties.strength_for`).
    known : sequence of (float, float), optional
        Validation loss and metric of the epochs (from 1 on) that were done before; training goes on after them.
    reached : Network, optional
        What those epochs came to.

    Raises
    ------
    PrunescopeError
        If the network has nothing to penalise, there are too few examples, or training diverges.
    """
    if not suits(penalty, network):
        raise PrunescopeError(
            f"{network.name} has nothing that {penalty.label} could make small. Choose another penalty, such as L1."
        )
    given = begin_whole(network, dataset, seed=recipe.seed)
    strength = strength_for(penalty, network, way(recipe, len(given.fit)), pull)

    def state(number: int, loss: float | None, judged: Judged, seconds: float, now: Network) -> SparseEpoch:
        with torch.no_grad():
            sizes = penalty.sizes(network, now.module)
        counts = tuple(histogram(relative(sizes)).tolist())
        return SparseEpoch(number, loss, *judged, share_near_zero(sizes), counts, seconds, strength, now)

    if reached is None:
        yield state(0, None, judge(network, given.validation, given.task), 0.0, network)
    for epoch in train(
        reached or network,
        given.fit,
        given.validation,
        given.task,
        recipe,
        locked=locks(network, Selection()),
        penalty=weighted(penalty, network, strength),
        augment=augmenter(recipe.augmentation, given.fit, dataset.baseline),
        known=known,
        progress=progress,
    ):
        now = replace(epoch.now, groups=network.groups)  # training changes no shape
        judged = epoch.validation_loss, epoch.validation
        yield state(epoch.number, epoch.train_loss, judged, epoch.seconds, now)


def way(recipe: Recipe, examples: int) -> float:
    """How far a gradient of 1 would move a weight in a training by SGD: the sum of its rates over 1 - momentum."""
    steps = recipe.epochs * batch_count(examples, recipe.batch)
    factors = sum(schedules.factor(recipe, step, steps) for step in range(steps))
    return recipe.learning_rate * factors / (1 - recipe.momentum)


def edges() -> Tensor:
    """The edges of :func:`histogram`: even in the logarithm, from 10 to the power of -`DECADES` to 1."""
    return torch.logspace(-DECADES, 0, DECADES * BINS_PER_DECADE + 1, dtype=torch.float64)


def histogram(shares: Tensor) -> Tensor:
    """Counts of values from 0 to 1 between :func:`edges`; smaller ones fall into the first bin."""
    inner = edges()[1:-1]
    index = torch.bucketize(shares.detach().double(), inner)
    return torch.bincount(index, minlength=len(inner) + 1)
