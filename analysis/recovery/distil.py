"""Distillation: the pruned network learns what the dense one answers (Hinton, Vinyals & Dean 2015)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.errors import PrunescopeError
from analysis.importance.signals import output_channels
from analysis.inference import Layout, compile_network
from analysis.network import CONVOLUTION_TYPES, TRANSPOSED_TYPES, Network, node_values
from analysis.pruning.selection import Selection
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.learner import Hint, places, show_inside
from analysis.recovery.pruned import Pruned
from analysis.recovery.recipe import Recipe
from analysis.recovery.training import Epoch, Judged, Progress
from analysis.tasks import Task, class_scores, predictions

_TRIED = 3  # examples on which shapes are looked at


@dataclass(frozen=True)
class Distillation:
    """How much is learned from the dense network, and what.

    Parameters
    ----------
    temperature : float
        What both networks' logits are divided by, so that unlikely classes count, too.
    soft : float
        The share of the dense network's answers in the loss; the rest is the true targets'.
    hints : tuple of str
        Layers behind which the values of both networks are compared, too.
    hint_weight : float
        What multiplies that comparison.

    Raises
    ------
    PrunescopeError
        If a number is out of its range.
    """

    temperature: float = 4.0
    soft: float = 0.9
    hints: tuple[str, ...] = ()
    hint_weight: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.temperature < math.inf and 0 <= self.soft <= 1 and 0 <= self.hint_weight < math.inf):
            raise PrunescopeError(
                "Distillation needs a temperature above 0, a share of soft answers from 0 to 1, and a weight of "
                "hints of at least 0."
            )


def distil(
    pruned: Pruned,
    recipe: Recipe,
    distillation: Distillation,
    *,
    progress: Progress = lambda share: None,
    known: Sequence[Judged] = (),
) -> Iterator[Epoch]:
    """Train the pruned network to answer as the dense one does; removed weights stay zero.

    The dense network answers each example as it is shown, augmented or not. `known` as in
    :func:`analysis.recovery.training.train`.

    Raises
    ------
    TrainingError
        As :func:`analysis.recovery.training.train`.
    PrunescopeError
        If the network has no such layer as a hint names, or values behind one cannot be compared (see
        :func:`hint_layers`).
    """
    names = [layer.name for layer in pruned.dense.layers]
    if strange := [hint for hint in distillation.hints if hint not in names]:
        raise PrunescopeError(
            f"{pruned.dense.name} has no layer called {strange[0]!r} to take hints from. It has: {', '.join(names)}."
        )
    teacher = Teacher(pruned.dense, Layout(recipe.batch, pruned.fit.inputs.dim() == 4), distillation.hints)

    def loss(inputs: Tensor, outputs: Tensor, targets: Tensor) -> Tensor:
        return mixed_loss(pruned.task, outputs, teacher.answer(inputs), targets, distillation)

    hint = _hint(pruned, teacher, distillation) if distillation.hints else None
    return fine_tune(pruned, recipe, loss=loss, hint=hint, progress=progress, known=known)


def learn(
    pruned: Pruned,
    recipe: Recipe,
    distillation: Distillation | None,
    *,
    progress: Progress = lambda share: None,
    known: Sequence[Judged] = (),
) -> Iterator[Epoch]:
    """Train the pruned network: by distillation, or, without one, on the true targets alone; errors as :func:`distil`."""
    if distillation is None:
        return fine_tune(pruned, recipe, progress=progress, known=known)
    return distil(pruned, recipe, distillation, progress=progress, known=known)


def mixed_loss(
    task: Task, outputs: Tensor, taught: Tensor, targets: Tensor, distillation: Distillation
) -> Tensor:
    """The loss of each example, (N,): ``(1 - soft) * hard + soft * soft loss``.

    Hard is the task's loss. Soft is, at temperature T, ``T**2 * KL(dense || pruned)`` of the class probabilities
    ``softmax(logits / T)``; a single output z that speaks for class 1 counts as the logits (0, z). Of a regression
    it is the squared difference of the two answers.

    Parameters
    ----------
    taught : Tensor
        What the dense network answers, in the shape of `outputs`.
    """
    hard = task.losses(outputs, targets)
    if not task.is_classification:
        soft = (predictions(task, outputs) - predictions(task, taught)) ** 2
    else:
        temperature = distillation.temperature
        mine = F.log_softmax(class_scores(task, outputs) / temperature, dim=1)
        theirs = F.log_softmax(class_scores(task, taught) / temperature, dim=1)
        soft = temperature**2 * F.kl_div(mine, theirs, reduction="none", log_target=True).sum(dim=1)
    return (1 - distillation.soft) * hard + distillation.soft * soft


def hint_loss(mine: Tensor, theirs: Tensor) -> Tensor:
    """Squared distance of values inside both networks, (N,), as a share of the dense network's mean square."""
    scale = theirs.square().mean().clamp_min(torch.finfo(theirs.dtype).tiny)
    return (mine - theirs).square().flatten(1).mean(dim=1) / scale


def channels_left(dense: Network, selection: Selection, layer: str) -> Tensor:
    """Which of a layer's output channels are left, in order."""
    gone: set[int] = set()
    for group, channels in selection.channels.items():
        for part in dense.group(group).slices:
            if part.module == layer and part.side == "out":
                gone |= part.positions(channels)
    size = output_channels(dense.module.get_submodule(layer))
    return torch.tensor([channel for channel in range(size) if channel not in gone])


class Teacher:
    """What the dense network says, in eval mode and without gradients; the last answer is remembered."""

    def __init__(self, dense: Network, layout: Layout, hints: Sequence[str]) -> None:
        self._program = compile_network(dense, layout)  # without hints: the faster of the two
        self._seen = copy.deepcopy(dense.module).eval() if hints else None
        if self._seen is not None:
            nodes = list(self._seen.graph.nodes)
            show_inside(self._seen, [nodes[place] for place in places(dense, hints)])
        self._asked: Tensor | None = None
        self._said: tuple[Tensor, ...] = ()

    def answer(self, inputs: Tensor) -> Tensor:
        """The answers to a batch."""
        return self._say(inputs)[0]

    def inside(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The values behind the layers of its hints."""
        return self._say(inputs)[1:]

    @torch.no_grad()
    def _say(self, inputs: Tensor) -> tuple[Tensor, ...]:
        if inputs is not self._asked:
            self._asked = inputs
            self._said = (self._program(inputs),) if self._seen is None else self._seen(inputs)
        return self._said


def hint_layers(pruned: Pruned) -> tuple[str, ...]:
    """The layers behind which the values of both networks can be compared: one row an example, channels that match."""
    names = tuple(layer.name for layer in pruned.dense.layers)
    few = pruned.fit.inputs[:_TRIED]
    teacher = Teacher(pruned.dense, Layout(), names)
    nodes = list(pruned.network.module.graph.nodes)
    wanted = [nodes[place] for place in places(pruned.dense, names)]
    with torch.no_grad():
        mine = node_values(pruned.network.module, few, set(wanted))
    return tuple(
        layer
        for layer, node, value in zip(names, wanted, teacher.inside(few), strict=True)
        if len(value) == len(few) and _fits(mine[node], value, _left(pruned, layer))
    )


def _fits(mine: Tensor, theirs: Tensor, left: tuple[int, Tensor]) -> bool:
    dim, channels = left
    if len(channels) and int(channels[-1]) >= theirs.shape[dim]:
        return False
    return mine.shape == theirs.index_select(dim, channels).shape


def _left(pruned: Pruned, layer: str) -> tuple[int, Tensor]:
    """Which dimension of what a layer says counts its channels, and which of them are left."""
    convolutions = (*CONVOLUTION_TYPES, *TRANSPOSED_TYPES)
    dim = 1 if isinstance(pruned.dense.module.get_submodule(layer), convolutions) else -1
    return dim, channels_left(pruned.dense, pruned.selection, layer)


def _hint(pruned: Pruned, teacher: Teacher, distillation: Distillation) -> Hint:
    """The channels that are left behind each layer shall say what they say in the dense network."""
    unfit = sorted(set(distillation.hints) - set(hint_layers(pruned)))
    if unfit:
        raise PrunescopeError(
            f"What is said behind {', '.join(unfit)} cannot be compared between the two networks. Take no hints from "
            "there."
        )
    left = [_left(pruned, layer) for layer in distillation.hints]

    def loss(inputs: Tensor, values: Sequence[Tensor]) -> Tensor:
        theirs = [
            value.index_select(dim, channels)
            for value, (dim, channels) in zip(teacher.inside(inputs), left, strict=True)
        ]
        found = [hint_loss(mine, other) for mine, other in zip(values, theirs, strict=True)]
        return distillation.hint_weight * torch.stack(found).mean(dim=0)

    return Hint(distillation.hints, loss)
