"""How sure a network is, and whether it may be: reliability, overconfidence, the shift of confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.measure.metrics import BINS, calibration_gaps
from analysis.measure.quality import Evaluation, Interval, mean_interval, wilson
from analysis.tasks import confidences


@dataclass(frozen=True)
class Bin:
    """The `count` examples whose confidence lies in [`low`, `high`): how sure, and how often right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Interval


@dataclass(frozen=True, eq=False)
class Shift:
    """Confidence before and after, example by example, (N,) each, and its mean change with a paired interval.

    `answer` is the probability of whatever class the network answers, `truth` that of the true class.
    """

    answer_before: Tensor
    answer_after: Tensor
    truth_before: Tensor
    truth_after: Tensor
    answer_change: Interval
    truth_change: Interval


def reliability(evaluation: Evaluation) -> list[Bin]:
    """The reliability diagram (Niculescu-Mizil & Caruana 2005): bins of confidence that hold examples.

    The bins are those of the calibration error (ECE, Guo et al. 2017) that
    :func:`analysis.measure.quality.quality` gives: equal widths and one more for a confidence of exactly 1.
    So the error is the mean of ``|confidence - accuracy|``, weighted with `count`.

    Raises
    ------
    DataError
        If the network does not tell classes apart.
    """
    sure = answer_confidence(evaluation)
    shares = confidences(evaluation.task, evaluation.outputs.double())
    places, _ = calibration_gaps(shares, evaluation.correct)
    edges = np.linspace(0, 1, BINS + 1)
    found = []
    for place in np.unique(places):
        members = torch.from_numpy(places == place)
        count = int(members.sum())
        found.append(
            Bin(
                float(edges[place]),
                float(edges[min(place + 1, BINS)]),
                count,
                float(sure[members].mean()),
                wilson(int(evaluation.correct[members].sum()), count),
            )
        )
    return found


def overconfidence(evaluation: Evaluation) -> Interval:
    """Mean confidence minus accuracy: above 0 the network is surer than it may be.

    Raises
    ------
    DataError
        If the network does not tell classes apart.
    """
    return mean_interval(_gaps(evaluation))


def overconfidence_change(before: Evaluation, after: Evaluation) -> Interval:
    """Change of :func:`overconfidence` on the same examples, with its paired 95% interval."""
    return mean_interval(_gaps(after) - _gaps(before))


def confidence_shift(before: Evaluation, after: Evaluation) -> Shift:
    """Confidence of both networks on the same examples.

    Raises
    ------
    DataError
        If the networks do not tell classes apart.
    """
    answer = answer_confidence(before), answer_confidence(after)
    truth = true_class_confidence(before), true_class_confidence(after)
    return Shift(*answer, *truth, mean_interval(answer[1] - answer[0]), mean_interval(truth[1] - truth[0]))


def answer_confidence(evaluation: Evaluation) -> Tensor:
    """Probability of the class that is answered, shape (N,)."""
    return _shares(evaluation).max(dim=1).values


def true_class_confidence(evaluation: Evaluation) -> Tensor:
    """Probability given to the true class, shape (N,)."""
    return _shares(evaluation).gather(1, evaluation.split.targets[:, None])[:, 0]


def _gaps(evaluation: Evaluation) -> Tensor:
    return answer_confidence(evaluation) - evaluation.correct.double()


def _shares(evaluation: Evaluation) -> Tensor:
    """Class probabilities (N, classes) in double precision, so that bins are those of the calibration error."""
    if not evaluation.task.is_classification:
        raise DataError(
            "The network predicts values and says nothing of how sure it is. Compare errors instead."
        )
    return confidences(evaluation.task, evaluation.outputs.double())
