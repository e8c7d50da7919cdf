"""Estimates from sensitivity curves, by hand."""

import pytest

from analysis.sensitivity import predict

CURVES = {"a": {0.3: 0.8, 0.5: 0.6, 0.9: 0.2}, "b": {0.5: 0.4}}


def estimate(ratios, **options):
    return predict(CURVES, ratios, **{"dense": 0.9, "floor": 0.1, **options})


def test_one_target_at_a_measured_point_gives_what_was_measured():
    for target, curve in CURVES.items():
        for ratio, value in curve.items():
            assert estimate({target: ratio}) == pytest.approx(value)


def test_between_points_it_is_a_straight_line_from_the_dense_network_to_guessing():
    assert estimate({"a": 0.4}) == pytest.approx(0.7)
    assert estimate({"a": 0.15}) == pytest.approx(0.85)
    assert estimate({"a": 0.95}) == pytest.approx(0.15)
    assert estimate({"a": 1.0}) == pytest.approx(0.1)
    assert estimate({}) == estimate({"a": 0.0}) == 0.9


def test_shares_above_guessing_are_multiplied():
    kept_a, kept_b = (0.6 - 0.1) / 0.8, (0.4 - 0.1) / 0.8
    assert estimate({"a": 0.5, "b": 0.5}) == pytest.approx(0.1 + 0.8 * kept_a * kept_b)


def test_from_an_anchor_only_the_change_is_estimated():
    anchor = ({"a": 0.5, "b": 0.5}, 0.45)
    assert estimate({"a": 0.5, "b": 0.5}, anchor=anchor) == pytest.approx(0.45)
    kept = ((0.8 - 0.1) / 0.8) / ((0.6 - 0.1) / 0.8)
    assert estimate({"a": 0.3, "b": 0.5}, anchor=anchor) == pytest.approx(0.1 + 0.35 * kept)


def test_an_estimate_never_beats_the_dense_network_and_the_anchor():
    assert estimate({}, anchor=({"a": 0.9}, 0.85)) == 0.9
    assert estimate({}, anchor=({"a": 0.9}, 0.95)) == 0.95


def test_no_estimate_without_a_curve_or_above_guessing():
    assert estimate({"a": 0.3, "c": 0.1}) is None
    assert estimate({"a": 0.3}, anchor=({"c": 0.1}, 0.5)) is None
    assert estimate({"a": 0.3, "c": 0.1}, anchor=({"c": 0.1}, 0.5)) is not None, "c stays as measured"
    assert estimate({"a": 0.3}, dense=0.1) is None


def test_a_value_below_guessing_counts_as_nothing_left():
    assert predict({"a": {0.5: 0.02}}, {"a": 0.5}, dense=0.9, floor=0.1) == pytest.approx(0.1)
