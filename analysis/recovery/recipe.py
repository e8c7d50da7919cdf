"""A recipe: how long, how fast and by what a network is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from analysis.errors import PrunescopeError
from analysis.recovery.augmentation import NOTHING, Augmentation

Optimiser = Literal["sgd", "adam", "adamw"]
Schedule = Literal["cosine", "step", "plateau", "constant"]
OPTIMISERS: tuple[Optimiser, ...] = get_args(Optimiser)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        Passes over the examples.
    learning_rate : float
        The highest of the schedule.
    batch : int
        Examples in a step.
    optimiser : {"sgd", "adam", "adamw"}
        SGD has Nesterov's momentum. AdamW takes `decay` from the weights themselves (Loshchilov & Hutter 2019).
    momentum : float
        Of SGD.
    seed : int
        Draws the order of the examples and all other chance.
    schedule : {"cosine", "step", "plateau", "constant"}
        How the learning rate falls (see :mod:`analysis.recovery.schedules`).
    warm_up : float
        The share of all steps in which it first rises.
    patience : int
        Epochs without a better one on the validation examples after which training stops; 0 for never.
    l1, l2 : float
        What multiplies the sum of the weights' sizes, and of their squares, in the loss; both is the elastic net.
    decay : float
        Of AdamW alone: the share of each weight that goes at learning rate 1.
    dropout : float, optional
        The rate of the network's own dropout, or of one put before its last layer; None leaves all as it is.
    last : int
        How many of the last layers learn; 0 for all.
    augmentation : Augmentation
        How the examples are changed each time they are shown.

    Raises
    ------
    PrunescopeError
        If a number is out of its range.
    """

    epochs: int = 10
    learning_rate: float = 0.05
    batch: int = 64
    optimiser: Optimiser = "sgd"
    momentum: float = 0.9
    seed: int = 0
    schedule: Schedule = "cosine"
    warm_up: float = 0.1
    patience: int = 0
    l1: float = 0.0
    l2: float = 0.0
    decay: float = 0.0
    dropout: float | None = None
    last: int = 0
    augmentation: Augmentation = field(default=NOTHING)

    def __post_init__(self) -> None:
        whole = (self.epochs, self.batch, self.seed, self.patience, self.last)
        if not all(isinstance(number, int) for number in whole):
            raise PrunescopeError(
                "Epochs, examples in a step, the seed, patience and the number of last layers are whole numbers."
            )
        if not 0 <= self.seed <= MOST_SEED:
            raise PrunescopeError(f"A seed is a whole number from 0 to {MOST_SEED:,}.")
        if not all(map(math.isfinite, (self.learning_rate, self.l1, self.l2, self.decay))):
            raise PrunescopeError("The learning rate and the penalties are finite numbers.")
        if self.epochs < 1 or self.batch < 2:
            raise PrunescopeError("Training takes at least 1 epoch, and 2 examples in a step.")
        if not self.learning_rate > 0:
            raise PrunescopeError("Training needs a learning rate above 0.")
        if not (0 <= self.momentum < 1 and 0 <= self.warm_up < 1 and 0 <= (self.dropout or 0) < 1):
            raise PrunescopeError(
                "Momentum, the share of warm-up and the dropout rate are at least 0 and less than 1."
            )
        if min(self.l1, self.l2, self.decay, self.patience, self.last) < 0:
            raise PrunescopeError("Penalties, patience and the number of last layers are not negative.")


def to_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data."""
    return asdict(recipe)


def from_data(data: Mapping[str, Any]) -> Recipe:
    """The recipe of :func:`to_data`."""
    return Recipe(**{**data, "augmentation": Augmentation(**data["augmentation"])})
