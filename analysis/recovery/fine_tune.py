"""Fine-tuning: the pruned network learns on, with what was removed locked at zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.recovery.augmentation import augmenter
from analysis.recovery.learner import Hint
from analysis.recovery.pruned import Pruned, locks
from analysis.recovery.recipe import Recipe
from analysis.recovery.training import Epoch, Judged, Loss, Progress, train


def fine_tune(
    pruned: Pruned,
    recipe: Recipe,
    *,
    loss: Loss | None = None,
    hint: Hint | None = None,
    progress: Progress = lambda share: None,
    known: Sequence[Judged] = (),
) -> Iterator[Epoch]:
    """Train the pruned network on its `fit` examples, epoch by epoch; removed weights stay zero.

    `loss`, `hint` and `known` as in :func:`analysis.recovery.training.train`.

    Raises
    ------
    TrainingError
        As :func:`analysis.recovery.training.train`.
    """
    return train(
        pruned.network,
        pruned.fit,
        pruned.validation,
        pruned.task,
        recipe,
        locked=locks(pruned.dense, pruned.selection),
        loss=loss,
        augment=augmenter(recipe.augmentation, pruned.fit, pruned.dataset.baseline),
        progress=progress,
        hint=hint,
        known=known,
    )
