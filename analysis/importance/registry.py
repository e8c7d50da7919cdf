"""The list of criteria. A new one is a function in a file of its family and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.datasets import Dataset, Split
from analysis.errors import CriterionError
from analysis.importance import activation, conductance, gradient, learned, magnitude
from analysis.importance.scores import Scores
from analysis.network import Network
from analysis.tasks import Task, settled

_SETTLING = 64  # examples that tell logits from probabilities

Progress = Callable[[float], None]
Unit = Literal["weight", "channel"]
Layers = dict[str, Tensor]
Compute = Callable[[Network, "Calibration | None", Progress, int], Layers]


@dataclass(frozen=True, eq=False)
class Calibration:
    """The examples that a data-driven criterion looks at."""

    task: Task
    split: Split


@dataclass(frozen=True)
class Criterion:
    """A way to score a network.

    `unit` is what it tells apart: a channel criterion cannot rank the weights of one channel.
    `examples` is how many calibration examples it uses (0: it needs no data), `draws` whether its scores are
    random numbers; `compute` is given a seed for them. `signed` scores may be below 0: less important than a weight
    that does nothing at all.
    """

    name: str
    label: str
    sentence: str
    unit: Unit
    examples: int
    compute: Compute
    draws: bool = False
    signed: bool = False

    @property
    def needs_data(self) -> bool:
        """True if it looks at calibration examples."""
        return self.examples > 0

    @property
    def varies(self) -> bool:
        """True if scores depend on chance: on which examples it looks at, or on random numbers."""
        return self.needs_data or self.draws


def _plain(function: Callable[[Network], Layers]) -> Compute:
    return lambda network, calibration, progress, seed: function(network)


def _on_inputs(function: Callable[[Network, Split, Progress], Layers]) -> Compute:
    def compute(network: Network, calibration: Calibration | None, progress: Progress, seed: int) -> Layers:
        assert calibration is not None
        return function(network, calibration.split, progress)

    return compute


def _on_loss(function: Callable[[Network, Task, Split, Progress], Layers]) -> Compute:
    def compute(network: Network, calibration: Calibration | None, progress: Progress, seed: int) -> Layers:
        assert calibration is not None
        return function(network, calibration.task, calibration.split, progress)

    return compute


def _by_training(function: Callable[[Network, Task, Split, Progress, int], Layers]) -> Compute:
    def compute(network: Network, calibration: Calibration | None, progress: Progress, seed: int) -> Layers:
        assert calibration is not None
        return function(network, calibration.task, calibration.split, progress, seed)

    return compute


_ALL = (
    Criterion(
        "random", "Random", "A random number for each weight: the baseline to beat.", "weight", 0,
        lambda network, calibration, progress, seed: magnitude.random(network, seed=seed), draws=True,
    ),
    Criterion(
        "l1", "L1 magnitude", "The size of a weight; for a channel, the sum of its sizes.", "weight", 0,
        _plain(magnitude.l1),
    ),
    Criterion(
        "l2", "L2 magnitude",
        "The squared size of a weight: the same order as L1 for weights, another for channels.",
        "weight", 0, _plain(magnitude.l2),
    ),
    Criterion(
        "bn-scale", "BatchNorm scale",
        "How strongly BatchNorm passes a channel on. Only layers followed by BatchNorm have it.",
        "channel", 0, _plain(magnitude.batch_norm_scale),
    ),
    Criterion(
        "taylor", "Taylor |w·g|",
        "How much the loss would change, to first order, if the weight became zero.",
        "weight", 512, _on_loss(gradient.taylor),
    ),
    Criterion(
        "fisher", "Fisher w²·g²",
        "The same to second order, with the empirical Fisher information as curvature.",
        "weight", 256, _on_loss(gradient.fisher),
    ),
    Criterion(
        "activation-mean", "Mean activation", "How loudly a channel speaks on average.",
        "channel", 512, _on_inputs(activation.mean_activation),
    ),
    Criterion(
        "activation-variance", "Activation variance",
        "How much a channel's answer varies: one that never varies tells nothing.",
        "channel", 512, _on_inputs(activation.activation_variance),
    ),
    Criterion(
        "apoz", "Nonzero share (APoZ)",
        "How often a channel is not zero: 1 minus the average percentage of zeros.",
        "channel", 512, _on_inputs(activation.nonzero_activation),
    ),
    Criterion(
        "wanda", "Wanda |w|·‖x‖",
        "The size of a weight times the size of what it reads.",
        "weight", 512, _on_inputs(activation.wanda),
    ),
    Criterion(
        "conductance", "Conductance (Captum)",
        "How much of the answer flows through a channel, by integrated gradients.",
        "channel", 64, _on_loss(conductance.conductance),
    ),
    Criterion(
        "movement", "Movement",
        "How far fine-tuning under a tightening mask moves a weight away from zero; below 0 if it moves towards it.",
        "weight", 256, _by_training(learned.movement), signed=True,
    ),
    Criterion(
        "learned-mask", "Learned mask",
        "A score for each weight, learned so that the better half of a layer does well alone.",
        "weight", 256, _by_training(learned.learned_mask),
    ),
)  # fmt: skip

CRITERIA = {criterion.name: criterion for criterion in _ALL}


def score(
    network: Network,
    criterion: str,
    dataset: Dataset | None = None,
    *,
    seed: int = 0,
    progress: Progress = lambda share: None,
) -> Scores:
    """Score every layer that `criterion` can judge.

    Parameters
    ----------
    network : Network
        Left as it is.
    criterion : str
        A name in :data:`CRITERIA`.
    dataset : Dataset, optional
        Needed by data-driven criteria, which use its calibration split and never the evaluation split.
    seed : int
        Draws the calibration examples that are looked at, and the numbers of the random criterion.
    progress : callable
        Called with the share done, in [0, 1].

    Raises
    ------
    CriterionError
        If the name is unknown, data are missing, or no layer can be scored.
    """
    entry = find_criterion(criterion)
    calibration = None
    if entry.needs_data:
        if dataset is None:
            raise CriterionError(
                f"{entry.label} looks at examples, and no data were given. Choose data, or a criterion "
                "that needs none: " + ", ".join(c.name for c in _ALL if not c.needs_data) + "."
            )
        if len(dataset.calibration) == 0:
            raise CriterionError(
                f"{entry.label} looks at calibration examples, and {dataset.name} has none. Give more data, "
                "or choose a criterion that needs none."
            )
        split = dataset.calibration.sample(entry.examples, seed=seed)
        with torch.no_grad():
            task = settled(dataset.task, network.module(split.inputs[:_SETTLING]))
        calibration = Calibration(task, split)
    values = entry.compute(network, calibration, progress, seed)
    if not values:
        raise CriterionError(
            f"{entry.label} cannot score {network.name}: {entry.sentence} Choose another criterion."
        )
    return Scores(
        criterion=criterion,
        network=network.name,
        values=values,
        examples=len(calibration.split) if calibration else 0,
        origin=calibration.split.origin if calibration else "",
    )


def suits(criterion: Criterion, network: Network) -> bool:
    """False if the criterion finds nothing in `network` to score (BatchNorm scale without BatchNorm)."""
    return criterion.needs_data or bool(criterion.compute(network, None, lambda share: None, 0))


def find_criterion(name: str) -> Criterion:
    """The criterion called `name`.

    Raises
    ------
    CriterionError
        If there is none; the message lists them.
    """
    if name not in CRITERIA:
        raise CriterionError(f"There is no criterion {name!r}. Known: {', '.join(CRITERIA)}.")
    return CRITERIA[name]


def criterion_label(name: str) -> str:
    """A criterion's name for people; the name itself of one that is not known here."""
    return CRITERIA[name].label if name in CRITERIA else name
