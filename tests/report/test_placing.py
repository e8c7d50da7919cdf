"""Marks of a figure: equal ones are joined, covering ones stand side by side, names do not cover each other."""

import math
from itertools import combinations, pairwise

import pytest

from analysis.report.placing import Mark, clusters, joined, lowered, placed


def mark(name, x, y, half=20.0, joins=True):
    return Mark(name, x, y, y - half, y + half, joins)


def test_marks_at_one_place_are_one_with_all_their_names():
    found = placed([mark("A", 10, 50), mark("B", 200, 90), mark("C", 201, 91)])
    assert [(one.members, one.name, one.aside) for one in found] == [((0,), "A", 0.0), ((1, 2), "B, C", 0.0)]


def test_the_same_value_with_another_interval_or_of_the_dense_network_is_not_joined():
    wider = placed([mark("A", 10, 50), mark("B", 10, 50, half=40)])
    dense = placed([mark("dense", 10, 50, joins=False), mark("A", 10, 50)])
    for found in (wider, dense):
        assert len(found) == 2 and found[0].aside < 0 < found[1].aside


def test_bars_that_would_cover_each_other_stand_side_by_side_in_their_order():
    marks = [mark("A", 100, 50), mark("B", 98, 60), mark("C", 100, 200), mark("D", 130, 50)]
    found = {one.name: one for one in placed(marks)}
    at = {name: marks[one.members[0]].x + one.aside for name, one in found.items()}
    assert at["A"] - at["B"] == pytest.approx(7) and (at["A"] + at["B"]) / 2 == pytest.approx(99)
    assert found["C"].aside == found["D"].aside == 0  # bars that do not meet, or are far away, stay


def test_a_mark_between_two_crowds_does_not_hide_that_others_cover():
    """One cost, three intervals, and the lowest of them comes second."""
    found = placed([mark("dense", 100, 300, joins=False), mark("E", 100, 20), mark("F", 100, 290)])
    assert [one.aside for one in found] == [-3.5, 0, 3.5]


def test_many_marks_of_one_cost_stay_near_their_place_and_a_long_row_stays_where_it_is():
    heap = placed([mark(f"{i}", 100, 50 + 4 * i, half=200) for i in range(20)])
    assert max(abs(one.aside) for one in heap) == pytest.approx(14)
    row = placed([mark(f"{i}", 5 * i, 50) for i in range(20)])
    assert max(abs(one.aside) for one in row) < 7


def test_a_mark_without_a_place_is_left_out():
    found = placed([mark("A", 10, math.nan), mark("B", 10, 50)])
    assert [one.name for one in found] == ["B"]


def test_letters_in_a_row_are_written_by_their_ends():
    assert joined("A") == "A" and joined("AB") == "A, B" and joined("ACD") == "A, C, D"
    assert joined("ABCF") == "A–C, F" and joined(["dense", "A"]) == "dense, A"


def test_clusters_hold_every_value_once_and_stand_apart():
    assert clusters([0.5, 0.1, 0.52, 0.9], 0.04) == [(1,), (0, 2), (3,)]
    values = [i * 0.03 for i in range(20)]
    found = clusters(values, 0.04)
    means = [sum(values[i] for i in group) / len(group) for group in found]
    assert sorted(i for group in found for i in group) == list(range(20)) and len(found) > 6
    assert min(b - a for a, b in pairwise(means)) >= 0.04 - 1e-9


def test_names_move_down_until_none_covers_another():
    boxes = [(0, 10, 100.0), (5, 15, 98.0), (5, 15, 90.0), (40, 50, 100.0)]
    down = lowered(boxes, 12)
    assert down[0] == down[3] == 0 and all(d >= 0 for d in down)
    placed_at = [(left, right, y - d) for (left, right, y), d in zip(boxes, down, strict=True)]
    for (a, b, y), (c, d, z) in combinations(placed_at, 2):
        assert a >= d or c >= b or abs(y - z) >= 12
