"""Metrics as functions of sums over examples, so that a thousand resamples of them cost a matrix product.

Every metric here is known from a few sums: how often each class is true, answered, and both; the gap of
confidence and accuracy in each bin; the squared errors. A bootstrap resample only weighs the examples anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from analysis.tasks import Task, classes_of, confidences

BINS = 15  # of confidence, as in Guo et al. 2017 and torchmetrics
RESAMPLES = 1000
_AT_ONCE = 4_000_000  # weights held at a time: 32 MiB
_CONSTANT = 1e-12  # a variance this share of the whole is rounding

Values = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Sums:
    """What metrics are computed from: ``columns`` (N, p) are summed over examples, giving (R, p) for R draws.

    ``metrics`` turns sums and the number of examples into {metric key: (R,)}.
    """

    columns: sparse.csr_array
    metrics: Callable[[np.ndarray, int], Values]

    def exact(self) -> Values:
        """The metrics of the examples themselves, one value each."""
        return self.metrics(np.asarray(self.columns.sum(axis=0))[None], self.columns.shape[0])

    def resampled(self) -> Values:
        """The metrics of `RESAMPLES` bootstrap resamples: the same ones for any sums of as many examples."""
        count = self.columns.shape[0]
        rng, parts = np.random.default_rng(0), []
        across = self.columns.T.tocsr()
        for start in range(0, RESAMPLES, step := max(1, _AT_ONCE // count)):
            draws = min(step, RESAMPLES - start)
            rows = rng.integers(count, size=(draws, count))
            rows += count * np.arange(draws)[:, None]
            weights = np.bincount(rows.ravel(), minlength=draws * count).reshape(draws, count)
            parts.append((across @ weights.T.astype(float)).T)
        return self.metrics(np.concatenate(parts), count)


def sums_of(task: Task, outputs: Tensor, answers: Tensor, targets: Tensor) -> Sums:
    """The sums behind the task's bootstrapped metrics."""
    if not task.is_classification:
        return _value_sums(answers, targets)
    classes = classes_of(task, outputs)
    truth, said = targets.numpy(), answers.numpy()
    bins, gaps = calibration_gaps(confidences(task, outputs.double()), answers == targets)
    rows = np.arange(len(truth))
    right = rows[truth == said]
    row = np.concatenate([rows, rows, right, rows])
    column = np.concatenate([truth, classes + said, 2 * classes + truth[right], 3 * classes + bins])
    values = np.concatenate([np.ones(2 * len(rows) + len(right)), gaps])
    columns = sparse.csr_array((values, (row, column)), shape=(len(rows), 3 * classes + BINS + 1))
    return Sums(columns, lambda sums, count: _class_metrics(sums, count, classes))


def calibration_gaps(shares: Tensor, right: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each example by its confidence (N, classes), and confidence minus outcome; (N,) each.

    Bins as torchmetrics has them: equal widths, closed below, and one more for a confidence of exactly 1.
    """
    sure = shares.max(dim=1).values
    edges = torch.linspace(0, 1, BINS + 1, dtype=sure.dtype)
    bins = torch.bucketize(sure, edges, right=True) - 1
    return bins.clamp(0, BINS).numpy(), (sure - right.to(sure.dtype)).numpy()


def _class_metrics(sums: np.ndarray, count: int, classes: int) -> Values:
    """Macro metrics over the classes that occur, and the expected calibration error."""
    true, said, both = (sums[:, i * classes : (i + 1) * classes] for i in range(3))
    occurs = true > 0
    number = occurs.sum(axis=1)

    def macro(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        shares = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        return np.where(occurs, shares, 0).sum(axis=1) / number

    recall = macro(both, true)
    return {
        "balanced-accuracy": recall,
        "precision": macro(both, said),
        "recall": recall,
        "f1": macro(2 * both, true + said),
        "ece": np.abs(sums[:, 3 * classes :]).sum(axis=1) / count,
    }


def _value_sums(answers: Tensor, targets: Tensor) -> Sums:
    truth = targets.double().numpy()
    errors = answers.double().numpy() - truth
    centred = truth - truth.mean()
    columns = sparse.csr_array(np.stack([errors**2, np.abs(errors), centred, centred**2], axis=1))
    constant = _CONSTANT * float(np.mean(truth**2))

    def metrics(sums: np.ndarray, count: int) -> Values:
        squared, size, mean, square = (sums / count).T
        variance = square - mean**2
        r2 = 1 - squared / np.where(variance > constant, variance, np.nan)
        return {"r2": r2, "rmse": np.sqrt(squared), "mae": size, "mse": squared}

    return Sums(columns, metrics)
