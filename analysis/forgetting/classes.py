"""Which classes paid for a cut: the change of each class's accuracy, and whether it is more than noise.

Among many classes some change by chance. A change counts as real here if it stays significant when all
classes are looked at together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from analysis.errors import DataError
from analysis.measure.quality import Evaluation, Interval, paired_proportions, wilson

LEVEL = 0.05  # of significance, for all classes together
DRAWS = 4999  # relabellings; with the observed one they make 5,000


@dataclass(frozen=True)
class ClassChange:
    """What became of one class that has `examples`.

    `before` and `after` are its accuracy, `change` the paired difference; `gained` examples are right only
    after, `lost` only before. `p_value` is McNemar's, `adjusted` the same for all classes together (Holm).
    """

    label: int
    examples: int
    before: Interval
    after: Interval
    change: Interval
    gained: int
    lost: int
    p_value: float
    adjusted: float

    @property
    def is_real(self) -> bool:
        """True if the change is larger than noise when all classes are looked at together."""
        return self.adjusted <= LEVEL


@dataclass(frozen=True)
class Disparity:
    """Whether classes pay unevenly: the class that lost most, against the average over all examples.

    `worst` is its label, `change` its change and `average` that of all examples. `p_value` is the share of
    relabellings in which some class loses at least as much.
    """

    worst: int
    change: float
    average: float
    p_value: float

    @property
    def is_real(self) -> bool:
        """True if chance alone seldom makes a class lose so much."""
        return self.p_value <= LEVEL


def class_changes(before: Evaluation, after: Evaluation) -> list[ClassChange | None]:
    """The change of every class on the same examples, in the order of the labels; None for one without any.

    Accuracies have Wilson intervals, changes the paired interval of Agresti & Min 2005. Hypotheses are tested
    by McNemar's exact test (McNemar 1947) and corrected with the step-down procedure of Holm 1979, which keeps
    the chance of calling any unchanged class changed below `LEVEL`, however the classes depend on each other.

    Raises
    ------
    DataError
        If the two networks do not tell classes apart.
    """
    _check(before)
    targets, was, now = before.split.targets, before.correct, after.correct
    tables = []
    for label in range(before.classes):
        members = targets == label
        if bool(members.any()):
            gained, lost = int((now & ~was & members).sum()), int((was & ~now & members).sum())
            tables.append((label, members, gained, lost))
    p_values = [mcnemar(gained, lost) for _, _, gained, lost in tables]
    found: list[ClassChange | None] = [None] * before.classes
    for (label, members, gained, lost), p_value, adjusted in zip(
        tables, p_values, holm(p_values), strict=True
    ):
        count = int(members.sum())
        found[label] = ClassChange(
            label,
            count,
            wilson(int(was[members].sum()), count),
            wilson(int(now[members].sum()), count),
            paired_proportions(now[members], was[members]),
            gained,
            lost,
            p_value,
            adjusted,
        )
    return found


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test: were gains and losses equally likely?

    Twice the binomial probability of so few of the rarer kind among all that changed, at most 1.
    """
    changed, rarer = gained + lost, min(gained, lost)
    if 2 * rarer >= changed:
        return 1.0
    # P(X <= k) of Binomial(n, 1/2) is the regularised incomplete beta function at (n - k, k + 1)
    return min(1.0, 2 * float(betainc(changed - rarer, rarer + 1, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for all hypotheses together (Holm 1979), in the order given.

    The smallest is multiplied by the number of hypotheses, the next by one less, and so on; none falls below
    the one before it or rises above 1.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def disparity(before: Evaluation, after: Evaluation, *, seed: int = 0) -> Disparity | None:
    """Does the worst class lose more than it would if all classes paid alike? None with a single class.

    The worst of several classes always loses more than the average, by chance alone. So what happened to each
    example (lost, gained, neither) is dealt out to the classes anew, `DRAWS` times, and the worst class looked
    for again: a permutation test (Fisher 1935; the p-value as Phipson & Smyth 2010 have it). Hooker et al.
    2019 compare each class with the average in the same sense.

    Raises
    ------
    DataError
        If the two networks do not tell classes apart.
    """
    _check(before)
    labels, sizes = np.unique(before.split.targets.numpy(), return_counts=True)
    if len(labels) < 2:
        return None
    change = after.correct.numpy().astype(int) - before.correct.numpy().astype(int)
    per_class = np.array([change[before.split.targets.numpy() == label].sum() for label in labels]) / sizes
    worst = int(per_class.argmin())
    drawn = _worst_by_chance(sizes, int((change < 0).sum()), int((change > 0).sum()), seed)
    as_bad = int((drawn <= per_class[worst] + 1e-12).sum())
    return Disparity(
        int(labels[worst]), float(per_class[worst]), float(change.mean()), (1 + as_bad) / (1 + DRAWS)
    )


def _worst_by_chance(sizes: np.ndarray, lost: int, gained: int, seed: int) -> np.ndarray:
    """The lowest change of any class when losses and gains fall on random examples, (`DRAWS`,)."""
    rng = np.random.default_rng(seed)
    losses = rng.multivariate_hypergeometric(sizes, lost, size=DRAWS, method="marginals")
    if not gained:
        return (-losses / sizes).min(axis=1)
    gains = np.stack(
        [rng.multivariate_hypergeometric(sizes - one, gained, method="marginals") for one in losses]
    )
    return ((gains - losses) / sizes).min(axis=1)


def _check(evaluation: Evaluation) -> None:
    if not evaluation.task.is_classification:
        raise DataError(
            "The network predicts values, so there are no classes to compare. Compare errors instead."
        )
