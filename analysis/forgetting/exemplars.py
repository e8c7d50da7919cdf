"""Pruning-identified exemplars: the examples that networks pruned alike answer otherwise than the dense one.

After Hooker et al. 2019, "What Do Compressed Deep Neural Networks Forget?". They compare the modal label of
many pruned networks with that of many dense ones. Here there is one dense network, whose answer is its modal
label; the pruned ones carry out the same cuts, ranked each time by scores of other calibration examples, or
of other random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.datasets import Dataset, Split
from analysis.errors import CriterionError, DataError, PlanError
from analysis.importance.registry import CRITERIA, Criterion, find_criterion, score, suits
from analysis.measure.quality import Evaluation, Interval, evaluate, wilson
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.prune import prune
from analysis.tasks import Task

MEMBERS = 10  # pruned networks of a population

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Member:
    """One pruned network of a population: the seed it was drawn with, and its answers (N,)."""

    seed: int
    answers: Tensor


@dataclass(frozen=True, eq=False)
class Consensus:
    """What a population says of each example, (N,) each.

    `modal` is the label that most members give, `dissent` how many of `members` answer otherwise than the
    dense network, and `exemplars` where the modal label is another than the dense network's.
    """

    members: int
    modal: Tensor
    dissent: Tensor
    exemplars: Tensor


@dataclass(frozen=True)
class Difficulty:
    """Accuracy of one network on some examples and on all others; None where there are none."""

    chosen: Interval | None
    others: Interval | None


def drawn_criteria(network: Network, plan: Plan) -> list[Criterion]:
    """Criteria with which a population of `plan`'s cuts can be drawn: the plan's own first, random numbers last."""
    cuts_weights = any(cut.granularity == "weight" for cut in plan.cuts)
    fitting = [
        criterion
        for criterion in CRITERIA.values()
        if criterion.varies and (criterion.unit == "weight" or not cuts_weights) and suits(criterion, network)
    ]
    return sorted(fitting, key=lambda criterion: (criterion.name != plan.criterion, criterion.draws))


def population(
    network: Network,
    plan: Plan,
    dataset: Dataset,
    split: Split,
    task: Task,
    *,
    seeds: Sequence[int] = range(MEMBERS),
    progress: Progress = lambda share: None,
) -> Iterator[Member]:
    """Carry out `plan` once for each seed, and answer the examples of `split`.

    A criterion that looks at examples is given a random sample of the calibration examples for each seed: as
    many as it usually looks at, but never more than half of them, so that members differ.

    Parameters
    ----------
    task : Task
        The dense network's, with its meaning settled.
    progress : callable
        Called with the share done; what it raises ends the work.

    Raises
    ------
    CriterionError
        If the criterion gives the same scores each time, or there are too few calibration examples to draw
        from.
    PlanError
        If the plan cuts nothing by rank, or leaves too little of a group.
    DataError
        If the networks do not tell classes apart.
    """
    criterion = find_criterion(plan.criterion)
    _check(criterion, dataset, task)
    if not plan.cuts and not plan.is_dense:
        raise PlanError(
            "All that this plan removes was picked by hand, so pruning again gives the same network each time. Cut "
            "some of it by rank."
        )
    for done, seed in enumerate(seeds):

        def report(share: float, done: int = done) -> None:
            progress((done + share) / len(seeds))

        scores = score(network, plan.criterion, _draw(dataset, criterion, seed), seed=seed, progress=report)
        yield Member(seed, evaluate(prune(network, plan, scores), split, task).answers)
        report(1.0)


def consensus(dense: Tensor, members: Sequence[Tensor]) -> Consensus:
    """What `members`' answers, (N,) each, say together against the dense network's (N,).

    Of labels that are given equally often, the dense network's is the modal one if it is among them, else the
    lowest: an undecided population does not disagree.

    Raises
    ------
    DataError
        If there is no member.
    """
    if not members:
        raise DataError("A population without a member has no modal label. Draw at least one.")
    answers = torch.stack(list(members))
    classes = int(max(answers.max(), dense.max())) + 1
    votes = torch.zeros(len(dense), classes, dtype=torch.long)
    votes.scatter_add_(1, answers.T, torch.ones_like(answers.T))
    rank = 2 * votes
    rank.scatter_add_(1, dense[:, None], torch.ones(len(dense), 1, dtype=torch.long))
    modal = rank.argmax(dim=1)
    return Consensus(len(members), modal, (answers != dense).sum(dim=0), modal != dense)


def difficulty(chosen: Tensor, evaluation: Evaluation) -> Difficulty:
    """Accuracy on the examples `chosen` (N,) bool and on all others, with Wilson intervals.

    Where two networks disagree at most one is right, so their accuracies there add up to at most 1 by the choice
    alone; that the dense network does worse there than elsewhere is a finding.
    """
    return Difficulty(_accuracy(evaluation.correct[chosen]), _accuracy(evaluation.correct[~chosen]))


def _accuracy(correct: Tensor) -> Interval | None:
    return wilson(int(correct.sum()), len(correct)) if len(correct) else None


def _draw(dataset: Dataset, criterion: Criterion, seed: int) -> Dataset:
    if not criterion.needs_data:
        return dataset
    size = min(criterion.examples, len(dataset.calibration) // 2)
    return replace(dataset, calibration=dataset.calibration.sample(size, seed=seed))


def _check(criterion: Criterion, dataset: Dataset, task: Task) -> None:
    if not task.is_classification:
        raise DataError(
            "The network predicts values, so a population has no modal label. Compare errors instead."
        )
    if not criterion.varies:
        drawn = ", ".join(c.label for c in CRITERIA.values() if c.varies)
        raise CriterionError(
            f"{criterion.label} gives the same scores each time, so pruning again gives the same network. "
            f"Choose a criterion that depends on chance: {drawn}."
        )
    if criterion.needs_data and len(dataset.calibration) < 2:
        raise CriterionError(
            f"{criterion.label} looks at calibration examples, and {dataset.name} has too few to draw from. "
            "Give more data, or choose Random."
        )
