"""The loop that all training shares: epochs over examples on a private copy, with locked zeros.

A network is never trained in place: what is trained is a copy, and each network handed out is a copy of that.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.datasets import Split
from analysis.errors import NetworkError, PrunescopeError
from analysis.inference import Layout
from analysis.measure.quality import Evaluation, evaluate, headline
from analysis.network import Network, from_graph
from analysis.recovery import schedules
from analysis.recovery.learner import Hint, Learner, learner
from analysis.recovery.recipe import Recipe
from analysis.tasks import Task

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # inputs as shown, outputs, targets -> (N,) losses
Penalty = Callable[[nn.Module], Tensor]
Augment = Callable[[Tensor], Tensor]
Progress = Callable[[float], None]
Judged = tuple[float, float]  # validation loss, validation metric

_STRIDE = 1_000_003  # between the seeds of trainings that go on


class TrainingError(PrunescopeError):
    """Training that cannot go on."""


@dataclass(frozen=True, eq=False)
class Epoch:
    """What one pass over the examples came to.

    `number` counts from 1. `train_loss` is the mean of what was minimised (without penalties),
    `validation_loss` the task's mean loss and `validation` its headline metric on the held-out examples.
    `network` is the network if this epoch is the one to keep so far (:func:`best_epoch`); None otherwise. `seconds`
    since the beginning; `now` is the network as this epoch left it, kept or not; `rate` the learning rate of its last
    step.
    """

    number: int
    train_loss: float
    validation_loss: float
    validation: float
    seconds: float
    network: Network | None
    now: Network
    rate: float = 0.0


def train(
    network: Network,
    fit: Split,
    validation: Split,
    task: Task,
    recipe: Recipe,
    *,
    locked: Mapping[str, Tensor] | None = None,
    loss: Loss | None = None,
    penalty: Penalty | None = None,
    augment: Augment | None = None,
    progress: Progress = lambda share: None,
    hint: Hint | None = None,
    known: Sequence[Judged] = (),
) -> Iterator[Epoch]:
    """Train a copy of `network`, epoch by epoch; the same seed gives the same weights.

    Parameters
    ----------
    locked : mapping, optional
        ``locked[parameter]`` is True where a value is zero and stays so.
    loss : callable, optional
        The loss of each example; the task's by default.
    penalty : callable, optional
        Added to the mean loss: a function of the network in training. The recipe's L1 and L2 come on top.
    augment : callable, optional
        Changes the inputs of each batch.
    hint : Hint, optional
        Added to the loss of each example: what values inside are worth.
    known : sequence of (float, float), optional
        Validation loss and metric of the epochs that were done before. `network` is what they came to; training
        goes on after them, with a fresh optimiser.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    student = learner(network, recipe, hint)
    module, parameters = student.module, student.parameters
    optimiser = _optimiser(student, recipe)
    locks = [(parameters[name], mask) for name, mask in (locked or {}).items()]
    shrunk = [value for value in student.weights if value.requires_grad] if recipe.l1 or recipe.l2 else []
    layout = Layout(recipe.batch, channels_last=fit.inputs.dim() == 4)
    steps = batch_count(len(fit), recipe.batch)
    chance = _Chance(recipe.seed + _STRIDE * len(known))
    start, judged = time.monotonic(), list(known)
    for number in range(len(known) + 1, recipe.epochs + 1):
        student.begin()
        total, rate = 0.0, 0.0
        losses = [judged_loss for judged_loss, _ in judged]
        with chance.drawn():
            order = torch.randperm(len(fit))
            for step, chosen in enumerate(_batches(order, recipe.batch)):
                inputs, targets = fit.inputs[chosen], fit.targets[chosen]
                if augment is not None:
                    inputs = augment(inputs)
                inputs = layout.prepare(inputs)
                outputs, inside = student(inputs)
                own = task.losses(outputs, targets) if loss is None else loss(inputs, outputs, targets)
                if hint is not None:
                    own = own + hint.loss(inputs, inside)
                mean = own.mean()
                optimiser.zero_grad()
                (mean if penalty is None else mean + penalty(module)).backward()
                _shrink(shrunk, recipe)
                rate = recipe.learning_rate * schedules.factor(
                    recipe, (number - 1) * steps + step, recipe.epochs * steps, losses
                )
                for group in optimiser.param_groups:
                    group["lr"] = rate
                optimiser.step()
                _lock(locks)
                total += float(mean.detach()) * len(chosen)
                done = number - 1 - len(known) + (step + 1) / steps
                progress(done / (recipe.epochs - len(known)))
        now, found = _judged(network, module, validation, task, number, total)
        mine = (float(found.losses.mean()), headline(found).value)
        judged.append(mine)
        best = best_epoch(judged, leeway(task, judged, len(validation)))
        yield Epoch(
            number, total / len(fit), *mine, time.monotonic() - start,
            now if best == number else None, now, rate,
        )  # fmt: skip
        if recipe.patience and number - best_epoch(judged) >= recipe.patience:
            return


def best_epoch(judged: Sequence[Judged], within: float = 0.0) -> int:
    """Which epoch, counted from 1, is the one to keep.

    The best by its metric, among equals by its loss, then the first. If the metric may be `within` so much of the
    best's, it is the last such epoch: schedules end with small steps, and the loaded network may have learned
    the validation examples, which favours epochs that have changed it least.
    """
    if within > 0:
        most = max(merit(one)[0] for one in judged)
        return 1 + max(i for i, one in enumerate(judged) if merit(one)[0] >= most - within)
    return 1 + max(range(len(judged)), key=lambda i: (merit(judged[i]), -i))


def leeway(task: Task, judged: Sequence[Judged], examples: int) -> float:
    """One standard error of the best accuracy so far (Breiman et al. 1984, the one-standard-error rule); 0 for R²."""
    if not task.is_classification:
        return 0.0
    most = max(value for _, value in judged)
    return math.sqrt(most * (1 - most) / examples)


def improves(epoch: Epoch, start: Judged) -> bool:
    """True if an epoch is the one to keep so far, and better than what training began from."""
    return epoch.network is not None and merit((epoch.validation_loss, epoch.validation)) > merit(start)


def best_of(network: Network, start: Judged, epochs: Iterable[Epoch]) -> tuple[Network, int, float]:
    """What a whole training comes to: the network to keep, the epoch it is of, and its metric.

    That is `network`, which it began from and which was judged `start`, with epoch 0 if none improves on it.
    """
    kept, number, value = network, 0, start[1]
    for epoch in epochs:
        if improves(epoch, start):
            kept, number, value = epoch.now, epoch.number, epoch.validation
    return kept, number, value


def merit(judged: Judged) -> tuple[float, float]:
    """What is compared of two networks: the metric (worst if it has no value), then the loss; more is better."""
    loss, value = judged
    return (-math.inf if math.isnan(value) else value, -loss)


def judge(network: Network, validation: Split, task: Task) -> Judged:
    """Validation loss and metric of a network."""
    found = evaluate(network, validation, task)
    return float(found.losses.mean()), headline(found).value


def batch_count(examples: int, size: int) -> int:
    """How many steps an epoch takes over so many examples."""
    return len(_batches(torch.arange(examples), size))


def snapshot(network: Network, module: nn.Module) -> Network:
    """The network with the weights that `module`, a copy of its module in training, has now."""
    taken = copy.deepcopy(network.module)
    taken.load_state_dict(module.state_dict())
    taken.requires_grad_(False)
    return from_graph(network.name, taken, network.example_input)


class _Chance:
    """Random numbers of its own: those of the process are as they were between two epochs."""

    def __init__(self, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._state = torch.get_rng_state()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw from these within the context."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._state)
            yield
            self._state = torch.get_rng_state()


def _judged(
    network: Network, module: nn.Module, validation: Split, task: Task, number: int, total: float
) -> tuple[Network, Evaluation]:
    """The network after an epoch, and what it says of the held-out examples."""
    try:
        if not math.isfinite(total):
            raise NetworkError("The loss is no number any more.")
        now = snapshot(network, module)
        return now, evaluate(now, validation, task)
    except NetworkError as error:
        raise TrainingError(
            f"Training diverged in epoch {number}: the loss is no number any more. Choose a smaller learning rate."
        ) from error


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Batches of `size`; a last one of a single example joins the one before, as BatchNorm needs two."""
    batches = list(order.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = torch.cat([batches[-1], last])
    return batches


def _optimiser(student: Learner, recipe: Recipe) -> torch.optim.Optimizer:
    weights = {id(value) for value in student.weights}
    learning = {id(value): value for value in student.parameters.values() if value.requires_grad}
    if recipe.optimiser == "sgd":
        values = list(learning.values())
        momentum = recipe.momentum
        return torch.optim.SGD(values, recipe.learning_rate, momentum=momentum, nesterov=momentum > 0)
    if recipe.optimiser == "adam":
        return torch.optim.Adam(list(learning.values()), recipe.learning_rate)
    groups = [
        {"params": [v for key, v in learning.items() if key in weights], "weight_decay": recipe.decay},
        {"params": [v for key, v in learning.items() if key not in weights], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], recipe.learning_rate)


@torch.no_grad()
def _shrink(weights: Sequence[Tensor], recipe: Recipe) -> None:
    """Add the gradients of ``l1 * sum |w| + l2 * sum w**2``."""
    for weight in weights:
        if weight.grad is not None:
            weight.grad.add_(weight.sign(), alpha=recipe.l1).add_(weight, alpha=2 * recipe.l2)


@torch.no_grad()
def _lock(locks: Sequence[tuple[Tensor, Tensor]]) -> None:
    for value, mask in locks:
        value.masked_fill_(mask, 0)
