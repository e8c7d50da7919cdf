"""What training begins with if nobody chooses: settings that suit the network and its data, and what they cost."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from itertools import pairwise

import torch

from analysis.datasets import Split
from analysis.measure.quality import evaluate, headline
from analysis.network import Network, has_batch_norm
from analysis.recovery.augmentation import NOTHING, Augmentation, augmenter, kinds_for
from analysis.recovery.distil import Distillation, learn
from analysis.recovery.gradual import Course
from analysis.recovery.pruned import Pruned
from analysis.recovery.recipe import Recipe
from analysis.tasks import Task

_STEPS = 2_300  # of training, about
_EPOCHS = (8, 60)
_BATCH = 64
_COURSE_STEPS = 8
_TRIED = 500  # examples on which an augmentation is tried
_BORNE = 0.02  # of the headline metric: what a dense network may lose to it
_TIMED = 3  # batches
_NEAR = 0.05  # of the headline metric below the dense network's
_GENTLE = 0.1  # of the learning rate


def recipe_for(pruned: Pruned) -> Recipe:
    """A recipe to begin with.

    Networks with BatchNorm that tell classes apart take large steps: SGD with momentum. All others get AdamW,
    whose steps do not depend on how large the loss is. A network that is near the dense one already takes small
    steps: large ones would first undo what a repair has done. About as many steps whatever the number of examples, and
    the augmentations that the dense network bears.
    """
    steps = -(-len(pruned.fit) // _BATCH)
    least, most = _EPOCHS
    epochs = max(least, min(most, round(_STEPS / steps)))
    recipe = Recipe(epochs, batch=_BATCH, augmentation=bearable(pruned))
    if not (has_batch_norm(pruned.network) and pruned.task.is_classification):
        recipe = replace(recipe, optimiser="adamw", learning_rate=3e-3)
    return replace(recipe, learning_rate=_GENTLE * recipe.learning_rate) if _is_near(pruned) else recipe


def _is_near(pruned: Pruned) -> bool:
    """True if the network is almost as good as the dense one on the held-out examples, be it whole or repaired."""
    if pruned.network is pruned.dense:
        return False  # where gradual pruning begins: the cuts are yet to come
    dense, now = (
        _headline(network, pruned.validation, pruned.task) for network in (pruned.dense, pruned.network)
    )
    return now >= dense - _NEAR


def course_for(recipe: Recipe) -> Course:
    """Gradual pruning to begin with, for a network that `recipe` suits in one go.

    Eight cubic steps. The last trains as long as one go would, those before it share as many epochs. What is learned is
    what the dense network answers, and examples are shown as they are: to make them harder does not pay off in trainings
    this short.
    """
    each = max(1, round(recipe.epochs / _COURSE_STEPS))
    short = replace(recipe, epochs=each, augmentation=NOTHING)
    return Course(
        steps=_COURSE_STEPS, recipe=short, distillation=Distillation(soft=1.0), last_epochs=recipe.epochs
    )


def bearable(pruned: Pruned) -> Augmentation:
    """Mirroring and shifting, each if it costs the dense network at most two points of its headline metric.

    So letters are not mirrored and photographs are. Shifts are of a fourteenth of the image's smaller side.
    """
    inputs = pruned.fit.inputs
    if "flip" not in kinds_for(inputs):
        return NOTHING
    some = pruned.fit.sample(_TRIED)
    plain = _headline(pruned.dense, some, pruned.task)
    pixels = max(1, round(min(inputs.shape[2:]) / 14))
    mirrored = replace(some, inputs=some.inputs.flip(3))
    moved = augmenter(Augmentation(shift=pixels), some, pruned.dataset.baseline)
    assert moved is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shifted = replace(some, inputs=moved(some.inputs))
    flips = plain - _headline(pruned.dense, mirrored, pruned.task) <= _BORNE
    shifts = plain - _headline(pruned.dense, shifted, pruned.task) <= _BORNE
    return Augmentation(shift=pixels if shifts else 0, flip=flips)


def seconds_per_epoch(pruned: Pruned, recipe: Recipe, distillation: Distillation | None = None) -> float:
    """About how long an epoch takes here, of this process' own time: the median of a few steps."""
    count = min(len(pruned.fit), _TIMED * recipe.batch)
    few = Split(pruned.fit.inputs[:count], pruned.fit.targets[:count], pruned.fit.origin)
    some = replace(pruned, fit=few, validation=few.take(torch.arange(2)))
    short = replace(recipe, epochs=1 if count > (_TIMED - 1) * recipe.batch else _TIMED, patience=0)
    ticks: list[float] = []

    def tick(share: float) -> None:
        ticks.append(time.process_time())

    for _ in learn(some, short, distillation, progress=tick):
        pass
    median = statistics.median(later - earlier for earlier, later in pairwise(ticks))
    return median * len(pruned.fit) / min(recipe.batch, count)


def _headline(network: Network, split: Split, task: Task) -> float:
    return headline(evaluate(network, split, task)).value
