"""How clearly each example is decided, before and after: margins of classifiers, errors of regressions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.measure.quality import Evaluation, Interval, mean_interval
from analysis.tasks import class_scores

FATES = ("kept", "forgotten", "gained", "wrong")


@dataclass(frozen=True, eq=False)
class Margins:
    """The margin of each example, (N,), and what became of it.

    `fate` (N,) counts in :data:`FATES`: right in both, right before only, right after only, wrong in both.
    """

    before: Tensor
    after: Tensor
    fate: Tensor
    change: Interval

    @property
    def counts(self) -> dict[str, int]:
        """How many examples met each fate."""
        return {name: int((self.fate == i).sum()) for i, name in enumerate(FATES)}


@dataclass(frozen=True, eq=False)
class Errors:
    """The size of each example's error, (N,), in the target's unit, and its mean change (paired)."""

    before: Tensor
    after: Tensor
    change: Interval

    @property
    def counts(self) -> dict[str, int]:
        """How many examples are further from the truth after, how many nearer, how many as they were."""
        return {
            "larger": int((self.after > self.before).sum()),
            "smaller": int((self.after < self.before).sum()),
            "equal": int((self.after == self.before).sum()),
        }


def margin(evaluation: Evaluation) -> Tensor:
    """Log odds of the true class against the best other class, shape (N,): above 0 the answer is right.

    The multiclass margin (Crammer & Singer 2001) of the logits, which is ``log(p true / p best other)``:
    what softmax adds to all logits cancels, so networks that answer probabilities have the same margin.

    Raises
    ------
    DataError
        If the network does not tell classes apart.
    """
    if not evaluation.task.is_classification:
        raise DataError("The network predicts values, so no example has a margin. Compare errors instead.")
    scores = class_scores(evaluation.task, evaluation.outputs.double())
    truth = evaluation.split.targets[:, None]
    others = scores.scatter(1, truth, -torch.inf).max(dim=1).values
    return scores.gather(1, truth)[:, 0] - others


def margins(before: Evaluation, after: Evaluation) -> Margins:
    """Margins of both networks on the same examples; fates go by the answers, which decide ties.

    Raises
    ------
    DataError
        If the networks do not tell classes apart.
    """
    was, now = margin(before), margin(after)
    fate = 2 * (~before.correct).long() + (before.correct ^ after.correct).long()
    fate = torch.tensor([0, 1, 3, 2])[fate]  # wrong before: unchanged is "wrong", changed is "gained"
    return Margins(was, now, fate, mean_interval(now - was))


def errors(before: Evaluation, after: Evaluation) -> Errors:
    """Sizes of the errors of both networks on the same examples.

    Raises
    ------
    DataError
        If the networks answer classes.
    """
    if before.task.is_classification:
        raise DataError("The network answers classes, which are right or wrong. Compare margins instead.")
    was, now = ((one.answers - one.split.targets).abs().double() for one in (before, after))
    return Errors(was, now, mean_interval(now - was))
