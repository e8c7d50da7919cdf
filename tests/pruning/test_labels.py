"""Labels against sets that are merged one by one."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from analysis.pruning.labels import Labels, compact, varies, varying


class NaiveSets:
    """Which labels go together, and which must stay, by merging plain sets."""

    def __init__(self, count: int) -> None:
        self.sets = [{label} for label in range(count)]
        self.pinned: set[int] = set()

    def of(self, label: int) -> set[int]:
        return next(members for members in self.sets if label in members)

    def unite(self, a: int, b: int) -> None:
        if a < 0 or b < 0:
            self.pinned |= {label for label in (a, b) if label >= 0}
            return
        first, second = self.of(a), self.of(b)
        if first is not second:
            self.sets.remove(second)
            first |= second

    def is_pinned(self, label: int) -> bool:
        return bool(self.of(label) & self.pinned)


@pytest.mark.parametrize("seed", range(12))
def test_random_unions_against_merged_sets(seed):
    draw = random.Random(seed)
    count = draw.randint(2, 30)
    labels, naive = Labels(), NaiveSets(count)
    parts = [labels.fresh(n) for n in (count // 2, count - count // 2)]
    assert torch.cat(parts).tolist() == list(range(count))
    for _ in range(draw.randint(1, 12)):
        size = draw.randint(1, 4)
        a, b = (
            [draw.randint(-1 if draw.random() < 0.2 else 0, count - 1) for _ in range(size)] for _ in "ab"
        )
        if draw.random() < 0.2:
            labels.pin(torch.tensor(a), "drawn")
            naive.pinned |= {label for label in a if label >= 0}
            continue
        labels.unite(torch.tensor(a), torch.tensor(b))
        for one, other in zip(a, b, strict=True):
            naive.unite(one, other)
    every = torch.arange(count)
    found = labels.current(every).tolist()
    for one in range(count):
        assert {other for other in range(count) if found[other] == found[one]} == naive.of(one)
        assert found[one] in naive.of(one)
        assert (labels.reason(one) is not None) == naive.is_pinned(one)


def test_pins_survive_joins_and_the_first_reason_stays():
    labels = Labels()
    a, b, c = labels.fresh(3)[:, None].unbind(0)
    labels.pin(c, "first")
    labels.unite(b, c)
    labels.unite(a, b)
    assert {labels.reason(int(x)) for x in (a, b, c)} == {"first"}
    labels.pin(a, "second")
    assert labels.reason(int(b)) == "first"


def test_a_label_that_meets_a_fixed_value_is_pinned():
    labels = Labels()
    own = labels.fresh(3)
    labels.unite(own, torch.tensor([-1, 1, -1]))
    assert [labels.reason(i) is not None for i in range(3)] == [True, False, True]
    assert labels.current(own).tolist() == [0, 1, 2]


def test_nothing_to_remove_stays_so():
    labels = Labels()
    assert labels.current(torch.full((2, 3), -1)).tolist() == [[-1] * 3] * 2
    labels.fresh(2)
    assert labels.current(torch.tensor([-1, 1])).tolist() == [-1, 1]
    labels.pin(torch.tensor([-1]), "none")
    assert labels.reason(0) is None and labels.reason(1) is None


def test_united_along_a_dimension():
    labels = Labels()
    blocks = labels.fresh(6).reshape(2, 3)
    labels.unite_along(blocks, 1)
    assert labels.current(blocks).tolist() == [[0, 0, 0], [3, 3, 3]]


def wide(vector: Tensor, *shape: int) -> Tensor:
    return vector[None, :, None, None].expand(*shape)


def test_repeats_stay_free_of_cost():
    labels = Labels()
    first, second = (wide(labels.fresh(4), 1000, 4, 1000, 1000) for _ in range(2))
    labels.unite(first, second)
    found = labels.current(second)
    assert found.shape == second.shape
    assert found.stride()[0] == found.stride()[2] == found.stride()[3] == 0
    assert found.untyped_storage().nbytes() == 4 * 8
    assert found[0, :, 0, 0].tolist() == [0, 1, 2, 3]
    assert compact(found).shape == (1, 4, 1, 1)


def test_along_what_labels_differ():
    vector = torch.tensor([3, 3, 4])
    labels = wide(vector, 2, 3, 5, 1)
    assert varying(labels) == [1]
    assert [varies(labels, dim) for dim in (0, 1, 2, 3, -3)] == [False, True, False, False, True]
    assert varying(labels.contiguous()) == [1]
    assert varying(torch.tensor([[1, 1], [1, 1]])) == []
    assert varying(torch.arange(6).reshape(2, 3)) == [0, 1]
    assert varying(torch.tensor(5)) == []
